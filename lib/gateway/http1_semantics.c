/* SPDX-License-Identifier: Apache-2.0 */
/* What the lines of an HTTP/1 head mean: target, version, Host, framing, connection. Everything in doubt is refused. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "gateway/http1_private.h"

#define CONNECTION_OPTIONS_MAX 32u

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct http1_slice part(struct http1_slice s, uint32_t from, uint32_t to)
{
	return (struct http1_slice){ s.off + from, to - from };
}

/* "HTTP/1.1" or "HTTP/1.0"; a version of that form but another number is one that we do not speak. */
static int version(struct http1_head *h, const char *s, size_t len)
{
	if (len != 8 || memcmp(s, "HTTP/", 5) != 0 || !is_digit(s[5]) || s[6] != '.' || !is_digit(s[7]))
		return http1_refuse(h, h->kind == HTTP1_REQUEST ? "bad-request-line" : "bad-status-line", 400);
	if (s[5] != '1' || s[7] > '1')
		return http1_refuse(h, "bad-version", 505);
	h->minor = (uint8_t)(s[7] - '0');
	return 0;
}

/* Splits what begins with '/' (or '?' or nothing, in absolute-form) into path and query. */
static void path_and_query(struct http1_head *h, struct http1_slice s)
{
	const char *text = http1_text(h, s);
	const char *mark = memchr(text, '?', s.len);
	uint32_t n = mark ? (uint32_t)(mark - text) : s.len;

	h->path = part(s, 0, n);
	h->has_query = mark;
	if (mark)
		h->query = part(s, n + 1, s.len);
}

int http1_set_target(struct http1_head *h, struct http1_slice t)
{
	const char *s = http1_text(h, t);
	uint32_t scheme = 0;

	/* The fragment is never sent; who cuts it off and who does not would see different paths. */
	if (t.len == 0 || memchr(s, '#', t.len))
		return http1_refuse(h, "bad-target", 400);
	if (s[0] == '/') {
		path_and_query(h, t);
		return 0;
	}
	if (http1_slice_is(h, t, "*") && http1_slice_is(h, h->method, "OPTIONS")) {
		h->form = HTTP1_ASTERISK;
		h->path = t;
		return 0;
	}
	if (t.len > 7 && strncasecmp(s, "http://", 7) == 0)
		scheme = 7;
	else if (t.len > 8 && strncasecmp(s, "https://", 8) == 0)
		scheme = 8;
	else
		return http1_refuse(h, "bad-target", 400);
	uint32_t end = scheme;
	while (end < t.len && s[end] != '/' && s[end] != '?')
		end++;
	h->form = HTTP1_ABSOLUTE;
	h->authority = part(t, scheme, end);
	path_and_query(h, part(t, end, t.len));
	return 0;
}

int http1_set_method(struct http1_head *h, struct http1_slice method)
{
	h->method = method;
	if (h->method.len > HTTP1_METHOD_MAX)
		return http1_refuse(h, "method-too-long", 501);
	/* CONNECT would be a way through the gateway; TRACE sends the fields back, and with them a substituted secret. */
	if (http1_slice_is_nocase(h, h->method, "CONNECT"))
		return http1_refuse(h, "connect-method", 501);
	if (http1_slice_is_nocase(h, h->method, "TRACE"))
		return http1_refuse(h, "trace-method", 501);
	return 0;
}

int http1_request_line(struct http1_head *h, uint32_t off, uint32_t len)
{
	struct http1_slice line = { off, len };
	const char *s = http1_text(h, line);
	const char *first = memchr(s, ' ', len);
	const char *second = first ? memchr(first + 1, ' ', len - (size_t)(first + 1 - s)) : NULL;

	if (!second || !http1_is_token(s, (size_t)(first - s)))
		return http1_refuse(h, "bad-request-line", 400);
	int r = version(h, second + 1, len - (size_t)(second + 1 - s));
	if (r == 0)
		r = http1_set_method(h, part(line, 0, (uint32_t)(first - s)));
	return r < 0 ? r : http1_set_target(h, part(line, (uint32_t)(first + 1 - s), (uint32_t)(second - s)));
}

int http1_status_line(struct http1_head *h, uint32_t off, uint32_t len)
{
	struct http1_slice line = { off, len };
	const char *s = http1_text(h, line);

	if (len < 12 || s[8] != ' ' || !is_digit(s[9]) || !is_digit(s[10]) || !is_digit(s[11]) ||
	    (len > 12 && s[12] != ' '))
		return http1_refuse(h, "bad-status-line", 502);
	int r = version(h, s, 8);
	if (r < 0)
		return r;
	h->status = (uint16_t)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
	if (h->status < 100 || h->status > 599)
		return http1_refuse(h, "bad-status", 502);
	/* No request that we write asks for another protocol than this one. */
	if (h->status == 101 && !h->to_websocket)
		return http1_refuse(h, "unexpected-upgrade", 502);
	if (len > 13)
		h->reason = part(line, 13, len);
	return 0;
}

