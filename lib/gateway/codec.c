/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 and HTTP/2 at both ends of an exchange. */
#include "gateway/codec.h"

#include <errno.h>
#include <stdio.h>

#include "gateway/http2.h"
#include "gateway/scrub_answer.h"

static int append_chunk(struct iobuf *out, bool chunked, const uint8_t *data, size_t len)
{
	char head[HTTP1_CHUNK_HEAD_MAX];
	int r = 0;

	if (!len)
		return 0;
	if (chunked)
		r = iobuf_append(out, head, http1_chunk_head(head, len));
	if (r == 0)
		r = iobuf_append(out, data, len);
	return r == 0 && chunked ? iobuf_append(out, "\r\n", 2) : r;
}

static int append_last_chunk(struct iobuf *out, const struct http1_head *trailers)
{
	_cleanup_buf_ struct buf last = { 0 };
	int r = http1_write_last_chunk(&last, trailers);

	return r < 0 ? r : iobuf_append(out, last.data, last.len);
}

void client_body_begin(struct session *s)
{
	struct exchange *x = s->x;

	http1_body_init(&x->upload, &x->request);
	/* Frames have taken the place of chunks. A length that was promised is still counted. */
	if (s->client.carrier && x->upload.framing == HTTP1_BODY_CHUNKED)
		x->upload.framing = HTTP1_BODY_EOF;
}

int client_body_end(struct session *s)
{
	int r = http1_body_eof(&s->x->upload);

	if (r == 0)
		http2_take_trailers(&s->client, &s->x->upload.trailers);
	return r;
}

static int send_answer_fields(struct session *s, const struct http1_response_out *how, bool ends)
{
	struct http2_fields fields = { 0 };
	int r = http2_write_response(&fields, &s->x->answer, how);

	if (r == 0)
		r = http2_send_answer(&s->client, &fields, s->x->answer.status < 200, ends);
	http2_fields_free(&fields);
	return r;
}

int client_send_head(struct session *s, bool ends)
{
	static struct buf text; /* kept: no allocation for each answer */
	struct exchange *x = s->x;
	struct http1_response_out how = { .http10 = x->request.minor == 0, .keep_alive = x->keep_client };
	bool final = x->answer.status >= 200;

	if (x->scrub) {
		how.value = answer_scrub_value;
		how.data = s;
	}
	if (s->client.carrier)
		return send_answer_fields(s, &how, ends);
	/* Interim answers are for clients that know them. */
	if (!final && how.http10)
		return 0;
	if (final) {
		x->answer_framing = http1_response_framing(&x->answer, &how);
		if (x->answer_framing == HTTP1_BODY_EOF)
			how.keep_alive = false;
	}
	text.len = 0;
	int r = http1_write_response(&text, &x->answer, &how);
	return r < 0 ? r : iobuf_append(&s->client.out, text.data, text.len);
}

int client_send_payload(struct session *s, const uint8_t *data, size_t len)
{
	return append_chunk(&s->client.out, !s->client.carrier && s->x->answer_framing == HTTP1_BODY_CHUNKED, data, len);
}

int client_send_end(struct session *s)
{
	struct exchange *x = s->x;

	if (s->client.carrier)
		return http2_send_end(&s->client, &x->download.trailers);
	if (x->answer_framing != HTTP1_BODY_CHUNKED)
		return 0;
	return append_last_chunk(&s->client.out, &x->download.trailers);
}

static int add(struct http2_fields *f, const char *name, const char *value)
{
	return http2_fields_add(f, name, strlen(name), value, strlen(value));
}

static int send_problem_fields(struct session *s)
{
	const struct problem *p = &s->x->problem;
	_cleanup_buf_ struct buf body = { 0 };
	struct http2_fields fields = { 0 };
	char status[12], length[24], retry[12];

	int r = problem_body(p, &body);
	snprintf(status, sizeof(status), "%d", p->status);
	snprintf(retry, sizeof(retry), "%u", p->retry_after);
	snprintf(length, sizeof(length), "%zu", body.len);
	if (r == 0)
		r = add(&fields, ":status", status);
	if (r == 0)
		r = add(&fields, "content-type", "application/problem+json");
	if (r == 0)
		r = add(&fields, "content-length", length);
	if (r == 0)
		r = add(&fields, "cache-control", "no-store");
	if (r == 0 && problem_is_denial(p))
		r = add(&fields, "x-nsbox-denied", p->reason);
	if (r == 0 && p->retry_after)
		r = add(&fields, "retry-after", retry);
	if (r == 0)
		r = http2_send_answer(&s->client, &fields, false, p->head);
	if (r == 0 && !p->head)
		r = iobuf_append(&s->client.out, body.data, body.len);
	if (r == 0)
		r = http2_send_end(&s->client, NULL);
	http2_fields_free(&fields);
	return r;
}

int client_send_problem(struct session *s)
{
	return s->client.carrier ? send_problem_fields(s) : problem_write(&s->x->problem, &s->client.out);
}

int upstream_send_request(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *u = &s->up->stream;
	struct http2_fields fields = { 0 };

	u->out.secret |= x->n_uses > 0;
	if (!u->carrier)
		return iobuf_append(&u->out, x->head.data, x->head.len);
	int r = http2_write_request(&fields, (const char *)x->head.data, x->head.len);
	if (r == 0)
		r = http2_send_request(u, &fields, x->n_uses > 0, x->answer.to_head, x->upload_done);
	http2_fields_free(&fields);
	return r;
}

int upstream_send_payload(struct session *s, const uint8_t *data, size_t len)
{
	struct stream *u = &s->up->stream;

	u->out.secret |= s->x->n_uses > 0;
	return append_chunk(&u->out, !u->carrier && s->x->send_framing == HTTP1_BODY_CHUNKED, data, len);
}

int upstream_send_end(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *u = &s->up->stream;

	if (u->carrier)
		return http2_send_end(u, &x->upload.trailers);
	if (x->send_framing != HTTP1_BODY_CHUNKED)
		return 0;
	return append_last_chunk(&u->out, &x->upload.trailers);
}

/* From the bytes of an HTTP/1 connection. */
static int parse_head(struct session *s)
{
	struct http1_head *h = &s->x->answer;
	struct stream *u = &s->up->stream;

	while (!h->complete) {
		if (!iobuf_len(&u->in))
			stream_fill(u, STREAM_CHUNK);
		if (!iobuf_len(&u->in))
			return 0;
		ssize_t n = http1_head_feed(h, iobuf_head(&u->in), iobuf_len(&u->in));
		if (n < 0)
			return (int)n;
		iobuf_consume(&u->in, (size_t)n);
	}
	return 1;
}

int upstream_read_head(struct session *s)
{
	struct exchange *x = s->x;
	struct stream *u = &s->up->stream;
	bool ended = false;

	int r = u->carrier ? http2_take_head(u, &x->answer, &ended) : parse_head(s);
	if (r <= 0)
		return r;
	if (x->answer.error)
		return -EBADMSG;
	if (x->answer.status < 200)
		return 1;
	http1_body_init(&x->download, &x->answer);
	x->download.done |= ended;
	if (u->carrier && x->download.framing == HTTP1_BODY_CHUNKED)
		x->download.framing = HTTP1_BODY_EOF;
	return 1;
}
