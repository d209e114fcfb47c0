/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of named sandboxes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "client/registry.h"
#include "client/state.h"

#define BACKLOG 128
#define CONNECT_TIMEOUT_S 10

static void make_address(int dir, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%.*s.sock", dir, (int)NAME_MAX_BYTES, name);
}

int socket_listen(int dir, const char *name, struct error *e)
{
	struct sockaddr_un address;
	char file[NAME_MAX_BYTES + 8];

	_cleanup_close_ int fd = above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, name, "cannot make the socket of sandbox %s", name);
	/* The caller holds the registry's lock and found the name free: what is there is left from a dead one. */
	snprintf(file, sizeof(file), "%s.sock", name);
	unlinkat(dir, file, 0);
	make_address(dir, name, &address);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, name, "cannot make the socket of sandbox %s", name);
	/* Whatever the umask: who connects needs write permission. */
	if (fchmodat(dir, file, 0600, 0) < 0 || listen(fd, BACKLOG) < 0) {
		int err = errno;
		unlinkat(dir, file, 0);
		return fail_errno(e, err, SANDBOX_STAGE_USAGE, name, "cannot listen on the socket of sandbox %s", name);
	}
	return TAKE_FD(fd);
}

int socket_connect(const struct entry *entry, struct error *e)
{
	const struct timeval patience = { .tv_sec = CONNECT_TIMEOUT_S };
	struct sockaddr_un address;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	_cleanup_close_ int dir = state_socket_open(entry->socket_dir, false, e);
	if (dir < 0)
		return dir;
	_cleanup_close_ int fd = above_stdio(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	/* One that is stopped with a full queue must not hold us for ever. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, entry->name, "cannot make a socket");
	make_address(dir, entry->name, &address);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? fail(e, ETIMEDOUT, SANDBOX_STAGE_PROTOCOL, entry->name,
					      "the supervisor of sandbox %s does not answer", entry->name) :
					 fail_errno(e, errno, SANDBOX_STAGE_PROTOCOL, entry->name,
						    "cannot connect to sandbox %s", entry->name);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())
		return fail(e, EPERM, SANDBOX_STAGE_PROTOCOL, entry->name,
			    "the socket of sandbox %s is served by another user", entry->name);
	return TAKE_FD(fd);
}
