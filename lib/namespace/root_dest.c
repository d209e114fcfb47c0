/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations in the new root: found, or made where that changes nothing on the host. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"

static bool is_own(const struct root *root, int dir)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return false;
	for (size_t i = 0; i < root->n_own; i++)
		if (root->own[i] == st.st_dev)
			return true;
	return false;
}

static int make_entry(const struct root *root, int dir, const char *name, bool is_dir)
{
	if (!is_own(root, dir))
		return -ENOENT;
	if (is_dir)
		return mkdirat(dir, name, 0755) < 0 ? -errno : 0;
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int walk(const struct root *root, const char *path, bool is_dir)
{
	char name[256];
	_cleanup_close_ int at = fcntl(root->fd, F_DUPFD_CLOEXEC, 3);

	while (at >= 0 && *path) {
		path += strspn(path, "/");
		if (!*path) /* a slash at the end */
			break;
		size_t n = strcspn(path, "/");
		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		path += n;
		int next = open_in(at, name, false);
		if (next == -ENOENT) {
			int r = make_entry(root, at, name, is_dir || *path);
			next = r < 0 ? r : open_in(at, name, false);
		}
		if (next < 0)
			return next;
		close(at);
		at = next;
	}
	return at < 0 ? -errno : TAKE_FD(at);
}

int root_dest(struct root *root, const char *path, bool is_dir, struct error *e)
{
	struct stat st;

	int fd = open_in(root->fd, path, false);
	if (fd == -ENOENT)
		fd = walk(root, path, is_dir);
	if (fd == -ENOENT)
		return fail(e, ENOENT, SANDBOX_STAGE_MOUNT, path,
			    "there is no %s in the host directory that is mounted above it, and none is made on the host: "
			    "create it first",
			    path);
	if (fd < 0)
		return fail_errno(e, -fd, SANDBOX_STAGE_MOUNT, path, "cannot prepare %s in the sandbox", path);
	if (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode) != is_dir) {
		fd_close(fd);
		return fail(e, ENOTDIR, SANDBOX_STAGE_MOUNT, path, "%s in the sandbox is not a %s", path,
			    is_dir ? "directory" : "file");
	}
	return fd;
}

int root_mount(struct root *root, int tree, const char *path, bool is_dir, struct error *e)
{
	_cleanup_close_ int owned = tree;
	_cleanup_close_ int dest = root_dest(root, path, is_dir, e);

	if (dest < 0)
		return dest;
	int r = tree_attach(owned, dest);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot mount %s", path) : 0;
}

int root_private_dir(struct root *root, const char *path, mode_t mode, struct error *e)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", root->stored++);
	int r = mkdirat(root->store, name, mode) < 0 ? -errno : 0;
	_cleanup_close_ int dir = r < 0 ? r : openat(root->store, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int tree = r < 0 ? r : tree_clone(dir, MOUNT_SAFE, false);
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_MOUNT, path, "cannot make a private %s", path);
	return root_mount(root, tree, path, true, e);
}

int root_mask(struct root *root, int fd, const char *path, struct error *e)
{
	struct stat st;
	int r = fstat(fd, &st) < 0 ? -errno : 0;

	if (r == 0)
		r = tree_mask(fd, S_ISDIR(st.st_mode) ? root->empty_dir : root->empty_file);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, path, "cannot hide %s", path) : 0;
}
