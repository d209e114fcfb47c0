/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a server on its way in. */
#include <errno.h>
#include <string.h>

#include "gateway/codec.h"
#include "gateway/http2.h"
#include "gateway/scrub_answer.h"
#include "gateway/tunnel.h"

/* 1 something was read, 0 nothing is there yet, or -errno; as read_body(). */
static int read_head(struct session *s)
{
	struct exchange *x = s->x;

	int got = upstream_read_head(s);
	if (got <= 0)
		return got;
	bool final = x->answer.status >= 200 || x->answer.websocket;
	int r = x->answer.websocket ? tunnel_begin(s) : 0;
	if (r == 0)
		r = answer_scrub_head(s);
	if (r == 0)
		r = client_send_head(s, final && x->download.done);
	if (r < 0)
		return r;
	if (!final) {
		bool to_head = x->answer.to_head, to_websocket = x->answer.to_websocket;
		x->answer_begun = x->request.minor != 0;
		http1_head_reset(&x->answer);
		x->answer.to_head = to_head;
		x->answer.to_websocket = to_websocket;
		return 1;
	}
	x->answer_begun = true;
	x->answer_final = true;
	if (x->answer.websocket)
		x->state = EXCHANGE_TUNNEL;
	x->download_done = x->download.done;
	return 1;
}

/* What the client asked for of it. */
static int send_payload(struct session *s, const uint8_t *data, size_t len)
{
	struct exchange *x = s->x;
	struct range_cut *cut = &x->cut;

	if (x->is_cut) {
		size_t skip = len < cut->skip ? len : (size_t)cut->skip;
		cut->skip -= skip;
		data += skip;
		len = len - skip < cut->left ? len - skip : (size_t)cut->left;
		cut->left -= len;
	}
	return len ? client_send_payload(s, data, len) : 0;
}

/* Payload as the server sent it. */
static int pass_payload(struct session *s, const uint8_t *data, size_t len)
{
	_cleanup_buf_ struct buf clean = { 0 };

	if (!s->x->scrub)
		return client_send_payload(s, data, len);
	int r = answer_scrub_body(s, data, len, &clean);
	if (r < 0)
		return r;
	return r ? send_payload(s, data, len) : send_payload(s, clean.data, clean.len);
}

static int finish(struct session *s)
{
	struct exchange *x = s->x;
	_cleanup_buf_ struct buf rest = { 0 };

	/* What is held back may be the beginning of a value that goes on in what is missing. */
	if (x->part && x->download.payload != x->part)
		return -EBADMSG;
	int r = x->scrub ? answer_scrub_end(s, &rest) : 0;
	if (r == 0)
		r = send_payload(s, rest.data, rest.len);
	if (r == 0 && x->is_cut && x->cut.left)
		r = -EBADMSG;
	if (r < 0)
		return r;
	s->x->download_done = true;
	return client_send_end(s);
}

static bool ready_to_finish(const struct session *s)
{
	const struct stream *u = &s->up->stream;

	/* From HTTP/2 to HTTP/2 trailers may follow a body of known length. */
	return s->x->download.done && !answer_scrub_waiting(s->x) && !(u->carrier && s->client.carrier && !u->eof);
}

/* What was compressed makes more than one piece. */
static int unpack(struct session *s)
{
	int r = pass_payload(s, NULL, 0);

	if (r == 0 && ready_to_finish(s))
		r = finish(s);
	return r < 0 ? r : 1;
}

static int read_body(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *u = &s->up->stream;
	struct http1_span payload = { 0 };

	if (!iobuf_len(&u->in))
		stream_fill(u, STREAM_CHUNK);
	if (!iobuf_len(&u->in))
		return 0;
	ssize_t n = http1_body_feed(&x->download, iobuf_head(&u->in), iobuf_len(&u->in), &payload);
	if (n <= 0)
		return n < 0 ? (int)n : -EBADMSG; /* more than the length that was promised */
	int r = pass_payload(s, iobuf_head(&u->in) + payload.off, payload.len);
	if (r == 0 && ready_to_finish(s))
		r = finish(s);
	iobuf_consume(&u->in, (size_t)n);
	return r < 0 ? r : 1;
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
	if (u->carrier)
		http2_take_trailers(u, &x->download.trailers);
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
	if (strcmp(reason, "decoders") == 0)
		request_refuse(s, NULL, 502, reason,
			       "Too many answers in the codings br and zstd are being read at once; ask for gzip, or for fewer.");
	else if (strcmp(reason, "partial") == 0)
		request_refuse(s, NULL, 502, reason,
			       "The server answered with a part of something that was not asked for, or is compressed, which cannot be "
			       "searched for secrets.");
	else if (strcmp(reason, "range") == 0)
		request_refuse(s, NULL, 416, reason, "What was asked for begins behind the end.");
	else if (strcmp(reason, "content-encoding") == 0)
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
		int r = answer_scrub_waiting(x) ? unpack(s) : x->answer_final ? read_body(s) : read_head(s);
		if (r == 0)
			break;
		if (r < 0) {
			bad_answer(s, r == -ENOMEM ? "no-memory" : x->answer_final ? "bad-body" :
				      x->answer.error ? x->answer.error : "bad-head");
			return true;
		}
		if (x->state == EXCHANGE_TUNNEL)
			return true;
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
