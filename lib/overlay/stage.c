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

static void directory_name(const struct changes *c, char ret[64])
{
	snprintf(ret, 64, STAGING_PREFIX "%s", c->layer->id);
}

void stage_remove(const struct changes *c, size_t root)
{
	char name[64];
	struct stat st;

	directory_name(c, name);
	if (fstatat(c->lower[root], name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		tree_remove(c->lower[root], name);
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

static int open_one(struct staging *s, size_t root, struct error *e)
{
	char name[64];

	if (s->dir[root] >= 0)
		return 0;
	stage_remove(s->c, root);
	directory_name(s->c, name);
	int r = mkdirat(s->c->lower[root], name, 0700) < 0 ? -errno : 0;
	s->dir[root] = r < 0 ? -EBADF : tree_open(s->c->lower[root], name, O_RDONLY | O_DIRECTORY);
	if (r == 0 && s->dir[root] < 0)
		r = s->dir[root];
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, s->c->layer->roots[root].path, "cannot make %s in %s", name,
				  s->c->layer->roots[root].path) :
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

static int copy_opened(const struct staging *s, const struct change *change, int from, const char *name)
{
	const struct timespec times[2] = { change->now.st_atim, change->now.st_mtim };
	struct stat st;

	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int to = openat(s->dir[change->root], name, flags, 0600);
	if (to < 0 || fstat(to, &st) < 0)
		return -errno;
	int r = content_copy(from, to, change->now.st_size);
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
	_cleanup_close_ int place = -EBADF, from = stage_open_source(s->c, change, &place);
	int r = from < 0 ? from : copy_opened(s, change, from, name);

	if (place >= 0)
		stage_close_source(s->c, change, place);
	return r;
}

int stage_link_host(const struct staging *s, const struct change *change, const char *path, const char *name)
{
	const char *last;

	_cleanup_close_ int dir = tree_open_parent(s->c->lower[change->root], path, &last);
	if (dir < 0)
		return dir;
	return linkat(dir, last, s->dir[change->root], name, 0) < 0 ? -errno : 0;
}

/* Several names of one file in the layer become several names of one file on the host (links.c). */
static int stage_file(const struct staging *s, const struct change *change, const char *name)
{
	const struct changes *c = s->c;
	char other[STAGED_NAME_MAX];

	if (change->host != CHANGES_NO_OTHER)
		return stage_link_host(s, change, c->hosts[change->host], name);
	const struct change *leader = change->leader != CHANGES_NO_OTHER ? &c->v[change->leader] : change;
	if (leader == change)
		return copy_file(s, change, name);
	/* Linking sets its ctime, and after a kill that would look like a change by the host: not before it has its mode. */
	if (leader->kind == CHANGE_MODE)
		return 0;
	if (!leader->selected)
		return copy_file(s, change, name);
	staged_name(change->leader, other);
	return linkat(s->dir[change->root], other, s->dir[change->root], name, 0) < 0 ? -errno : 0;
}

static int stage_link(const struct staging *s, const struct change *change, const char *name)
{
	const struct timespec times[2] = { change->now.st_atim, change->now.st_mtim };
	char target[PATH_MAX];

	_cleanup_close_ int place = tree_open(s->c->upper[change->root], change->path, O_PATH);
	ssize_t n = place < 0 ? -1 : readlinkat(place, "", target, sizeof(target) - 1);
	if (n < 0)
		return place < 0 ? place : -errno;
	target[n] = '\0';
	if (symlinkat(target, s->dir[change->root], name) < 0 ||
	    utimensat(s->dir[change->root], name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int stage_dir(const struct staging *s, const struct change *change, const char *name)
{
	if (mkdirat(s->dir[change->root], name, 0700) < 0)
		return -errno;
	_cleanup_close_ int to = tree_open(s->dir[change->root], name, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int from = tree_open(s->c->upper[change->root], change->path, O_RDONLY | O_DIRECTORY);
	if (to < 0 || from < 0)
		return to < 0 ? to : from;
	return attr_copy(from, to);
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
		r = S_ISDIR(change->now.st_mode) ? stage_dir(s, change, name) :
		    S_ISLNK(change->now.st_mode) ? stage_link(s, change, name) :
						   stage_file(s, change, name);
		if (r < 0)
			return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, change->path,
					  "cannot copy %s out of the layer; nothing was changed", change->path);
	}
	for (size_t i = 0; i < LAYER_ROOTS_MAX && r == 0; i++) {
		if (s->dir[i] >= 0 && syncfs(s->dir[i]) < 0)
			r = -errno;
	}
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->layer->id,
				  "cannot write the new files to the disk; nothing was changed") :
		       0;
}
