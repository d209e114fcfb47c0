/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP/2 messages (RFC 9113 8.2, 8.3). */
#include "gateway/http2_head.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "gateway/http1_private.h"

/* What a field counts besides its bytes (RFC 9113 6.5.2). */
#define FIELD_OVERHEAD 32u

static bool is(const char *s, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(s, text, len) == 0;
}

/* Copies text behind the others; a line feed ends it, so that nothing which looks for an end runs on. */
static int keep(struct http1_head *h, const char *s, size_t len, struct http1_slice *ret)
{
	*ret = (struct http1_slice){ (uint32_t)h->bytes.len, (uint32_t)len };
	int r = buf_append(&h->bytes, s, len);
	return r < 0 ? r : buf_putc(&h->bytes, '\n');
}

static int pseudo_once(struct http1_head *h, struct http1_slice *to, const char *value, size_t len)
{
	if (to->len || len == 0)
		return http1_refuse(h, "bad-pseudo-header", 400);
	return keep(h, value, len, to);
}

static int status(struct http1_head *h, const char *s, size_t len)
{
	if (h->status || len != 3)
		return http1_refuse(h, "bad-status", 502);
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return http1_refuse(h, "bad-status", 502);
		h->status = (uint16_t)(h->status * 10 + (s[i] - '0'));
	}
	if (h->status < 100 || h->status > 599)
		return http1_refuse(h, "bad-status", 502);
	/* HTTP/2 has no upgrades (RFC 9113 8.6). */
	return h->status == 101 ? http1_refuse(h, "unexpected-upgrade", 502) : 0;
}

static int path(struct http1_head *h, const char *value, size_t len)
{
	struct http1_slice slice;

	if (h->path.len || !http1_is_target(value, len))
		return http1_refuse(h, "bad-target", 400);
	if (len > HTTP1_LINE_MAX)
		return http1_refuse(h, "line-too-long", 414);
	/* The method may come later, so what "*" means is seen at the end; an absolute form has no place here. */
	if (value[0] != '/' && !is(value, len, "*"))
		return http1_refuse(h, "bad-target", 400);
	int r = keep(h, value, len, &slice);
	h->path = slice;
	return r;
}

static int pseudo(struct http1_head *h, const char *name, size_t len, const char *value, size_t value_len)
{
	if (h->n_fields || h->kind == HTTP1_TRAILERS)
		return http1_refuse(h, "bad-pseudo-header", 400);
	if (h->kind == HTTP1_RESPONSE)
		return is(name, len, ":status") ? status(h, value, value_len) :
						  http1_refuse(h, "bad-pseudo-header", 502);
	if (is(name, len, ":method")) {
		if (!http1_is_token(value, value_len))
			return http1_refuse(h, "bad-method", 400);
		return pseudo_once(h, &h->method, value, value_len);
	}
	if (is(name, len, ":path"))
		return path(h, value, value_len);
	if (is(name, len, ":authority"))
		return pseudo_once(h, &h->authority, value, value_len);
	if (is(name, len, ":scheme")) {
		/* The connection is one of TLS; another scheme would have the server believe something else. */
		if (h->started || !is(value, value_len, "https"))
			return http1_refuse(h, "bad-scheme", 400);
		h->started = true;
		return 0;
	}
	return http1_refuse(h, "bad-pseudo-header", 400);
}

