/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of clients: messages in (client_request.c), answers and events out. A malformed one ends its connection. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

static void broken(struct client *c)
{
	c->gone = true;
}

static void send_to_client(struct supervisor *s, struct client *c, const struct buf *b, const int *fds, size_t n_fds)
{
	const size_t most = c->inside ? MAX_CONTROL_ANSWERS : MAX_ANSWERS_WAITING;

	if (c->link.queued >= most || link_send(&c->link, b, fds, n_fds) < 0)
		broken(c);
	else
		loop_want_write(s, &c->source, &c->link);
}

void client_reply(struct client *c, uint32_t request, const struct error *failure, const char *payload, const int *fds,
		  size_t n_fds)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (!c || c->gone)
		return;
	int r = wire_put_u32(&b, MSG_REPLY);
	if (r == 0)
		r = wire_put_u32(&b, request);
	if (r == 0)
		r = wire_put_u8(&b, failure != NULL);
	if (r == 0)
		r = failure ? wire_put_error(&b, failure) : wire_put_str(&b, payload);
	if (r < 0)
		broken(c); /* out of memory: the client must not wait for ever */
	else
		send_to_client(c->supervisor, c, &b, fds, n_fds);
}

static bool event_wanted(const struct client *c, const char *event)
{
	size_t len = strlen(event);

	for (const char *at = c->wanted; at && (at = strstr(at, event)); at += len) {
		if (at > c->wanted && at[-1] == ',' && at[len] == ',')
			return true;
	}
	return !c->wanted;
}

static int put_event(struct buf *b, const char *sandbox, const char *event, const char *call, const char *reason,
		     const char *json)
{
	int r = wire_put_u32(b, MSG_EVENT);
	const char *texts[] = { event, sandbox, call, reason, json };
	for (size_t i = 0; i < ARRAY_LEN(texts) && r == 0; i++)
		r = wire_put_str(b, texts[i]);
	return r;
}

static void tell_lost(struct supervisor *s, struct client *c, const char *sandbox)
{
	_cleanup_buf_ struct buf lost = { 0 };
	char text[80];

	snprintf(text, sizeof(text), "{\"event\":\"events.lost\",\"count\":%llu}", (unsigned long long)c->events_lost);
	c->events_lost = 0;
	if (put_event(&lost, sandbox, "events.lost", "", "", text) == 0)
		send_to_client(s, c, &lost, NULL, 0);
}

void client_event(struct supervisor *s, const struct sandbox *sandbox, const char *event, const char *call,
		  const char *reason, const char *json)
{
	_cleanup_buf_ struct buf b = { 0 };

	for (struct client *c = s->clients; c; c = c->next) {
		if (c->gone || !c->greeted || c->inside || !event_wanted(c, event))
			continue;
		/* Events are a convenience, the log is the record: they wait up to a bound and are then counted instead. */
		if (c->link.queued >= MAX_EVENTS_WAITING) {
			c->events_lost++;
			continue;
		}
		if (c->events_lost)
			tell_lost(s, c, sandbox->id);
		if (b.len > 0 || put_event(&b, sandbox->id, event, call, reason, json) == 0)
			send_to_client(s, c, &b, NULL, 0);
	}
}

void client_call_exit(struct call *call, const char *reason)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct client *c = call->start->client;

	if (!c || c->gone)
		return;
	int r = wire_put_u32(&b, MSG_CALL_EXIT);
	if (r == 0)
		r = wire_put_str(&b, call->sandbox->id);
	if (r == 0)
		r = wire_put_str(&b, call->id);
	if (r == 0)
		r = wire_put_u32(&b, call->exit_status);
	if (r == 0)
		r = wire_put_u32(&b, call->exit_signal);
	if (r == 0)
		r = wire_put_str(&b, reason);
	if (r == 0)
		r = wire_put_u32(&b, call->start->answered ? 0 : call->start->asked);
	call->start->answered = true;
	if (r < 0)
		broken(c);
	else
		send_to_client(c->supervisor, c, &b, NULL, 0);
}

