/* SPDX-License-Identifier: Apache-2.0 */
/* Where connections come from: a supervisor that is started here, or the socket of one that runs already. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/util.h"
#include "client/client.h"
#include "client/helper.h"
#include "supervisor/protocol.h"

#ifndef NSBOX_HELPER_DIR
#error "the build defines the helpers' directory"
#endif

/* A host that closed 0, 1 or 2 must not get one of our descriptors there: its next printf would write into it. */
int above_stdio(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	fd_close(fd);
	return moved;
}

static int start_supervisor(struct connection *c, struct error *e)
{
	static char *const argv[] = { (char *)"nsbox-supervisor", NULL };
	static char *const env[] = { NULL };
	const char *path = c->runtime->helper_dir ? c->runtime->helper_dir : NSBOX_HELPER_DIR;
	int pair[2], pidfd;

	_cleanup_close_ int dir = above_stdio(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (dir < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_HELPER, path,
				  "cannot open the directory of the helper programs, %s (is libsandbox installed there?)", path);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_HELPER, "nsbox-supervisor", "cannot make its socket");
	_cleanup_close_ int ours = above_stdio(pair[0]);
	_cleanup_close_ int theirs = above_stdio(pair[1]);
	if (ours < 0 || theirs < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_HELPER, "nsbox-supervisor", "cannot make its socket");

	const int fds[] = { -1, -1, -1, theirs, dir };
	const struct helper helper = {
		.dir_fd = dir, .program = "nsbox-supervisor", .argv = argv, .env = env,
		.fds = fds, .n_fds = ARRAY_LEN(fds),
	};
	int k = helper_spawn(&helper, &pidfd);
	if (k < 0)
		return fail_errno(e, -k, SANDBOX_STAGE_HELPER, "nsbox-supervisor",
				  "cannot start the helper nsbox-supervisor in %s", path);
	c->pidfd = above_stdio(pidfd);
	c->fd = TAKE_FD(ours);
	return 0;
}

static int greet(struct connection *c, bool gateway, struct error *e)
{
	struct epoll_event event = { .events = EPOLLIN };
	_cleanup_buf_ struct buf m = { 0 };
	const char *wanted = c->runtime->wanted ? c->runtime->wanted : "";

	int k = fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (k == 0)
		k = wire_put_u32(&m, MSG_HELLO);
	if (k == 0)
		k = wire_put_u32(&m, WIRE_VERSION);
	if (k == 0)
		k = wire_put_str(&m, wanted);
	if (k == 0)
		k = wire_put_u8(&m, gateway);
	if (k == 0)
		k = msg_send(c->fd, m.data, m.len, NULL, 0);
	/* One that could not even start closes at once, having said why: the first request reads it. */
	if (k == -EPIPE || k == -ECONNRESET)
		k = 0;
	if (k == 0 && epoll_ctl(c->runtime->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
		k = -errno;
	return k < 0 ? fail_errno(e, -k, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor", "cannot talk to the supervisor") : 0;
}

static struct connection *new_connection(struct sandbox_runtime *r, const char *name, struct error *e)
{
	struct connection *c = connection_new(r, name);

	if (!c)
		fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "connection", "out of memory");
	return c;
}

int connection_start(struct sandbox_runtime *r, const char *name, bool gateway, struct connection **ret, struct error *e)
{
	struct connection *c = new_connection(r, name, e);

	if (!c)
		return -ENOMEM;
	int k = start_supervisor(c, e);
	if (k == 0)
		k = greet(c, gateway, e);
	if (k < 0) {
		connection_free(c);
		return k;
	}
	*ret = c;
	return 0;
}

int connection_own(struct sandbox_runtime *r, bool gateway, struct error *e)
{
	if (r->own && r->own->lost)
		return fail(e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor",
			    "the supervisor of this runtime has ended; make a new runtime");
	if (r->own)
		return 0;
	int k = connection_start(r, NULL, gateway, &r->own, e);
	if (k == 0)
		connection_ref(r->own); /* it stays for the next sandbox when it has none */
	return k;
}

int connection_adopt(struct sandbox_runtime *r, const char *name, int fd, struct connection **ret, struct error *e)
{
	struct connection *c = new_connection(r, name, e);

	if (!c) {
		fd_close(fd);
		return -ENOMEM;
	}
	c->fd = fd;
	int k = greet(c, false, e);
	if (k < 0) {
		connection_free(c);
		return k;
	}
	*ret = c;
	return 0;
}
