/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 connections without sockets: our client against our server, in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http2.h"

#include <cmocka.h>

#define STREAMS 16

static uint64_t now = 1000000;

/* The user of one stream, either side. */
struct user {
	struct stream io; /* first */
	struct http1_head head;
	unsigned woken;
};

struct side {
	struct stream wire;
	struct http2 *h;
	struct user users[STREAMS];
	unsigned n, pending, violations;
	const char *reason;
	bool refuse;
};

static void wake(struct stream *io)
{
	((struct user *)io)->woken++;
}

static void request(struct http2 *h, struct http2_stream *st)
{
	struct side *s = h->owner;

	if (s->refuse || s->n == STREAMS)
		return;
	http2_accept(st, &s->users[s->n].io, wake, &s->users[s->n].head);
	s->n++;
}

static void pending(struct http2 *h)
{
	((struct side *)h->owner)->pending++;
}

static void violation(struct http2 *h, const char *reason, bool ends)
{
	struct side *s = h->owner;

	(void)ends;
	s->violations++;
	s->reason = reason;
}

static const struct http2_ops OPS = { .request = request, .pending = pending, .violation = violation };

struct pair {
	struct side server, client;
};

static struct pair *pair_new(void)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->server.wire.source.fd = p->client.wire.source.fd = -EBADF;
	p->server.h = http2_new(true, &p->server.wire, &OPS, &p->server, &now);
	p->client.h = http2_new(false, &p->client.wire, &OPS, &p->client, &now);
	assert_true(p->server.h && p->client.h);
	return p;
}

static void side_free(struct side *s)
{
	http2_free(s->h);
	for (unsigned i = 0; i < s->n; i++) {
		stream_close(&s->users[i].io, false);
		http1_head_reset(&s->users[i].head);
	}
	stream_close(&s->wire, false);
}

static void pair_free(struct pair *p)
{
	side_free(&p->server);
	side_free(&p->client);
	free(p);
}

static bool carry(struct side *from, struct side *to)
{
	size_t n = iobuf_len(&from->wire.out);

	if (!n)
		return false;
	assert_int_equal(iobuf_append(&to->wire.in, iobuf_head(&from->wire.out), n), 0);
	iobuf_consume(&from->wire.out, n);
	return true;
}

static void settle(struct pair *p)
{
	do {
		http2_run(p->client.h);
		http2_run(p->server.h);
	} while (carry(&p->client, &p->server) | carry(&p->server, &p->client));
}

static struct user *open_request(struct pair *p, const char *method, bool ends)
{
	struct user *u = &p->client.users[p->client.n++];
	struct http2_fields f = { 0 };
	const char *fields[][2] = { { ":method", method }, { ":scheme", "https" }, { ":authority", "a.test" },
				    { ":path", "/" }, { "te", "trailers" } };

	assert_true(http2_can_open(p->client.h));
	assert_int_equal(http2_open(p->client.h, &u->io, wake), 0);
	for (size_t i = 0; i < 5; i++)
		http2_fields_add(&f, fields[i][0], strlen(fields[i][0]), fields[i][1], strlen(fields[i][1]));
	assert_int_equal(http2_send_request(&u->io, &f, true, strcmp(method, "HEAD") == 0, ends), 0);
	http2_fields_free(&f);
	settle(p);
	return u;
}

static void answer(struct pair *p, struct user *u, const char *status, bool ends)
{
	struct http2_fields f = { 0 };

	http2_fields_add(&f, ":status", 7, status, 3);
	assert_int_equal(http2_send_answer(&u->io, &f, status[0] == '1', ends), 0);
	http2_fields_free(&f);
	settle(p);
}

static void put(struct user *u, size_t n)
{
	char block[1000];

	memset(block, 'x', sizeof(block));
	for (; n; n -= n < sizeof(block) ? n : sizeof(block))
		assert_int_equal(iobuf_append(&u->io.out, block, n < sizeof(block) ? n : sizeof(block)), 0);
	stream_flush(&u->io);
}

static void take(struct user *u, size_t n)
{
	iobuf_consume(&u->io.in, n < iobuf_len(&u->io.in) ? n : iobuf_len(&u->io.in));
	stream_fill(&u->io, STREAM_CHUNK);
}

