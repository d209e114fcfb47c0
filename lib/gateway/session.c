/* SPDX-License-Identifier: Apache-2.0 */
/* Connections from inside: first bytes, and the way to TLS (session_tls.c), HTTP or a relay. */
#include "gateway/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/client_hello.h"
#include "gateway/authority.h"
#include "gateway/gateway.h"

#define LINGER_US (2u * 1000000u)
/* While there is an answer to be read. */
#define DRAIN_US (600u * 1000000u)
/* A ClientHello with every extension in use is 2 KB; post-quantum key shares and padding make it larger. */
#define HELLO_MAX 20000u

const char *session_host(const struct session *s, char *to)
{
	struct in_addr in = { .s_addr = htonl(s->dst) };

	if (s->name)
		return s->name->text;
	return inet_ntop(AF_INET, &in, to, INET_ADDRSTRLEN);
}

struct in6_addr session_raw_addr(const struct session *s)
{
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };
	uint32_t be = htonl(s->dst);

	memcpy(&addr.s6_addr[12], &be, sizeof(be));
	return addr;
}

void session_members(const struct session *s, struct buf *members)
{
	char text[INET_ADDRSTRLEN];

	json_member_string(members, s->name ? "host" : "addr", session_host(s, text));
	json_member_int(members, "port", s->port);
}

void session_upstream_addr(const struct session *s, struct buf *members)
{
	char text[64];

	if (s->up && s->name && !IN6_IS_ADDR_UNSPECIFIED(&s->up->addr) && addr_text(&s->up->addr, text) == 0)
		json_member_string(members, "addr", text);
}

void session_wake(struct stream *stream)
{
	session_run((struct session *)stream);
}

void session_timeout(struct session *s, uint64_t us)
{
	if (us)
		timer_start(&s->gw->loop, &s->timer, us);
	else
		timer_stop(&s->gw->loop, &s->timer);
}

static void record_done(struct waiter *w, bool written)
{
	struct session *s = (struct session *)((char *)w - offsetof(struct session, waiter));

	s->acked = true;
	s->refused = !written;
	session_run(s);
}

void session_wait_record(struct session *s)
{
	records_forget(&s->gw->records, &s->waiter);
	s->acked = false;
	s->refused = false;
	s->waiter.done = record_done;
	records_wait(&s->gw->records, &s->waiter);
}

static void question_decided(struct question *q)
{
	session_run((struct session *)((char *)q - offsetof(struct session, question)));
}

int session_ask(struct session *s, enum auditor_op op, const struct buf *members)
{
	s->question.decided = question_decided;
	return question_ask(s->gw, &s->question, s->call, op, members);
}

static void bury(struct session *s, bool reset)
{
	struct gateway *gw = s->gw;

	if (s->state == SESSION_DEAD)
		return;
	relay_drop(s);
	http_drop(s);
	http2_server_drop(s);
	s->state = SESSION_DEAD;
	session_timeout(s, 0);
	records_forget(&gw->records, &s->waiter);
	question_end(gw, &s->question);
	if (s->up)
		upstream_close(TAKE_PTR(s->up), true);
	stream_close(&s->client, reset);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	if (s->client.carrier) {
		s->call->n_lanes--;
		gw->n_lanes--;
	} else {
		s->call->n_sessions--;
		gw->n_sessions--;
	}
	s->call = NULL;
	s->next = gw->dead;
	gw->dead = s;
}

void session_abort(struct session *s)
{
	bury(s, true);
}

void session_close(struct session *s)
{
	bury(s, false);
}

void session_free_dead(struct gateway *gw)
{
	while (gw->dead) {
		struct session *s = gw->dead;
		gw->dead = s->next;
		http2_server_free(s);
		free(s->sni);
		free(s);
	}
}

void session_finish(struct session *s)
{
	s->state = SESSION_LINGER;
	session_timeout(s, iobuf_len(&s->client.out) ? DRAIN_US : LINGER_US);
	s->again = true;
}

