/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: their life, and the messages that come over them. */
#include "client/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

struct connection *connection_new(struct sandbox_runtime *r, const char *name)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (c && name)
		c->name = strdup(name);
	if (!c || (name && !c->name)) {
		free(c);
		return NULL;
	}
	c->runtime = r;
	c->fd = c->pidfd = -EBADF;
	c->owner = getpid();
	c->next = r->connections;
	r->connections = c;
	r->started = true;
	return c;
}

void connection_ref(struct connection *c)
{
	c->users++;
}

void connection_unref(struct connection *c)
{
	if (c && --c->users == 0)
		connection_free(c);
}

/* Nothing that waits for a message gets one any more. */
static void abandon(struct connection *c)
{
	c->lost = true;
	while (c->requests)
		request_complete(c, c->requests, &c->why, NULL, -EBADF);
	for (struct sandbox_call *call = c->calls; call; call = call->next)
		call_lost(call);
}

bool connection_is_ours(struct connection *c)
{
	if (c->owner == getpid())
		return true;
	if (!c->lost) {
		fail(&c->why, ECONNRESET, SANDBOX_STAGE_USAGE, "runtime",
		     "this runtime belongs to the process that made it: after fork() only the parent can use it");
		abandon(c);
	}
	return false;
}

void connection_free(struct connection *c)
{
	const bool ours = connection_is_ours(c);

	for (struct connection **at = &c->runtime->connections; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	/* Closing alone would not be seen while a child that the host forked holds a copy. */
	if (c->fd >= 0 && ours)
		shutdown(c->fd, SHUT_RDWR);
	fd_close(TAKE_FD(c->fd));
	/* Closing our end makes our own supervisor end everything; its pidfd tells when that is done. That of a named
	 * sandbox stays. */
	if (c->pidfd >= 0 && !c->name && ours) {
		struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
	}
	fd_close(c->pidfd);
	free(c->name);
	free(c);
}

/* Whoever sleeps on the runtime's descriptor has to look: the message that it waits for was read by another function. */
static void wake(struct sandbox_runtime *r)
{
	if (!r->dispatching && !r->woken)
		r->woken = eventfd_write(r->wake, 1) == 0;
}

static void connection_lose(struct connection *c, int err)
{
	if (c->lost)
		return;
	/* Not closed: it stays readable until dispatch has told of it. */
	shutdown(c->fd, SHUT_RDWR);
	if (c->why.err == 0 && c->name)
		fail(&c->why, ECONNRESET, SANDBOX_STAGE_PROTOCOL, c->name,
		     "the sandbox %s has ended (or its supervisor died)", c->name);
	else if (c->why.err == 0)
		fail(&c->why, err == ENOMEM ? ENOMEM : ECONNRESET, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor",
		     "the supervisor has ended unexpectedly; its sandboxes are gone");
	abandon(c);
}

static int on_event(struct connection *c, struct wire_reader *in)
{
	_cleanup_free_ char *name = wire_get_str(in);
	_cleanup_free_ char *sandbox_name = wire_get_str(in);
	_cleanup_free_ char *call = wire_get_str(in);
	_cleanup_free_ char *reason = wire_get_str(in);
	_cleanup_free_ char *json = wire_get_str(in);

	if (!wire_done(in))
		return -EPROTO;
	event_push(c->runtime, name, sandbox_name, call, reason, json);
	wake(c->runtime);
	return 0;
}

/* It has ended before the answer to its start was due. */
static bool complete_start(struct connection *c, uint32_t number, const char *id)
{
	struct request *request = c->requests;

	while (request && request->number != number)
		request = request->next;
	char *text = request && request->call ? strdup(id) : NULL;
	if (!text)
		return false;
	request_complete(c, request, NULL, text, -EBADF);
	return true;
}

static int on_exit_message(struct connection *c, struct wire_reader *in)
{
	_cleanup_free_ char *sandbox_name = wire_get_str(in);
	_cleanup_free_ char *id = wire_get_str(in);
	uint32_t status = wire_get_u32(in);
	uint32_t sig = wire_get_u32(in);
	_cleanup_free_ char *reason = wire_get_str(in);
	uint32_t request = wire_get_u32(in);

	if (!wire_done(in) || !*id)
		return -EPROTO;
	if (request && !complete_start(c, request, id))
		return -EPROTO;
	for (struct sandbox_call *call = c->calls; call; call = call->next) {
		if (call->state != SANDBOX_CALL_RUNNING || strcmp(call->id, id) != 0)
			continue;
		call_ended(call, status, sig, reason);
		if (call != c->runtime->awaited)
			wake(c->runtime);
		break;
	}
	/* Unknown: the handle of a detached call was freed. */
	return 0;
}

static int on_reply(struct connection *c, struct wire_reader *in, int *fds, size_t n_fds)
{
	uint32_t number = wire_get_u32(in);
	bool failed = wire_get_u8(in);
	_cleanup_free_ char *text = NULL;
	struct error e = { 0 };

	if (failed)
		wire_get_error(in, &e);
	else
		text = wire_get_str(in);
	if (!wire_done(in))
		return -EPROTO;
	/* The supervisor could not even start to serve; the end of the connection follows. */
	if (number == 0 && failed) {
		c->why = e;
		return -ECONNRESET;
	}
	for (struct request *request = c->requests; request; request = request->next) {
		if (request->number != number)
			continue;
		if (request->call && request->call != c->runtime->awaited)
			wake(c->runtime);
		request_complete(c, request, failed ? &e : NULL, TAKE_PTR(text), n_fds ? TAKE_FD(fds[0]) : -EBADF);
		return 0;
	}
	return -EPROTO;
}

static int take(struct connection *c, int timeout_ms)
{
	int fds[4] = { -EBADF, -EBADF, -EBADF, -EBADF };
	uint8_t *packet = c->runtime->packet;
	size_t n_fds = 0;

	if (timeout_ms != 0) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int n = poll(&p, 1, timeout_ms);
		if (n <= 0)
			return n < 0 && errno != EINTR ? -errno : 0;
	}
	ssize_t n = msg_recv(c->fd, packet, WIRE_MAX_PACKET, fds, ARRAY_LEN(fds), &n_fds);
	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	for (size_t i = 0; i < n_fds; i++)
		fds[i] = above_stdio(fds[i]);
	struct wire_reader in = wire_reader(packet, (size_t)n);
	int k = -EPROTO;
	switch (wire_get_u32(&in)) {
	case MSG_REPLY:
		k = on_reply(c, &in, fds, n_fds);
		break;
	case MSG_EVENT:
		k = on_event(c, &in);
		break;
	case MSG_CALL_EXIT:
		k = on_exit_message(c, &in);
		break;
	}
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	return k < 0 ? k : 1;
}

int connection_take(struct connection *c, int timeout_ms, struct error *e)
{
	int k = !connection_is_ours(c) || c->lost ? -ECONNRESET : take(c, timeout_ms);

	if (k >= 0)
		return k;
	connection_lose(c, -k);
	if (e)
		*e = c->why;
	return -c->why.err;
}

void connection_await_end(struct connection *c, int timeout_ms)
{
	uint64_t end = now_us() + (uint64_t)timeout_ms * 1000u, now;

	c->told = true;
	while (!c->lost && (now = now_us()) < end)
		connection_take(c, (int)((end - now + 999) / 1000), NULL);
}
