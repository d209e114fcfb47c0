/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-merged: what needs a capability in a user namespace to work on the layers of sandboxes from outside.
 *
 * Theory of operation. Standard input is a socket (merged_protocol.h). The overlays of a sandbox that has ended are mounted
 * anew, as detached mounts, which need no process and go with their last descriptor. An overlay takes only directories of
 * mounts of the own namespace, so each is opened once more by where it is, and must be the same object. And files are
 * copied out of the working state that their own mode keeps their owner from reading, which must not be changed for that:
 * CAP_DAC_OVERRIDE counts for files of the one user that is mapped, and for no others.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/merged_protocol.h"
#include "namespace/mount.h"
#include "namespace/overlay.h"
#include "namespace/user_map.h"
#include "overlay/copy.h"

static int open_again(int given)
{
	char link[40], path[4096];
	struct stat a, b;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", given);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || n == sizeof(path) - 1)
		return n < 0 ? -errno : -ENAMETOOLONG;
	path[n] = '\0';
	_cleanup_close_ int fd = open_host(path);
	if (fd < 0)
		return fd;
	if (fstat(given, &a) < 0 || fstat(fd, &b) < 0)
		return -errno;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? TAKE_FD(fd) : -ESTALE;
}

static int merge(const int given[MERGED_FDS_MAX], size_t n)
{
	int fds[MERGED_FDS_MAX] = { -EBADF, -EBADF, -EBADF, -EBADF }, r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		fds[i] = open_again(given[i]);
		r = fds[i] < 0 ? fds[i] : 0;
	}
	if (r == 0)
		r = overlay_new("/proc", fds[3], fds[0], fds[1], fds[2]);
	/* As for the sandbox itself (root_overlay.c): there the names were covered, so no call has touched them. */
	if (r == -ELOOP && fds[3] >= 0)
		r = overlay_new("/proc", -EBADF, fds[0], fds[1], fds[2]);
	for (size_t i = 0; i < MERGED_FDS_MAX; i++)
		fd_close(fds[i]);
	return r;
}

static int copy(struct copy copies[LAYER_ROOTS_MAX], struct wire_reader *in, int given[MERGED_FDS_MAX])
{
	uint32_t root = wire_get_u32(in);
	_cleanup_free_ char *name = wire_get_str(in), *path = wire_get_str(in);

	if (!wire_done(in) || root >= LAYER_ROOTS_MAX)
		return -EPROTO;
	/* Names of one file are known again from one request to the next. */
	if (copies[root].to < 0)
		copies[root] = (struct copy){ .root = root, .to = TAKE_FD(given[2]) };
	return copy_object(&copies[root], given[0], given[1], name, path);
}

static int answer(int merged, uint32_t err)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, err);
	return r < 0 ? r : msg_send(STDIN_FILENO, b.data, b.len, &merged, merged >= 0);
}

int main(void)
{
	static struct copy copies[LAYER_ROOTS_MAX];
	static uint8_t packet[MERGED_MAX];
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	int r = unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ? -errno : user_map_self(uid, gid);
	for (size_t i = 0; i < LAYER_ROOTS_MAX; i++)
		copies[i].to = -EBADF;
	if (answer(-EBADF, (uint32_t)-r) < 0 || r < 0)
		return 1;
	for (;;) {
		int fds[MERGED_FDS_MAX] = { -EBADF, -EBADF, -EBADF, -EBADF };
		_cleanup_close_ int merged = -EBADF;
		size_t n_fds = 0;
		ssize_t n = msg_recv(STDIN_FILENO, packet, sizeof(packet), fds, MERGED_FDS_MAX, &n_fds);
		if (n <= 0)
			return 0;
		struct wire_reader in = wire_reader(packet, (size_t)n);
		uint32_t type = wire_get_u32(&in);
		int k = n_fds < MERGED_FDS ? -EPROTO : 0;
		if (k == 0 && type == MERGED_COPY && n_fds == MERGED_FDS)
			k = copy(copies, &in, fds);
		else if (k == 0)
			k = type == MERGED_MOUNT && wire_done(&in) ? merged = merge(fds, n_fds) : -EPROTO;
		for (size_t i = 0; i < n_fds; i++)
			fd_close(fds[i]);
		if (answer(merged, k < 0 ? (uint32_t)-k : 0) < 0)
			return 1;
	}
}
