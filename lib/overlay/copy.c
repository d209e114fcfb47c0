/* SPDX-License-Identifier: Apache-2.0 */
/* Copying what is in the upper directories of a layer. */
#include "overlay/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/changes.h"
#include "overlay/content.h"
#include "overlay/layer_info.h"
#include "overlay/lifted.h"
#include "overlay/tree.h"

/* One file of several names that was copied. */
struct copied {
	dev_t dev; /* the files of an overlay have several */
	ino_t ino;
	char *path;
};

static int by_ino(const void *pa, const void *pb)
{
	const struct copied *a = pa, *b = pb;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return a->ino < b->ino ? -1 : a->ino > b->ino;
}

static void copied_free(void *p)
{
	struct copied *c = p;

	free(c->path);
	free(c);
}

/* In the source: whatever its mode says. *ret_place is set when the mode is to be given back. */
static int open_source(struct copy *c, int dir, const char *name, const char *path, const struct stat *st, int *ret_place)
{
	int flags = O_RDONLY | (S_ISDIR(st->st_mode) ? O_DIRECTORY : 0);
	mode_t needed = S_ISDIR(st->st_mode) ? 0500 : 0400;

	if (!c->from || (st->st_mode & needed) == needed || geteuid() == 0)
		return tree_open(dir, name, flags);
	if (c->from->in_use)
		return -EACCES;
	int r = lifted_note(c->from, c->root, path, st->st_mode);
	_cleanup_close_ int place = r < 0 ? r : tree_open(dir, name, O_PATH);
	if (place < 0)
		return place;
	c->lifted = true;
	r = tree_chmod(place, (st->st_mode & 07777) | needed);
	*ret_place = TAKE_FD(place);
	return r < 0 ? r : tree_open(dir, name, flags);
}

/* Of what is no layer marks of overlayfs would be forged ones. */
static int finish(const struct copy *c, int from, int to, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	struct stat now;

	int r = fstat(to, &now) < 0 ? -errno : c->from ? attr_clone(from, to) : attr_copy(from, to);
	if (r == 0 && now.st_gid != st->st_gid && fchown(to, (uid_t)-1, st->st_gid) < 0)
		r = -errno;
	if (r == 0 && (fchmod(to, st->st_mode & 07777) < 0 || futimens(to, times) < 0))
		r = -errno;
	return r;
}

/* A second name of what was copied already: 1 when it was. */
static int copy_name(struct copy *c, const struct stat *st, int to, const char *name, const char *path)
{
	struct copied key = { .dev = st->st_dev, .ino = st->st_ino };

	if (st->st_nlink == 1)
		return 0;
	struct copied *const *found = tfind(&key, &c->links, by_ino);
	if (found) {
		const char *last;
		_cleanup_close_ int dir = tree_open_parent(c->to, (*found)->path, &last);
		if (dir < 0)
			return dir;
		return linkat(dir, last, to, name, 0) < 0 ? -errno : 1;
	}
	struct copied *one = malloc(sizeof(*one));
	if (!one || !(one->path = strdup(path))) {
		free(one);
		return -ENOMEM;
	}
	one->dev = st->st_dev;
	one->ino = st->st_ino;
	if (!tsearch(one, &c->links, by_ino)) {
		copied_free(one);
		return -ENOMEM;
	}
	return 0;
}

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name, const char *path, const struct stat *st)
{
	_cleanup_close_ int place = -EBADF;

	int r = copy_name(c, st, to_dir, name, path);
	if (r != 0)
		return r < 0 ? r : 0;
	_cleanup_close_ int from = open_source(c, from_dir, name, path, st, &place);
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	_cleanup_close_ int to = from < 0 ? from : openat(to_dir, name, flags, 0600);
	if (from < 0 || to < 0)
		r = from < 0 ? from : -errno;
	/* File systems that can share blocks do. */
	if (r == 0 && ioctl(to, FICLONE, from) < 0)
		r = content_copy(from, to, st->st_size);
	if (r == 0)
		r = finish(c, from, to, st);
	if (place >= 0)
		tree_chmod(place, st->st_mode & 07777);
	return r;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	char target[PATH_MAX];

	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to_dir, name) < 0 || utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_entries(struct copy *c, int from, int to, const char *path, unsigned depth);

static int copy_dir(struct copy *c, int from_dir, int to_dir, const char *name, const char *path, const struct stat *st,
		    unsigned depth)
{
	_cleanup_close_ int place = -EBADF;

	if (depth == CHANGES_DEPTH_MAX)
		return -E2BIG;
	_cleanup_close_ int from = open_source(c, from_dir, name, path, st, &place);
	int r = from < 0 ? from : mkdirat(to_dir, name, 0700) < 0 ? -errno : 0;
	_cleanup_close_ int to = r < 0 ? r : tree_open(to_dir, name, O_RDONLY | O_DIRECTORY);
	if (r == 0)
		r = to < 0 ? to : copy_entries(c, from, to, path, depth + 1);
	if (r == 0)
		r = finish(c, from, to, st);
	if (place >= 0)
		tree_chmod(place, st->st_mode & 07777);
	return r;
}