static void a_request_and_its_answer(void **state)
{
	struct pair *p = pair_new();
	struct http1_head head = { 0 };
	bool ended;
	(void)state;

	struct user *c = open_request(p, "POST", false), *s = &p->server.users[0];
	assert_int_equal(p->server.n, 1);
	assert_true(s->head.complete && http1_slice_is(&s->head, s->head.method, "POST") && s->head.te_trailers);
	assert_false(s->io.eof);
	put(c, 10);
	assert_true(p->client.pending > 0);
	settle(p);
	assert_int_equal(iobuf_len(&s->io.in), 10);

	/* Trailers of the request; interim, final head and body of the answer; its trailers. */
	struct http1_head trailers = { .kind = HTTP1_TRAILERS };
	assert_true(http1_head_feed(&trailers, "x-sum: 1\r\n\r\n", 12) == 12);
	assert_int_equal(http2_send_end(&c->io, &trailers), 0);
	settle(p);
	assert_true(s->io.eof && s->io.clean && !s->io.broken);
	struct http1_head got = { .kind = HTTP1_TRAILERS };
	http2_take_trailers(&s->io, &got);
	assert_int_equal(got.n_fields, 1);
	http1_head_reset(&got);
	answer(p, s, "103", false);
	answer(p, s, "200", false);
	put(s, 5);
	assert_int_equal(http2_send_end(&s->io, &trailers), 0);
	settle(p);
	assert_int_equal(http2_take_head(&c->io, &head, &ended), 1);
	assert_true(head.status == 103 && !ended);
	assert_int_equal(http2_take_head(&c->io, &head, &ended), 1);
	assert_true(head.status == 200 && !ended);
	assert_int_equal(http2_take_head(&c->io, &head, &ended), 0);
	assert_int_equal(iobuf_len(&c->io.in), 5);
	assert_true(c->io.eof && c->io.clean && !c->io.broken);
	http2_take_trailers(&c->io, &got);
	assert_int_equal(got.n_fields, 1);
	assert_true(s->io.unwritable);
	http1_head_reset(&got);
	http1_head_reset(&trailers);
	http1_head_reset(&head);
	assert_int_equal(p->server.violations + p->client.violations, 0);
	pair_free(p);
}

/* What nobody takes stays where it came from. */
static void windows(void **state)
{
	struct pair *p = pair_new();
	(void)state;

	struct user *c = open_request(p, "POST", false), *s = &p->server.users[0];
	put(c, 1000000);
	settle(p);
	assert_int_equal(iobuf_len(&s->io.in), HTTP2_SERVER_WINDOW);
	assert_int_equal(iobuf_len(&c->io.out), 1000000 - HTTP2_SERVER_WINDOW);
	/* Another stream is not held back by it. */
	struct user *c2 = open_request(p, "POST", false), *s2 = &p->server.users[1];
	put(c2, 50000);
	settle(p);
	assert_int_equal(iobuf_len(&s2->io.in), 50000);
	size_t seen = 0;
	for (unsigned i = 0; i < 1000 && seen < 1000000; i++) {
		size_t n = iobuf_len(&s->io.in);
		assert_true(n <= HTTP2_SERVER_WINDOW);
		seen += n;
		take(s, n);
		settle(p);
	}
	assert_int_equal(seen, 1000000);

	answer(p, s, "200", false);
	put(s, 5000000);
	settle(p);
	assert_int_equal(iobuf_len(&c->io.in), HTTP2_CLIENT_WINDOW);
	for (seen = 0; seen < 4000000;) {
		size_t n = iobuf_len(&c->io.in);
		assert_true(n > 0 && n <= HTTP2_WIDE_WINDOW);
		seen += n;
		take(c, n);
		settle(p);
	}
	pair_free(p);
}

static void resets(void **state)
{
	struct pair *p = pair_new();
	(void)state;

	struct user *c = open_request(p, "GET", true), *s = &p->server.users[0];
	stream_close(&c->io, true);
	settle(p);
	assert_true(s->io.broken);
	c = open_request(p, "GET", true);
	s = &p->server.users[1];
	answer(p, s, "200", false);
	put(s, 10);
	settle(p);
	stream_close(&s->io, true);
	settle(p);
	assert_true(c->io.broken && c->io.eof && !c->io.clean && !http2_refused(&c->io));
	p->server.refuse = true;
	c = open_request(p, "GET", true);
	assert_true(c->io.broken && http2_refused(&c->io));
	/* A request that is taken back before it was sent. */
	p->server.refuse = false;
	c = &p->client.users[p->client.n++];
	struct http2_fields f = { 0 };
	assert_int_equal(http2_open(p->client.h, &c->io, wake), 0);
	http2_fields_add(&f, ":method", 7, "GET", 3);
	assert_int_equal(http2_send_request(&c->io, &f, false, false, true), 0);
	http2_fields_free(&f);
	stream_close(&c->io, false);
	settle(p);
	assert_int_equal(p->server.n, 2);
	pair_free(p);
}

