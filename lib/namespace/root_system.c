/* SPDX-License-Identifier: Apache-2.0 */
/* What every sandbox sees of the machine: programs, a few devices, its own processes, its processors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/pid_ceiling.h"
#include "namespace/proc.h"
#include "namespace/root.h"

static int bind_ro(struct root *root, const char *path, struct error *e)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	int tree = fd < 0 ? -errno : tree_clone(fd, MOUNT_SAFE | MOUNT_ATTR_RDONLY, true);
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, path, "cannot copy the mount of %s", path);
	return root_mount(root, tree, path, true, e);
}

int root_add_system(struct root *root, struct error *e)
{
	static const char *const trees[] = { "/usr", "/opt", "/sys/devices/system/cpu" };
	/* Links into /usr on merged systems, directories on others. */
	static const char *const links[] = { "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" };
	char target[256];

	for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
		int r = bind_ro(root, trees[i], e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		ssize_t n = readlink(links[i], target, sizeof(target) - 1);
		if (n < 0) {
			int r = errno == ENOENT ? 0 : bind_ro(root, links[i], e);
			if (r < 0)
				return r;
			continue;
		}
		target[n] = '\0';
		if (symlinkat(target, root->fd, links[i] + 1) < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, links[i], "cannot link %s", links[i]);
	}
	if (mkdirat(root->fd, "var", 0755) < 0 || symlinkat("/run", root->fd, "var/run") < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, "/var", "cannot make /var");
	return 0;
}

static int add_device(int dev, const char *path, dev_t device, struct error *e)
{
	struct stat st;
	_cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, path, "cannot open the device %s", path);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != device)
		return fail(e, ENODEV, SANDBOX_STAGE_MOUNT, path, "%s on this host is not the device of that name", path);
	/* Without NODEV, which would make it EACCES. Read-only is about the node, not the device: otherwise its owner
	 * inside (real root) could change the mode and times of the host's own node. */
	_cleanup_close_ int tree = tree_clone(fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false);
	_cleanup_close_ int place = openat(dev, path + sizeof("/dev/") - 1, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0644);
	if (tree < 0 || place < 0)
		return fail_errno(e, tree < 0 ? -tree : errno, SANDBOX_STAGE_MOUNT, path, "cannot copy the mount of %s", path);
	int r = tree_attach(tree, place);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot mount %s", path) : 0;
}

int root_add_dev(struct root *root, struct error *e)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = {
		{ "/dev/null", 1, 3 },	 { "/dev/zero", 1, 5 },	   { "/dev/full", 1, 7 },
		{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "fd" },	      { "/proc/self/fd/0", "stdin" },
		{ "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
		{ "pts/ptmx", "ptmx" },
	};

	_cleanup_close_ int dev = root_dest(root, "/dev", true, e);
	if (dev < 0)
		return dev;
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		int r = add_device(dev, nodes[i].path, makedev(nodes[i].major, nodes[i].minor), e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i][0], dev, links[i][1]) < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, links[i][1], "cannot link /dev/%s", links[i][1]);
	int tree = tree_terminals();
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, "/dev/pts", "cannot make /dev/pts");
	return root_mount(root, tree, "/dev/pts", true, e);
}

int root_add_proc(struct root *root, struct error *e)
{
	int tree = proc_new(e);

	if (tree < 0)
		return tree;
	int r = root_mount(root, tree, "/proc", true, e);
	if (r < 0)
		return r;
	root->pid_max = pid_ceiling_open(root->fd);
	return proc_lock(root->fd, root->empty_file, e);
}
