/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a server on its way in. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/scrub_answer.h"

static int write_head(struct session *s)
{
	static struct buf text; /* kept: no allocation for each answer */
	struct exchange *x = s->x;
	struct http1_response_out how = { .http10 = x->request.minor == 0, .keep_alive = x->keep_client };
	bool final = x->answer.status >= 200;

	/* Interim answers are for clients that know them. */
	if (!final && how.http10)
		return 0;
	if (final) {
		x->answer_framing = http1_response_framing(&x->answer, &how);
		if (x->answer_framing == HTTP1_BODY_EOF)
			how.keep_alive = false;
	}
	if (x->scrub) {
		how.value = answer_scrub_value;
		how.data = s;
	}
	text.len = 0;
	int r = http1_write_response(&text, &x->answer, &how);
	if (r == 0)
		r = iobuf_append(&s->client.out, text.data, text.len);
	return r;
}

static int read_head(struct session *s)
{
	struct exchange *x = s->x;
	struct iobuf *in = &s->up->stream.in;

	ssize_t n = http1_head_feed(&x->answer, iobuf_head(in), iobuf_len(in));
	if (n < 0)
		return (int)n;
	iobuf_consume(in, (size_t)n);
	if (!x->answer.complete)
		return 0;
	bool final = x->answer.status >= 200;
	if (final)
		http1_body_init(&x->download, &x->answer);
	int r = answer_scrub_head(s);
	if (r == 0)
		r = write_head(s);
	if (r < 0)
		return r;
	if (!final) {
		bool to_head = x->answer.to_head;
		x->answer_begun = x->request.minor != 0;
		http1_head_reset(&x->answer);
		x->answer.to_head = to_head;
		return 0;
	}
	x->answer_begun = true;
	x->answer_final = true;
	x->download_done = x->download.done;
	return 0;
}

static int write_payload(struct session *s, const uint8_t *data, size_t len)
{
	struct exchange *x = s->x;
	struct iobuf *out = &s->client.out;
	char head[HTTP1_CHUNK_HEAD_MAX];
	int r = 0;

	if (!len)
		return 0;
	if (x->answer_framing == HTTP1_BODY_CHUNKED)
		r = iobuf_append(out, head, http1_chunk_head(head, len));
	if (r == 0)
		r = iobuf_append(out, data, len);
	if (r == 0 && x->answer_framing == HTTP1_BODY_CHUNKED)
		r = iobuf_append(out, "\r\n", 2);
	return r;
}

/* Payload as the server sent it. */
static int pass_payload(struct session *s, const uint8_t *data, size_t len)
{
	_cleanup_buf_ struct buf clean = { 0 };

	if (!s->x->scrub)
		return write_payload(s, data, len);
	int r = answer_scrub_body(s, data, len, &clean);
	return r < 0 ? r : write_payload(s, clean.data, clean.len);
}

static int finish(struct session *s)
{
	struct exchange *x = s->x;
	_cleanup_buf_ struct buf last = { 0 }, rest = { 0 };

	if (x->scrub) {
		int r = answer_scrub_end(s, &rest);
		if (r == 0)
			r = write_payload(s, rest.data, rest.len);
		if (r < 0)
			return r;
	}
	x->download_done = true;
	if (x->answer_framing != HTTP1_BODY_CHUNKED)
		return 0;
	bool trailers = x->answer.framing == HTTP1_BODY_CHUNKED;
	int r = http1_write_last_chunk(&last, trailers ? &x->download.trailers : NULL);
	return r < 0 ? r : iobuf_append(&s->client.out, last.data, last.len);
}

static int read_body(struct session *s)
{
	struct exchange *x = s->x;
	struct iobuf *in = &s->up->stream.in;
	struct http1_span payload = { 0 };

	ssize_t n = http1_body_feed(&x->download, iobuf_head(in), iobuf_len(in), &payload);
	if (n < 0)
		return (int)n;
	int r = pass_payload(s, iobuf_head(in) + payload.off, payload.len);
	if (r == 0 && x->download.done && !answer_scrub_waiting(x))
		r = finish(s);
	iobuf_consume(in, (size_t)n);
	return r;
}

/* What was compressed makes more than one piece. */
static int unpack(struct session *s)
{
	int r = pass_payload(s, NULL, 0);

	return r == 0 && s->x->download.done && !answer_scrub_waiting(s->x) ? finish(s) : r;
}

/* Nothing more comes from the server. */
static int ended(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *u = &s->up->stream;

	/* Without a close_notify the end of a body that only the end delimits may be anybody's doing. */
	if (u->broken || !u->clean)
		return -EBADMSG;
	int r = http1_body_eof(&x->download);
	return r < 0 ? r : finish(s);
}

/* Before an answer has begun a bad one can be replaced; afterwards the client has to see that it was cut off. */
static void bad_answer(struct session *s, const char *reason)
{
	struct exchange *x = s->x;

	x->keep_client = false;
	if (x->answer_begun) {
		request_record(s, "http.request", reason, true);
		x->state = EXCHANGE_HEAD; /* recorded */
		session_abort(s);
		return;
	}
	if (strcmp(reason, "content-encoding") == 0)
		request_refuse(s, NULL, 502, reason,
			       "The answer of the server is in a coding that cannot be searched for secrets.");
	else
		request_refuse(s, NULL, 502, reason, "The answer of the server is not well-formed, or could be read in two ways.");
	request_record(s, "http.request", reason, true);
}

bool download_run(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *c = &s->client, *u = &s->up->stream;
	bool moved = false;

	while (!x->download_done && iobuf_len(&c->out) < STREAM_CHUNK && !stream_gone(c)) {
		bool waiting = answer_scrub_waiting(x);
		if (!waiting && !iobuf_len(&u->in)) {
			stream_fill(u, STREAM_CHUNK);
			if (!iobuf_len(&u->in))
				break;
		}
		int r = waiting ? unpack(s) : x->answer_final ? read_body(s) : read_head(s);
		if (r < 0) {
			bad_answer(s, r == -ENOMEM ? "no-memory" : x->answer_final ? "bad-body" :
				      x->answer.error ? x->answer.error : "bad-head");
			return true;
		}
		moved = true;
		if (iobuf_len(&c->out) >= STREAM_CHUNK / 2)
			stream_flush(c);
	}
	if (!x->download_done && x->answer_final && u->eof && !iobuf_len(&u->in) && !answer_scrub_waiting(x) &&
	    ended(s) < 0) {
		stream_flush(c);
		bad_answer(s, "truncated");
		return true;
	}
	moved |= stream_flush(c);
	return moved;
}
