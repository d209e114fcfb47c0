/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1: what accepted messages mean, their bodies, limits, and how they are written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"
#include "gateway/http1_write.h"
#include "http1_feed.h"

#include <cmocka.h>

#define H "Host: a.example\r\n"

static struct http1_head parse(enum http1_kind kind, bool to_head, const char *text)
{
	struct http1_head h = { .kind = kind, .to_head = to_head };
	ssize_t n = http1_head_feed(&h, text, strlen(text));
	if (n < 0)
		fail_msg("%s: %s", text, h.error);
	assert_true(h.complete);
	return h;
}

static struct http1_head request(const char *text)
{
	return parse(HTTP1_REQUEST, false, text);
}

static struct http1_head response(const char *text)
{
	return parse(HTTP1_RESPONSE, false, text);
}

static void is(const struct http1_head *h, struct http1_slice s, const char *text)
{
	if (!http1_slice_is(h, s, text))
		fail_msg("got %.*s, wanted %s", (int)s.len, http1_text(h, s), text);
}

static void request_parts(void **state)
{
	(void)state;
	_cleanup_http1_head_ struct http1_head h =
		request("PATCH /a/%2e?x=1?2 HTTP/1.1\r\nHost: B.example:8443\r\nX-Y:  v w \t\r\nx-y:\r\n\r\n");
	is(&h, h.method, "PATCH");
	is(&h, h.path, "/a/%2e");
	is(&h, h.query, "x=1?2");
	assert_true(h.has_query);
	is(&h, h.host, "B.example");
	assert_int_equal(h.port, 8443);
	assert_int_equal(h.n_fields, 3);
	is(&h, h.fields[1].name, "X-Y");
	is(&h, h.fields[1].value, "v w");
	is(&h, h.fields[2].value, "");
	assert_int_equal(http1_find(&h, "X-y", 0), 1);
	assert_int_equal(http1_find(&h, "X-y", 2), 2);
	assert_int_equal(http1_find(&h, "Z", 0), 3);
	assert_int_equal(h.framing, HTTP1_BODY_NONE);
	assert_true(h.keep_alive);
}

static void target_forms(void **state)
{
	static const struct {
		const char *text, *path, *query;
		enum http1_form form;
	} cases[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", "/", NULL, HTTP1_ORIGIN },
		{ "GET /? HTTP/1.1\r\n" H "\r\n", "/", "", HTTP1_ORIGIN },
		{ "GET //b.example/x HTTP/1.1\r\n" H "\r\n", "//b.example/x", NULL, HTTP1_ORIGIN },
		{ "GET http://A.example/p?q HTTP/1.1\r\n" H "\r\n", "/p", "q", HTTP1_ABSOLUTE },
		{ "GET https://a.example HTTP/1.1\r\n" H "\r\n", "/", NULL, HTTP1_ABSOLUTE },
		{ "GET https://a.example?q HTTP/1.1\r\n" H "\r\n", "/", "q", HTTP1_ABSOLUTE },
		{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", "*", NULL, HTTP1_ASTERISK },
		{ "OPTIONS http://a.example HTTP/1.1\r\n" H "\r\n", "*", NULL, HTTP1_ASTERISK },
		{ "OPTIONS http://a.example/ HTTP/1.1\r\n" H "\r\n", "/", NULL, HTTP1_ABSOLUTE },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http1_head_ struct http1_head h = request(cases[i].text);
		is(&h, h.path, cases[i].path);
		assert_int_equal(h.has_query, cases[i].query != NULL);
		is(&h, h.query, cases[i].query ? cases[i].query : "");
		assert_int_equal(h.form, cases[i].form);
	}
}

static void connection_options(void **state)
{
	static const struct {
		const char *line;
		bool keep;
	} cases[] = {
		{ "1.1\r\n", true },
		{ "1.1\r\nConnection: close\r\n", false },
		{ "1.1\r\nConnection: keep-alive, Close\r\n", false },
		{ "1.1\r\nConnection: x\r\nConnection: close\r\n", false },
		{ "1.0\r\n", false },
		{ "1.0\r\nConnection: Keep-Alive\r\n", true },
		{ "1.0\r\nConnection: keep-alive, close\r\n", false },
	};
	char text[256];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text), "GET / HTTP/%s" H "\r\n", cases[i].line);
		_cleanup_http1_head_ struct http1_head h = request(text);
		assert_int_equal(h.keep_alive, cases[i].keep);
	}
}

