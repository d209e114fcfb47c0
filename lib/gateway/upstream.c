/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream connections and their pool. */
#include "gateway/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/gateway.h"
#include "gateway/http2.h"
#include "gateway/http2_pending.h"
#include "gateway/session.h"
#include "gateway/upstream_private.h"

#define HANDSHAKE_US (15u * 1000000u)
#define IDLE_US (30u * 1000000u)

static void progress(struct upstream *u);

void upstream_unlink(struct upstream *u)
{
	if (!u->prev)
		return;
	*u->prev = u->next;
	if (u->next)
		u->next->prev = u->prev;
	u->prev = NULL;
	u->next = NULL;
	if (u->shared)
		u->call->n_shared--;
	else if (!u->lead)
		u->call->n_idle--;
	u->shared = false;
	u->lead = NULL;
}

void upstream_close(struct upstream *u, bool reset)
{
	if (shared_pass_on(u))
		return;
	shared_close(u);
	upstream_unlink(u);
	timer_stop(&u->gw->loop, &u->timer);
	resolver_forget(&u->resolution);
	dial_stop(u);
	proxy_stop(u);
	stream_close(&u->stream, reset);
	u->owner = NULL;
	u->next = u->gw->dead_upstreams;
	u->gw->dead_upstreams = u;
}

void upstream_free_dead(struct gateway *gw)
{
	dial_free_dead(gw);
	while (gw->dead_upstreams) {
		struct upstream *u = gw->dead_upstreams;
		gw->dead_upstreams = u->next;
		if (u->h2) {
			http2_unpend(u->h2);
			http2_free(u->h2);
		}
		free(u->detail);
		free(u);
	}
}

void upstream_drop_idle(struct call *call)
{
	while (call->idle)
		upstream_close(call->idle, true);
	while (call->shared)
		upstream_close(call->shared, true);
}

static void drop_denied(struct upstream *u)
{
	for (struct upstream *next; u; u = next) {
		const struct destination *to = &u->to;
		next = u->next;
		if (!policy_host_possible(u->gw->policy, to->proto, to->host, to->host ? NULL : &to->addr, to->port))
			upstream_close(u, true);
	}
}

void upstream_drop_denied(struct call *call)
{
	drop_denied(call->idle);
	drop_denied(call->shared);
}

void upstream_fail(struct upstream *u, const char *token, const char *detail)
{
	if (u->state == UPSTREAM_FAILED)
		return;
	if (u->proxied && u->state <= UPSTREAM_PROXY) {
		detail = detail ? detail : token;
		token = "upstream-proxy";
	}
	u->state = UPSTREAM_FAILED;
	u->failure = token;
	free(u->detail);
	u->detail = detail ? strdup(detail) : NULL;
	timer_stop(&u->gw->loop, &u->timer);
	dial_stop(u);
	proxy_stop(u);
	stream_close(&u->stream, true);
	shared_failed(u);
}

/* Nothing came that belongs to no request, nor an end; a late session ticket does no harm. */
static bool quiet(struct upstream *u)
{
	struct stream *s = &u->stream;

	s->turn = 0; /* it is looked for now, whatever came before */
	stream_fill(s, 1);
	return !s->eof && !s->broken && !iobuf_len(&s->in) && !iobuf_len(&s->out);
}

void upstream_wake(struct stream *stream)
{
	struct upstream *u = (struct upstream *)stream;

	if (u->h2) {
		shared_run(u);
		return;
	}
	if (!u->owner) {
		if (!quiet(u))
			upstream_close(u, false);
		return;
	}
	progress(u);
	/* Whose it was may have got a stream of it. */
	if (u->h2)
		shared_run(u);
	else
		session_run(u->owner);
}

static void timed_out(struct timer *t)
{
	struct upstream *u = (struct upstream *)((char *)t - offsetof(struct upstream, timer));

	if (u->h2) {
		shared_timeout(u);
		return;
	}
	if (!u->owner) {
		upstream_close(u, false);
		return;
	}
	if (u->state == UPSTREAM_CONNECTING)
		dial_timeout(u);
	else
		upstream_fail(u, u->state == UPSTREAM_PROXY ? "no answer in time" : "tls-timeout", NULL);
	session_run(u->owner);
}

const char *upstream_name(const struct destination *to, char text[INET6_ADDRSTRLEN])
{
	const bool v4 = IN6_IS_ADDR_V4MAPPED(&to->addr);

	if (to->host)
		return to->host;
	return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (const void *)&to->addr.s6_addr[12] : &to->addr, text,
			 INET6_ADDRSTRLEN);
}

static void start_handshake(struct upstream *u)
{
	char text[INET6_ADDRSTRLEN];
	SSL *ssl = trust_connect(&u->gw->trust, upstream_name(&u->to, text), u->to.port, u->to.http1_only);

	if (!ssl || stream_start_tls(&u->stream, ssl) < 0) {
		upstream_fail(u, "no-memory", NULL);
		return;
	}
	u->state = UPSTREAM_HANDSHAKE;
	timer_start(&u->gw->loop, &u->timer, HANDSHAKE_US);
}

static void ready(struct upstream *u)
{
	u->state = UPSTREAM_READY;
	timer_stop(&u->gw->loop, &u->timer);
	shared_settle(u);
}

void upstream_connected(struct upstream *u)
{
	/* It is, which no event will say. */
	u->stream.can_write = true;
	if (u->proxied)
		proxy_begin(u);
	else
		upstream_reached(u);
}

void upstream_reached(struct upstream *u)
{
	if (u->to.tls)
		start_handshake(u);
	else
		ready(u);
}

