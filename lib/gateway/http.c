/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on a connection from inside: one exchange after the other, or the one of an HTTP/2 stream. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/codec.h"
#include "gateway/gateway.h"
#include "gateway/http2.h"
#include "gateway/scrub_answer.h"
#include "gateway/signing.h"
#include "gateway/tunnel.h"

#define HEAD_US (10u * 1000000u)
#define IDLE_US (120u * 1000000u)
#define STALL_US (500u * 1000u)
#define SMALL_BODY_US (60u * 1000000u)
/* Nothing at all moved either way: longer than any model thinks. */
#define SILENCE_US (3600ull * 1000000u)

void exchange_free(struct exchange *x)
{
	signing_release(x);
	http1_head_reset(&x->request);
	http1_head_reset(&x->answer);
	http1_body_reset(&x->upload);
	http1_body_reset(&x->download);
	rewrite_reset(&x->body);
	buf_wipe(&x->small_body);
	answer_scrub_free(x->scrub);
	tunnel_free(x->tunnel);
	buf_wipe(&x->head);
	buf_free(&x->what);
	buf_free(&x->flag);
	buf_free(&x->detail);
	iobuf_free(&x->held);
	free(x->path);
	free(x->method);
	free(x->auditor);
	free(x);
}

/* Record what became of a request that was decided about, also when it ended before its time. */
static void finish_record(struct session *s, const char *reason)
{
	if (s->x->state == EXCHANGE_CONNECT || s->x->state == EXCHANGE_FORWARD || s->x->state == EXCHANGE_TUNNEL)
		request_record(s, "http.request", reason, true);
	else if (s->x->state == EXCHANGE_ASK || s->x->state == EXCHANGE_SECRET)
		request_record(s, "http.deny", reason, false);
}

void http_drop(struct session *s)
{
	if (!s->x)
		return;
	/* A request over HTTP/2 ends with its stream's half, which says nothing about the client. */
	bool eof = s->client.eof && !s->client.carrier;
	bool waits = s->x->state == EXCHANGE_ASK || s->x->state == EXCHANGE_SECRET;
	finish_record(s, stream_gone(&s->client) || eof || (waits && s->client.hup) ? "client-closed" : "cut");
	exchange_free(TAKE_PTR(s->x));
}

int http_open(struct session *s)
{
	s->x = calloc(1, sizeof(*s->x));
	if (!s->x)
		return -ENOMEM;
	s->x->started = s->gw->loop.now;
	s->quota = NULL; /* that of the one before, on this connection */
	s->x->request.kind = HTTP1_REQUEST;
	s->x->answer.kind = HTTP1_RESPONSE;
	return 0;
}

static bool begin(struct session *s)
{
	struct stream *c = &s->client;

	if (records_congested(&s->gw->records)) {
		s->stalled = true;
		session_timeout(s, STALL_US);
		return false;
	}
	stream_fill(c, STREAM_CHUNK);
	if (!iobuf_len(&c->in)) {
		if (c->eof) {
			session_close(s);
			return true;
		}
		/* An idle connection keeps no buffers. */
		if (!iobuf_len(&c->out))
			iobuf_free(&c->out);
		iobuf_free(&c->in);
		if (!s->timer.prev)
			session_timeout(s, IDLE_US);
		return false;
	}
	if (http_open(s) < 0) {
		session_abort(s);
		return true;
	}
	session_timeout(s, HEAD_US);
	return true;
}

static const char *parse_detail(int status)
{
	switch (status) {
	case 405:
		return "This method is not supported.";
	case 501:
		return "The request asks for something that is not supported.";
	case 505:
		return "Only HTTP/1.0 and HTTP/1.1 are supported.";
	case 431:
		return "The header is too large.";
	case 414:
		return "The request line is too long.";
	default:
		return "The request is not well-formed, or could be read in two ways.";
	}
}

/* The head is complete. */
static void head_read(struct session *s)
{
	struct exchange *x = s->x;

	/* An HTTP/2 stream is for one request. */
	x->keep_client = x->request.keep_alive && !s->client.carrier;
	x->answer.to_head = http1_slice_is(&x->request, x->request.method, "HEAD");
	x->answer.to_websocket = x->request.websocket;
	client_body_begin(s);
	x->upload_done = x->upload.done;
	if (x->request.framing == HTTP1_BODY_LENGTH && !x->request.expect_continue && s->gw->secrets.table.n &&
	    (x->request.content_length <= SMALL_BODY || signing_wants_body(s))) {
		x->state = EXCHANGE_BODY;
		session_timeout(s, SMALL_BODY_US);
	} else {
		request_decide(s);
	}
}

static void head_refused(struct session *s)
{
	struct exchange *x = s->x;

	x->keep_client = false;
	request_refuse(s, "http.deny", x->request.error_status, x->request.error, parse_detail(x->request.error_status));
}