/* An answer must not be lost to the RST that unread input causes, so the rest of the request is read and dropped. */
static bool linger_run(struct session *s)
{
	struct stream *c = &s->client;
	bool moved = stream_flush(c);

	if ((!iobuf_len(&c->out) || c->carrier) && !s->shut) {
		/* The end of an HTTP/2 stream waits by itself for what is before it. */
		stream_shutdown(c);
		s->shut = true;
		session_timeout(s, c->carrier ? DRAIN_US : LINGER_US);
	} else if (moved && !s->shut) {
		session_timeout(s, DRAIN_US);
	}
	/* The end is news but once: while the answer waits for room, there would always be something that moved. */
	moved |= !c->eof && stream_fill(c, STREAM_CHUNK);
	iobuf_consume(&c->in, iobuf_len(&c->in));
	if (stream_gone(c) || (c->eof && !iobuf_len(&c->out) && !c->carrier)) {
		bury(s, false);
		return true;
	}
	return moved && c->can_read;
}

static void deny_silently(struct session *s, const char *reason)
{
	_cleanup_buf_ struct buf members = { 0 };

	session_members(s, &members);
	json_member_string(&members, "proto", "tcp");
	records_add(&s->gw->records, "net.deny", s->call, reason, &members);
	session_abort(s);
}

static bool client_hello_run(struct session *s)
{
	struct iobuf *in = &s->client.in;
	char name[256];
	static struct client_hello hello; /* 64 KiB: not on the stack */

	stream_fill(&s->client, HELLO_MAX);
	int r = client_hello_parse(iobuf_head(in), iobuf_len(in), &hello);
	if (r == 0 && iobuf_len(in) < HELLO_MAX && !s->client.eof)
		return false;
	/* What the client wants to reach is what the rule is about: another name behind this address is refused, and so is
	 * one that cannot be read. */
	if (r <= 0 || hello.ech || !hello.sni || host_canonical((const char *)hello.sni, hello.sni_len, false, name) < 0 ||
	    strcmp(name, s->name->text) != 0) {
		deny_silently(s, r <= 0 ? "bad-client-hello" : hello.ech ? "ech" : !hello.sni ? "no-sni" : "sni-mismatch");
		return true;
	}
	struct net_target target = { .proto = PROTO_PASSTHROUGH, .host = s->name->text, .port = s->port };
	struct net_verdict verdict;
	authority_decide(s->gw, s->call, &target, &verdict);
	bool beyond_grant = authority_raise(s->gw, &target, &verdict);
	relay_decide(s, true, beyond_grant, &verdict);
	return true;
}

static bool first_bytes_run(struct session *s)
{
	struct stream *c = &s->client;

	stream_fill(c, 4096);
	if (!iobuf_len(&c->in)) {
		if (c->eof)
			bury(s, false);
		return c->eof;
	}
	uint8_t first = *iobuf_head(&c->in);
	if (first == 0x16) {
		struct in6_addr raw = session_raw_addr(s);
		if (s->name && policy_is_passthrough(s->gw->policy, s->name->text, s->port))
			s->state = SESSION_CLIENT_HELLO;
		else if (!s->name && !authority_host_possible(s->gw, s->call, PROTO_HTTPS, NULL, &raw, s->port) &&
			 !authority_host_raisable(s->gw, PROTO_HTTPS, NULL, &raw, s->port))
			deny_silently(s, "raw-address");
		else
			session_start_tls(s);
		return true;
	}
	/* A method is made of token characters (RFC 9110); anything else is no HTTP. */
	if ((first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z')) {
		s->state = SESSION_HTTP;
		return true;
	}
	deny_silently(s, "unknown-protocol");
	return true;
}

static bool step(struct session *s)
{
	switch (s->state) {
	case SESSION_FIRST_BYTES:
		return first_bytes_run(s);
	case SESSION_CLIENT_HELLO:
		return client_hello_run(s);
	case SESSION_HANDSHAKE:
		return session_handshake(s);
	case SESSION_HTTP:
		return http_run(s);
	case SESSION_HTTP2:
		return http2_server_run(s);
	case SESSION_RELAY_ASK:
	case SESSION_RELAY_RECORD:
	case SESSION_RELAY_DIAL:
	case SESSION_RELAY:
		return relay_run(s);
	case SESSION_LINGER:
		return linger_run(s);
	case SESSION_DEAD:
		break;
	}
	return false;
}

void session_run(struct session *s)
{
	/* A step may close the upstream or get an answer at once, which wakes us from within. */
	if (s->running) {
		s->again = true;
		return;
	}
	s->running = true;
	do {
		s->again = false;
		while (step(s))
			;
	} while (s->again);
	s->running = false;
}

static void timer_fired(struct timer *t)
{
	struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));

	switch (s->state) {
	case SESSION_FIRST_BYTES:
	case SESSION_CLIENT_HELLO:
	case SESSION_HANDSHAKE:
		deny_silently(s, "timeout");
		return;
	case SESSION_HTTP:
		http_timeout(s);
		session_run(s);
		return;
	case SESSION_HTTP2:
		http2_server_timeout(s);
		return;
	default:
		bury(s, false);
	}
}