/* RFC 9113 8.2.2: HTTP/2 frames and multiplexes by itself. */
static bool connection_specific(const char *name, size_t len, const char *value, size_t value_len)
{
	static const char *const names[] = { "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (is(name, len, names[i]))
			return true;
	}
	return is(name, len, "te") && !(value_len == 8 && strncasecmp(value, "trailers", 8) == 0);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static int field(struct http1_head *h, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct http1_field f;

	if (!http1_is_token(name, name_len))
		return http1_refuse(h, "bad-field-name", 400);
	for (size_t i = 0; i < name_len; i++) {
		if (name[i] >= 'A' && name[i] <= 'Z')
			return http1_refuse(h, "bad-field-name", 400);
	}
	if (!http1_is_text(value, value_len) || (value_len && (is_space(value[0]) || is_space(value[value_len - 1]))))
		return http1_refuse(h, "bad-field-value", 400);
	if (connection_specific(name, name_len, value, value_len))
		return http1_refuse(h, "connection-field", 400);
	int r = keep(h, name, name_len, &f.name);
	if (r == 0)
		r = keep(h, value, value_len, &f.value);
	return r < 0 ? r : http1_add_field(h, f);
}

int http2_head_field(struct http1_head *h, const void *name, size_t name_len, const void *value, size_t value_len)
{
	size_t max = h->kind == HTTP1_TRAILERS ? HTTP1_TRAILERS_MAX : HTTP1_HEAD_MAX;
	const char *n = name;

	if (h->error)
		return -EBADMSG;
	h->minor = 1; /* what fields mean depends on it */
	h->line += name_len + value_len + FIELD_OVERHEAD;
	if (h->line > max)
		return http1_refuse(h, "head-too-long", 431);
	int r = name_len && n[0] == ':' ? pseudo(h, n, name_len, value, value_len) :
					  field(h, n, name_len, value, value_len);
	if (r < 0 && !h->error)
		http1_refuse(h, "no-memory", 503);
	return r;
}

/* RFC 9113 8.2.3: a cookie may come in pieces, which are one field to everybody behind HTTP/2. */
static int join_cookies(struct http1_head *h)
{
	size_t first = http1_find(h, "cookie", 0), n = first + 1;
	struct http1_slice joined = { (uint32_t)h->bytes.len, 0 };

	if (http1_find(h, "cookie", n) >= h->n_fields)
		return 0;
	for (size_t i = first; i < h->n_fields; i++) {
		struct http1_slice v = h->fields[i].value;
		if (!http1_slice_is(h, h->fields[i].name, "cookie")) {
			h->fields[n++] = h->fields[i];
			continue;
		}
		int r = buf_reserve(&h->bytes, v.len + 2); /* the source must not move while it is read */
		if (r == 0 && i > first)
			r = buf_puts(&h->bytes, "; ");
		if (r == 0)
			r = buf_append(&h->bytes, http1_text(h, v), v.len);
		if (r < 0)
			return r;
	}
	joined.len = (uint32_t)h->bytes.len - joined.off;
	h->fields[first].value = joined;
	h->n_fields = n;
	return buf_putc(&h->bytes, '\n');
}

static int finish_request(struct http1_head *h, bool ended)
{
	struct http1_slice target = h->path;

	/* started: the scheme has come. */
	if (!h->method.len || !target.len || !h->started)
		return http1_refuse(h, "bad-pseudo-header", 400);
	int r = http1_set_method(h, h->method);
	if (r == 0)
		r = http1_set_target(h, target);
	if (r < 0)
		return r;
	if (h->authority.len && h->has_host) {
		if (h->authority.len != h->host_value.len ||
		    strncasecmp(http1_text(h, h->authority), http1_text(h, h->host_value), h->authority.len) != 0)
			return http1_refuse(h, "host-mismatch", 400);
	} else if (h->authority.len) {
		r = http1_set_host(h, h->authority);
		if (r < 0)
			return r;
	}
	if (!h->has_host)
		return http1_refuse(h, "no-host", 400);
	if (ended && h->has_content_length && h->content_length)
		return http1_refuse(h, "bad-content-length", 400);
	if (h->has_content_length)
		h->framing = HTTP1_BODY_LENGTH;
	else
		h->framing = ended ? HTTP1_BODY_NONE : HTTP1_BODY_CHUNKED;
	return join_cookies(h);
}

static int finish_response(struct http1_head *h, bool ended)
{
	if (!h->status)
		return http1_refuse(h, "bad-pseudo-header", 502);
	if (h->status < 200 && ended)
		return http1_refuse(h, "interim-end", 502);
	if (h->to_head || h->status < 200 || h->status == 204 || h->status == 304) {
		h->framing = HTTP1_BODY_NONE;
		return 0;
	}
	if (ended && h->has_content_length && h->content_length)
		return http1_refuse(h, "bad-content-length", 502);
	h->framing = ended || h->has_content_length ? HTTP1_BODY_LENGTH : HTTP1_BODY_CHUNKED;
	return 0;
}

int http2_head_finish(struct http1_head *h, bool ended)
{
	int r = 0;

	if (h->error)
		return -EBADMSG;
	h->keep_alive = true;
	if (h->kind == HTTP1_REQUEST)
		r = finish_request(h, ended);
	else if (h->kind == HTTP1_RESPONSE)
		r = finish_response(h, ended);
	else if (!ended)
		r = http1_refuse(h, "bad-trailer", 400);
	if (r < 0 && !h->error)
		http1_refuse(h, "no-memory", 503);
	h->complete = r == 0;
	return r;
}