static void expectations(void **state)
{
	(void)state;
	_cleanup_http1_head_ struct http1_head new =
		request("POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n");
	assert_true(new.expect_continue);
	_cleanup_http1_head_ struct http1_head old =
		request("POST / HTTP/1.0\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n");
	assert_false(old.expect_continue);
}

static void response_bodies(void **state)
{
	static const struct {
		const char *text;
		bool to_head;
		enum http1_framing framing;
		bool keep;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, HTTP1_BODY_LENGTH, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, HTTP1_BODY_CHUNKED, true },
		{ "HTTP/1.1 200\r\n\r\n", false, HTTP1_BODY_EOF, false },
		{ "HTTP/1.1 200 \r\nConnection: keep-alive\r\n\r\n", false, HTTP1_BODY_EOF, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, HTTP1_BODY_NONE, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, HTTP1_BODY_NONE, true },
		{ "HTTP/1.1 100 Continue\r\n\r\n", false, HTTP1_BODY_NONE, true },
		{ "HTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\n", false, HTTP1_BODY_NONE, true },
		{ "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", false, HTTP1_BODY_NONE, true },
		{ "HTTP/1.1 304 Not\r\nContent-Length: 3\r\n\r\n", false, HTTP1_BODY_NONE, true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, HTTP1_BODY_LENGTH, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n", false, HTTP1_BODY_LENGTH, true },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http1_head_ struct http1_head h = parse(HTTP1_RESPONSE, cases[i].to_head, cases[i].text);
		if (h.framing != cases[i].framing || h.keep_alive != cases[i].keep)
			fail_msg("%s: framing %d, keep %d", cases[i].text, (int)h.framing, h.keep_alive);
	}
}

/* Pipelined bytes belong to the next message. */
static void stops_at_its_end(void **state)
{
	static const char text[] = "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
				   "4;x=y\r\nwiki\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /next";
	size_t len = strlen(text), own = len - strlen("GET /next");
	(void)state;

	for (size_t cut = 0; cut <= len; cut++) {
		struct message m = { .head = { .kind = HTTP1_REQUEST } };
		message_feed(&m, text, cut);
		if (m.consumed == cut)
			message_feed(&m, text + cut, len - cut);
		assert_null(m.error);
		assert_true(m.body.done);
		assert_int_equal(m.consumed, own);
		assert_int_equal(m.payload.len, 14);
		assert_memory_equal(m.payload.data, "wiki0123456789", 14);
		assert_int_equal(m.body.payload, 14);
		assert_int_equal(m.body.trailers.n_fields, 1);
		is(&m.body.trailers, m.body.trailers.fields[0].value, "1");
		message_free(&m);
	}
}

static void body_until_eof(void **state)
{
	struct message m = { .head = { .kind = HTTP1_RESPONSE } };
	(void)state;

	message_feed(&m, "HTTP/1.1 200 OK\r\n\r\nab", 21);
	message_feed(&m, "cd", 2);
	assert_false(m.body.done);
	message_eof(&m);
	assert_null(m.error);
	assert_true(m.body.done);
	assert_int_equal(m.payload.len, 4);
	message_free(&m);
}

