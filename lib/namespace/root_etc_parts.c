/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc of a host that has mounts below it, as containers have for resolv.conf. No overlay can lie on that: the kernel
 * refuses to show a directory without the mounts that somebody with more rights put over parts of it.
 *
 * So it is put together: a tmpfs with a mount of each file and directory of the host's, under the names that the layer
 * says nothing about. As with the overlay what is hidden has no name here, whatever the host puts under that name
 * later. What the host renames over a file is not seen, since a mount is of the file that there was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"

static int add_link(int fd, int to, const char *name)
{
	char target[4096];
	ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int add_mount(int fd, int to, const char *name, bool is_dir)
{
	int r = is_dir && mkdirat(to, name, 0755) < 0 ? -errno : 0;
	_cleanup_close_ int place =
		r < 0 ? r :
			openat(to, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (is_dir ? O_DIRECTORY : O_CREAT | O_EXCL), 0644);
	if (place < 0)
		return r < 0 ? r : -errno;
	_cleanup_close_ int tree = tree_clone(fd, MOUNT_SAFE | MOUNT_ATTR_RDONLY, true);
	return tree < 0 ? tree : tree_attach(tree, place);
}

/* No sockets, pipes and devices: those of an overlay are not the host's, and these would be. */
static int add_entry(int from, int to, const char *name)
{
	struct stat st;
	_cleanup_close_ int fd = openat(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -errno;
	if (S_ISLNK(st.st_mode))
		return add_link(fd, to, name);
	return S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) ? add_mount(fd, to, name, S_ISDIR(st.st_mode)) : 0;
}

static int add_parts(int layer, int host, int to);

/* A directory of the layer merges with the host's, if that is one; who may not read it sees it empty. */
static int add_merged(int layer, int host, int to, const char *name)
{
	int r = mkdirat(to, name, 0755) < 0 ? -errno : 0;
	_cleanup_close_ int of_layer = openat(layer, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int of_to = r < 0 ? r : openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (of_layer < 0 || of_to < 0)
		return r < 0 ? r : -errno;
	_cleanup_close_ int of_host = openat(host, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (of_host < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES ? 0 : -errno;
	return add_parts(of_layer, of_host, of_to);
}

/* Under one name of one of the two directories. */
static int add_name(int layer, int host, int to, const char *name, bool of_host)
{
	struct stat st;

	if (fstatat(layer, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? add_entry(host, to, name) : -errno;
	/* Whiteouts and what is the layer's own: when the layer is gone through. */
	if (of_host || S_ISCHR(st.st_mode))
		return 0;
	return S_ISDIR(st.st_mode) ? add_merged(layer, host, to, name) : add_entry(layer, to, name);
}

static int add_names(int layer, int host, int to, bool of_host)
{
	_cleanup_close_ int again = openat(of_host ? host : layer, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	const struct dirent *d;
	int r = 0;

	if (!dir)
		return -errno;
	TAKE_FD(again);
	while (r == 0 && (errno = 0, d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = add_name(layer, host, to, d->d_name, of_host);
	if (r == 0 && errno)
		r = -errno;
	closedir(dir);
	return r;
}

static int add_parts(int layer, int host, int to)
{
	int r = add_names(layer, host, to, false);

	return r < 0 ? r : add_names(layer, host, to, true);
}

int root_etc_parts(int layer)
{
	static const char *const options[] = { "size", "1m", "nr_inodes", ROOT_INODES, "mode", "0755", NULL };
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	_cleanup_close_ int host = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int tree = host < 0 ? -errno : tree_new("tmpfs", options, MOUNT_SAFE);
	/* Nothing can be mounted into a detached tree before 6.15. */
	int r = tree < 0 ? tree : tree_attach(tree, layer);
	if (r == 0)
		r = add_parts(layer, host, tree);
	if (r == 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		r = -errno;
	return r;
}
