/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of the supervisor connection: starting it, requests with their answers, messages in between. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "client/client.h"
#include "client/helper.h"
#include "supervisor/protocol.h"

#ifndef NSBOX_HELPER_DIR
#error "the build defines the helpers' directory"
#endif

/* A host that closed 0, 1 or 2 must not get one of our descriptors there: its next printf would write into it. */
static int above_stdio(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	fd_close(fd);
	return moved;
}

static int start_supervisor(struct sandbox_runtime *r, int *ret_sock, struct error *e)
{
	static char *const argv[] = { (char *)"nsbox-supervisor", NULL };
	static char *const env[] = { NULL };
	const char *path = r->helper_dir ? r->helper_dir : NSBOX_HELPER_DIR;
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
	r->pidfd = above_stdio(pidfd);
	*ret_sock = TAKE_FD(ours);
	return 0;
}

int connection_open(struct sandbox_runtime *r, bool gateway, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };

	if (r->lost)
		return fail(e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor",
			    "the supervisor of this runtime has ended; make a new runtime");
	if (r->fd >= 0)
		return 0;
	int k = start_supervisor(r, &r->fd, e);
	if (k < 0)
		return k;
	k = fcntl(r->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (k == 0)
		k = wire_put_u32(&m, MSG_HELLO);
	if (k == 0)
		k = wire_put_u32(&m, WIRE_VERSION);
	if (k == 0)
		k = wire_put_str(&m, r->wanted ? r->wanted : "");
	if (k == 0)
		k = wire_put_u8(&m, gateway);
	if (k == 0)
		k = msg_send(r->fd, m.data, m.len, NULL, 0);
	return k < 0 ? fail_errno(e, -k, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor", "cannot talk to the supervisor") : 0;
}

/* Closing our end makes the supervisor end everything; its pidfd tells when that is done. */
void connection_close(struct sandbox_runtime *r)
{
	fd_close(TAKE_FD(r->fd));
	if (r->pidfd >= 0) {
		struct pollfd p = { .fd = r->pidfd, .events = POLLIN };
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
		fd_close(TAKE_FD(r->pidfd));
	}
}

int request_begin(struct sandbox_runtime *r, struct buf *m, uint32_t type, uint32_t *ret_request)
{
	*ret_request = ++r->last_request;
	int k = wire_put_u32(m, type);
	return k < 0 ? k : wire_put_u32(m, *ret_request);
}

struct answer {
	uint32_t request;
	bool came, failed;
	int fd;
	struct error e;
};

static int on_event(struct sandbox_runtime *r, struct wire_reader *in)
{
	_cleanup_free_ char *name = wire_get_str(in);
	_cleanup_free_ char *sandbox_name = wire_get_str(in);
	_cleanup_free_ char *call = wire_get_str(in);
	_cleanup_free_ char *reason = wire_get_str(in);
	_cleanup_free_ char *json = wire_get_str(in);

	if (!wire_done(in))
		return -EPROTO;
	event_push(r, name, sandbox_name, call, reason, json);
	return 0;
}

static int on_exit_message(struct sandbox_runtime *r, struct wire_reader *in)
{
	_cleanup_free_ char *sandbox_name = wire_get_str(in);
	_cleanup_free_ char *call = wire_get_str(in);
	uint32_t status = wire_get_u32(in);
	uint32_t sig = wire_get_u32(in);
	_cleanup_free_ char *reason = wire_get_str(in);

	if (!wire_done(in))
		return -EPROTO;
	call_note_exit(r, call, status, sig, reason);
	return 0;
}

static int on_reply(struct wire_reader *in, int *fds, size_t n_fds, struct answer *answer)
{
	uint32_t request = wire_get_u32(in);
	bool failed = wire_get_u8(in);
	struct error e = { 0 };

	if (failed)
		wire_get_error(in, &e);
	/* Request 0: the supervisor could not even start to serve. */
	if (!wire_done(in) || (request != answer->request && request != 0))
		return -EPROTO;
	answer->came = true;
	answer->failed = failed;
	answer->e = e;
	if (n_fds)
		answer->fd = TAKE_FD(fds[0]);
	return 0;
}

static int take(struct sandbox_runtime *r, int timeout_ms, struct answer *answer)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	_cleanup_free_ uint8_t *packet = NULL;
	int fds[4] = { -EBADF, -EBADF, -EBADF, -EBADF };
	size_t n_fds = 0;
	struct answer none = { .request = UINT32_MAX, .fd = -EBADF };

	if (timeout_ms != 0) {
		int n = poll(&p, 1, timeout_ms);
		if (n <= 0)
			return n < 0 && errno != EINTR ? -errno : 0;
	}
	packet = malloc(WIRE_MAX_PACKET);
	if (!packet)
		return -ENOMEM;
	ssize_t n = msg_recv(r->fd, packet, WIRE_MAX_PACKET, fds, ARRAY_LEN(fds), &n_fds);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	struct wire_reader in = wire_reader(packet, (size_t)n);
	int k = -EPROTO;
	switch (wire_get_u32(&in)) {
	case MSG_REPLY:
		k = on_reply(&in, fds, n_fds, answer ? answer : &none);
		break;
	case MSG_EVENT:
		k = on_event(r, &in);
		break;
	case MSG_CALL_EXIT:
		k = on_exit_message(r, &in);
		break;
	}
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	return k < 0 ? k : 1;
}

