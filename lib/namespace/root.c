/* SPDX-License-Identifier: Apache-2.0 */
/* The tmpfs that a sandbox's root is, and the move into it. */
#include "namespace/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"

int root_make(struct root *root, struct error *e)
{
	static const char *const options[] = { "size", "25%", "nr_inodes", ROOT_INODES, "mode", "0755", NULL };
	struct stat st;

	root->fd = tree_new("tmpfs", options, MOUNT_SAFE);
	if (root->fd < 0)
		return fail_errno(e, -root->fd, SANDBOX_STAGE_MOUNT, "tmpfs", "cannot make the tmpfs for the root");
	/* Some place is needed to attach it, since nothing can be mounted into a detached tree before 6.15. Nothing of
	 * the host's /proc is wanted any more. */
	_cleanup_close_ int place = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = place < 0 ? -errno : tree_attach(root->fd, place);
	if (r == 0 && fstat(root->fd, &st) < 0)
		r = -errno;
	if (r == 0 && (mkdirat(root->fd, "proc", 0755) < 0 || mkdirat(root->fd, "etc", 0755) < 0))
		r = -errno;
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "/", "cannot prepare the root");
	root->own[root->n_own++] = st.st_dev;

	root->store = openat(root->fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file = openat(root->store, "file", O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0);
	fd_close(file);
	if (file < 0 || mkdirat(root->store, "dir", 0555) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot prepare the root");
	root->empty_file = openat(root->store, "file", O_PATH | O_CLOEXEC);
	root->empty_dir = openat(root->store, "dir", O_PATH | O_CLOEXEC);
	if (root->empty_file < 0 || root->empty_dir < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot prepare the root");
	return 0;
}

int root_enter(struct root *root, struct error *e)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount_setattr(root->fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot make the root read-only");
	/* pivot_root stacks the old root on the new one; detaching "." then takes away the old one. */
	if (fchdir(root->fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/", "cannot enter the new root");
	fd_close(TAKE_FD(root->empty_dir));
	fd_close(TAKE_FD(root->empty_file));
	fd_close(TAKE_FD(root->store));
	fd_close(TAKE_FD(root->fd));
	return 0;
}
