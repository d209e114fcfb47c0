/* SPDX-License-Identifier: Apache-2.0 */
/* Copying out of the layer: content with its holes, links, modes, times, attributes. */
#include "overlay/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/content.h"
#include "overlay/lifted.h"
#include "overlay/tree.h"

void staged_name(size_t i, char ret[STAGED_NAME_MAX])
{
	snprintf(ret, STAGED_NAME_MAX, "%zu", i);
}

/* Where, and as what. */
static int parent_of(const struct changes *c, size_t root, char ret_name[64])
{
	if (c->layer->call)
		snprintf(ret_name, 64, "staged-%zu", root);
	else
		snprintf(ret_name, 64, STAGING_PREFIX "%s", c->layer->id);
	return c->layer->call ? c->layer->dir : c->lower[root];
}

void stage_remove(const struct changes *c, size_t root)
{
	char name[64];
	struct stat st;

	int parent = parent_of(c, root, name);
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		tree_remove(parent, name);
}

void stage_close(struct staging *s)
{
	for (size_t i = 0; i < LAYER_ROOTS_MAX; i++) {
		if (s->dir[i] < 0)
			continue;
		fd_close(TAKE_FD(s->dir[i]));
		stage_remove(s->c, i);
	}
}

void stage_drop(const struct staging *s, size_t i)
{
	const struct change *change = &s->c->v[i];
	char name[STAGED_NAME_MAX];

	staged_name(i, name);
	unlinkat(s->dir[change->root], name, S_ISDIR(change->now.st_mode) ? AT_REMOVEDIR : 0);
}

static int open_one(struct staging *s, size_t root, struct error *e)
{
	char name[64];

	if (s->dir[root] >= 0)
		return 0;
	stage_remove(s->c, root);
	int parent = parent_of(s->c, root, name);
	int r = mkdirat(parent, name, 0700) < 0 ? -errno : 0;
	s->dir[root] = r < 0 ? -EBADF : tree_open(parent, name, O_RDONLY | O_DIRECTORY);
	if (r == 0 && s->dir[root] < 0)
		r = s->dir[root];
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, s->c->layer->roots[root].path, "cannot make %s in %s", name,
				  s->c->layer->call ? "the layer" : s->c->layer->roots[root].path) :
		       0;
}

int stage_open(struct changes *c, struct staging *ret, struct error *e)
{
	int r = 0;

	ret->c = c;
	for (size_t i = 0; i < LAYER_ROOTS_MAX; i++)
		ret->dir[i] = -EBADF;
	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (c->v[i].selected)
			r = open_one(ret, c->v[i].root, e);
	}
	return r;
}

/* A file that its owner may not read is made readable for a while, since its attributes can be read no other way. */
int stage_open_source(const struct changes *c, const struct change *change, int *ret_place)
{
	int fd = tree_open(c->upper[change->root], change->path, O_RDONLY);

	if (fd != -EACCES || c->layer->in_use)
		return fd;
	int r = lifted_note(c->layer, change->root, change->path, change->now.st_mode);
	_cleanup_close_ int place = r < 0 ? r : tree_open(c->upper[change->root], change->path, O_PATH);
	if (place < 0)
		return place;
	fd = tree_reopen(place, O_RDONLY, 0600);
	*ret_place = TAKE_FD(place);
	return fd;
}

void stage_close_source(const struct changes *c, const struct change *change, int place)
{
	/* The list of directories that are lifted is still needed. */
	if (tree_chmod(place, change->now.st_mode & 07777) == 0 && c->n_opened == 0)
		lifted_forget(c->layer);
}

int stage_copy_file(int from, int to, const struct change *change)
{
	const struct timespec times[2] = { change->now.st_atim, change->now.st_mtim };
	struct stat st;

	int r = fstat(to, &st) < 0 ? -errno : content_copy(from, to, change->now.st_size);
	if (r == 0)
		r = attr_copy(from, to);
	if (r == 0 && st.st_gid != change->now.st_gid && fchown(to, (uid_t)-1, change->now.st_gid) < 0)
		r = -errno;
	if (r == 0 && (fchmod(to, change->now.st_mode & 07777) < 0 || futimens(to, times) < 0))
		r = -errno;
	return r;
}