/* Opaque TCP is decided by the address alone: the server may be the one that speaks first. */
static bool is_opaque(struct session *s, struct net_verdict *verdict, bool *ret_beyond_grant)
{
	struct net_target target = { .proto = PROTO_TCP, .port = s->port };
	struct in6_addr raw = session_raw_addr(s);

	if (s->name)
		target.host = s->name->text;
	else
		target.addr = &raw;
	if (!authority_host_possible(s->gw, s->call, PROTO_TCP, target.host, target.addr, s->port) &&
	    !authority_host_raisable(s->gw, PROTO_TCP, target.host, target.addr, s->port))
		return false;
	authority_decide(s->gw, s->call, &target, verdict);
	/* No policy has rules for HTTP at the same place, so this is no HTTP that the grant might give. */
	*ret_beyond_grant = authority_raise(s->gw, &target, verdict);
	return verdict->allowed;
}

static void link_up(struct session *s)
{
	struct call *call = s->call;
	struct gateway *gw = s->gw;
	size_t n = gw->n_sessions + gw->n_lanes + 1;

	gw->most_sessions = n > gw->most_sessions ? n : gw->most_sessions;
	s->started = gw->loop.now;
	s->timer.fired = timer_fired;
	s->next = call->sessions;
	if (s->next)
		s->next->prev = &s->next;
	s->prev = &call->sessions;
	call->sessions = s;
}

struct session *session_open_lane(struct session *connection)
{
	struct call *call = connection->call;
	if (call->n_lanes >= CALL_MAX_LANES || connection->gw->n_lanes >= MAX_SESSIONS)
		return NULL;
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	/* All that was established about the connection holds for what comes over it. */
	*s = (struct session){ .gw = connection->gw, .call = call, .dst = connection->dst, .port = connection->port,
			       .tls = connection->tls, .misdirected = connection->misdirected,
			       .name = connection->name, .state = SESSION_HTTP };
	link_up(s);
	call->n_lanes++;
	s->gw->n_lanes++;
	return s;
}

void session_start(struct gateway *gw, struct call *call, int fd, uint32_t dst, uint16_t port)
{
	_cleanup_close_ int owned = fd;
	struct session *s = calloc(1, sizeof(*s));
	struct net_verdict verdict;
	bool beyond_grant;

	if (!s)
		return;
	if (stream_open(&s->client, &gw->loop, TAKE_FD(owned), session_wake) < 0) {
		fd_close(fd);
		free(s);
		return;
	}
	s->gw = gw;
	s->call = call;
	s->dst = dst;
	s->port = port;
	s->name = names_by_addr(&gw->names, dst);
	link_up(s);
	call->n_sessions++;
	gw->n_sessions++;
	session_timeout(s, FIRST_BYTES_US);
	/* The first bytes mostly came with the last packet of the TCP handshake. */
	s->client.can_read = true;
	if (is_opaque(s, &verdict, &beyond_grant))
		relay_decide(s, false, beyond_grant, &verdict);
	session_run(s);
}