static int lost(struct sandbox_runtime *r, int err, struct error *e)
{
	r->lost = true;
	fd_close(TAKE_FD(r->fd));
	return fail(e, err == ENOMEM ? ENOMEM : ECONNRESET, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor",
		    "the supervisor has ended unexpectedly; its sandboxes are gone");
}

int connection_take(struct sandbox_runtime *r, int timeout_ms, struct error *e)
{
	if (r->fd < 0)
		return lost(r, ECONNRESET, e);
	int k = take(r, timeout_ms, NULL);
	return k < 0 ? lost(r, -k, e) : k;
}

static int send_all(struct sandbox_runtime *r, const struct buf *m, const int *fds, size_t n_fds)
{
	for (;;) {
		int k = msg_send(r->fd, m->data, m->len, fds, n_fds);
		if (k != -EAGAIN)
			return k;
		/* The supervisor may be waiting for us to read: take in while it cannot take more. */
		struct pollfd p = { .fd = r->fd, .events = POLLIN | POLLOUT };
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return -errno;
		if (p.revents & POLLIN) {
			k = take(r, 0, NULL);
			if (k < 0)
				return k;
		}
	}
}

int request_run(struct sandbox_runtime *r, const struct buf *m, uint32_t request, const int *fds, size_t n_fds,
		int *ret_fd, struct error *e)
{
	struct answer answer = { .request = request, .fd = -EBADF };

	if (m->len > WIRE_MAX_PACKET)
		return fail(e, E2BIG, SANDBOX_STAGE_USAGE, "request",
			    "the arguments and the environment are together over %u KiB", WIRE_MAX_PACKET / 1024u);
	if (r->fd < 0)
		return lost(r, ECONNRESET, e);
	int k = send_all(r, m, fds, n_fds);
	/* A supervisor that gave up has said why before it closed: read on even when sending failed. */
	while ((k >= 0 || k == -EPIPE || k == -ECONNRESET) && !answer.came) {
		k = take(r, -1, &answer);
		if (k == -ECONNRESET)
			break;
	}
	if (!answer.came) {
		fd_close(answer.fd);
		return lost(r, k < 0 ? -k : ECONNRESET, e);
	}
	if (answer.failed) {
		fd_close(answer.fd);
		if (e)
			*e = answer.e;
		return -answer.e.err;
	}
	if (ret_fd)
		*ret_fd = answer.fd;
	else
		fd_close(answer.fd);
	return 0;
}
