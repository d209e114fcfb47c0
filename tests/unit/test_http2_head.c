/* SPDX-License-Identifier: Apache-2.0 */
/* Heads from HTTP/2 fields: the same facts and the same refusals as from HTTP/1, and what is written of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http2_head.h"
#include "gateway/http2_write.h"

#include <cmocka.h>

/* "name|value" lines. */
static int fill(struct http1_head *h, const char *fields, bool ended)
{
	while (*fields) {
		const char *end = strchr(fields, '\n'), *bar = strchr(fields, '|');
		assert_true(end && bar && bar < end);
		http2_head_field(h, fields, (size_t)(bar - fields), bar + 1, (size_t)(end - bar - 1));
		fields = end + 1;
	}
	return http2_head_finish(h, ended);
}

#define GET ":method|GET\n:scheme|https\n:authority|a.example\n:path|/x?y\n"
#define POST ":method|POST\n:scheme|https\n:authority|a.example:8443\n:path|/\n"

static struct http1_head request(const char *fields, bool ended)
{
	struct http1_head h = { .kind = HTTP1_REQUEST };

	if (fill(&h, fields, ended) < 0)
		fail_msg("%s: %s", fields, h.error);
	assert_true(h.complete);
	return h;
}

static void requests(void **state)
{
	_cleanup_http1_head_ struct http1_head h = request(GET "x-a|1\nte|trailers\n", true);
	(void)state;

	assert_true(http1_slice_is(&h, h.method, "GET") && http1_slice_is(&h, h.path, "/x"));
	assert_true(h.has_query && http1_slice_is(&h, h.query, "y"));
	assert_true(http1_slice_is(&h, h.host, "a.example"));
	assert_int_equal(h.port, 0);
	assert_int_equal(h.framing, HTTP1_BODY_NONE);
	assert_int_equal(h.n_fields, 2);
	assert_true(h.te_trailers && h.minor == 1 && !h.upgrade);
	http1_head_reset(&h);

	h = request(POST, false);
	assert_int_equal(h.framing, HTTP1_BODY_CHUNKED);
	assert_int_equal(h.port, 8443);
	http1_head_reset(&h);

	h = request(POST "content-length|12\nexpect|100-continue\n", false);
	assert_int_equal(h.framing, HTTP1_BODY_LENGTH);
	assert_int_equal(h.content_length, 12);
	assert_true(h.expect_continue);
	http1_head_reset(&h);

	h = request(":method|OPTIONS\n:path|*\n:scheme|https\nhost|[::1]:44\n", true);
	assert_int_equal(h.form, HTTP1_ASTERISK);
	assert_true(http1_slice_is(&h, h.host, "[::1]") && h.port == 44);
}

static void cookies_are_joined(void **state)
{
	_cleanup_http1_head_ struct http1_head h = request(GET "cookie|a=1\nx|y\ncookie|b=2\ncookie|\ncookie|c=3\nz|\n", true);
	(void)state;

	assert_int_equal(h.n_fields, 3);
	assert_true(http1_slice_is(&h, h.fields[0].value, "a=1; b=2; ; c=3"));
	assert_true(http1_slice_is(&h, h.fields[1].name, "x") && http1_slice_is(&h, h.fields[2].name, "z"));
	assert_true(http1_slice_is(&h, h.fields[2].value, ""));
}

