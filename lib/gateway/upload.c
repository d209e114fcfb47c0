/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a request on its way out, scanned for placeholders before it leaves. */
#include <errno.h>

#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/codec.h"

/* Move clean bytes of x->held out, in the framing of the request. */
static int send_clean(struct session *s, size_t clean)
{
	struct exchange *x = s->x;

	if (!clean)
		return 0;
	if (quota_count_upload(&s->payers, clean).reason)
		return -EDQUOT;
	x->body_sent = true;
	int r = upstream_send_payload(s, iobuf_head(&x->held), clean);
	iobuf_consume(&x->held, clean);
	return r;
}

static int finish(struct session *s)
{
	struct exchange *x = s->x;
	const struct http1_head *t = &x->upload.trailers;

	x->upload_done = true;
	if (authority_placeholders_only(s->call) && credentials_named(t))
		return -EPERM;
	/* Trailers carry no credentials of ours; a placeholder in them is as out of place as in the body. */
	for (size_t i = 0; i < t->n_fields; i++) {
		int r = credentials_check(s, (const uint8_t *)http1_text(t, t->fields[i].name),
					  t->fields[i].value.off + t->fields[i].value.len - t->fields[i].name.off);
		if (r < 0)
			return r;
	}
	x->body_sent |= x->request.framing == HTTP1_BODY_CHUNKED;
	return upstream_send_end(s);
}

/* One feed of the parser. The number of input bytes taken, or -errno. */
static ssize_t take(struct session *s)
{
	struct exchange *x = s->x;
	struct iobuf *in = &s->client.in;
	struct http1_span payload = { 0 };
	/* One that was read as a whole goes on in pieces too. */
	size_t clean = 0, len = iobuf_len(in) < STREAM_CHUNK ? iobuf_len(in) : STREAM_CHUNK;

	ssize_t n = http1_body_feed(&x->upload, iobuf_head(in), len, &payload);
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

/* HTTP/2: the end came in a frame of its own, or with the last that was taken. */
static int take_end(struct session *s)
{
	size_t clean = 0;

	int r = client_body_end(s);
	if (r == 0)
		r = credentials_stream_body(s, NULL, 0, true, &clean);
	if (r == 0)
		r = send_clean(s, clean);
	return r < 0 ? r : finish(s);
}

static void over_quota(struct session *s)
{
	/* What went over was counted already. */
	struct over_quota over = quota_count_upload(&s->payers, 0);

	request_over_quota(s, &over);
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
	else if (error == -EPERM)
		request_refuse(s, "http.deny", 403, "foreign-credential",
			       "A trailer carries a credential that was not issued to this call.");
	else if (error == -ENOKEY)
		request_without_secret(s);
	else if (error == -EDQUOT)
		over_quota(s);
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
		if (!iobuf_len(&c->in))
			stream_fill(c, STREAM_CHUNK);
		bool at_end = !iobuf_len(&c->in) && c->carrier && c->eof && !c->broken;
		if (!iobuf_len(&c->in) && !at_end)
			break;
		ssize_t n = at_end ? take_end(s) : take(s);
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
