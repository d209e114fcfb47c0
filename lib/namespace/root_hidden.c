/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hidden names of an overlaid directory: not there at all, where elsewhere an empty object lies over them.
 *
 * Theory of operation. A directory "mask" in the layer stands between the host's directory and the one that takes the
 * writes. It has a whiteout, as overlayfs itself makes them for what was deleted, for each hidden name, and the
 * directories that lead there. The merged directory takes its mode and times from the uppermost of its parts, so
 * those get the host's; where that cannot be had (another owner, attributes, or closed to us), or something is mounted
 * at or below the name, nothing is put there and the name is covered as elsewhere (root_plan.c). A call can use the name
 * for something of its own, and remove the directory: a commit knows by the mask what it must leave as it is
 * (lib/overlay/hidden.c).
 *
 * The committed view has a mask of its own, kept in memory: the host may replace a file that is covered there by
 * renaming another one to its name, and then the kernel takes the cover away; a whiteout stays. Nothing is written in that
 * view, so its mask need not be like the host's in all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"

#define MASK "mask"

static bool is_inside(const char *path, const char *dir)
{
	return path_is_at_or_below(path, dir) && strcmp(path, dir) != 0;
}

static bool has_mount(const struct plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *o = &plan->steps[i];
		bool mounts = o->kind != PLAN_HIDE && o->kind != PLAN_PROTECT && o->kind != PLAN_PIN;
		if (mounts && path_is_at_or_below(o->path, path))
			return true;
	}
	return false;
}

/* It is in the overlay, nothing is to be mounted there, and nothing of this kind above hides it with all else. */
static bool is_wanted(const struct plan *plan, const struct plan_step *overlay, const struct plan_step *s)
{
	if (s->kind != PLAN_HIDE || !is_inside(s->path, overlay->path) || has_mount(plan, s->path))
		return false;
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *o = &plan->steps[i];
		if (o->kind == PLAN_HIDE && is_inside(s->path, o->path) && is_inside(o->path, overlay->path) &&
		    !has_mount(plan, o->path))
			return false;
	}
	return true;
}

/* That the file system gives it a label is no attribute of it. */
static bool has_attributes(int fd)
{
	char names[1024];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		if (strncmp(names + at, "security.", 9) != 0)
			return true;
	}
	return n < 0 && errno != EOPNOTSUPP;
}

/* The host's directory, when a part of the mask can stand for it. dev: 0 for the committed view's. */
static int open_like(int host, const char *name, dev_t dev, struct stat *ret)
{
	_cleanup_close_ int fd =
		openat(host, name, (dev ? O_RDONLY : O_PATH) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, ret) < 0)
		return -errno;
	bool fits = !dev || (ret->st_dev == dev && ret->st_uid == geteuid() && ret->st_gid == getegid() &&
			     (ret->st_mode & 0500) == 0500 && !has_attributes(fd));
	return fits ? TAKE_FD(fd) : -EOPNOTSUPP;
}

static int set_like(int dir, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	return fchmod(dir, st->st_mode & 07777) < 0 || futimens(dir, times) < 0 ? -errno : 0;
}

/* path: below both. The directories get their modes and times on the way back, when what is in them is there. */
static int white_out(int mask, int host, const char *path, dev_t dev)
{
	char name[256];
	struct stat st;
	size_t n = strcspn(path, "/");

	if (n >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, path, n);
	name[n] = '\0';
	if (!path[n])
		return mknodat(mask, name, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST ? -errno : 0;
	_cleanup_close_ int below = open_like(host, name, dev, &st);
	if (below < 0)
		return below;
	if (mkdirat(mask, name, 0700) < 0 && (errno != EEXIST || fchmodat(mask, name, 0700, 0) < 0))
		return -errno;
	_cleanup_close_ int dir = openat(mask, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	int r = white_out(dir, below, path + n + 1, dev);
	int k = set_like(dir, &st);
	return r < 0 ? r : k;
}

int root_hidden(const struct plan *plan, const struct plan_step *overlay, int lower, int dir, int *ret)
{
	struct stat st;
	/* One that is there was copied with the changes, and what it hides stays hidden. */
	int mask = openat(dir, MASK, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret = mask;
	if (mask < 0 && errno != ENOENT)
		return -errno;
	_cleanup_close_ int host = open_in(lower, ".", false);
	if (host < 0 || fstat(host, &st) < 0)
		return host < 0 ? host : -errno;
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];
		if (!is_wanted(plan, overlay, s))
			continue;
		if (mask < 0 && mkdirat(dir, MASK, 0700) < 0)
			return -errno;
		if (mask < 0)
			*ret = mask = openat(dir, MASK, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (mask < 0)
			return -errno;
		/* Where it cannot be had the name is covered. */
		(void)white_out(mask, host, s->path + strlen(overlay->path) + 1, st.st_dev);
	}
	return 0;
}

int root_hidden_committed(const struct plan *plan, const struct plan_step *overlay, int lower, int mask)
{
	struct stat st;
	int n = 0;

	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];
		if (!is_wanted(plan, overlay, s))
			continue;
		int r = white_out(mask, lower, s->path + strlen(overlay->path) + 1, 0);
		/* Removed since the policy was read. */
		if (r < 0 && r != -ENOENT && r != -ENOTDIR)
			return r;
		n++;
	}
	int r = fstat(lower, &st) < 0 ? -errno : set_like(mask, &st);
	return r < 0 ? r : n;
}
