/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to servers that speak HTTP/2: one for each call and place, shared by the requests of that call alone. */
#include <string.h>

#include "gateway/gateway.h"
#include "gateway/http2.h"
#include "gateway/http2_pending.h"
#include "gateway/session.h"
#include "gateway/upstream_private.h"

#define IDLE_US (30u * 1000000u)
/* What servers mostly allow at once. */
#define WAITING_MAX 100u

static void request(struct http2 *h, struct http2_stream *st)
{
	/* Servers ask for nothing: pushes are off, and nghttp2 ends the connection of one that tries. */
	(void)h;
	(void)st;
}

static void pending(struct http2 *h)
{
	struct upstream *u = h->owner;

	http2_pend(u->gw, h);
}

static void violation(struct http2 *h, const char *reason, bool ends)
{
	/* Each request that ends with the connection has a record that says so. */
	(void)h;
	(void)reason;
	(void)ends;
}

static const struct http2_ops OPS = { .request = request, .pending = pending, .violation = violation };

static void link_to(struct upstream **list, struct upstream *u)
{
	u->next = *list;
	if (u->next)
		u->next->prev = &u->next;
	u->prev = list;
	*list = u;
}

static struct name *name_of(const struct upstream *u)
{
	const struct name *name = u->to.host ? names_find(&u->gw->names, u->to.host) : NULL;

	return name ? u->gw->names.by_index[name->index] : NULL;
}

/* u has a stream of its own of connection c. */
static int open_stream(struct upstream *u, struct upstream *c)
{
	int r = http2_open(c->h2, &u->stream, upstream_wake);
	if (r < 0)
		return r;
	u->addr = c->addr;
	u->private_addr = c->private_addr;
	u->state = UPSTREAM_READY;
	timer_stop(&c->gw->loop, &c->timer);
	return 0;
}

/* What the first finds out holds for the other when both may go to the same addresses. */
static bool may_wait_for(const struct upstream *u, const struct destination *to)
{
	size_t n = 0;

	for (const struct upstream *w = u->waiting; w; w = w->next)
		n++;
	return upstream_same(u, to) && n < WAITING_MAX && (u->pinned || u->to.allow_private == to->allow_private);
}

/* A connection that can take a request there, or that may soon. */
static struct upstream *find(struct call *call, const struct destination *to)
{
	for (struct upstream *c = call->shared; c; c = c->next) {
		if (c->h2 ? upstream_serves(c, to) && http2_can_open(c->h2) : may_wait_for(c, to))
			return c;
	}
	return NULL;
}

static int take_place(struct upstream *u, struct upstream *c)
{
	if (c->h2)
		return open_stream(u, c);
	u->state = UPSTREAM_WAITING;
	u->lead = c;
	link_to(&c->waiting, u);
	return 0;
}

struct upstream *shared_get(struct call *call, struct session *owner, const struct destination *to)
{
	struct upstream *c = to->tls && !to->http1_only ? find(call, to) : NULL;
	struct upstream *u = c ? upstream_new(c->gw, call, owner, to) : NULL;

	if (!u)
		return NULL;
	if (take_place(u, c) < 0) {
		upstream_close(u, false);
		return NULL;
	}
	u->reused = c->h2;
	return u;
}

/* Servers that nobody uses make room for others. */
static void make_room(struct call *call)
{
	struct upstream *oldest = NULL;

	if (call->n_shared < CALL_MAX_IDLE_UPSTREAMS)
		return;
	for (struct upstream *c = call->shared; c; c = c->next) {
		if (c->h2 && c->h2->n_streams == 0)
			oldest = c;
	}
	if (oldest)
		upstream_close(oldest, false);
}

static void share(struct upstream *u)
{
	make_room(u->call);
	link_to(&u->call->shared, u);
	u->shared = true;
	u->call->n_shared++;
}

void shared_offer(struct upstream *u)
{
	const struct name *name = name_of(u);

	/* Where HTTP/1.1 is spoken, waiting for the others would only take time. */
	if (u->to.tls && !u->to.http1_only && !(name && name->http1))
		share(u);
}

static struct upstream *next_waiting(struct upstream *u)
{
	struct upstream *w = u->waiting;

	if (w)
		upstream_unlink(w);
	return w;
}

/* From here on the connection belongs to the call, and what its owner has is a stream. */
static void become(struct upstream *u)
{
	struct session *owner = u->owner;
	struct upstream *first = upstream_new(u->gw, u->call, owner, &u->to), *w;

	u->h2 = first ? http2_new(false, &u->stream, &OPS, u, &u->gw->loop.now) : NULL;
	if (!u->h2 || open_stream(first, u) < 0) {
		if (first)
			upstream_close(first, false);
		upstream_fail(u, "no-memory", NULL);
		return;
	}
	if (!u->shared)
		share(u);
	u->owner = NULL;
	owner->up = first;
	session_run(owner);
	/* Who finds no room here waits for one more connection, not each for one of his own. */
	while ((w = next_waiting(u))) {
		struct upstream *c = find(w->call, &w->to);
		if (!c || take_place(w, c) < 0)
			upstream_start(w);
		if (w->state != UPSTREAM_WAITING)
			session_run(w->owner);
	}
}

void shared_settle(struct upstream *u)
{
	struct name *name = name_of(u);
	const uint8_t *proto;
	struct upstream *w;
	unsigned len = 0;

	if (!u->to.tls)
		return;
	SSL_get0_alpn_selected(u->stream.ssl, &proto, &len);
	bool http2 = len == 2;
	if (name && !u->to.http1_only)
		name->http1 = !http2;
	if (http2) {
		become(u);
		return;
	}
	upstream_unlink(u);
	while ((w = next_waiting(u))) {
		upstream_start(w);
		session_run(w->owner);
	}
}

void shared_failed(struct upstream *u)
{
	struct upstream *w;

	if (u->shared)
		upstream_unlink(u);
	while ((w = next_waiting(u))) {
		upstream_fail(w, u->failure, u->detail);
		session_run(w->owner);
	}
}

bool shared_pass_on(struct upstream *u)
{
	struct upstream *w = u->state < UPSTREAM_READY ? next_waiting(u) : NULL;

	if (!w)
		return false;
	u->owner = w->owner;
	u->owner->up = u;
	upstream_close(w, false);
	return true;
}

void shared_run(struct upstream *u)
{
	struct http2 *h = u->h2;

	if (u->state != UPSTREAM_READY)
		return;
	http2_run(h);
	if (http2_finished(h))
		upstream_close(u, false);
	else if (h->n_streams == 0 && !u->timer.prev)
		timer_start(&u->gw->loop, &u->timer, IDLE_US);
}

void shared_timeout(struct upstream *u)
{
	http2_terminate(u->h2, NGHTTP2_NO_ERROR);
	http2_run(u->h2);
	upstream_close(u, false);
}

void shared_close(struct upstream *u)
{
	if (!u->h2)
		return;
	/* Whoever has to try again must not find it. */
	upstream_unlink(u);
	u->state = UPSTREAM_FAILED;
	http2_break_streams(u->h2);
}
