/* SPDX-License-Identifier: Apache-2.0 */
/* Views of overlaid directories. Theory of operation: view.h. */
#include "namespace/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/alias.h"
#include "namespace/mount.h"
#include "namespace/overlay.h"
#include "namespace/plan_path.h"

/* Where it is attached: the call's own terminals are mounted there later. */
#define PLACE "/dev/pts"
/* In the store: for what is made on the way. */
#define FRESH "fresh"
/* As many as a plan has steps, and more. */
#define NESTED_MAX 4096u

int view_take(int store, int init_pidfd, int *ret, struct error *e)
{
	if (setns(store, CLONE_NEWNS) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "setns", "cannot reach the sources of overlays");
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int tree = root < 0 ? -errno : tree_clone(root, MOUNT_SAFE, true);
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, "/", "cannot copy the sources of overlays");
	if (setns(init_pidfd, CLONE_NEWNS) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "setns", "cannot enter the namespaces of the sandbox");
	*ret = TAKE_FD(tree);
	return 0;
}

int views_open(struct views *v, int root, int store, uint32_t call, FILE *mountinfo, struct error *e)
{
	_cleanup_close_ int place = open_in(root, PLACE, false);
	int r = place < 0 ? place : tree_attach(store, place);

	*v = (struct views){ .root = root, .store = store, .call = call, .fresh = -EBADF, .layer = -EBADF,
			     .mountinfo = mountinfo };
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, PLACE, "cannot prepare the call's view of the files") : 0;
}