/* Feeds n copies of a text; the error that comes of it. */
static const char *flood(const char *start, const char *text, size_t n, unsigned *ret_status)
{
	struct message m = { .head = { .kind = HTTP1_REQUEST } };

	message_feed(&m, start, strlen(start));
	for (size_t i = 0; i < n && !m.error; i++)
		message_feed(&m, text, strlen(text));
	/* Memory is bounded too, not just the verdict late. */
	assert_true(m.head.bytes.cap <= 2 * HTTP1_HEAD_MAX);
	const char *error = m.error;
	*ret_status = m.status;
	message_free(&m);
	return error;
}

static void limits(void **state)
{
	static const char chunked[] = "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n";
	unsigned status;
	(void)state;

	assert_string_equal(flood("GET /", "a", HTTP1_LINE_MAX, &status), "line-too-long");
	assert_int_equal(status, 414);
	assert_string_equal(flood("GET / HTTP/1.1\r\nX: ", "a", HTTP1_HEAD_MAX, &status), "head-too-long");
	assert_int_equal(status, 431);
	assert_string_equal(flood("GET / HTTP/1.1\r\n", "X: a\r\n", HTTP1_FIELDS_MAX + 1, &status), "too-many-fields");
	assert_int_equal(status, 431);
	assert_null(flood("GET / HTTP/1.1\r\n", "X: a\r\n", HTTP1_FIELDS_MAX, &status));
	assert_string_equal(flood(chunked, "0", HTTP1_CHUNK_LINE_MAX, &status), "bad-chunk-size");
	char line[HTTP1_CHUNK_LINE_MAX + 32];
	snprintf(line, sizeof(line), "1;%0*d\r\nx\r\n", (int)HTTP1_CHUNK_LINE_MAX - 3, 0);
	assert_string_equal(flood(chunked, line, 1000, &status), "chunk-extensions-too-long");
	snprintf(line, sizeof(line), "1;%0*d\r\nx\r\n", (int)HTTP1_CHUNK_LINE_MAX, 0);
	assert_string_equal(flood(chunked, line, 1, &status), "chunk-line-too-long");
	assert_null(flood(chunked, "1\r\nx\r\n", 100000, &status));
	char start[128];
	snprintf(start, sizeof(start), "%s0\r\nX: ", chunked);
	assert_string_equal(flood(start, "a", HTTP1_TRAILERS_MAX, &status), "head-too-long");
}

/* The longest request line that is taken, to the byte. */
static void limit_of_a_line(void **state)
{
	static const char end[] = " HTTP/1.1\r\n" H "\r\n";
	char line[HTTP1_LINE_MAX + 64];
	(void)state;

	for (size_t extra = 0; extra < 2; extra++) {
		struct http1_head h = { .kind = HTTP1_REQUEST };
		size_t target = HTTP1_LINE_MAX - strlen("GET  HTTP/1.1") + extra;
		memcpy(line, "GET ", 4);
		memset(line + 4, '/', target);
		memcpy(line + 4 + target, end, sizeof(end));
		ssize_t n = http1_head_feed(&h, line, 4 + target + strlen(end));
		assert_int_equal(h.complete, extra == 0);
		assert_true(extra == 0 ? n > 0 : n == -EBADMSG);
		http1_head_reset(&h);
	}
}

static void written_request(const char *text, const struct http1_request_out *how, const char *wanted)
{
	_cleanup_http1_head_ struct http1_head h = request(text);
	_cleanup_buf_ struct buf out = { 0 };

	assert_int_equal(http1_write_request(&out, &h, how), 0);
	assert_string_equal(buf_str(&out), wanted);
}

static int upper(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	if (!http1_slice_is(h, h->fields[i].name, data))
		return 0;
	return buf_puts(out, "SECRET") < 0 ? -ENOMEM : 1;
}

