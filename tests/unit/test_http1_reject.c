/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and responses that have to be refused, each whole, cut in two at every offset, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"
#include "http1_feed.h"

#include <cmocka.h>

struct bad {
	const char *text;
	size_t len;
	const char *error;
	unsigned status;
};

#define BAD(text, error, status) { text, sizeof(text) - 1, error, status }
#define H "Host: a.example\r\n"
#define GET "GET / HTTP/1.1\r\n" H
#define POST "POST / HTTP/1.1\r\n" H
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct bad requests[] = {
	/* Content-Length */
	BAD(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 5, 5\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 5,6\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: +5\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: -5\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: -0\r\n\r\n", "bad-content-length", 400),
	BAD(POST "Content-Length: 0x5\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 5 5\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 5;\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 5.0\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: \"5\"\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length:\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: five\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content-Length: 9223372036854775808\r\n\r\n", "bad-content-length", 400),
	BAD(POST "Content-Length: 18446744073709551616\r\n\r\n", "bad-content-length", 400),
	BAD(POST "Content-Length: 00000000000000000005\r\n\r\nhello", "bad-content-length", 400),
	BAD(POST "Content_Length: 5\r\n\r\nhello", "bad-field-name", 400),
	/* Transfer-Encoding */
	BAD(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "two-lengths", 400),
	BAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "two-lengths", 400),
	BAD(POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "two-lengths", 400),
	BAD(POST "Transfer-Encoding: identity\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 501),
	BAD(POST "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello", "bad-transfer-encoding", 400),
	BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 400),
	BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 400),
	BAD("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 400),
	BAD(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 400),
	BAD(POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", "control-byte", 400),
	BAD(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "bad-field-name", 400),
	BAD(POST "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n", "bad-field-name", 400),
	/* Lines and fields */
	BAD(GET "X: a\r\n b\r\n\r\n", "folded-line", 400),
	BAD(GET "X: a\r\n\tb\r\n\r\n", "folded-line", 400),
	BAD("GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", "folded-line", 400),
	BAD("GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", "bad-field-name", 400),
	BAD(GET "X\t: a\r\n\r\n", "bad-field-name", 400),
	BAD(GET ": a\r\n\r\n", "bad-field-name", 400),
	BAD(GET "X\r\n\r\n", "bad-field-name", 400),
	BAD(GET "X Y: a\r\n\r\n", "bad-field-name", 400),
	BAD(GET "X(Y): a\r\n\r\n", "bad-field-name", 400),
	BAD(GET "X\x80: a\r\n\r\n", "bad-field-name", 400),
	BAD(GET "\"X\": a\r\n\r\n", "bad-field-name", 400),
	BAD("GET / HTTP/1.1\nHost: a.example\n\n", "bare-lf", 400),
	BAD(GET "X: a\nY: b\r\n\r\n", "bare-lf", 400),
	BAD(GET "\n", "bare-lf", 400),
	BAD(GET "X: a\rY: b\r\n\r\n", "bare-cr", 400),
	BAD(GET "X: a\r\r\n\r\n", "bare-cr", 400),
	BAD(GET "\r\rX", "bare-cr", 400),
	BAD(GET "\rX: a\r\n\r\n", "bare-cr", 400),
	BAD("GET / HTTP/1.1\r" H "\r\n", "bare-cr", 400),
	BAD(GET "X: a\0b\r\n\r\n", "control-byte", 400),
	BAD(GET "X\0: a\r\n\r\n", "control-byte", 400),
	BAD(GET "X: a\x01\r\n\r\n", "control-byte", 400),
	BAD(GET "X: a\x7f\r\n\r\n", "control-byte", 400),
	BAD(GET "X: \x1b[2J\r\n\r\n", "control-byte", 400),
	/* Host */
	BAD("GET / HTTP/1.1\r\n\r\n", "no-host", 400),
	BAD("GET / HTTP/1.0\r\n\r\n", "no-host", 400),
	BAD(GET H "\r\n", "bad-host", 400),
	BAD(GET "Host: b.example\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example?b\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example#b\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example\\b\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a%2eexample\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a\x80.example\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example:0\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example:080\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: a.example:8o\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: []\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n", "bad-host", 400),
	BAD("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "bad-host", 400),
	/* Request line */
	BAD("GET /\r\n\r\n", "bad-request-line", 400),
	BAD("GET\r\n\r\n", "bad-request-line", 400),
	BAD("GET / HTTP/0.9\r\n" H "\r\n", "bad-version", 505),
	BAD("GET / HTTP/2.0\r\n" H "\r\n", "bad-version", 505),
	BAD("GET / HTTP/1.2\r\n" H "\r\n", "bad-version", 505),
	BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad-version", 505),
	BAD("GET / HTTP/1.10\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET / HTTP/11\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET / http/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET / HTTP/1.1 \r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET / ICE/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET / x HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET  / HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET /  HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD(" GET / HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET\t/ HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET /\x0b HTTP/1.1\r\n" H "\r\n", "control-byte", 400),
	BAD("G(T / HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET /\x80 HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("GET /\0 HTTP/1.1\r\n" H "\r\n", "control-byte", 400),
	BAD("GET /a#b HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET /?a#b HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET a HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET * HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET ?a HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET a.example:80 HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET http:// HTTP/1.1\r\n" H "\r\n", "bad-target", 400),
	BAD("GET http:/// HTTP/1.1\r\n" H "\r\n", "host-mismatch", 400),
	BAD("GET http://b.example/ HTTP/1.1\r\n" H "\r\n", "host-mismatch", 400),
	BAD("GET http://a.example@b.example/ HTTP/1.1\r\n" H "\r\n", "host-mismatch", 400),
	BAD("GET http://a.example:80/ HTTP/1.1\r\n" H "\r\n", "host-mismatch", 400),
	BAD("OPTIONS http://b.example HTTP/1.1\r\n" H "\r\n", "host-mismatch", 400),
	BAD("CONNECT a.example:443 HTTP/1.1\r\n" H "\r\n", "connect-method", 501),
	BAD("TRACE / HTTP/1.1\r\n" H "\r\n", "trace-method", 501),
	BAD("trace / HTTP/1.1\r\n" H "\r\n", "trace-method", 501),
	BAD("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" H "\r\n", "method-too-long", 501),
	BAD("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "bad-request-line", 400),
	BAD("\x16\x03\x01\x02\x00", "control-byte", 400),
	BAD("\x80garbage", "bad-request-line", 400),
	BAD("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" H "\r\n", "bad-request-line", 400),
	BAD("SSH-2.0-x\r\n", "bad-request-line", 400),
	/* Other fields */
	BAD(GET "Expect: 200-ok\r\n\r\n", "bad-expect", 417),
	BAD(GET "Expect: 100-continue, x\r\n\r\n", "bad-expect", 417),
	BAD(GET "Connection: a b\r\n\r\n", "bad-connection", 400),
	BAD(GET "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,a,b,c,d,e,f,g\r\n\r\n", "bad-connection", 400),
	/* Chunks */
	BAD(CHUNKED "\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "x\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "-1\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "+1\r\nx\r\n0\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "0x1\r\nx\r\n0\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED " 1\r\nx\r\n0\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "1 \r\nx\r\n0\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "1 ;a\r\nx\r\n0\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED ";a\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "1\nx\n0\n\n", "bad-chunk-size", 400),
	BAD(CHUNKED "1\rx\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "1;a\rb\r\nx\r\n0\r\n\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "1;a\nx\r\n0\r\n\r\n", "bad-chunk-extension", 400),
	BAD(CHUNKED "1;\0\r\nx\r\n0\r\n\r\n", "bad-chunk-extension", 400),
	BAD(CHUNKED "8000000000000000\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "ffffffffffffffff\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "10000000000000000\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "00000000000000001\r\nx\r\n", "bad-chunk-size", 400),
	BAD(CHUNKED "3\r\nhello\r\n0\r\n\r\n", "bad-chunk-end", 400),
	BAD(CHUNKED "5\r\nhello0\r\n\r\n", "bad-chunk-end", 400),
	BAD(CHUNKED "5\r\nhello\n0\r\n\r\n", "bad-chunk-end", 400),
	BAD(CHUNKED "5\r\nhello\rx", "bad-chunk-end", 400),
	/* Trailers */
	BAD(CHUNKED "0\r\nContent-Length: 5\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\nHost: b.example\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\nAuthorization: Basic eDp5\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\nproxy-authorization: x\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\nCookie: x\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\ncontent-type: x\r\n\r\n", "bad-trailer", 400),
	BAD(CHUNKED "0\r\nX: a\r\n b\r\n\r\n", "folded-line", 400),
	BAD(CHUNKED "0\r\nX : a\r\n\r\n", "bad-field-name", 400),
	BAD(CHUNKED "0\r\nX: a\n\r\n", "bare-lf", 400),
	BAD(CHUNKED "0\r\n\rZ", "bare-cr", 400),
	BAD(CHUNKED "0\r\nGET / HTTP/1.1\r\n", "bad-field-name", 400),
	/* Cut off */
	BAD(GET, "incomplete", 400),
	BAD("GE", "incomplete", 400),
	BAD(POST "Content-Length: 5\r\n\r\nhell", "truncated-body", 400),
	BAD(CHUNKED "5\r\nhello\r\n0\r\n", "truncated-body", 400),
	BAD(CHUNKED "5\r\nhello\r\n", "truncated-body", 400),
	BAD(CHUNKED "5\r\nhel", "truncated-body", 400),
};

#define OK "HTTP/1.1 200 OK\r\n"
static const struct bad responses[] = {
	BAD("HTTP/1.1 200\n\n", "bare-lf", 502),
	BAD("HTTP/1.1  200 OK\r\n\r\n", "bad-status-line", 502),
	BAD("HTTP/1.1 20 OK\r\n\r\n", "bad-status-line", 502),
	BAD("HTTP/1.1 2000 OK\r\n\r\n", "bad-status-line", 502),
	BAD("HTTP/1.1 200OK\r\n\r\n", "bad-status-line", 502),
	BAD("HTTP/1.1 +20 OK\r\n\r\n", "bad-status-line", 502),
	BAD("HTTP/1.1 099 OK\r\n\r\n", "bad-status", 502),
	BAD("HTTP/1.1 600 OK\r\n\r\n", "bad-status", 502),
	BAD("HTTP/2.0 200 OK\r\n\r\n", "bad-version", 502),
	BAD("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "unexpected-upgrade", 502),
	BAD("\r\n" OK "\r\n", "bad-status-line", 502),
	BAD("ICY 200 OK\r\n\r\n", "bad-status-line", 502),
	BAD(OK "X: a\0\r\n\r\n", "control-byte", 502),
	BAD(OK "X: a\rSet-Cookie: b\r\n\r\n", "bare-cr", 502),
	BAD(OK "X: a\r\n b\r\n\r\n", "folded-line", 502),
	BAD(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "two-lengths", 502),
	BAD(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "bad-content-length", 502),
	BAD(OK "Transfer-Encoding: gzip\r\n\r\n", "bad-transfer-encoding", 502),
	BAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding", 502),
	BAD("HTTP/1.1 204 No\r\nContent-Length: x\r\n\r\n", "bad-content-length", 502),
};

static void check(const struct bad *b, const struct message *m, size_t cut)
{
	if (m->error && strcmp(m->error, b->error) == 0 && (m->status == b->status || m->started_body))
		return;
	fail_msg("%s (cut at %zu): got %s %u, wanted %s %u", b->text, cut, m->error ? m->error : "accepted", m->status,
		 b->error, b->status);
}

static void refused_however_cut(const struct bad *table, size_t n, enum http1_kind kind)
{
	for (size_t i = 0; i < n; i++) {
		const struct bad *b = &table[i];
		for (size_t cut = 0; cut <= b->len; cut++) {
			struct message m = { .head = { .kind = kind } };
			message_feed(&m, b->text, cut);
			message_feed(&m, b->text + cut, b->len - cut);
			message_eof(&m);
			check(b, &m, cut);
			message_free(&m);
		}
		struct message m = { .head = { .kind = kind } };
		for (size_t at = 0; at < b->len; at++)
			message_feed(&m, b->text + at, 1);
		message_eof(&m);
		check(b, &m, b->len + 1);
		message_free(&m);
	}
}

static void bad_requests(void **state)
{
	(void)state;
	refused_however_cut(requests, ARRAY_LEN(requests), HTTP1_REQUEST);
}

static void bad_responses(void **state)
{
	(void)state;
	refused_however_cut(responses, ARRAY_LEN(responses), HTTP1_RESPONSE);
}

/* The oracle is not "whatever is not accepted": each of these differs from a refused one in a byte or two. */
static void good_neighbours(void **state)
{
	static const char *const good[] = {
		GET "\r\n",
		"\r\n" GET "\r\n",
		GET "X:a\r\nY: \t a b \t\r\nZ:\r\n\r\n",
		POST "Content-Length: 5\r\n\r\nhello",
		POST "content-length:5\r\n\r\nhello",
		POST "Content-Length: 9223372036854775807\r\n\r\n",
		POST "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		CHUNKED "5;name=\"a;b\"\r\nhello\r\n0;x\r\nX-Sum: a\r\n\r\n",
		CHUNKED "0005\r\nhello\r\n00\r\n\r\n",
		"FROB / HTTP/1.1\r\n" H "\r\n",
		"M-SEARCH /a?b|{}[]^`\"<>\\ HTTP/1.1\r\n" H "\r\n",
		"OPTIONS * HTTP/1.1\r\n" H "\r\n",
		"GET http://a.example/x HTTP/1.1\r\n" H "\r\n",
		"GET HTTPS://A.example?x HTTP/1.1\r\n" H "\r\n",
		"GET / HTTP/1.0\r\n" H "\r\n",
		"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a_b.example.:65535\r\n\r\n",
		GET "X: \xc3\xa9\r\n\r\n",
		GET "Expect: 100-Continue\r\nConnection: , keep-alive ,,x\r\n\r\n",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		for (size_t cut = 0, len = strlen(good[i]); cut <= len; cut++) {
			struct message m = { .head = { .kind = HTTP1_REQUEST } };
			message_feed(&m, good[i], cut);
			message_feed(&m, good[i] + cut, len - cut);
			if (m.error || !m.started_body || m.consumed != len)
				fail_msg("%s (cut at %zu): %s", good[i], cut, m.error ? m.error : "not complete");
			message_free(&m);
		}
	}
}

/* What was refused stays refused, whatever comes next. */
static void failure_is_final(void **state)
{
	struct http1_head h = { .kind = HTTP1_REQUEST };
	(void)state;

	assert_int_equal(http1_head_feed(&h, "\x01", 1), -EBADMSG);
	assert_int_equal(http1_head_feed(&h, GET "\r\n", strlen(GET "\r\n")), -EBADMSG);
	assert_false(h.complete);
	assert_false(http1_head_idle(&h));
	http1_head_reset(&h);
	assert_true(http1_head_idle(&h));
	assert_int_equal(http1_head_feed(&h, GET "\r\n", strlen(GET "\r\n")), strlen(GET "\r\n"));
	assert_true(h.complete);
	http1_head_reset(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(bad_responses),
		cmocka_unit_test(good_neighbours),
		cmocka_unit_test(failure_is_final),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