int views_close(struct views *v, struct error *e)
{
	fd_close(TAKE_FD(v->fresh));
	fd_close(TAKE_FD(v->layer));
	/* What lies on top there is what was attached last. */
	if (umount2(PLACE, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, PLACE, "cannot take the sources of overlays away");
	rewind(v->mountinfo);
	return 0;
}

/* ---- what is mounted in the directory ---- */

struct nested {
	char *place;
	int tree; /* -EBADF: a part of the directory itself */
	bool read_only;
};

struct nest {
	struct nested *all;
	size_t n;
};

static void nest_clear(struct nest *nest)
{
	for (size_t i = 0; i < nest->n; i++) {
		free(nest->all[i].place);
		fd_close(nest->all[i].tree);
	}
	free(nest->all);
}

/* What lies on top at the place, with all that is mounted in it; of a part only whether it can be written. */
static int nest_add(struct nest *nest, int root, const char *place, bool part)
{
	struct nested *more = nest->n < NESTED_MAX ? reallocarray(nest->all, nest->n + 1, sizeof(*more)) : NULL;
	struct statvfs vfs;

	if (!more)
		return nest->n < NESTED_MAX ? -ENOMEM : -E2BIG;
	nest->all = more;
	_cleanup_close_ int fd = open_in(root, place, false);
	/* Below what is hidden. */
	if (fd == -ENOENT)
		return 0;
	if (fd < 0 || fstatvfs(fd, &vfs) < 0)
		return fd < 0 ? fd : -errno;
	_cleanup_close_ int tree = part ? -EBADF : tree_clone(fd, MOUNT_SAFE, true);
	_cleanup_free_ char *copy = strdup(place);
	if (!copy || (tree < 0 && !part))
		return copy ? tree : -ENOMEM;
	more[nest->n++] = (struct nested){ TAKE_PTR(copy), TAKE_FD(tree), vfs.f_flag & ST_RDONLY };
	return 0;
}

static bool nest_has(const struct nest *nest, const char *place)
{
	bool found = false;

	for (size_t i = 0; i < nest->n && !found; i++)
		found = nest->all[i].tree >= 0 && path_is_at_or_below(place, nest->all[i].place);
	return found;
}

/* Of that device (may be ""): parts of an overlay itself, which are mounted read-only or so that they stay where they
 * are. They show what the view must not. */
static int nest_read(struct nest *nest, const struct views *v, const char *path, const char *device, bool parts)
{
	struct mount_line m = { 0 };
	int r, k = 0;

	rewind(v->mountinfo);
	while (k == 0 && (r = mount_next(v->mountinfo, &m)) > 0) {
		bool part = strcmp(m.device, device) == 0;
		if (strcmp(m.place, path) != 0 && path_is_at_or_below(m.place, path) && !nest_has(nest, m.place) &&
		    (parts || !part))
			k = nest_add(nest, v->root, m.place, part);
	}
	free(m.line);
	return k < 0 ? k : r;
}

/* In a new directory: the way to the place, and what is mounted upon there. */
static int make_place(int root, const char *place, int tree)
{
	char path[PLAN_MAX_PATH + 1];
	struct stat st;

	if (strlen(place) >= sizeof(path) || fstat(tree, &st) < 0)
		return -ENAMETOOLONG;
	for (const char *at = strchr(place + 1, '/');; at = strchr(at + 1, '/')) {
		size_t n = at ? (size_t)(at - place) : strlen(place);
		memcpy(path, place, n);
		path[n] = '\0';
		_cleanup_close_ int found = open_in(root, path, false);
		char *name = strrchr(path, '/') + 1;
		if (found == -ENOENT) {
			char last[NAME_MAX + 1];
			snprintf(last, sizeof(last), "%s", name);
			*name = '\0';
			_cleanup_close_ int dir = open_in(root, path, false);
			bool is_dir = at || S_ISDIR(st.st_mode);
			if (dir < 0 || (is_dir ? mkdirat(dir, last, 0755) : mknodat(dir, last, S_IFREG | 0644, 0)) < 0)
				return dir < 0 ? dir : -errno;
		} else if (found < 0) {
			return found;
		}
		if (!at)
			return 0;
	}
}

/* In the view itself, from above to below. */
static int part_put(const struct nested *part, int root)
{
	_cleanup_close_ int place = open_in(root, part->place, false);
	_cleanup_close_ int tree =
		place < 0 ? place : tree_clone(place, MOUNT_SAFE | (part->read_only ? MOUNT_ATTR_RDONLY : 0), true);

	return tree < 0 ? tree : tree_attach(tree, place);
}

/* Where a view of files has nothing there is nothing to put it on, and nothing to hide. */
static int nest_put(const struct nest *nest, int root, bool fresh, const char **ret_failed)
{
	int r = 0;

	for (size_t i = 0; i < nest->n && r == 0; i++) {
		const struct nested *one = &nest->all[i];
		*ret_failed = one->place;
		if (one->tree < 0) {
			r = part_put(one, root);
			continue;
		}
		r = fresh ? make_place(root, one->place, one->tree) : 0;
		_cleanup_close_ int place = r < 0 ? r : open_in(root, one->place, false);
		if (place == -ENOENT && !fresh)
			continue;
		r = place < 0 ? place : tree_attach(one->tree, place);
	}
	return r;
}

/* ---- views ---- */

/* Another directory; the host's, of which nothing can be written; the same below a layer. */
enum put { PUT_FRESH, PUT_COMMITTED, PUT_SCRATCH };

static int put(const struct views *v, const char *path, int tree, enum put how, struct error *e)
{
	_cleanup_(nest_clear) struct nest nest = { 0 };
	const char *failed = path;
	char device[32] = "";
	struct stat st;
	_cleanup_close_ int place = open_in(v->root, path, false);
	int r = place < 0 ? place : fstat(place, &st) < 0 ? -errno : 0;

	if (r == 0 && how != PUT_FRESH)
		snprintf(device, sizeof(device), "%u:%u", major(st.st_dev), minor(st.st_dev));
	if (r == 0)
		r = nest_read(&nest, v, path, device, how == PUT_SCRATCH);
	if (r == 0)
		r = tree_attach(tree, place);
	if (r == 0)
		r = nest_put(&nest, v->root, how == PUT_FRESH, &failed);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, failed, "cannot make the call's view of %s", failed) : 0;
}

/* 1: an overlay is what is seen there; 0: something lies over it, as when the directory is hidden as a whole. */
static int is_shown(const struct views *v, const char *path)
{
	struct statfs fs;
	_cleanup_close_ int place = open_in(v->root, path, false);

	if (place < 0 || fstatfs(place, &fs) < 0)
		return place < 0 ? place : -errno;
	return fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

/* Without what is hidden; where nothing is, the directory itself. */
static int committed_new(const struct views *v, uint32_t n)
{
	char name[24];

	snprintf(name, sizeof(name), "%u", n);
	_cleanup_close_ int lower = open_in(v->store, name, false);
	snprintf(name, sizeof(name), "%u.mask", n);
	_cleanup_close_ int mask = lower < 0 ? lower : open_in(v->store, name, false);
	if (mask == -ENOENT)
		return tree_clone(lower, MOUNT_SAFE | MOUNT_ATTR_RDONLY, false);
	snprintf(name, sizeof(name), "%u.kept", n);
	_cleanup_close_ int kept = mask < 0 ? mask : open_in(v->store, name, false);
	if (kept < 0 && kept != -ENOENT)
		return kept;
	int tree = overlay_read_only((const int[]){ mask, kept, lower });
	/* As for the sandbox itself (root_overlay.c). */
	return tree == -ELOOP && kept >= 0 ? overlay_read_only((const int[]){ mask, -EBADF, lower }) : tree;
}

int view_committed(const struct views *v, const char *path, uint32_t n, struct error *e)
{
	int shown = is_shown(v, path);
	if (shown == 0)
		return 0;
	_cleanup_close_ int tree = shown < 0 ? shown : committed_new(v, n);
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, path, "cannot show %s as the host has it", path);
	return put(v, path, tree, PUT_COMMITTED, e);
}