bool http1_list_next(const struct http1_head *h, struct http1_slice list, uint32_t *at, struct http1_slice *ret)
{
	const char *base = (const char *)h->bytes.data;
	uint32_t end = list.off + list.len;

	for (;;) {
		while (*at < end && (base[*at] == ' ' || base[*at] == '\t' || base[*at] == ','))
			(*at)++;
		if (*at >= end)
			return false;
		uint32_t from = *at;
		while (*at < end && base[*at] != ',')
			(*at)++;
		uint32_t to = *at;
		while (base[to - 1] == ' ' || base[to - 1] == '\t')
			to--;
		*ret = (struct http1_slice){ from, to - from };
		return true;
	}
}

/* 1*DIGIT below 2^63, once: of two, or of a list, each receiver might believe another. */
static int content_length(struct http1_head *h, struct http1_slice v)
{
	const char *s = http1_text(h, v);
	uint64_t n = 0;

	if (h->has_content_length || v.len == 0 || v.len > 19)
		return http1_refuse(h, "bad-content-length", 400);
	for (uint32_t i = 0; i < v.len; i++) {
		if (!is_digit(s[i]))
			return http1_refuse(h, "bad-content-length", 400);
		n = n * 10 + (uint64_t)(s[i] - '0');
	}
	if (n > INT64_MAX)
		return http1_refuse(h, "bad-content-length", 400);
	h->has_content_length = true;
	h->content_length = n;
	return 0;
}

static int transfer_encoding(struct http1_head *h, struct http1_slice v)
{
	/* HTTP/1.0 knows no Transfer-Encoding: an old hop would have read the body otherwise (RFC 9112 6.1). */
	if (h->has_transfer_encoding || h->minor == 0 || v.len == 0)
		return http1_refuse(h, "bad-transfer-encoding", 400);
	if (!http1_slice_is_nocase(h, v, "chunked"))
		return http1_refuse(h, "bad-transfer-encoding", 501);
	h->has_transfer_encoding = true;
	return 0;
}

/* keep_alive gets its default by the version in http1_finish() when no option decides; `close` wins. */
static int connection(struct http1_head *h, struct http1_slice v, bool *close, bool *keep)
{
	struct http1_slice option;
	uint32_t at = v.off;
	unsigned n = 0;

	while (http1_list_next(h, v, &at, &option)) {
		if (++n > CONNECTION_OPTIONS_MAX || !http1_is_token(http1_text(h, option), option.len))
			return http1_refuse(h, "bad-connection", 400);
		*close |= http1_slice_is_nocase(h, option, "close");
		*keep |= http1_slice_is_nocase(h, option, "keep-alive");
		h->upgrade_option |= http1_slice_is_nocase(h, option, "upgrade");
	}
	return 0;
}

int http1_set_host(struct http1_head *h, struct http1_slice v)
{
	const char *s = http1_text(h, v);
	uint32_t name = 0;

	if (h->has_host)
		return http1_refuse(h, "bad-host", 400);
	h->has_host = true;
	h->host_value = v;
	if (v.len && s[0] == '[') {
		while (name < v.len && s[name] != ']')
			name++;
		/* Hexadecimal digits, ':' and '.' between the brackets: no zone, no future version. */
		if (name < 3 || name == v.len || strspn(s + 1, "0123456789abcdefABCDEF:.") != name - 1)
			return http1_refuse(h, "bad-host", 400);
		name++;
	} else {
		while (name < v.len && s[name] != ':') {
			char c = s[name];
			if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '-' && c != '.' &&
			    c != '_')
				return http1_refuse(h, "bad-host", 400);
			name++;
		}
	}
	if (name == 0 || name > 255)
		return http1_refuse(h, "bad-host", 400);
	h->host = part(v, 0, name);
	if (name == v.len)
		return 0;

	uint32_t port = 0, digits = v.len - name - 1;
	if (s[name] != ':' || digits < 1 || digits > 5 || s[name + 1] == '0')
		return http1_refuse(h, "bad-host", 400);
	for (uint32_t i = name + 1; i < v.len; i++) {
		if (!is_digit(s[i]))
			return http1_refuse(h, "bad-host", 400);
		port = port * 10 + (uint32_t)(s[i] - '0');
	}
	if (port > 65535)
		return http1_refuse(h, "bad-host", 400);
	h->port = (uint16_t)port;
	return 0;
}

/* Fields that decide about framing, routing or identity have to stand where everybody looks for them: in the head. */
static bool trailer_allowed(const struct http1_head *h, struct http1_slice name)
{
	static const char *const refused[] = {
		"Host", "Transfer-Encoding", "Connection", "Trailer", "TE", "Upgrade", "Keep-Alive", "Expect", "Authorization",
		"WWW-Authenticate", "Cookie", "Set-Cookie", "Location", "Range", "Cache-Control", "Alt-Svc", "Age", "Date",
		"Max-Forwards", "Pragma", "Vary", "Content_Length", "Transfer_Encoding",
	};

	if (name.len >= 8 && strncasecmp(http1_text(h, name), "Content-", 8) == 0)
		return false;
	if (name.len >= 6 && strncasecmp(http1_text(h, name), "Proxy-", 6) == 0)
		return false;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (http1_slice_is_nocase(h, name, refused[i]))
			return false;
	}
	return true;
}

