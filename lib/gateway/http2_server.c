/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 from inside: each stream becomes a session of its own, which is handled as any other. */
#include <errno.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/http2.h"
#include "gateway/http2_pending.h"

#define HEAD_US (10u * 1000000u)
#define IDLE_US (120u * 1000000u)

static void request(struct http2 *h, struct http2_stream *st)
{
	struct session *connection = h->owner;

	/* What is not accepted is refused in a way that lets the client try again. */
	if (records_congested(&connection->gw->records))
		return;
	struct session *s = session_open_lane(connection);
	if (!s)
		return;
	struct http1_head head;
	http2_accept(st, &s->client, session_wake, &head);
	if (http_open(s) < 0) {
		http1_head_reset(&head);
		session_abort(s);
		return;
	}
	s->x->request = head;
}

static void violation(struct http2 *h, const char *reason, bool ends)
{
	struct session *s = h->owner;
	_cleanup_buf_ struct buf members = { 0 };

	(void)ends;
	session_members(s, &members);
	json_member_string(&members, "proto", "https");
	records_add(&s->gw->records, "net.deny", s->call, reason, &members);
}

static void pending(struct http2 *h)
{
	struct session *s = h->owner;

	http2_pend(s->gw, h);
}

static const struct http2_ops OPS = { .request = request, .pending = pending, .violation = violation };

int http2_server_start(struct session *s)
{
	s->h2 = http2_new(true, &s->client, &OPS, s, &s->gw->loop.now);
	if (!s->h2)
		return -ENOMEM;
	s->state = SESSION_HTTP2;
	return 0;
}

/* A head that does not end, and a connection that nobody uses, have a time. */
static void set_timer(struct session *s)
{
	struct http2 *h = s->h2;

	if (h->opening && !s->head_timed)
		session_timeout(s, HEAD_US);
	else if (!h->opening && h->n_streams)
		session_timeout(s, 0);
	else if (!h->opening && (!s->timer.prev || s->head_timed))
		session_timeout(s, IDLE_US);
	s->head_timed = h->opening;
}

bool http2_server_run(struct session *s)
{
	bool moved = http2_run(s->h2);

	if (!http2_finished(s->h2)) {
		set_timer(s);
		return moved;
	}
	http2_break_streams(s->h2);
	if (stream_gone(&s->client) || s->client.eof)
		session_close(s);
	else
		session_finish(s);
	return true;
}

void http2_server_timeout(struct session *s)
{
	if (s->h2->opening)
		violation(s->h2, "timeout", true);
	http2_terminate(s->h2, s->h2->opening ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
	http2_run(s->h2);
	http2_break_streams(s->h2);
	session_finish(s);
	session_run(s);
}

void http2_server_drop(struct session *s)
{
	if (s->h2)
		http2_break_streams(s->h2);
}

void http2_server_free(struct session *s)
{
	if (!s->h2)
		return;
	http2_unpend(s->h2);
	http2_free(TAKE_PTR(s->h2));
}