static void goodbyes(void **state)
{
	struct pair *p = pair_new();
	(void)state;

	struct user *c = open_request(p, "GET", true), *s = &p->server.users[0];
	answer(p, s, "204", true);
	stream_close(&s->io, false);
	assert_true(c->io.eof);
	stream_close(&c->io, false);
	http2_terminate(p->server.h, NGHTTP2_NO_ERROR);
	settle(p);
	assert_false(http2_can_open(p->client.h));
	assert_true(http2_finished(p->server.h) && http2_finished(p->client.h));
	pair_free(p);

	p = pair_new();
	c = open_request(p, "GET", true);
	p->client.wire.eof = p->client.wire.broken = true;
	assert_true(http2_finished(p->client.h));
	http2_break_streams(p->client.h);
	assert_true(c->io.broken && c->woken);
	pair_free(p);
}

static void garbage(void **state)
{
	struct pair *p = pair_new();
	(void)state;

	open_request(p, "GET", true);
	assert_int_equal(iobuf_append(&p->server.wire.in, "\0\0\x06\x06\0\0\0\0\0garbage", 16), 0);
	settle(p);
	assert_int_equal(p->server.violations, 1);
	assert_string_equal(p->server.reason, "http2-error");
	assert_true(http2_finished(p->server.h));
	pair_free(p);
}

static void the_account(void **state)
{
	struct http2_limit l;
	uint64_t at = 5000000;
	unsigned n = 0;
	(void)state;

	http2_limit_init(&l, at);
	while (http2_limit_frame(&l, at, NGHTTP2_RST_STREAM, 0, 4))
		n++;
	assert_int_equal(n, HTTP2_LIMIT_CREDIT / 2);
	/* Time gives back, up to what there was at first. */
	http2_limit_init(&l, at);
	for (n = 0; n < HTTP2_LIMIT_CREDIT / 2; n++)
		assert_true(http2_limit_frame(&l, at, NGHTTP2_RST_STREAM, 0, 4));
	at += 500000;
	for (n = 0; n < HTTP2_LIMIT_SECOND / 4; n++)
		assert_true(http2_limit_frame(&l, at, NGHTTP2_RST_STREAM, 0, 4));
	assert_false(http2_limit_frame(&l, at, NGHTTP2_RST_STREAM, 0, 4));
	at += 3600ull * 1000000;
	for (n = 0; n < HTTP2_LIMIT_CREDIT; n++)
		assert_true(http2_limit_frame(&l, at, NGHTTP2_WINDOW_UPDATE, 0, 4));
	assert_false(http2_limit_frame(&l, at, NGHTTP2_WINDOW_UPDATE, 0, 4));
	/* Who reads may update windows; work costs nothing. */
	http2_limit_init(&l, at);
	for (n = 0; n < 100000; n++) {
		http2_limit_sent(&l, 16384);
		assert_true(http2_limit_frame(&l, at, NGHTTP2_WINDOW_UPDATE, 0, 4) &&
			    http2_limit_frame(&l, at, NGHTTP2_WINDOW_UPDATE, 0, 4) &&
			    http2_limit_frame(&l, at, NGHTTP2_HEADERS, 0, 50) &&
			    http2_limit_frame(&l, at, NGHTTP2_DATA, 0, 100) &&
			    http2_limit_frame(&l, at, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0));
	}
	http2_limit_init(&l, at);
	for (n = 0; http2_limit_ignored(&l, at, 9); n++)
		;
	assert_in_range(n, HTTP2_LIMIT_CREDIT * 7, HTTP2_LIMIT_CREDIT * 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_and_its_answer), cmocka_unit_test(windows), cmocka_unit_test(resets),
		cmocka_unit_test(goodbyes), cmocka_unit_test(garbage), cmocka_unit_test(the_account),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
