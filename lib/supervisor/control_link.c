/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of calls. Who asks is known by the network namespace that its socket was made in, which the kernel says
 * and nobody inside can choose: every call has one of its own, and its number is never given to another. Nothing that
 * is said over the connection matters for that. A socket that was passed on keeps who made it, so passing it on is
 * passing on what it may ask for, as with any descriptor.
 *
 * The other end is not trusted. It gets the requests that client_request.c lists for it, a bounded number of
 * connections and answers, and no turn of the loop more than anybody else; its descriptors are closed by closer.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define BACKLOG 64
#define PAUSE_US 10000u

static struct call *asker_of(struct sandbox *b, int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 || cookie == 0)
		return NULL;
	for (struct call *c = b->calls; c; c = c->next) {
		if (c->net_cookie == cookie)
			return call_is_running(c) && !c->killed && !c->expired && c->refusals < MAX_REFUSALS ? c : NULL;
	}
	return NULL;
}

static bool has_room(const struct call *asker)
{
	size_t of_call = 0, of_sandbox = 0;

	for (const struct client *c = asker->sandbox->supervisor->clients; c; c = c->next) {
		of_call += c->asker == asker;
		of_sandbox += c->inside == asker->sandbox;
	}
	return of_call < MAX_CONTROL_OF_CALL && of_sandbox < MAX_CONTROL_OF_SANDBOX;
}

/* As the answer to its first request. Never waited for: one that does not fit is not heard. */
static void turn_away(int fd)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;

	fail(&e, EBUSY, SANDBOX_STAGE_PROTOCOL, "control", "%u connections of this call, or %u of the sandbox, ask already; "
	     "wait for one to end", MAX_CONTROL_OF_CALL, MAX_CONTROL_OF_SANDBOX);
	if (wire_put_u32(&m, MSG_REPLY) == 0 && wire_put_u32(&m, 0) == 0 && wire_put_u8(&m, 1) == 0 &&
	    wire_put_error(&m, &e) == 0)
		msg_send(fd, m.data, m.len, NULL, 0);
}

static void control_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	struct sandbox *b = SOURCE_OWNER(source, struct sandbox, control);

	(void)events;
	if (closer_start() < 0 || closer_is_behind()) {
		control_pause(s);
		return;
	}
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			control_pause(s); /* no descriptor or memory left: else this would be asked again at once */
		return;
	}
	struct call *asker = asker_of(b, fd);
	if (asker && has_room(asker) && client_add_inside(asker, fd) == 0)
		return;
	if (asker)
		turn_away(fd);
	closer_close(fd);
}

int control_open(struct sandbox *b, int sock, struct error *e)
{
	struct supervisor *s = b->supervisor;
	int r = 0;

	/* Kernels before 5.14 cannot say who asks: then nobody may. */
	if (s->net_cookie == 0) {
		fd_close(sock);
		return 0;
	}
	if (fcntl(sock, F_SETFL, O_NONBLOCK) < 0 || listen(sock, BACKLOG) < 0)
		r = -errno;
	if (r == 0)
		r = loop_add(s, &b->control, sock, control_ready);
	if (r < 0) {
		b->control.fd = -EBADF;
		fd_close(sock);
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, b->id, "cannot listen on the control socket of the sandbox");
	}
	return 0;
}

void control_close(struct sandbox *b)
{
	int fd = b->control.fd;

	for (struct client *c = b->supervisor->clients; c; c = c->next) {
		if (c->inside == b) {
			c->gone = true;
			c->asker = NULL;
		}
	}
	loop_remove(b->supervisor, &b->control);
	/* With the connections that wait to be accepted, and what was sent over them. */
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (fd >= 0 && poll(&p, 1, 0) > 0)
		closer_start();
	closer_close(fd);
}

static void pause_all(struct supervisor *s, bool paused)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next)
		loop_pause(s, &b->control, paused);
	for (struct client *c = s->clients; c; c = c->next) {
		if (c->inside)
			loop_pause(s, &c->source, paused);
	}
}

void control_pause(struct supervisor *s)
{
	s->control_resumes = now_us() + PAUSE_US;
	loop_deadline(s, s->control_resumes);
	pause_all(s, true);
}

bool control_expire(struct supervisor *s, uint64_t now)
{
	if (s->control_resumes == 0 || s->control_resumes > now)
		return false;
	s->control_resumes = 0;
	pause_all(s, false);
	return true;
}
