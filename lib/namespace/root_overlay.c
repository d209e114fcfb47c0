/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlaid directories: the host's below, and above it a directory of the sandbox's layer, which takes every write. The
 * kernel writes there as whoever mounted, so CAP_DAC_OVERRIDE counts at the mount: the overlay's work directory
 * has mode 000, and marks go to files that their owner made read-only. It reaches no further than the caller's own
 * files, and what a call may do is decided by its own credentials first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/util.h"
#include "confine/caps.h"
#include "namespace/mount.h"
#include "namespace/overlay.h"
#include "namespace/root.h"

/* What the file system below the layer is, for those that are known not to carry one. */
static const char *trouble(int layer, int err)
{
	struct statfs fs;

	if (err == ESTALE || err == EBUSY)
		return ": its layer is in use";
	if (fstatfs(layer, &fs) == 0 && fs.f_type == 0x794c7630) /* OVERLAYFS_SUPER_MAGIC */
		return ": the state directory is itself on an overlay file system, as in containers; set XDG_STATE_HOME to a "
		       "place on another one (a volume, or a tmpfs)";
	return ": the file system of the state directory must have user extended attributes (ext4, xfs, btrfs, or tmpfs "
	       "from Linux 6.6 on); XDG_STATE_HOME chooses another";
}

/* mask: of root_hidden.c, or -EBADF. */
static int new_overlay(int mask, int lower, int upper, int work)
{
	int r = caps_use(CAP_DAC_OVERRIDE, true);
	if (r < 0)
		return r;
	int tree = overlay_new("proc", mask, lower, upper, work);
	r = caps_use(CAP_DAC_OVERRIDE, false);
	if (r < 0)
		fd_close(tree);
	return r < 0 ? r : tree;
}

/*
 * The layer came as a descriptor, which says what it is and holds its lock; but its mount is another mount
 * namespace's, and an overlay takes only directories of our own. So it is opened once more by where it is, and must be
 * the same object.
 */
int root_open_layer(const struct root *root)
{
	char link[40], path[PLAN_MAX_PATH + 1];
	struct stat given, found;

	snprintf(link, sizeof(link), "proc/self/fd/%d", root->layer);
	ssize_t n = readlinkat(root->fd, link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	_cleanup_close_ int fd = open_host(path);
	if (fd < 0)
		return fd;
	if (fstat(root->layer, &given) < 0 || fstat(fd, &found) < 0)
		return -errno;
	return given.st_dev == found.st_dev && given.st_ino == found.st_ino ? TAKE_FD(fd) : -ESTALE;
}

int root_add_overlay(struct root *root, const struct plan *plan, const struct plan_step *s, struct error *e)
{
	int hidden = -EBADF;
	char name[16];

	if (root->layer < 0)
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, s->path, "no layer came for the overlay of %s", s->path);
	_cleanup_close_ int lower = root_open_source(s, e);
	if (lower < 0)
		return lower;
	snprintf(name, sizeof(name), "%u", (unsigned)s->size);
	_cleanup_close_ int layer = root_open_layer(root);
	_cleanup_close_ int dir = layer < 0 ? layer : open_in(layer, name, false);
	_cleanup_close_ int upper = dir < 0 ? dir : open_in(dir, "upper", false);
	_cleanup_close_ int work = upper < 0 ? upper : open_in(dir, "work", false);
	if (work < 0)
		return fail_errno(e, -work, SANDBOX_STAGE_MOUNT, s->path, "cannot open the layer of %s", s->path);
	int r = root_hidden(plan, s, lower, dir, &hidden);
	_cleanup_close_ int mask = hidden;
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, s->path, "cannot take what is hidden out of %s", s->path);
	/* Our own /proc lies in the new root. */
	int tree = fchdir(root->fd) < 0 ? -errno : new_overlay(mask, lower, upper, work);
	/* The state directory is in the overlaid one, and no lower directory may be in another. Then the names are covered. */
	if (tree == -ELOOP && mask >= 0)
		tree = new_overlay(-EBADF, lower, upper, work);
	if (chdir("/") < 0) {
		fd_close(tree);
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot go back to the root");
	}
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, s->path, "cannot overlay %s%s", s->path,
				  trouble(root->layer, -tree));
	return root_mount(root, tree, s->path, true, e);
}