static void requests_written_anew(void **state)
{
	struct http1_request_out plain = { .host = "a.example" };
	struct http1_request_out full = { .host = "[::1]", .port = 8443, .path = "/c", .path_len = 2, .query = "k=v",
					  .query_len = 3, .value = upper, .data = (char *)"X" };
	(void)state;

	written_request("GET http://A.example/x?y HTTP/1.0\r\nHOST: A.example\r\n\r\n", &plain,
			"GET /x?y HTTP/1.1\r\nHost: a.example\r\n\r\n");
	written_request("GET /x?y HTTP/1.1\r\n" H "X: ph\r\nY: ph\r\n\r\n", &full,
			"GET /c?k=v HTTP/1.1\r\nHost: [::1]:8443\r\nX: SECRET\r\nY: ph\r\n\r\n");
	/* A query of the caller's is only for a request that has one. */
	written_request("GET /x HTTP/1.1\r\n" H "\r\n", &full, "GET /c HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n");
	written_request("POST / HTTP/1.1\r\n" H "Content-Length: 007\r\nExpect: 100-continue\r\n\r\n", &plain,
			"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
	written_request("POST / HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED\r\nTrailer: X\r\nTE: gzip, trailers\r\n\r\n", &plain,
			"POST / HTTP/1.1\r\nHost: a.example\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n"
			"TE: trailers\r\nConnection: TE\r\n\r\n");
	written_request("OPTIONS * HTTP/1.1\r\n" H "\r\n", &plain, "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n");
}

static void hop_by_hop_stays_here(void **state)
{
	struct http1_request_out plain = { .host = "a.example" };
	(void)state;

	written_request("GET / HTTP/1.1\r\n" H "Connection: x-hop, Upgrade, HTTP2-Settings\r\nConnection: X-Two\r\n"
			"Upgrade: h2c\r\nHTTP2-Settings: AA\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n"
			"Proxy-Authorization: Basic x\r\nX-Hop: 1\r\nx-two: 2\r\nX-Three: 3\r\n\r\n", &plain,
			"GET / HTTP/1.1\r\nHost: a.example\r\nX-Three: 3\r\n\r\n");
	/* Naming what everybody needs takes nothing away, and gives no second framing. */
	written_request("POST / HTTP/1.1\r\n" H "Connection: authorization, host, content-length, cookie\r\n"
			"Authorization: a\r\nCookie: b\r\nContent-Length: 1\r\n\r\n", &plain,
			"POST / HTTP/1.1\r\nHost: a.example\r\nAuthorization: a\r\nCookie: b\r\nContent-Length: 1\r\n\r\n");
	/* Expect of HTTP/1.0 is ignored, so it is not said again in HTTP/1.1. */
	written_request("POST / HTTP/1.0\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", &plain,
			"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n");
}

static int stop(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	(void)data;
	(void)h;
	(void)i;
	(void)out;
	return -EACCES;
}

static void value_function_can_stop(void **state)
{
	_cleanup_http1_head_ struct http1_head h = request("GET / HTTP/1.1\r\n" H "X: a\r\n\r\n");
	_cleanup_buf_ struct buf out = { 0 };
	(void)state;

	assert_int_equal(http1_write_request(&out, &h, &(struct http1_request_out){ .host = "a", .value = stop }), -EACCES);
}

static void written_response(const char *text, bool to_head, bool http10, bool keep, const char *wanted)
{
	_cleanup_http1_head_ struct http1_head h = parse(HTTP1_RESPONSE, to_head, text);
	_cleanup_buf_ struct buf out = { 0 };
	struct http1_response_out how = { .http10 = http10, .keep_alive = keep };

	assert_int_equal(http1_write_response(&out, &h, &how), 0);
	assert_string_equal(buf_str(&out), wanted);
}

static void responses_written_anew(void **state)
{
	(void)state;
	written_response("HTTP/1.0 200 Fine\r\nServer: x\r\nAlt-Svc: h3=\":443\"\r\nConnection: close\r\n\r\n", false, false,
			 true, "HTTP/1.1 200 Fine\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	written_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, true, false,
			 "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	written_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, true, true,
			 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	written_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, false, true,
			 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	written_response("HTTP/1.1 304\r\nContent-Length: 5\r\nETag: e\r\n\r\n", false, false, true,
			 "HTTP/1.1 304 Not Modified\r\nETag: e\r\nContent-Length: 5\r\n\r\n");
	written_response("HTTP/1.1 299\r\nContent-Length: 5\r\n\r\n", false, false, true,
			 "HTTP/1.1 299 \r\nContent-Length: 5\r\n\r\n");
}

/* The opening handshake is the only upgrade, and only its own answer is one. */
static void websockets(void **state)
{
	static const struct {
		const char *text;
		bool asked, accepted;
	} answers[] = {
		{ "HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: x, upgrade\r\n\r\n", true, true },
		{ "HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n", false, false },
		{ "HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", true, false },
		{ "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", true, false },
		{ "HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n", true, false },
		{ "HTTP/1.0 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", true, false },
	};
	static const char *const others[] = {
		"GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n",
		"GET / HTTP/1.0\r\n" H "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		"POST / HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		"GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\n" H "Upgrade: websocket, h2c\r\nConnection: upgrade\r\n\r\n",
		"GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
	};
	struct http1_request_out plain = { .host = "a.example" };
	(void)state;

	written_request("GET / HTTP/1.1\r\n" H "UPGRADE: WebSocket\r\nConnection: keep-alive, Upgrade\r\nTE: trailers\r\n\r\n",
			&plain, "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		_cleanup_http1_head_ struct http1_head h = request(others[i]);
		assert_true(h.upgrade && !h.websocket);
	}
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		_cleanup_http1_head_ struct http1_head h = { .kind = HTTP1_RESPONSE, .to_websocket = answers[i].asked };
		ssize_t n = http1_head_feed(&h, answers[i].text, strlen(answers[i].text));
		assert_int_equal(n > 0, answers[i].accepted);
		if (n < 0)
			assert_string_equal(h.error, "unexpected-upgrade");
		else
			assert_true(h.websocket);
	}
}

static void chunks_written(void **state)
{
	char head[HTTP1_CHUNK_HEAD_MAX];
	struct message m = { .head = { .kind = HTTP1_REQUEST } };
	_cleanup_buf_ struct buf out = { 0 };
	(void)state;

	assert_int_equal(http1_chunk_head(head, 0x1a2b), 6);
	assert_memory_equal(head, "1a2b\r\n", 6);
	assert_int_equal(http1_chunk_head(head, UINT64_MAX), HTTP1_CHUNK_HEAD_MAX);
	static const char text[] = "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n";
	message_feed(&m, text, strlen(text));
	assert_int_equal(http1_write_last_chunk(&out, &m.body.trailers), 0);
	assert_string_equal(buf_str(&out), "0\r\nX-A: 1\r\nX-B: 2\r\n\r\n");
	message_free(&m);
	out.len = 0;
	assert_int_equal(http1_write_last_chunk(&out, NULL), 0);
	assert_string_equal(buf_str(&out), "0\r\n\r\n");
}

static void no_length_where_none_may_be(void **state)
{
	(void)state;
	written_response("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", false, false, true, "HTTP/1.1 204 No\r\n\r\n");
	written_response("HTTP/1.1 103 Hints\r\nLink: a\r\nContent-Length: 5\r\n\r\n", false, false, false,
			 "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n");
	_cleanup_http1_head_ struct http1_head h = response("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(h.framing, HTTP1_BODY_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_parts),
		cmocka_unit_test(target_forms),
		cmocka_unit_test(connection_options),
		cmocka_unit_test(expectations),
		cmocka_unit_test(response_bodies),
		cmocka_unit_test(stops_at_its_end),
		cmocka_unit_test(body_until_eof),
		cmocka_unit_test(limits),
		cmocka_unit_test(limit_of_a_line),
		cmocka_unit_test(requests_written_anew),
		cmocka_unit_test(hop_by_hop_stays_here),
		cmocka_unit_test(value_function_can_stop),
		cmocka_unit_test(responses_written_anew),
		cmocka_unit_test(no_length_where_none_may_be),
		cmocka_unit_test(websockets),
		cmocka_unit_test(chunks_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