static bool read_head(struct session *s)
{
	struct stream *c = &s->client;
	struct exchange *x = s->x;

	/* HTTP/2 hands heads over whole (http_open()), refused ones too. */
	while (!x->request.complete && !x->request.error) {
		size_t len = iobuf_len(&c->in);
		if (!len) {
			stream_fill(c, STREAM_CHUNK);
			len = iobuf_len(&c->in);
		}
		if (!len) {
			if (!c->eof)
				return false;
			if (!http1_head_idle(&x->request))
				request_record(s, "http.deny", "incomplete", false);
			session_close(s);
			return true;
		}
		ssize_t n = http1_head_feed(&x->request, iobuf_head(&c->in), len);
		if (n == -ENOMEM) {
			session_abort(s);
			return true;
		}
		iobuf_consume(&c->in, n < 0 ? 0 : (size_t)n);
	}
	if (x->request.error)
		head_refused(s);
	else
		head_read(s);
	return true;
}

static bool read_small_body(struct session *s)
{
	struct stream *c = &s->client;
	struct exchange *x = s->x;

	if (iobuf_len(&c->in) < x->request.content_length)
		stream_fill(c, STREAM_CHUNK > x->request.content_length ? STREAM_CHUNK : (size_t)x->request.content_length);
	if (iobuf_len(&c->in) < x->request.content_length) {
		if (!c->eof)
			return false;
		request_record(s, "http.deny", "incomplete", false);
		session_close(s);
		return true;
	}
	x->body_seen = true;
	request_decide(s);
	return true;
}

/* The connection can take another request: this one's body lies wholly in the buffer, or there is none. */
static bool body_is_skippable(struct session *s)
{
	struct exchange *x = s->x;

	if (!x->request.complete || !x->keep_client)
		return false;
	if (x->upload_done)
		return true;
	return x->request.framing == HTTP1_BODY_LENGTH && !x->body_sent && x->upload.payload == 0 &&
	       iobuf_len(&s->client.in) >= x->request.content_length;
}

/* Our own answer. */
static bool refuse(struct session *s)
{
	struct exchange *x = s->x;
	bool keep = body_is_skippable(s);

	if (!s->acked)
		return false;
	x->problem.close = !keep;
	if (client_send_problem(s) < 0) {
		session_abort(s);
		return true;
	}
	if (s->up)
		upstream_close(TAKE_PTR(s->up), true);
	if (keep && !x->upload_done)
		iobuf_consume(&s->client.in, (size_t)x->request.content_length);
	exchange_free(TAKE_PTR(s->x));
	stream_flush(&s->client);
	session_timeout(s, 0);
	if (!keep)
		session_finish(s);
	return true;
}

static bool connect_upstream(struct session *s, bool fresh)
{
	struct exchange *x = s->x;
	struct destination to = { .host = s->name ? s->name->text : NULL, .addr = session_raw_addr(s), .port = s->port,
				  .proto = s->tls ? PROTO_HTTPS : PROTO_HTTP, .tls = s->tls, .http1_only = x->request.websocket,
				  .allow_private = x->verdict.allow_private || !s->name };

	x->state = EXCHANGE_CONNECT;
	s->up = upstream_get(s->gw, s->call, s, &to, fresh);
	if (!s->up)
		session_abort(s);
	return true;
}

/* For the auditor or a command. It may take minutes. A client that leaves, also by ending only its own direction, no longer waits: what somebody
 * allows then must not happen behind its back. */
static bool asking(struct session *s)
{
	struct stream *c = &s->client;

	if (s->x->state == EXCHANGE_SECRET ? request_issued(s) : request_asked(s))
		return true;
	/* Looks for the end; a pipelined request stays where it is. */
	if (s->x->upload_done && !iobuf_len(&c->in))
		stream_fill(c, 1);
	if (!stream_gone(c) && !c->hup && (!c->eof || c->carrier))
		return false;
	session_abort(s);
	return true;
}

static bool recorded(struct session *s)
{
	if (!s->acked)
		return false;
	if (s->refused) {
		request_refuse(s, NULL, 503, "audit-log", "The audit log cannot be written, so nothing is allowed.");
		s->acked = true;
		return true;
	}
	return connect_upstream(s, false);
}

/* Over another connection, once: nobody can have acted on the request. */
static bool again(struct session *s)
{
	if (s->x->retried)
		return false;
	s->x->retried = true;
	upstream_close(TAKE_PTR(s->up), true);
	return connect_upstream(s, true);
}