static void client_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	struct client *c = SOURCE_OWNER(source, struct client, source);
	struct client_message_in m = { 0 };

	if ((events & EPOLLOUT) && link_flush(&c->link) < 0) {
		broken(c);
		return;
	}
	loop_want_write(s, source, &c->link);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	/* That it has hung up is told in a pause too; nobody is left to hear of what it asked for last. */
	if (source->paused) {
		broken(c);
		return;
	}
	if (c->inside && closer_is_behind()) {
		control_pause(s);
		return;
	}
	const uint64_t begin = c->inside ? now_us() : 0;
	ssize_t n = msg_recv_all(c->link.fd, packet, sizeof(packet), m.fds, WIRE_MAX_FDS, &m.n_fds);
	m.in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	int r = n > 0 ? client_request(s, c, &m) : n == -EAGAIN ? 0 : -ECONNRESET;
	for (size_t i = 0; i < m.n_fds; i++) {
		if (c->inside)
			closer_close(m.fds[i]);
		else
			fd_close(m.fds[i]);
	}
	if (r < 0)
		broken(c);
	/* The end of its sandbox takes it along. */
	if (c->inside && !c->gone)
		control_spent(c->inside, now_us() - begin);
}

static int add(struct supervisor *s, int fd, struct call *asker)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->asker = asker;
	c->inside = asker ? asker->sandbox : NULL;
	c->supervisor = s;
	int r = link_init(&c->link, fd);
	if (r == 0)
		r = loop_add(s, &c->source, fd, client_ready);
	if (r < 0) {
		free(c);
		return r;
	}
	c->next = s->clients;
	s->clients = c;
	s->n_clients += !asker;
	return 0;
}

int client_add(struct supervisor *s, int fd)
{
	return add(s, fd, NULL);
}

int client_add_inside(struct call *asker, int fd)
{
	return add(asker->sandbox->supervisor, fd, asker);
}

/* Nothing may point at it any more; what it started ends with it, unless detached. */
static void forget(struct supervisor *s, const struct client *c)
{
	for (struct sandbox *b = s->sandboxes, *next_sandbox; b; b = next_sandbox) {
		next_sandbox = b->next;
		bool waited = b->client == c;
		if (waited)
			b->client = NULL;
		if (b->creator == c)
			sandbox_forget_creator(b);
		if (waited && b->review) {
			review_drop(b, "nobody waits for it any more");
			continue;
		}
		changes_forget(b, c);
		for (struct start *w = b->waiting, *next; w; w = next) {
			next = w->next;
			if (w->client != c)
				continue;
			start_unqueue(b, w);
			start_free(w);
		}
		for (struct call *call = b->calls, *next_call; call; call = next_call) {
			next_call = call->next;
			call_forget_revoker(call, c);
			if (!call->start || call->start->client != c)
				continue;
			call->start->client = NULL;
			/* What a command left in the background was to outlive it, and nobody waits for that. */
			if (!(call->start->flags & START_DETACHED) && call->state != CALL_LEFT)
				call_signal(call, 9);
		}
	}
}

/* Clients of a named sandbox that is gone have nothing more to ask; others may be about to make one. */
static bool nothing_left(const struct supervisor *s)
{
	if (s->sandboxes)
		return s->n_clients == 0 && !s->named;
	for (const struct client *c = s->clients; c; c = c->next) {
		if (!c->inside && (!s->named || link_waiting(&c->link)))
			return false;
	}
	return true;
}

void clients_reap(struct supervisor *s)
{
	for (struct client **at = &s->clients; *at;) {
		struct client *c = *at;
		if (!c->gone) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		s->n_clients -= !c->inside;
		forget(s, c);
		loop_remove(s, &c->source);
		/* With what it has sent and we have not read. */
		if (c->inside)
			closer_close(TAKE_FD(c->link.fd));
		link_close(&c->link);
		free(c->wanted);
		free(c);
	}
	s->done |= nothing_left(s);
}
