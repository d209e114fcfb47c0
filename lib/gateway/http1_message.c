/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of HTTP/1 heads: checks bytes as they come, cuts them into lines and fields. */
#include "gateway/http1_message.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http1_private.h"

#define TOKEN 1u  /* tchar of RFC 9110 5.6.2 */
#define TEXT 2u	  /* may stand in a field line or status line: visible, SP, HTAB, 0x80-0xff */
#define TARGET 4u /* may stand in a request line besides the spaces: visible ASCII */

/* The three kinds of allowed bytes: token characters, other visible ASCII, and the rest of TEXT. */
#define A (TOKEN | TEXT | TARGET)
#define B (TEXT | TARGET)
#define T TEXT
static const uint8_t CLASS[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, T, 0, 0, 0, 0, 0, 0, /* 0_ */
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 1_ */
	T, A, B, A, A, A, A, A, B, B, A, A, B, A, A, B, /* 2_ */
	A, A, A, A, A, A, A, A, A, A, B, B, B, B, B, B, /* 3_ */
	B, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, /* 4_ */
	A, A, A, A, A, A, A, A, A, A, A, B, B, B, A, A, /* 5_ */
	A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, /* 6_ */
	A, A, A, A, A, A, A, A, A, A, A, B, A, B, A, 0, /* 7_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* 8_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* 9_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* a_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* b_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* c_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* d_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* e_ */
	T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, /* f_ */
};
#undef A
#undef B
#undef T

int http1_refuse(struct http1_head *h, const char *error, uint16_t status)
{
	h->error = error;
	/* What an upstream did wrong is no fault of the client's. */
	h->error_status = h->kind == HTTP1_RESPONSE ? 502 : status;
	return -EBADMSG;
}

static bool all_of(const char *s, size_t len, uint8_t class)
{
	for (size_t i = 0; i < len; i++) {
		if (!(CLASS[(uint8_t)s[i]] & class))
			return false;
	}
	return true;
}

bool http1_is_token(const char *s, size_t len)
{
	return len > 0 && all_of(s, len, TOKEN);
}

bool http1_is_text(const char *s, size_t len)
{
	return all_of(s, len, TEXT);
}

bool http1_is_target(const char *s, size_t len)
{
	return len > 0 && all_of(s, len, TARGET);
}

size_t http1_find(const struct http1_head *h, const char *name, size_t from)
{
	while (from < h->n_fields && !http1_slice_is_nocase(h, h->fields[from].name, name))
		from++;
	return from;
}

bool http1_names_variable(const struct http1_head *h, struct http1_slice name, const char *text)
{
	const char *s = http1_text(h, name);

	if (name.len != strlen(text))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (tolower((unsigned char)(s[i] == '_' ? '-' : s[i])) != tolower((unsigned char)text[i]))
			return false;
	}
	return true;
}

void http1_drop(struct http1_head *h, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->n_fields; i++) {
		if (!http1_slice_is_nocase(h, h->fields[i].name, name))
			h->fields[kept++] = h->fields[i];
	}
	h->n_fields = kept;
}

bool http1_head_idle(const struct http1_head *h)
{
	return !h->error && !h->started && h->bytes.len == 0;
}

void http1_head_reset(struct http1_head *h)
{
	free(h->fields);
	buf_free(&h->bytes);
	*h = (struct http1_head){ .kind = h->kind };
}

/* Bytes from `from` on are new. Line ends are CR LF and nothing else, and neither stands alone. */
static int check_bytes(struct http1_head *h, size_t from)
{
	const uint8_t *p = h->bytes.data;
	bool request_line = !h->started && h->kind == HTTP1_REQUEST;

	for (size_t i = from; i < h->bytes.len; i++) {
		bool first = i == h->line;
		bool after_cr = !first && p[i - 1] == '\r';
		if (p[i] == '\n') {
			if (!after_cr)
				return http1_refuse(h, "bare-lf", 400);
			continue;
		}
		if (after_cr)
			return http1_refuse(h, "bare-cr", 400);
		if (p[i] == '\r')
			continue;
		if (!(CLASS[p[i]] & TEXT))
			return http1_refuse(h, "control-byte", 400);
		/* A request line that cannot become one (TLS, another protocol) is refused before its end. */
		if (request_line && (first ? !(CLASS[p[i]] & TOKEN) : !(CLASS[p[i]] & TARGET) && p[i] != ' '))
			return http1_refuse(h, "bad-request-line", 400);
		/* Only the first of a run of plain bytes can be wrong for what stands before it. */
		while (!request_line && i + 1 < h->bytes.len && (CLASS[p[i + 1]] & TEXT))
			i++;
	}
	return 0;
}

