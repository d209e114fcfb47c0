/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: undo.h. */
#include "overlay/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/scratch.h"
#include "overlay/tree.h"

/* Of directories that say nothing, or only what mode another has. Below overlayfs' own names, so no call can set it, and
 * none of it is ever copied. */
#define MARK "user.overlay.nsbox"
#define MARK_WAY "way"

struct undo {
	const struct changes *c;
	const struct undo_copier *copier;
	int upper[LAYER_ROOTS_MAX];
};

static int open_roots(struct undo *u, int dir)
{
	char name[24];
	int r = 0;

	for (size_t i = 0; i < u->c->layer->n_roots && r == 0; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		r = mkdirat(dir, name, 0700) < 0 ? -errno : 0;
		_cleanup_close_ int root = r < 0 ? r : tree_open(dir, name, O_RDONLY | O_DIRECTORY);
		if (r == 0 && (root < 0 || mkdirat(root, "work", 0700) < 0 || mkdirat(root, "upper", 0700) < 0))
			r = root < 0 ? root : -errno;
		if (r == 0) {
			u->upper[i] = tree_open(root, "upper", O_RDONLY | O_DIRECTORY);
			r = u->upper[i] < 0 ? u->upper[i] : 0;
		}
	}
	return r;
}

static int mark_way(int parent, const char *name)
{
	_cleanup_close_ int dir = tree_open(parent, name, O_RDONLY | O_DIRECTORY);

	return dir < 0 ? dir : fsetxattr(dir, MARK, MARK_WAY, strlen(MARK_WAY), 0) < 0 ? -errno : 0;
}

/* The directory that path lies in, made where it is missing. */
static int open_way(const struct undo *u, size_t root, const char *path)
{
	char part[CHANGES_PATH_MAX + 1];
	int r = 0;

	for (const char *at = strchr(path, '/'); at && r == 0; at = strchr(at + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
		const char *name;
		_cleanup_close_ int dir = tree_open_parent(u->upper[root], part, &name);
		r = dir < 0 ? dir : mkdirat(dir, name, 0700) == 0 ? mark_way(dir, name) : errno == EEXIST ? 0 : -errno;
	}
	const char *ignored;
	return r < 0 ? r : tree_open_parent(u->upper[root], path, &ignored);
}

static int keep(struct undo *u, const struct change *change)
{
	const char *name;
	struct stat st;

	_cleanup_close_ int from = tree_open_parent(u->c->lower[change->root], change->path, &name);
	/* In a directory that is new too, or in the place of another file. */
	if (from == -ENOENT || from == -ENOTDIR || from == -ELOOP)
		return 0;
	if (from < 0)
		return from;
	bool there = fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	/* What cannot be looked at is not missing: taking back would remove it. */
	if (!there && errno != ENOENT)
		return -errno;
	_cleanup_close_ int to = open_way(u, change->root, change->path);
	if (to < 0)
		return to;
	if (!there)
		return mknodat(to, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
	if (change->kind == CHANGE_MODE && S_ISDIR(st.st_mode))
		return mkdirat(to, name, 0700) < 0 && errno != EEXIST ? -errno : 0;
	return u->copier->copy(u->copier->arg, change->root, from, to, u->upper[change->root], name, change->path);
}

/* A directory that only changes its mode or attributes; behind all that is in it. */
static int keep_mode(const struct undo *u, const struct change *change)
{
	char mark[16];
	struct stat st;

	if (change->kind != CHANGE_MODE || !S_ISDIR(change->now.st_mode))
		return 0;
	_cleanup_close_ int from = tree_open(u->c->lower[change->root], change->path, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int to =
		from < 0 ? from : tree_open(u->upper[change->root], change->path, O_RDONLY | O_DIRECTORY);
	int n = snprintf(mark, sizeof(mark), "%04o", change->now.st_mode & 07777);
	int r = to < 0 ? to : fstat(from, &st) < 0 ? -errno : attr_copy(from, to);
	if (r == 0 && (fsetxattr(to, MARK, mark, (size_t)n, 0) < 0 || fchmod(to, st.st_mode & 07777) < 0))
		r = -errno;
	return r;
}

static int keep_all(struct undo *u, struct error *e)
{
	const struct changes *c = u->c;
	const struct change *failed = NULL;
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		failed = &c->v[i];
		r = c->v[i].selected ? keep(u, &c->v[i]) : 0;
	}
	for (size_t i = c->n; i-- > 0 && r == 0;) {
		failed = &c->v[i];
		r = c->v[i].selected ? keep_mode(u, &c->v[i]) : 0;
	}
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, failed->path,
				  "nothing was changed: cannot keep %s as it is now, so that this can be taken back", failed->path) :
		       0;
}

int undo_make(const struct layer *of, const struct changes *c, const struct undo_copier *copier, struct error *e)
{
	const uint32_t call = c->layer->call;
	struct undo u = { .c = c, .copier = copier };

	for (size_t i = 0; i < LAYER_ROOTS_MAX; i++)
		u.upper[i] = -EBADF;
	_cleanup_close_ int dir = scratch_begin(of, call);
	int r = dir < 0 ? dir : open_roots(&u, dir);
	if (r < 0)
		fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, of->id, "nothing was changed: cannot make what it can be taken back with");
	if (r == 0)
		r = keep_all(&u, e);
	for (size_t i = 0; i < LAYER_ROOTS_MAX; i++)
		fd_close(u.upper[i]);
	if (r < 0)
		return r;
	r = scratch_finish(of, call);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, of->id,
				  "nothing was changed: cannot write what it can be taken back with") :
		       0;
}

void undo_settle(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct change *change = &c->v[i];
		char mark[16] = "";
		if (change->kind != CHANGE_MODE || !S_ISDIR(change->now.st_mode))
			continue;
		_cleanup_close_ int dir = tree_open(c->upper[change->root], change->path, O_RDONLY | O_DIRECTORY);
		ssize_t n = dir < 0 ? -1 : fgetxattr(dir, MARK, mark, sizeof(mark) - 1);
		change->selected = strcmp(mark, MARK_WAY) != 0;
		change->conflict = n > 0 && strtoul(mark, NULL, 8) != (change->was.st_mode & 07777);
	}
}