static int copy_file(const struct staging *s, const struct change *change, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int place = -EBADF, from = stage_open_source(s->c, change, &place);
	_cleanup_close_ int to = from < 0 ? from : openat(s->dir[change->root], name, flags, 0600);
	int r = from < 0 ? from : to < 0 ? -errno : stage_copy_file(from, to, change);

	if (place >= 0)
		stage_close_source(s->c, change, place);
	return r;
}

int stage_link_host(const struct changes *c, const struct change *change, const char *path, int dir, const char *name)
{
	const char *last;

	_cleanup_close_ int from = tree_open_parent(c->lower[change->root], path, &last);
	if (from < 0)
		return from;
	return linkat(from, last, dir, name, 0) < 0 ? -errno : 0;
}

/* Several names of one file in the layer become several names of one file on the host (links.c). */
static int stage_file(const struct staging *s, const struct change *change, const char *name)
{
	const struct changes *c = s->c;
	char other[STAGED_NAME_MAX];

	const struct change *leader = change->leader != CHANGES_NO_OTHER ? &c->v[change->leader] : change;
	if (change->host == CHANGES_NO_OTHER && (leader == change || (!leader->selected && leader->kind != CHANGE_MODE)))
		return copy_file(s, change, name);
	/* Linking sets its ctime, and after a kill that would look like a change by the host: not before it has its mode. And
	 * what is in the working state already gets its other names there. */
	if (c->layer->call || (change->host == CHANGES_NO_OTHER && leader->kind == CHANGE_MODE))
		return 0;
	if (change->host != CHANGES_NO_OTHER)
		return stage_link_host(c, change, c->hosts[change->host], s->dir[change->root], name);
	staged_name(change->leader, other);
	return linkat(s->dir[change->root], other, s->dir[change->root], name, 0) < 0 ? -errno : 0;
}

int stage_copy_link(int place, const struct change *change, int dir, const char *name)
{
	const struct timespec times[2] = { change->now.st_atim, change->now.st_mtim };
	char target[PATH_MAX];

	ssize_t n = readlinkat(place, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, dir, name) < 0 || utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int stage_copy_dir(int from, int dir, const char *name)
{
	if (mkdirat(dir, name, 0700) < 0)
		return -errno;
	_cleanup_close_ int to = tree_open(dir, name, O_RDONLY | O_DIRECTORY);
	return to < 0 ? to : attr_copy(from, to);
}

static int stage_one(const struct staging *s, const struct change *change, const char *name)
{
	if (S_ISREG(change->now.st_mode))
		return stage_file(s, change, name);
	bool is_dir = S_ISDIR(change->now.st_mode);
	_cleanup_close_ int from =
		tree_open(s->c->upper[change->root], change->path, is_dir ? O_RDONLY | O_DIRECTORY : O_PATH);
	if (from < 0)
		return from;
	return is_dir ? stage_copy_dir(from, s->dir[change->root], name) :
			stage_copy_link(from, change, s->dir[change->root], name);
}

/* Each is copied once more into the working state before it is removed here: there must be room for the largest. */
static int check_room(const struct staging *s, size_t root)
{
	char name[STAGED_NAME_MAX];
	blkcnt_t most = 0;
	struct stat st;

	for (size_t i = 0; i < s->c->n; i++) {
		staged_name(i, name);
		if (s->c->v[i].root == root && fstatat(s->dir[root], name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_blocks > most)
			most = st.st_blocks;
	}
	_cleanup_close_ int probe = most == 0 ? -EBADF : openat(s->dir[root], ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	return probe >= 0 && fallocate(probe, 0, 0, most * 512) < 0 && errno == ENOSPC ? -ENOSPC : 0;
}

int stage_all(struct staging *s, struct error *e)
{
	const struct changes *c = s->c;
	char name[STAGED_NAME_MAX];
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct change *change = &c->v[i];
		if (!change->selected || change->kind == CHANGE_DELETED || change->kind == CHANGE_MODE)
			continue;
		staged_name(i, name);
		r = stage_one(s, change, name);
		if (r < 0)
			return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, change->path,
					  "cannot copy %s out of the layer; nothing was changed", change->path);
	}
	for (size_t i = 0; i < LAYER_ROOTS_MAX && r == 0; i++) {
		if (s->dir[i] >= 0 && syncfs(s->dir[i]) < 0)
			r = -errno;
		if (r == 0 && s->dir[i] >= 0 && c->layer->call)
			r = check_room(s, i);
	}
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->layer->id,
				  "cannot write the new files to the disk; nothing was changed") :
		       0;
}