static const struct {
	const char *fields;
	const char *error;
	int status;
} BAD[] = {
	{ "", "bad-pseudo-header", 400 },
	{ GET ":method|GET\n", "bad-pseudo-header", 400 },
	{ GET "x|y\n:test|1\n", "bad-pseudo-header", 400 },
	{ ":status|200\n" GET, "bad-pseudo-header", 400 },
	{ ":method|GET\n:scheme|http\n", "bad-scheme", 400 },
	{ ":method|GET\n:scheme|HTTPS\n", "bad-scheme", 400 },
	{ ":method|\n", "bad-method", 400 },
	{ ":method|GET /\n", "bad-method", 400 },
	{ ":method|TRACE\n:scheme|https\n:authority|a\n:path|/\n", "trace-method", 501 },
	{ ":method|trace\n:scheme|https\n:authority|a\n:path|/\n", "trace-method", 501 },
	{ ":method|CONNECT\n:scheme|https\n:authority|a\n:path|/\n", "connect-method", 501 },
	{ ":method|CONNECT\n:authority|a:1\n", "bad-pseudo-header", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|x\n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|*\n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|https://a/\n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|/#\n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|/ \n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|/\r\n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a\n:path|/\xc3\xa4\n", "bad-target", 400 },
	{ ":method|GET\n:scheme|https\n:path|/\n", "no-host", 400 },
	{ ":method|GET\n:scheme|https\n:authority|\n:path|/\n", "bad-pseudo-header", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a@b\n:path|/\n", "bad-host", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a/b\n:path|/\n", "bad-host", 400 },
	{ ":method|GET\n:scheme|https\n:authority|a:0\n:path|/\n", "bad-host", 400 },
	{ ":method|GET\n:scheme|https\n:authority|[::1\n:path|/\n", "bad-host", 400 },
	{ GET "host|b.example\n", "host-mismatch", 400 },
	{ GET "host|a.example\nhost|a.example\n", "bad-host", 400 },
	{ GET "X|y\n", "bad-field-name", 400 },
	{ GET "|y\n", "bad-field-name", 400 },
	{ GET "x y|z\n", "bad-field-name", 400 },
	{ GET "content_length|1\n", "bad-field-name", 400 },
	{ GET "x| y\n", "bad-field-value", 400 },
	{ GET "x|y\t\n", "bad-field-value", 400 },
	{ GET "x|y\rz\n", "bad-field-value", 400 },
	{ GET "x|\x01\n", "bad-field-value", 400 },
	{ GET "connection|close\n", "connection-field", 400 },
	{ GET "transfer-encoding|chunked\n", "connection-field", 400 },
	{ GET "upgrade|websocket\n", "connection-field", 400 },
	{ GET "keep-alive|1\n", "connection-field", 400 },
	{ GET "proxy-connection|x\n", "connection-field", 400 },
	{ GET "te|gzip\n", "connection-field", 400 },
	{ GET "content-length|1\n", "bad-content-length", 400 },
	{ GET "content-length|0\ncontent-length|0\n", "bad-content-length", 400 },
	{ GET "content-length|0x0\n", "bad-content-length", 400 },
	{ GET "expect|more\n", "bad-expect", 417 },
};

static void bad_requests(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
		_cleanup_http1_head_ struct http1_head h = { .kind = HTTP1_REQUEST };
		assert_int_equal(fill(&h, BAD[i].fields, true), -EBADMSG);
		if (strcmp(h.error, BAD[i].error) != 0)
			fail_msg("%s: %s", BAD[i].fields, h.error);
		assert_int_equal(h.error_status, BAD[i].status);
		assert_false(h.complete);
	}
	_cleanup_http1_head_ struct http1_head nul = { .kind = HTTP1_REQUEST };
	assert_int_equal(http2_head_field(&nul, "x", 1, "a\0b", 3), -EBADMSG);
}

static void limits(void **state)
{
	_cleanup_http1_head_ struct http1_head many = { .kind = HTTP1_REQUEST }, big = { .kind = HTTP1_REQUEST },
						large = { .kind = HTTP1_TRAILERS };
	static char text[HTTP1_HEAD_MAX];
	(void)state;

	memset(text, 'x', sizeof(text));
	for (unsigned i = 0; i < HTTP1_FIELDS_MAX; i++)
		assert_int_equal(http2_head_field(&many, "x", 1, "y", 1), 0);
	assert_int_equal(http2_head_field(&many, "x", 1, "y", 1), -EBADMSG);
	assert_string_equal(many.error, "too-many-fields");
	assert_int_equal(many.error_status, 431);

	assert_int_equal(http2_head_field(&big, "x", 1, text, sizeof(text) - 33), 0);
	assert_int_equal(http2_head_field(&big, "x", 1, "", 0), -EBADMSG);
	assert_string_equal(big.error, "head-too-long");
	assert_int_equal(http2_head_field(&large, "x", 1, text, HTTP1_TRAILERS_MAX - 32), -EBADMSG);

	_cleanup_http1_head_ struct http1_head path = { .kind = HTTP1_REQUEST };
	text[0] = '/';
	assert_int_equal(http2_head_field(&path, ":path", 5, text, HTTP1_LINE_MAX + 1), -EBADMSG);
	assert_int_equal(path.error_status, 414);
}

static void answers(void **state)
{
	static const struct {
		const char *fields;
		bool ended, to_head;
		int status; /* 0: refused */
		enum http1_framing framing;
	} table[] = {
		{ ":status|200\n", false, false, 200, HTTP1_BODY_CHUNKED },
		{ ":status|200\n", true, false, 200, HTTP1_BODY_LENGTH },
		{ ":status|200\ncontent-length|5\n", false, false, 200, HTTP1_BODY_LENGTH },
		{ ":status|200\ncontent-length|5\n", true, true, 200, HTTP1_BODY_NONE },
		{ ":status|204\n", true, false, 204, HTTP1_BODY_NONE },
		{ ":status|304\ncontent-length|5\n", true, false, 304, HTTP1_BODY_NONE },
		{ ":status|103\nlink|x\n", false, false, 103, HTTP1_BODY_NONE },
		{ ":status|103\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|101\n", false, false, 0, HTTP1_BODY_NONE },
		{ ":status|99\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|099\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|600\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|20x\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|200\n:status|200\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|200\n:path|/\n", true, false, 0, HTTP1_BODY_NONE },
		{ "x|y\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|200\ncontent-length|5\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|200\nconnection|close\n", true, false, 0, HTTP1_BODY_NONE },
		{ ":status|200\nx|a\rb\n", true, false, 0, HTTP1_BODY_NONE },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		_cleanup_http1_head_ struct http1_head h = { .kind = HTTP1_RESPONSE, .to_head = table[i].to_head };
		int r = fill(&h, table[i].fields, table[i].ended);
		assert_int_equal(r, table[i].status ? 0 : -EBADMSG);
		if (r < 0) {
			assert_int_equal(h.error_status, 502);
			continue;
		}
		assert_int_equal(h.status, table[i].status);
		assert_int_equal(h.framing, table[i].framing);
	}
}