static int copy_one(struct copy *c, int from, int to, const char *name, const char *path, unsigned depth)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return copy_dir(c, from, to, name, path, &st, depth);
	if (S_ISREG(st.st_mode))
		return copy_file(c, from, to, name, path, &st);
	if (S_ISLNK(st.st_mode))
		return copy_link(from, to, name, &st);
	/* Whiteouts, pipes and sockets. Nothing else can be in a layer. */
	bool whiteout = S_ISCHR(st.st_mode) && st.st_rdev == 0;
	if (!whiteout && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return -EPROTO;
	mode_t mode = whiteout ? S_IFCHR : (st.st_mode & S_IFMT) | 0600;
	return mknodat(to, name, mode, makedev(0, 0)) < 0 ? -errno : 0;
}

static int copy_entries(struct copy *c, int from, int to, const char *path, unsigned depth)
{
	_cleanup_names_ struct names names = { 0 };

	int r = names_read(from, &names);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		_cleanup_free_ char *below = NULL;
		if (asprintf(&below, "%s%s%s", path, *path ? "/" : "", names.v[i]) < 0)
			return -ENOMEM;
		r = strlen(below) > CHANGES_PATH_MAX ? -ENAMETOOLONG : copy_one(c, from, to, names.v[i], below, depth);
	}
	return r;
}

int copy_object(struct copy *c, int from, int to, const char *name, const char *path)
{
	return copy_one(c, from, to, name, path, 0);
}

void copy_done(struct copy *c)
{
	tdestroy(c->links, copied_free);
	c->links = NULL;
}

static int copy_root(const struct layer *from, size_t root, int to_layer, struct error *e)
{
	char name[24];
	struct stat st;

	_cleanup_close_ int upper = layer_upper(from, root, e);
	if (upper < 0)
		return upper;
	snprintf(name, sizeof(name), "%zu", root);
	int r = fstat(upper, &st) < 0 || mkdirat(to_layer, name, 0700) < 0 ? -errno : 0;
	_cleanup_close_ int dir = r < 0 ? r : tree_open(to_layer, name, O_RDONLY | O_DIRECTORY);
	if (r == 0 && (dir < 0 || mkdirat(dir, "work", 0700) < 0 || mkdirat(dir, "upper", 0700) < 0))
		r = dir < 0 ? dir : -errno;
	_cleanup_close_ int to = r < 0 ? r : tree_open(dir, "upper", O_RDONLY | O_DIRECTORY);
	struct copy c = { .from = from, .root = root, .to = to };
	if (r == 0)
		r = to < 0 ? to : copy_entries(&c, upper, to, "", 0);
	if (r == 0)
		r = finish(&c, upper, to, &st);
	copy_done(&c);
	if (c.lifted)
		lifted_forget(from);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, from->id, "cannot copy the changes of sandbox %s", from->id) : 0;
}

/* What was hidden stays so. */
static int copy_mask(const struct layer *from, size_t root, int to_layer, struct error *e)
{
	char name[32];

	snprintf(name, sizeof(name), "%zu/mask", root);
	_cleanup_close_ int mask = tree_open(from->dir, name, O_RDONLY | O_DIRECTORY);
	if (mask == -ENOENT)
		return 0;
	int r = mask < 0 ? mask : mkdirat(to_layer, name, 0700) < 0 ? -errno : 0;
	_cleanup_close_ int to = r < 0 ? r : tree_open(to_layer, name, O_RDONLY | O_DIRECTORY);
	struct copy c = { .from = from, .root = root, .to = to };
	if (r == 0)
		r = to < 0 ? to : copy_entries(&c, mask, to, "", 0);
	copy_done(&c);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, from->id, "cannot copy what is hidden from sandbox %s", from->id) : 0;
}

int layer_copy_facts(const struct layer *from, struct layer *ret)
{
	size_t n = 0;

	ret->workdir = strdup(from->workdir);
	ret->audit = ret->audit ? ret->audit : strdup(from->audit);
	bool ok = ret->workdir && ret->audit;
	/* Whoever was to be asked about them is asked about the copy too. */
	if (!ret->auditor && from->auditor) {
		ok &= (ret->auditor = strdup(from->auditor)) != NULL;
		ret->deadline_us = from->deadline_us;
	}
	if (!ret->helpers && from->helpers)
		ok &= (ret->helpers = strdup(from->helpers)) != NULL;
	for (size_t i = 0; i < from->n_roots && ok; i++) {
		ret->roots[i] = from->roots[i];
		ret->roots[i].path = strdup(from->roots[i].path);
		ret->n_roots++;
		ok = ret->roots[i].path;
	}
	while (from->protect && from->protect[n])
		n++;
	ret->protect = calloc(n + 1, sizeof(*ret->protect));
	for (size_t i = 0; i < n && ok && ret->protect; i++)
		ok = (ret->protect[i] = strdup(from->protect[i]));
	ret->since = from->since;
	return ok && ret->protect ? 0 : -ENOMEM;
}

int layer_copy(int parent, const struct layer *from, bool replace, struct layer *ret, struct error *e)
{
	if (layer_copy_facts(from, ret) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, from->id, "out of memory");
	int r = layer_begin(parent, ret, e);
	for (size_t i = 0; i < from->n_roots && r == 0; i++) {
		r = copy_root(from, i, ret->dir, e);
		if (r == 0)
			r = copy_mask(from, i, ret->dir, e);
	}
	return layer_finish(parent, ret, replace, r, e);
}
