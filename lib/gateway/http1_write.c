/* SPDX-License-Identifier: Apache-2.0 */
/* Writing HTTP/1.1 messages. */
#include "gateway/http1_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "gateway/http1_private.h"

struct known_name {
	const char *text;
	size_t len;
};
#define NAME(text) { text, sizeof(text) - 1 }

/* Meant for the next hop alone, or written anew by the writers below. */
static const struct known_name HOP_BY_HOP[] = {
	NAME("Connection"), NAME("Keep-Alive"), NAME("Proxy-Connection"), NAME("Proxy-Authenticate"),
	NAME("Proxy-Authorization"), NAME("TE"), NAME("Transfer-Encoding"), NAME("Content-Length"), NAME("Upgrade"),
	NAME("HTTP2-Settings"),
};

/* A sender that names one of these in Connection would have it read here and not behind us, or the other way round. */
static const struct known_name END_TO_END[] = {
	NAME("Authorization"), NAME("Cookie"), NAME("Set-Cookie"), NAME("Host"), NAME("Content-Length"),
	NAME("Content-Type"), NAME("Content-Encoding"), NAME("Content-Range"), NAME("Cache-Control"), NAME("Range"),
	NAME("Expect"), NAME("Date"), NAME("Location"),
};

/* Requests for a part of an answer: the standard ones, an older one that servers still know, and that of Azure. */
static const struct known_name FOR_A_PART[] = {
	NAME("Range"), NAME("If-Range"), NAME("Request-Range"), NAME("x-ms-range"),
};

static bool in_list(const struct http1_head *h, struct http1_slice name, const struct known_name *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (name.len == list[i].len && strncasecmp(http1_text(h, name), list[i].text, name.len) == 0)
			return true;
	}
	return false;
}

static bool named_by_connection(const struct http1_head *h, struct http1_slice name)
{
	if (!h->has_connection)
		return false;
	for (size_t i = http1_find(h, "Connection", 0); i < h->n_fields; i = http1_find(h, "Connection", i + 1)) {
		struct http1_slice option;
		uint32_t at = h->fields[i].value.off;
		while (http1_list_next(h, h->fields[i].value, &at, &option)) {
			if (option.len == name.len && strncasecmp(http1_text(h, option), http1_text(h, name), name.len) == 0)
				return !in_list(h, name, END_TO_END, ARRAY_LEN(END_TO_END));
		}
	}
	return false;
}

bool http1_forwarded(const struct http1_head *h, size_t i)
{
	struct http1_slice name = h->fields[i].name;

	if (in_list(h, name, HOP_BY_HOP, ARRAY_LEN(HOP_BY_HOP)) || named_by_connection(h, name))
		return false;
	if (h->kind == HTTP1_REQUEST)
		return !http1_slice_is_nocase(h, name, "Host") &&
		       (h->expect_continue || !http1_slice_is_nocase(h, name, "Expect"));
	return !http1_slice_is_nocase(h, name, "Alt-Svc");
}

static int put_slice(struct buf *out, const struct http1_head *h, struct http1_slice s)
{
	return buf_append(out, http1_text(h, s), s.len);
}

static int put_field(struct buf *out, const struct http1_head *h, size_t i, http1_value_fn value, void *data)
{
	const struct http1_field *f = &h->fields[i];
	int changed = 0;

	int r = put_slice(out, h, f->name);
	if (r == 0)
		r = buf_puts(out, ": ");
	if (r == 0 && value)
		r = changed = value(data, h, i, out);
	if (r == 0 && !changed)
		r = put_slice(out, h, f->value);
	return r < 0 ? r : buf_puts(out, "\r\n");
}

static int put_fields(struct buf *out, const struct http1_head *h, http1_value_fn value, void *data)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		int r = http1_forwarded(h, i) ? put_field(out, h, i, value, data) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_request_fields(struct buf *out, const struct http1_head *h, const struct http1_request_out *how)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		struct http1_slice name = h->fields[i].name;
		int r = 0;
		if (!http1_forwarded(h, i))
			continue;
		if (how->range && http1_slice_is_nocase(h, name, how->range_name))
			r = buf_printf(out, "%s: %s\r\n", how->range_name, how->range);
		else if (!how->whole || !in_list(h, name, FOR_A_PART, ARRAY_LEN(FOR_A_PART)) ||
			 (how->range && http1_slice_is_nocase(h, name, "If-Range")))
			r = put_field(out, h, i, how->value, how->data);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_framing(struct buf *out, enum http1_framing framing, uint64_t length)
{
	if (framing == HTTP1_BODY_CHUNKED)
		return buf_puts(out, "Transfer-Encoding: chunked\r\n");
	if (framing != HTTP1_BODY_LENGTH)
		return 0;
	int r = buf_puts(out, "Content-Length: ");
	if (r == 0)
		r = buf_put_uint(out, length);
	return r < 0 ? r : buf_puts(out, "\r\n");
}

