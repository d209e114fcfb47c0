/* SPDX-License-Identifier: Apache-2.0 */
/* Synthetic DNS service. */
#include "gateway/dns_server.h"

#include "gateway/control.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/dns_message.h"
#include "gateway/gateway.h"
#include "gateway/stream.h"

#define BURST 64
#define TCP_IDLE_US (10u * 1000000u)

struct dns_connection {
	struct stream stream; /* first */
	struct gateway *gw;
	struct call *call;
	struct dns_connection *next, **prev; /* next also links the dead */
	struct timer timer;
};

static void record_limit(struct gateway *gw, struct call *call)
{
	_cleanup_buf_ struct buf members = { 0 };

	if (call->limit_recorded)
		return;
	call->limit_recorded = true;
	json_member_string(&members, "limit", "names");
	json_member_int(&members, "max", CALL_MAX_NAMES);
	records_add(&gw->records, "limit.hit", call, "too-many-names", &members);
}

/* The address of a name that this call may ask for, or 0. */
static uint32_t assign(struct gateway *gw, struct call *call, const char *text)
{
	char canonical[256];

	/* The same function as for rules, SNI and Host: what is compared later is exactly this. */
	if (host_canonical(text, strlen(text), false, canonical) < 0)
		return 0;
	const struct name *name = names_find(&gw->names, canonical);
	if (!name || !call_has_seen(call, name)) {
		bool made = !name;
		if (call->n_names >= CALL_MAX_NAMES || (made && !call_may_make_name(call))) {
			record_limit(gw, call);
			return 0;
		}
		name = names_assign(&gw->names, canonical);
		if (!name)
			return 0;
		if (made)
			call_made_name(call);
		if (call_sees_name(call, name) < 0)
			return 0;
		_cleanup_buf_ struct buf members = { 0 };
		json_member_string(&members, "host", name->text);
		records_add(&gw->records, "dns.query", call, "", &members);
	}
	return name_addr(name);
}

static size_t answer(struct gateway *gw, struct call *call, const uint8_t *data, size_t len, uint8_t *out)
{
	struct dns_query q;

	dns_parse(data, len, &q);
	if (q.kind != DNS_ADDRESS)
		return dns_answer(&q, dns_rcode_of(q.kind), 0, out);
	uint32_t addr = assign(gw, call, q.name);
	return dns_answer(&q, addr ? DNS_RCODE_OK : DNS_RCODE_SERVFAIL, addr, out);
}

static void udp_ready(struct source *source, uint32_t events)
{
	struct dns_server *d = (struct dns_server *)source;
	uint8_t query[DNS_MAX_QUERY], reply[DNS_MAX_ANSWER];

	(void)events;
	for (int i = 0; i < BURST; i++) {
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(source->fd, query, sizeof(query), MSG_TRUNC, (struct sockaddr *)&from, &from_len);
		if (n < 0)
			return;
		control_take(d->gw); /* as listener_ready() */
		struct call *call = calls_by_addr(&d->gw->calls, ntohl(from.sin_addr.s_addr));
		if (!call || (size_t)n > sizeof(query))
			continue;
		call->used = true;
		size_t len = answer(d->gw, call, query, (size_t)n, reply);
		/* A full socket loses the answer, as the network might: the client asks again. */
		if (len)
			(void)sendto(source->fd, reply, len, MSG_NOSIGNAL, (struct sockaddr *)&from, from_len);
	}
}

int dns_init(struct gateway *gw, int fd)
{
	struct dns_server *d = &gw->dns;

	*d = (struct dns_server){ .source = { .fd = fd, .ready = udp_ready }, .gw = gw };
	return loop_add(&gw->loop, &d->source, EPOLLIN);
}

static void tcp_close(struct dns_connection *c)
{
	struct dns_server *d = &c->gw->dns;

	timer_stop(&c->gw->loop, &c->timer);
	stream_close(&c->stream, false);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	d->n_connections--;
	c->call->n_dns_connections--;
	c->next = d->dead;
	d->dead = c;
}

void dns_free_dead(struct gateway *gw)
{
	while (gw->dns.dead) {
		struct dns_connection *c = gw->dns.dead;
		gw->dns.dead = c->next;
		free(c);
	}
}

void dns_drop_call(struct gateway *gw, const struct call *call)
{
	for (struct dns_connection *c = gw->dns.connections, *next; c; c = next) {
		next = c->next;
		if (c->call == call)
			tcp_close(c);
	}
}

static void tcp_timeout(struct timer *t)
{
	tcp_close((struct dns_connection *)((char *)t - offsetof(struct dns_connection, timer)));
}

static void tcp_wake(struct stream *stream)
{
	struct dns_connection *c = (struct dns_connection *)stream;
	struct iobuf *in = &stream->in;
	uint8_t reply[2 + DNS_MAX_ANSWER];

	for (;;) {
		stream_flush(stream);
		/* A client that does not read its answers gets no more of them. */
		if (iobuf_len(&stream->out) > sizeof(reply))
			break;
		stream_fill(stream, 2 + DNS_MAX_QUERY);
		if (iobuf_len(in) < 2)
			break;
		size_t len = (size_t)iobuf_head(in)[0] << 8 | iobuf_head(in)[1];
		if (len > DNS_MAX_QUERY) {
			tcp_close(c);
			return;
		}
		if (iobuf_len(in) < 2 + len)
			break;
		size_t n = answer(c->gw, c->call, iobuf_head(in) + 2, len, reply + 2);
		iobuf_consume(in, 2 + len);
		if (!n) {
			tcp_close(c);
			return;
		}
		reply[0] = (uint8_t)(n >> 8);
		reply[1] = (uint8_t)n;
		if (iobuf_append(&stream->out, reply, 2 + n) < 0) {
			tcp_close(c);
			return;
		}
		timer_start(&c->gw->loop, &c->timer, TCP_IDLE_US);
	}
	if (stream->broken || (stream->eof && !iobuf_len(&stream->out)))
		tcp_close(c);
}

void dns_tcp_start(struct gateway *gw, struct call *call, int fd)
{
	struct dns_server *d = &gw->dns;
	struct dns_connection *c = NULL;

	/* The bound for one call leaves room for the others. */
	if (d->n_connections < DNS_MAX_CONNECTIONS && call->n_dns_connections < CALL_MAX_DNS_CONNECTIONS)
		c = calloc(1, sizeof(*c));
	if (!c || stream_open(&c->stream, &gw->loop, fd, tcp_wake) < 0) {
		fd_close(fd);
		free(c);
		return;
	}
	c->gw = gw;
	c->call = call;
	c->timer.fired = tcp_timeout;
	c->next = d->connections;
	if (c->next)
		c->next->prev = &c->next;
	c->prev = &d->connections;
	d->connections = c;
	d->n_connections++;
	call->n_dns_connections++;
	timer_start(&gw->loop, &c->timer, TCP_IDLE_US);
}
