/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 connections: bytes of a peer to our server and to our client, whose users answer, read, send and close. Heads
 * that come through mean the same when they are written as HTTP/1.1 and parsed again; nothing grows beyond its limit.
 * The first byte says which side, and when users close; the second how the rest is cut.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http1_write.h"
#include "gateway/http2.h"
#include "fuzz.h"

#define USERS 8
#define OUT_LIMIT (256u * 1024u)

struct user {
	struct stream io; /* first */
	struct http1_head head;
	bool used, answered;
};

static struct user users[USERS];
static struct http2 *h;
static uint64_t now;
static unsigned close_after, woken;

static void check_request(const struct http1_head *head)
{
	struct http1_head again = { .kind = HTTP1_REQUEST };
	struct buf text = { 0 };
	struct http1_request_out how = { .host = "a.example" };

	CHECK(head->host.len > 0 && head->path.len > 0 && head->n_fields <= HTTP1_FIELDS_MAX);
	CHECK(http1_write_request(&text, head, &how) == 0);
	ssize_t n = http1_head_feed(&again, text.data, text.len);
	/* A head may be a little longer as lines than it was as fields, or as a line of its own. */
	if (n < 0) {
		CHECK(strcmp(again.error, "head-too-long") == 0 || strcmp(again.error, "line-too-long") == 0);
	} else {
		CHECK((size_t)n == text.len && again.complete && again.framing == head->framing);
		CHECK(again.content_length == head->content_length && again.path.len == head->path.len);
		CHECK(memcmp(http1_text(&again, again.path), http1_text(head, head->path), head->path.len) == 0);
		CHECK(again.has_query == head->has_query && again.query.len == head->query.len && !again.upgrade);
	}
	http1_head_reset(&again);
	buf_free(&text);
}

static void check_answer(const struct http1_head *head)
{
	struct http1_head again = { .kind = HTTP1_RESPONSE, .to_head = head->to_head };
	struct buf text = { 0 };
	struct http1_response_out how = { .keep_alive = true };

	CHECK(http1_write_response(&text, head, &how) == 0);
	ssize_t n = http1_head_feed(&again, text.data, text.len);
	if (n < 0)
		CHECK(strcmp(again.error, "head-too-long") == 0);
	else
		CHECK((size_t)n == text.len && again.complete && again.status == head->status);
	http1_head_reset(&again);
	buf_free(&text);
}

static void end_user(struct user *u)
{
	stream_close(&u->io, woken & 1);
	http1_head_reset(&u->head);
	*u = (struct user){ 0 };
}

static void answer(struct user *u)
{
	struct http2_fields f = { 0 };

	CHECK(http2_fields_add(&f, ":status", 7, "200", 3) == 0);
	CHECK(http2_send_answer(&u->io, &f, false, false) == 0);
	http2_fields_free(&f);
	u->answered = true;
}

static void wake(struct stream *io)
{
	struct user *u = (struct user *)io;
	struct http1_head head = { 0 };
	bool ended;

	CHECK(iobuf_len(&io->in) <= (h->server ? HTTP2_SERVER_WINDOW : HTTP2_WIDE_WINDOW));
	if (io->broken || (close_after && ++woken % close_after == 0)) {
		end_user(u);
		return;
	}
	while (http2_take_head(io, &head, &ended) > 0) {
		CHECK(head.complete || head.error);
		if (!head.error)
			check_answer(&head);
		http1_head_reset(&head);
	}
	if (h->server && !u->answered && u->head.complete)
		answer(u);
	/* An echo, as far as there is room. */
	if (iobuf_len(&io->out) < STREAM_CHUNK && !io->unwritable)
		CHECK(iobuf_append(&io->out, iobuf_head(&io->in), iobuf_len(&io->in)) == 0);
	iobuf_consume(&io->in, iobuf_len(&io->in));
	stream_fill(io, STREAM_CHUNK);
	stream_flush(io);
	if (io->eof) {
		http2_take_trailers(io, &head);
		http2_send_end(io, head.n_fields ? &head : NULL);
		http1_head_reset(&head);
	}
}

static void request(struct http2 *conn, struct http2_stream *st)
{
	(void)conn;
	for (unsigned i = 0; i < USERS; i++) {
		struct user *u = &users[i];
		if (u->used)
			continue;
		*u = (struct user){ .used = true };
		http2_accept(st, &u->io, wake, &u->head);
		CHECK(u->head.complete || u->head.error);
		if (u->head.complete)
			check_request(&u->head);
		return;
	}
}

static void pending(struct http2 *conn)
{
	(void)conn;
}

static void violation(struct http2 *conn, const char *reason, bool ends)
{
	(void)conn;
	(void)ends;
	CHECK(reason);
}

static const struct http2_ops OPS = { .request = request, .pending = pending, .violation = violation };

/* Requests of ours, for a server to answer. */
static void open_requests(void)
{
	static const char *const fields[][2] = { { ":method", "POST" }, { ":scheme", "https" }, { ":authority", "a.example" },
						 { ":path", "/" } };

	for (unsigned i = 0; i < 4; i++) {
		struct user *u = &users[i];
		struct http2_fields f = { 0 };
		for (size_t j = 0; j < 4; j++)
			http2_fields_add(&f, fields[j][0], strlen(fields[j][0]), fields[j][1], strlen(fields[j][1]));
		*u = (struct user){ .used = true };
		CHECK(http2_open(h, &u->io, wake) == 0);
		CHECK(http2_send_request(&u->io, &f, false, i == 1, i > 1) == 0);
		CHECK(i > 1 || iobuf_append(&u->io.out, "some payload", 12) == 0);
		http2_fields_free(&f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream wire = { .source = { .fd = -EBADF } };

	if (size < 2)
		return 0;
	bool server = data[0] & 1;
	size_t step = data[1] ? data[1] : 4096;
	close_after = data[0] >> 1;
	woken = 0;
	now = 1000000;
	h = http2_new(server, &wire, &OPS, NULL, &now);
	CHECK(h);
	if (server)
		CHECK(iobuf_append(&wire.in, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN) == 0);
	else
		open_requests();
	for (size_t at = 2; at < size && !http2_finished(h); at += step) {
		size_t n = size - at < step ? size - at : step;
		CHECK(iobuf_append(&wire.in, data + at, n) == 0);
		http2_run(h);
		CHECK(iobuf_len(&wire.out) < OUT_LIMIT);
		iobuf_consume(&wire.out, iobuf_len(&wire.out));
		http2_run(h);
		now += 1000;
	}
	http2_break_streams(h);
	for (unsigned i = 0; i < USERS; i++) {
		if (users[i].used)
			end_user(&users[i]);
	}
	CHECK(h->n_streams < 1000);
	http2_free(h);
	stream_close(&wire, false);
	return 0;
}