static int put_request_line(struct buf *out, const struct http1_head *h, const struct http1_request_out *how)
{
	int r = put_slice(out, h, h->method);

	if (r == 0)
		r = buf_putc(out, ' ');
	if (r == 0)
		r = how->path ? buf_append(out, how->path, how->path_len) : put_slice(out, h, h->path);
	if (r == 0 && h->has_query) {
		r = buf_putc(out, '?');
		if (r == 0)
			r = how->query ? buf_append(out, how->query, how->query_len) : put_slice(out, h, h->query);
	}
	if (r == 0)
		r = buf_puts(out, " HTTP/1.1\r\n");
	if (r == 0)
		r = buf_puts(out, "Host: ");
	if (r == 0)
		r = buf_puts(out, how->host);
	if (r == 0 && how->port) {
		r = buf_putc(out, ':');
		if (r == 0)
			r = buf_put_uint(out, how->port);
	}
	return r < 0 ? r : buf_puts(out, "\r\n");
}

int http1_write_request(struct buf *out, const struct http1_head *h, const struct http1_request_out *how)
{
	int r = put_request_line(out, h, how);

	if (r == 0)
		r = put_request_fields(out, h, how);
	if (r == 0)
		r = put_framing(out, h->framing, h->content_length);
	if (r == 0 && h->websocket)
		r = buf_puts(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
	else if (r == 0 && h->te_trailers)
		r = buf_puts(out, "TE: trailers\r\nConnection: TE\r\n");
	return r < 0 ? r : buf_puts(out, "\r\n");
}

enum http1_framing http1_response_framing(const struct http1_head *h, const struct http1_response_out *how)
{
	if (h->framing == HTTP1_BODY_EOF || h->framing == HTTP1_BODY_CHUNKED)
		return how->http10 ? HTTP1_BODY_EOF : HTTP1_BODY_CHUNKED;
	return h->framing;
}

const char *http1_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} phrases[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" }, { 103, "Early Hints" }, { 200, "OK" }, { 201, "Created" },
		{ 202, "Accepted" }, { 204, "No Content" }, { 205, "Reset Content" }, { 206, "Partial Content" },
		{ 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" },
		{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
		{ 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
		{ 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" }, { 417, "Expectation Failed" },
		{ 421, "Misdirected Request" }, { 422, "Unprocessable Content" }, { 426, "Upgrade Required" },
		{ 428, "Precondition Required" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 451, "Unavailable For Legal Reasons" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "";
}

int http1_write_response(struct buf *out, const struct http1_head *h, const struct http1_response_out *how)
{
	enum http1_framing framing = http1_response_framing(h, how);
	bool interim = h->status < 200;

	int r = buf_puts(out, "HTTP/1.1 ");
	if (r == 0)
		r = buf_put_uint(out, h->status);
	if (r == 0)
		r = buf_putc(out, ' ');
	if (r == 0)
		r = h->reason.len ? put_slice(out, h, h->reason) : buf_puts(out, http1_reason(h->status));
	if (r == 0)
		r = buf_puts(out, "\r\n");
	if (r == 0)
		r = put_fields(out, h, how->value, how->data);
	/* Answers to HEAD and 304 tell the length of what they do not carry; 1xx and 204 never do (RFC 9110 8.6). */
	if (framing == HTTP1_BODY_NONE && h->has_content_length && !interim && h->status != 204)
		framing = HTTP1_BODY_LENGTH;
	if (r == 0)
		r = put_framing(out, framing, h->content_length);
	if (r == 0 && h->websocket)
		r = buf_puts(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
	else if (r == 0 && !interim && !how->keep_alive)
		r = buf_puts(out, "Connection: close\r\n");
	else if (r == 0 && !interim && how->http10)
		r = buf_puts(out, "Connection: keep-alive\r\n");
	return r < 0 ? r : buf_puts(out, "\r\n");
}

size_t http1_chunk_head(char to[HTTP1_CHUNK_HEAD_MAX], uint64_t n)
{
	char digits[17];
	int len = snprintf(digits, sizeof(digits), "%" PRIx64, n);

	memcpy(to, digits, (size_t)len);
	memcpy(to + len, "\r\n", 2);
	return (size_t)len + 2;
}

int http1_write_last_chunk(struct buf *out, const struct http1_head *trailers)
{
	int r = buf_puts(out, "0\r\n");

	for (size_t i = 0; r == 0 && trailers && i < trailers->n_fields; i++)
		r = put_field(out, trailers, i, NULL, NULL);
	return r < 0 ? r : buf_puts(out, "\r\n");
}
