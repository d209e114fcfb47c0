/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /run/nsbox: the socket on which calls ask the supervisor for narrower calls, and bin/nsbox, which does the asking,
 * wherever it is installed. A mount of its own that ends read-only: what is in it can neither be replaced nor renamed
 * away, so no call can put a socket of its own between another one and the supervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/mount.h"
#include "namespace/root.h"

#define PLACE "/run/nsbox"
#define PROGRAM PLACE "/bin/nsbox"
/* In the directory that init was executed from. */
#define HELPER "nsbox-inside"

int root_open_inside(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(HELPER));

	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	path[n] = '\0';
	char *name = strrchr(path, '/');
	if (!name)
		return -ENOENT;
	strcpy(name + 1, HELPER);
	return open_host(path);
}

/* With the mode of the file before anybody can see it. */
static int bind_socket(int dir)
{
	const struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "control" };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || fchmod(fd, 0600) < 0 || fchdir(dir) < 0 ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int add_program(struct root *root, struct error *e)
{
	if (root->inside == -ENOENT)
		return 0;
	int tree = root->inside < 0 ? root->inside : tree_clone(root->inside, MOUNT_SAFE | MOUNT_ATTR_RDONLY, false);
	fd_close(TAKE_FD(root->inside));
	if (tree < 0)
		return fail_errno(e, -tree, SANDBOX_STAGE_HELPER, HELPER, "cannot copy the mount of the helper " HELPER);
	return root_mount(root, tree, PROGRAM, false, e);
}

int root_add_control(struct root *root, int *ret_socket, struct error *e)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	int r = root_private_dir(root, PLACE, 0755, e);
	_cleanup_close_ int dir = r < 0 ? r : root_dest(root, PLACE, true, e);
	if (dir < 0)
		return dir;
	r = add_program(root, e);
	if (r < 0)
		return r;
	_cleanup_close_ int sock = bind_socket(dir);
	if (sock < 0)
		return fail_errno(e, -sock, SANDBOX_STAGE_MOUNT, PLACE, "cannot make the control socket of the sandbox");
	if (fchdir(root->fd) < 0 || mount_setattr(dir, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_MOUNT, PLACE, "cannot make " PLACE " read-only");
	*ret_socket = TAKE_FD(sock);
	return 0;
}
