/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of calls. Who asks is known by the network namespace that its socket was made in, which the kernel says
 * and nobody inside can choose: every call has one of its own, and its number is never given to another. Nothing that
 * is said over the connection matters for that. A socket that was passed on keeps who made it, so passing it on is
 * passing on what it may ask for, as with any descriptor.
 *
 * The other end is not trusted. It gets the requests that client_request.c lists for it, a bounded number of
 * connections and answers, and no more of the loop's time than all others together; its descriptors are closed by
 * closer.c.
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
/* For so long the calls of a sandbox may keep the loop before they have to rest for as long as they did. */
#define SPENT_MAX_US 10000u

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
	return of_call < MAX_CONTROL_OF_CALL && of_sandbox < MAX_CONTROL_OF_SANDBOX &&
	       children_have_descriptors(asker->sandbox->supervisor, 1);
}

/* As the answer to its first request. Never waited for: one that does not fit is not heard. */
static void turn_away(int fd)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;

	fail(&e, EBUSY, SANDBOX_STAGE_PROTOCOL, "control", "%u connections of this call, or %u of the sandbox, or as many as the limit "
	     "of open files leaves room for, ask already; wait for one to end", MAX_CONTROL_OF_CALL, MAX_CONTROL_OF_SANDBOX);
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

static bool is_paused(const struct sandbox *b)
{
	return b->supervisor->control_resumes || b->control_rests;
}

/* only: of this sandbox; NULL: of all. One that is gone may have outlived its sandbox. */
static void hear(struct supervisor *s, const struct sandbox *only)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (!only || b == only)
			loop_pause(s, &b->control, is_paused(b));
	}
	for (struct client *c = s->clients; c; c = c->next) {
		if (c->inside && !c->gone && (!only || c->inside == only))
			loop_pause(s, &c->source, is_paused(c->inside));
	}
}

void control_pause(struct supervisor *s)
{
	s->control_resumes = now_us() + PAUSE_US;
	loop_deadline(s, s->control_resumes);
	hear(s, NULL);
}

/*
 * A grant can be written so that it is slow to decide about, and a sandbox has many connections: each in its turn, they
 * would leave an ordinary client, who may want to end all this, one turn in hundreds. Who asks, waits and asks again
 * spends less than goes by.
 */
void control_spent(struct sandbox *b, uint64_t us)
{
	const uint64_t now = now_us(), idle = now - us > b->spent_at ? now - us - b->spent_at : 0;

	b->spent_us = us + (b->spent_us > idle ? b->spent_us - idle : 0);
	b->spent_at = now;
	if (b->spent_us <= SPENT_MAX_US)
		return;
	b->control_rests = now + b->spent_us;
	loop_deadline(b->supervisor, b->control_rests);
	hear(b->supervisor, b);
}

static bool rest_is_over(struct supervisor *s, uint64_t now)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (b->control_rests == 0 || b->control_rests > now)
			continue;
		b->control_rests = 0;
		hear(b->supervisor, b);
		return true;
	}
	return false;
}

bool control_expire(struct supervisor *s, uint64_t now)
{
	if (s->control_resumes == 0 || s->control_resumes > now)
		return rest_is_over(s, now);
	s->control_resumes = 0;
	hear(s, NULL);
	return true;
}