static void trailers(void **state)
{
	static const char *const bad[] = { ":path|/\n", "content-length|1\n", "host|a\n", "authorization|x\n",
					   "transfer-encoding|chunked\n", "X|y\n" };
	_cleanup_http1_head_ struct http1_head good = { .kind = HTTP1_TRAILERS }, open = { .kind = HTTP1_TRAILERS };
	(void)state;

	assert_int_equal(fill(&good, "grpc-status|0\ngrpc-message|ok\n", true), 0);
	assert_int_equal(good.n_fields, 2);
	assert_int_equal(fill(&open, "x|y\n", false), -EBADMSG);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		_cleanup_http1_head_ struct http1_head h = { .kind = HTTP1_TRAILERS };
		assert_int_equal(fill(&h, bad[i], true), -EBADMSG);
	}
}

/* What was accepted and is written as HTTP/1.1 is read as the same by the parser of HTTP/1.1. */
static void the_same_over_http1(void **state)
{
	static const char *const all[] = {
		GET, POST, GET "x|\nx|a b\tc\ncookie|a\ncookie|b\nte|trailers\n", POST "content-length|7\n",
		POST "expect|100-continue\nx|\xe4\xff\n", ":method|PROPFIND\n:path|/?\n:scheme|https\nhost|A.example\n",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		_cleanup_http1_head_ struct http1_head h = request(all[i], false), again = { .kind = HTTP1_REQUEST };
		_cleanup_buf_ struct buf text = { 0 };
		struct http1_request_out how = { .host = "a.example" };
		assert_int_equal(http1_write_request(&text, &h, &how), 0);
		assert_int_equal(http1_head_feed(&again, text.data, text.len), text.len);
		assert_true(again.complete);
		assert_int_equal(again.framing, h.framing);
		assert_int_equal(again.content_length, h.content_length);
		assert_int_equal(again.path.len, h.path.len);
		assert_memory_equal(http1_text(&again, again.path), http1_text(&h, h.path), h.path.len);
		assert_true(again.has_query == h.has_query && again.te_trailers == h.te_trailers);
	}
}

static void expect_fields(const struct http2_fields *f, const char *text)
{
	_cleanup_buf_ struct buf got = { 0 };

	for (size_t i = 0; i < f->n; i++)
		buf_printf(&got, "%.*s|%.*s\n", (int)f->v[i].name_len, f->bytes.data + f->v[i].name, (int)f->v[i].value_len,
			   f->bytes.data + f->v[i].value);
	assert_string_equal(buf_str(&got), text);
}

static void requests_are_written(void **state)
{
	static const char text[] = "POST /x?a=b HTTP/1.1\r\nHost: a.example:8443\r\nX-One: 1: 2\r\nEmpty: \r\n"
				   "Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
	static const char *const bad[] = {
		"", "\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		"GET HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "GET / HTTP/1.1\r\nX: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nX: y\r\n\r\n",
	};
	struct http2_fields f = { 0 };
	(void)state;

	assert_int_equal(http2_write_request(&f, text, sizeof(text) - 1), 0);
	expect_fields(&f, ":method|POST\n:scheme|https\n:authority|a.example:8443\n:path|/x?a=b\nx-one|1: 2\nempty|\n"
			  "te|trailers\n");
	http2_fields_free(&f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(http2_write_request(&f, bad[i], strlen(bad[i])), -EINVAL);
		http2_fields_free(&f);
	}
}

static void answers_are_written(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n"
				   "Keep-Alive: 5\r\nAlt-Svc: h3\r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
	_cleanup_http1_head_ struct http1_head h = { .kind = HTTP1_RESPONSE };
	struct http1_response_out how = { 0 };
	struct http2_fields f = { 0 };
	(void)state;

	assert_int_equal(http1_head_feed(&h, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(http2_write_response(&f, &h, &how), 0);
	expect_fields(&f, ":status|200\nserver|x\nset-cookie|a\nset-cookie|b\ncontent-length|5\n");
	http2_fields_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(cookies_are_joined),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(limits),
		cmocka_unit_test(answers),
		cmocka_unit_test(trailers),
		cmocka_unit_test(the_same_over_http1),
		cmocka_unit_test(requests_are_written),
		cmocka_unit_test(answers_are_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