int http1_add_field(struct http1_head *h, struct http1_field f)
{
	if (h->n_fields == HTTP1_FIELDS_MAX)
		return http1_refuse(h, "too-many-fields", 431);
	if (h->n_fields == h->fields_cap) {
		size_t cap = h->fields_cap ? h->fields_cap * 2 : 16;
		struct http1_field *p = realloc(h->fields, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		h->fields = p;
		h->fields_cap = cap;
	}
	h->fields[h->n_fields++] = f;
	return http1_field_meaning(h, &f);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static int field_line(struct http1_head *h, uint32_t off, uint32_t len)
{
	const char *line = (const char *)h->bytes.data + off;
	const char *colon = memchr(line, ':', len);

	/* obs-fold, and also whitespace before the first field, which some parsers skip. */
	if (is_space(line[0]))
		return http1_refuse(h, "folded-line", 400);
	/* Space before the colon is no token character: CVE-2021-22959. */
	if (!colon || !http1_is_token(line, (size_t)(colon - line)))
		return http1_refuse(h, "bad-field-name", 400);

	uint32_t name_len = (uint32_t)(colon - line);
	uint32_t start = name_len + 1, end = len;
	while (start < end && is_space(line[start]))
		start++;
	while (end > start && is_space(line[end - 1]))
		end--;
	return http1_add_field(h, (struct http1_field){ { off, name_len }, { off + start, end - start } });
}

static int end_of_line(struct http1_head *h)
{
	uint32_t off = (uint32_t)h->line;
	uint32_t len = (uint32_t)(h->bytes.len - h->line - 2);

	h->line = h->bytes.len;
	if (h->started)
		return len ? field_line(h, off, len) : http1_finish(h);
	if (len == 0 && h->kind == HTTP1_REQUEST && !h->skipped_empty) {
		/* RFC 9112 2.2: old clients send one CRLF too many behind a body. */
		h->skipped_empty = true;
		h->bytes.len = h->line = 0;
		return 0;
	}
	h->started = true;
	return h->kind == HTTP1_REQUEST ? http1_request_line(h, off, len) : http1_status_line(h, off, len);
}

/* How many more bytes may come before a limit is passed. */
static size_t room(const struct http1_head *h)
{
	if (!h->started)
		return HTTP1_LINE_MAX + 2 - h->bytes.len;
	return (h->kind == HTTP1_TRAILERS ? HTTP1_TRAILERS_MAX : HTTP1_HEAD_MAX) - h->bytes.len;
}

static int too_long(struct http1_head *h)
{
	if (h->started)
		return http1_refuse(h, "head-too-long", 431);
	return http1_refuse(h, "line-too-long", 414);
}

ssize_t http1_head_feed(struct http1_head *h, const void *data, size_t len)
{
	const uint8_t *p = data, *end = p + len;

	if (h->error)
		return -EBADMSG;
	if (h->kind == HTTP1_TRAILERS)
		h->started = true;
	while (p < end && !h->complete) {
		const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
		size_t take = lf ? (size_t)(lf + 1 - p) : (size_t)(end - p);
		size_t allowed = room(h), from = h->bytes.len;
		/* What still fits is looked at first, so that the verdict does not depend on the pieces. */
		int r = buf_append(&h->bytes, p, take < allowed ? take : allowed);
		if (r == 0)
			r = check_bytes(h, from);
		if (r == 0 && take > allowed)
			r = too_long(h);
		if (r == 0 && lf)
			r = end_of_line(h);
		if (r < 0) {
			/* Out of memory in the middle of a head leaves nothing to go on from. */
			if (!h->error)
				http1_refuse(h, "no-memory", 503);
			return r;
		}
		p += take;
	}
	return p - (const uint8_t *)data;
}