/* A kept-alive connection may have died just when it was used, and an HTTP/2 server says what it did not look at. */
static bool retry(struct session *s)
{
	static const char *const idempotent[] = { "GET", "HEAD", "OPTIONS", "PUT", "DELETE" };
	struct exchange *x = s->x;
	bool safe = http2_refused(&s->up->stream);

	if ((!s->up->reused && !safe) || x->answer_begun || !http1_head_idle(&x->answer) || x->body_sent)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(idempotent); i++)
		safe |= http1_slice_is(&x->request, x->request.method, idempotent[i]);
	return safe && again(s);
}

static bool connecting(struct session *s)
{
	struct exchange *x = s->x;

	if (s->up->state == UPSTREAM_FAILED) {
		request_unreachable(s);
		return true;
	}
	if (s->up->state != UPSTREAM_READY) {
		/* A client that went away meanwhile needs no answer. */
		if (stream_gone(&s->client)) {
			session_abort(s);
			return true;
		}
		return false;
	}
	int r = upstream_send_request(s);
	if (r == -EPIPE && again(s))
		return true;
	if (r < 0) {
		session_abort(s);
		return true;
	}
	x->state = EXCHANGE_FORWARD;
	session_timeout(s, SILENCE_US);
	return true;
}

/* The answer is with the client, or in its buffer. */
static void complete(struct session *s)
{
	struct exchange *x = s->x;
	bool keep = x->keep_client && x->upload_done && x->answer_framing != HTTP1_BODY_EOF;

	request_record(s, "http.request", "", true);
	s->up->retained = x->upload_done && x->answer.keep_alive && x->answer.framing != HTTP1_BODY_EOF &&
			  !iobuf_len(&s->up->stream.out);
	upstream_release(TAKE_PTR(s->up), true);
	exchange_free(TAKE_PTR(s->x));
	session_timeout(s, 0);
	if (!keep)
		session_finish(s);
}

static bool forward(struct session *s)
{
	struct exchange *x = s->x;
	bool moved = upload_run(s);

	if (s->state != SESSION_HTTP || s->x != x || x->state != EXCHANGE_FORWARD)
		return true;
	moved |= download_run(s);
	if (s->state != SESSION_HTTP || s->x != x || x->state != EXCHANGE_FORWARD)
		return true;
	if (x->download_done) {
		complete(s);
		return true;
	}
	if (s->up->stream.eof && !iobuf_len(&s->up->stream.in) && !x->answer_final) {
		if (retry(s))
			return true;
		s->up->failure = "closed";
		request_refuse(s, NULL, 502, "upstream-closed", "The server closed the connection without an answer.");
		request_record(s, "http.request", "upstream-closed", true);
		return true;
	}
	if (stream_gone(&s->client)) {
		session_abort(s);
		return true;
	}
	/* Over TLS nobody closes one direction only: this client has gone, and an endless answer would never notice. */
	if (s->client.eof && !s->client.carrier && !iobuf_len(&s->client.in) && (s->tls || !x->upload_done)) {
		session_abort(s);
		return true;
	}
	if (moved)
		session_timeout(s, SILENCE_US);
	return false;
}

bool http_run(struct session *s)
{
	stream_flush(&s->client);
	if (stream_gone(&s->client) && !s->x) {
		session_close(s);
		return true;
	}
	/* A reset stream is nobody's any more, whatever its request waits for. */
	if (s->client.carrier && s->client.broken) {
		session_abort(s);
		return true;
	}
	/* The answers before this one have to go out first: a client that does not read gets no more work done. */
	if (!s->x && iobuf_len(&s->client.out) >= STREAM_CHUNK)
		return false;
	if (!s->x)
		return begin(s);
	switch (s->x->state) {
	case EXCHANGE_HEAD:
		return read_head(s);
	case EXCHANGE_BODY:
		return read_small_body(s);
	case EXCHANGE_SECRET:
	case EXCHANGE_ASK:
		return asking(s);
	case EXCHANGE_RECORD:
		return recorded(s);
	case EXCHANGE_REFUSED:
		return refuse(s);
	case EXCHANGE_CONNECT:
		return connecting(s);
	case EXCHANGE_FORWARD:
		return forward(s);
	case EXCHANGE_TUNNEL:
		return tunnel_run(s);
	}
	return false;
}

void http_timeout(struct session *s)
{
	struct exchange *x = s->x;

	if (!x) {
		if (!s->stalled)
			session_close(s);
		s->stalled = false;
		return;
	}
	switch (x->state) {
	case EXCHANGE_HEAD:
	case EXCHANGE_BODY:
		x->keep_client = false;
		request_refuse(s, "http.deny", 408, "timeout", "The request did not come in time.");
		return;
	case EXCHANGE_SECRET:
		request_refuse(s, "http.deny", 504, "secret-timeout", "The command of a secret did not answer in time.");
		return;
	default:
		session_abort(s);
	}
}