static void progress(struct upstream *u)
{
	if (u->state == UPSTREAM_PROXY)
		proxy_run(u);
	if (u->state != UPSTREAM_HANDSHAKE)
		return;
	int r = stream_handshake(&u->stream);
	if (r > 0) {
		char text[INET6_ADDRSTRLEN];
		const char *why = trust_resumed_failure(&u->gw->trust, u->stream.ssl, upstream_name(&u->to, text));
		if (why)
			upstream_fail(u, "certificate", why);
		else
			ready(u);
	} else if (r < 0) {
		bool verify = SSL_get_verify_result(u->stream.ssl) != X509_V_OK;
		upstream_fail(u, verify ? "certificate" : "tls-handshake", trust_failure(u->stream.ssl));
	}
}

static void resolved(struct resolution *q)
{
	struct upstream *u = (struct upstream *)((char *)q - offsetof(struct upstream, resolution));

	if (q->n_addrs)
		dial_begin(u);
	else
		upstream_fail(u, q->failure, NULL);
	if (u->owner)
		session_run(u->owner);
}

/* connect_to names a host or, like a rule, an address. */
static const struct policy_connect_to *pin_of(const struct policy *p, const struct destination *to)
{
	char text[INET6_ADDRSTRLEN];

	return policy_connect_to(p, upstream_name(to, text), to->port);
}

void upstream_start(struct upstream *u)
{
	const struct policy_connect_to *pin = pin_of(u->gw->policy, &u->to);
	const char *host = u->to.host;

	u->state = UPSTREAM_RESOLVING;
	u->dial_port = u->to.port;
	u->resolution.done = resolved;
	const struct policy_upstream_proxy *proxy = policy_upstream_proxy(u->gw->policy);
	/* What connect_to says is dialled, by ourselves. */
	if (!pin && proxy) {
		host = proxy->host;
		u->dial_port = proxy->port;
		u->proxied = true;
	}
	if (pin) {
		host = pin->addr;
		u->dial_port = pin->addr_port;
		u->pinned = true;
		u->to.allow_private = true;
	}
	shared_offer(u);
	if (!host) {
		u->resolution.addrs[0] = u->to.addr;
		u->resolution.n_addrs = 1;
		dial_begin(u);
		return;
	}
	int r = resolver_ask(&u->gw->resolver, &u->resolution, host);
	if (r < 0)
		upstream_fail(u, "resolver-error", strerror(-r));
	else if (r > 0 && u->resolution.n_addrs)
		dial_begin(u);
	else if (r > 0)
		upstream_fail(u, u->resolution.failure, NULL);
}

bool upstream_same(const struct upstream *u, const struct destination *to)
{
	if (u->to.port != to->port || u->to.tls != to->tls)
		return false;
	if (!u->to.host || !to->host)
		return !u->to.host && !to->host && memcmp(&u->to.addr, &to->addr, sizeof(to->addr)) == 0;
	return strcmp(u->to.host, to->host) == 0;
}

bool upstream_serves(const struct upstream *u, const struct destination *to)
{
	if (!upstream_same(u, to) || (u->private_addr && !u->to.allow_private))
		return false;
	/* Decided for each request: what was dialled for one may be forbidden for the next. */
	if (to->host && !u->proxied && authority_addr_denied(u->gw, u->call, to->proto, &u->addr, to->port))
		return false;
	/* A path rule may be the one that made a private address acceptable. connect_to does so for the whole host. */
	return !u->private_addr || to->allow_private || pin_of(u->gw->policy, to);
}

struct upstream *upstream_new(struct gateway *gw, struct call *call, struct session *owner,
			      const struct destination *to)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->gw = gw;
	u->call = call;
	u->owner = owner;
	u->to = *to;
	u->timer.fired = timed_out;
	u->stream.source.fd = -EBADF;
	return u;
}

struct upstream *upstream_get(struct gateway *gw, struct call *call, struct session *owner,
			      const struct destination *to, bool fresh)
{
	struct upstream *u = shared_get(call, owner, to);

	if (u) {
		u->reused &= !fresh;
		return u;
	}
	for (u = fresh ? NULL : call->idle; u; u = u->next) {
		if (!upstream_serves(u, to))
			continue;
		upstream_unlink(u);
		timer_stop(&gw->loop, &u->timer);
		u->owner = owner;
		u->reused = true;
		u->retained = false;
		return u;
	}
	u = upstream_new(gw, call, owner, to);
	if (u)
		upstream_start(u);
	return u;
}

void upstream_release(struct upstream *u, bool keep)
{
	struct stream *s = &u->stream;
	struct call *call = u->call;

	if (!keep || u->stream.carrier || !u->retained || u->state != UPSTREAM_READY || !quiet(u)) {
		upstream_close(u, false);
		return;
	}
	/* As many as its clients have: with fewer, each of many at once would take the connection of another away. */
	size_t most = call->n_sessions > CALL_MAX_IDLE_UPSTREAMS ? call->n_sessions : CALL_MAX_IDLE_UPSTREAMS;
	while (call->n_idle >= most) {
		struct upstream *oldest = call->idle;
		while (oldest->next)
			oldest = oldest->next;
		upstream_close(oldest, false);
	}
	iobuf_free(&s->in);
	iobuf_free(&s->out);
	u->owner = NULL;
	u->next = call->idle;
	if (u->next)
		u->next->prev = &u->next;
	u->prev = &call->idle;
	call->idle = u;
	call->n_idle++;
	timer_start(&u->gw->loop, &u->timer, IDLE_US);
}
