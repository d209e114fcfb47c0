/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a request on its way out, scanned for placeholders before it leaves. */
#include <errno.h>

#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"

/* Move clean bytes of x->held out, in the framing of the request. */
static int send_clean(struct session *s, size_t clean)
{
	struct exchange *x = s->x;
	struct iobuf *out = &s->up->stream.out;
	int r = 0;

	if (!clean)
		return 0;
	if (!authority_count_upload(s->call, clean))
		return -EDQUOT;
	x->body_sent = true;
	if (x->send_framing == HTTP1_BODY_CHUNKED) {
		char head[HTTP1_CHUNK_HEAD_MAX];
		r = iobuf_append(out, head, http1_chunk_head(head, clean));
	}
	if (r == 0)
		r = iobuf_append(out, iobuf_head(&x->held), clean);
	if (r == 0 && x->send_framing == HTTP1_BODY_CHUNKED)
		r = iobuf_append(out, "\r\n", 2);
	iobuf_consume(&x->held, clean);
	return r;
}

static int finish(struct session *s)
{
	struct exchange *x = s->x;
	_cleanup_buf_ struct buf last = { 0 };

	x->upload_done = true;
	if (x->send_framing != HTTP1_BODY_CHUNKED)
		return 0;
	/* Trailers carry no credentials of ours; a placeholder in them is as out of place as in the body. */
	const struct http1_head *t = &x->upload.trailers;
	for (size_t i = 0; i < t->n_fields; i++) {
		int r = credentials_check_trailer(s, (const uint8_t *)http1_text(t, t->fields[i].name),
					       t->fields[i].value.off + t->fields[i].value.len - t->fields[i].name.off);
		if (r < 0)
			return r;
	}
	x->body_sent = true;
	int r = http1_write_last_chunk(&last, t);
	return r < 0 ? r : iobuf_append(&s->up->stream.out, last.data, last.len);
}

/* One feed of the parser. The number of input bytes taken, or -errno. */
static ssize_t take(struct session *s)
{
	struct exchange *x = s->x;
	struct iobuf *in = &s->client.in;
	struct http1_span payload = { 0 };
	size_t clean = 0;

	ssize_t n = http1_body_feed(&x->upload, iobuf_head(in), iobuf_len(in), &payload);
	if (n < 0)
		return n;
	int r = credentials_stream_body(s, iobuf_head(in) + payload.off, payload.len, x->upload.done, &clean);
	if (r == 0)
		r = send_clean(s, clean);
	if (r == 0 && x->upload.done)
		r = finish(s);
	iobuf_consume(in, (size_t)n);
	return r < 0 ? r : n;
}

/* What was begun cannot be taken back: the server sees a broken request, not a shorter one. */
static void cut(struct session *s, int error)
{
	struct exchange *x = s->x;

	x->keep_client = false;
	if (x->answer_begun) {
		session_abort(s);
		return;
	}
	if (error == -EACCES)
		request_refuse(s, NULL, 403, "secret-misuse",
			       "The request carries the placeholder of a secret to where that secret may not go.");
	else if (error == -EDQUOT)
		request_refuse(s, "limit.hit", 429, "bytes-up", "The grant of this call allows no more bytes to be sent.");
	else
		request_refuse(s, "http.deny", 400, x->upload.error ? x->upload.error : "bad-body",
			       "The body is not well-formed.");
	request_record(s, "http.request", x->problem.reason, true);
	upstream_close(TAKE_PTR(s->up), true);
}

bool upload_run(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *c = &s->client, *u = &s->up->stream;
	bool moved = stream_flush(u);

	while (!x->upload_done && iobuf_len(&u->out) < STREAM_CHUNK && !stream_gone(u)) {
		if (!iobuf_len(&c->in)) {
			stream_fill(c, STREAM_CHUNK);
			if (!iobuf_len(&c->in))
				break;
		}
		ssize_t n = take(s);
		if (n < 0) {
			cut(s, (int)n);
			return true;
		}
		moved = true;
		if (iobuf_len(&u->out) >= STREAM_CHUNK / 2)
			stream_flush(u);
	}
	moved |= stream_flush(u);
	/* Notice a client that goes away, but leave a pipelined request where it is. */
	if (x->upload_done && !iobuf_len(&c->in))
		stream_fill(c, 1);
	return moved;
}