/* One directory for the layers of this call; "since" tells from when on a change of others is one that it may not have
 * seen (overlay/scratch.h). */
static int layer_make(struct views *v)
{
	char name[16];
	_cleanup_close_ int all = open_in(v->store, "scratch", false);

	snprintf(name, sizeof(name), ".%u", v->call);
	if (all < 0 || mkdirat(all, name, 0700) < 0)
		return all < 0 ? all : -errno;
	_cleanup_close_ int own = open_in(all, name, false);
	_cleanup_close_ int since =
		own < 0 ? own : openat(own, "since", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (since < 0)
		return own < 0 ? own : -errno;
	v->layer = TAKE_FD(own);
	return 0;
}

static int scratch_new(const struct views *v, const char *path, uint32_t n)
{
	char name[16];
	struct stat st;
	_cleanup_close_ int lower = open_in(v->root, path, false);

	if (lower < 0 || fstat(lower, &st) < 0)
		return lower < 0 ? lower : -errno;
	snprintf(name, sizeof(name), "%u", n);
	if (mkdirat(v->layer, name, 0700) < 0)
		return -errno;
	_cleanup_close_ int dir = open_in(v->layer, name, false);
	/* The merged directory has the mode of the upper one. */
	if (dir < 0 || mkdirat(dir, "work", 0700) < 0 || mkdirat(dir, "upper", 0700) < 0 ||
	    fchmodat(dir, "upper", st.st_mode & 01777, 0) < 0)
		return dir < 0 ? dir : -errno;
	_cleanup_close_ int upper = open_in(dir, "upper", false);
	_cleanup_close_ int work = upper < 0 ? upper : open_in(dir, "work", false);
	return work < 0 ? work : overlay_new("/proc", -EBADF, lower, upper, work);
}

int view_scratch(struct views *v, const char *path, uint32_t n, struct error *e)
{
	int r = v->layer < 0 ? layer_make(v) : 0;
	_cleanup_close_ int tree = r < 0 ? r : scratch_new(v, path, n);

	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, path, "cannot lay a layer of the call's own over %s%s", path,
				  tree == -EINVAL ? ": one overlay on another is all that Linux allows, and this directory lies "
						    "on one already" :
						    "");
	return put(v, path, tree, PUT_SCRATCH, e);
}

/* One tmpfs for all of them, attached for the moment on top of the store. */
static int fresh_open(struct views *v)
{
	static const char *const options[] = { "size", "10%", "nr_inodes", "100000", "mode", "0755", NULL };
	_cleanup_close_ int place = open_in(v->store, FRESH, false);
	_cleanup_close_ int tree = place < 0 ? place : tree_new("tmpfs", options, MOUNT_SAFE);
	int r = tree < 0 ? tree : tree_attach(tree, place);

	if (r == 0)
		v->fresh = TAKE_FD(tree);
	return r;
}

static int fresh_make(struct views *v, const char *path, int *ret)
{
	char name[16];
	struct stat st;
	_cleanup_close_ int old = open_in(v->root, path, false);

	if (old < 0 || fstat(old, &st) < 0)
		return old < 0 ? old : -errno;
	snprintf(name, sizeof(name), "%u", v->n_fresh++);
	if (mkdirat(v->fresh, name, 0700) < 0 || fchmodat(v->fresh, name, st.st_mode & 07777, 0) < 0)
		return -errno;
	_cleanup_close_ int dir = open_in(v->fresh, name, false);
	int tree = dir < 0 ? dir : tree_clone(dir, MOUNT_SAFE, false);
	if (tree >= 0)
		*ret = tree;
	return tree < 0 ? tree : 0;
}

int view_fresh(struct views *v, const char *path, struct error *e)
{
	_cleanup_close_ int tree = -EBADF;
	int r = v->fresh < 0 ? fresh_open(v) : 0;

	if (r == 0)
		r = fresh_make(v, path, &tree);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot make the call's own %s", path) :
		       put(v, path, tree, PUT_FRESH, e);
}
