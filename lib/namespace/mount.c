/* SPDX-License-Identifier: Apache-2.0 */
/* The new mount API and openat2, reduced to what a root view needs. */
#include "namespace/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

static int open_how(int dir, const char *path, uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | (resolve & RESOLVE_NO_SYMLINKS ? O_NOFOLLOW : 0),
				.resolve = resolve };
	long fd;

	/* EAGAIN: the kernel saw a rename on the way and cannot be sure; bounded, in case somebody renames for ever. */
	for (int i = 0; i < 64; i++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

int open_host(const char *path)
{
	return open_how(AT_FDCWD, path, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int open_in(int root, const char *path, bool follow)
{
	return open_how(root, path, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (follow ? 0 : RESOLVE_NO_SYMLINKS));
}

int tree_clone(int fd, uint64_t attrs, bool deep)
{
	struct mount_attr attr = { .attr_set = attrs, .propagation = MS_PRIVATE };
	unsigned flags = AT_EMPTY_PATH | (deep ? AT_RECURSIVE : 0);

	_cleanup_close_ int tree = open_tree(fd, "", flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	if (mount_setattr(tree, "", flags, &attr, sizeof(attr)) < 0)
		return -errno;
	return TAKE_FD(tree);
}

int tree_new(const char *type, const char *const *options, uint64_t attrs)
{
	_cleanup_close_ int fs = fsopen(type, FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	for (; options && options[0]; options += 2)
		if (fsconfig(fs, options[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[0], options[1], 0) < 0)
			return -errno;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int tree = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attrs);
	return tree < 0 ? -errno : tree;
}

int tree_terminals(void)
{
	static const char *const options[] = { "newinstance", NULL, "ptmxmode", "0666", "mode", "0620", "max", "1024", NULL };

	return tree_new("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

int tree_attach(int tree, int fd)
{
	return move_mount(tree, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

int tree_mask(int fd, int empty)
{
	_cleanup_close_ int tree = tree_clone(empty, MOUNT_SAFE | MOUNT_ATTR_RDONLY, false);

	return tree < 0 ? tree : tree_attach(tree, fd);
}