static int expect(struct http1_head *h, struct http1_slice v)
{
	if (!http1_slice_is_nocase(h, v, "100-continue"))
		return http1_refuse(h, "bad-expect", 417);
	/* RFC 9110 10.1.1: of HTTP/1.0 it is ignored. */
	h->expect_continue = h->minor == 1;
	return 0;
}

static int request_field(struct http1_head *h, const struct http1_field *f)
{
	if (http1_slice_is_nocase(h, f->name, "Host"))
		return http1_set_host(h, f->value);
	if (http1_slice_is_nocase(h, f->name, "Expect"))
		return expect(h, f->value);
	if (http1_slice_is_nocase(h, f->name, "TE")) {
		struct http1_slice coding;
		uint32_t at = f->value.off;
		while (http1_list_next(h, f->value, &at, &coding))
			h->te_trailers |= http1_slice_is_nocase(h, coding, "trailers");
	}
	return 0;
}

int http1_field_meaning(struct http1_head *h, const struct http1_field *f)
{
	if (h->kind == HTTP1_TRAILERS)
		return trailer_allowed(h, f->name) ? 0 : http1_refuse(h, "bad-trailer", 400);
	if (http1_slice_is_nocase(h, f->name, "Content-Length"))
		return content_length(h, f->value);
	if (http1_slice_is_nocase(h, f->name, "Transfer-Encoding"))
		return transfer_encoding(h, f->value);
	/* Gateways to CGI and WSGI make one variable of both spellings. */
	if (http1_slice_is_nocase(h, f->name, "Content_Length") || http1_slice_is_nocase(h, f->name, "Transfer_Encoding"))
		return http1_refuse(h, "bad-field-name", 400);
	if (http1_slice_is_nocase(h, f->name, "Upgrade")) {
		h->other_upgrade |= h->upgrade || !http1_slice_is_nocase(h, f->value, "websocket");
		h->upgrade = true;
	}
	h->has_connection |= http1_slice_is_nocase(h, f->name, "Connection");
	return h->kind == HTTP1_REQUEST ? request_field(h, f) : 0;
}

/* The one upgrade there is; whether the handshake is right beyond that is the server's and the client's to see. */
static bool is_websocket(const struct http1_head *h)
{
	bool asks = h->upgrade && !h->other_upgrade && h->upgrade_option && h->minor == 1;

	if (h->kind == HTTP1_RESPONSE)
		return asks && h->status == 101;
	return asks && http1_slice_is(h, h->method, "GET") && h->framing == HTTP1_BODY_NONE && !h->expect_continue;
}

static int finish_request(struct http1_head *h)
{
	if (!h->has_host)
		return http1_refuse(h, "no-host", 400);
	if (h->form == HTTP1_ABSOLUTE) {
		if (h->authority.len != h->host_value.len ||
		    strncasecmp(http1_text(h, h->authority), http1_text(h, h->host_value), h->authority.len) != 0)
			return http1_refuse(h, "host-mismatch", 400);
		/* "http://name" and "http://name?query" mean the path "/"; the bytes for it stand behind the head. */
		if (h->path.len == 0) {
			bool asterisk = http1_slice_is(h, h->method, "OPTIONS") && !h->has_query;
			h->path = (struct http1_slice){ (uint32_t)h->bytes.len, 1 };
			if (buf_putc(&h->bytes, asterisk ? '*' : '/') < 0)
				return -ENOMEM;
			if (asterisk)
				h->form = HTTP1_ASTERISK;
		}
	}
	return 0;
}

static void set_framing(struct http1_head *h)
{
	bool response = h->kind == HTTP1_RESPONSE;

	if (response && (h->to_head || h->status < 200 || h->status == 204 || h->status == 304))
		h->framing = HTTP1_BODY_NONE;
	else if (h->has_transfer_encoding)
		h->framing = HTTP1_BODY_CHUNKED;
	else if (h->has_content_length)
		h->framing = HTTP1_BODY_LENGTH;
	else
		h->framing = response ? HTTP1_BODY_EOF : HTTP1_BODY_NONE;
}

int http1_finish(struct http1_head *h)
{
	bool close = false, keep = false;
	int r;

	h->complete = true;
	if (h->kind == HTTP1_TRAILERS)
		return 0;
	/* RFC 9112 6.3 lets a receiver choose; the one behind us might choose otherwise. */
	if (h->has_transfer_encoding && h->has_content_length)
		return http1_refuse(h, "two-lengths", 400);
	size_t first = h->has_connection ? 0 : h->n_fields;
	for (size_t i = http1_find(h, "Connection", first); i < h->n_fields; i = http1_find(h, "Connection", i + 1)) {
		r = connection(h, h->fields[i].value, &close, &keep);
		if (r < 0)
			return r;
	}
	set_framing(h);
	h->websocket = is_websocket(h);
	if (h->status == 101 && !h->websocket)
		return http1_refuse(h, "unexpected-upgrade", 502);
	h->keep_alive = !close && (h->minor == 1 || keep) && h->framing != HTTP1_BODY_EOF;
	return h->kind == HTTP1_REQUEST ? finish_request(h) : 0;
}
