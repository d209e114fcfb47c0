/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of HTTP/2 fields. */
#include "gateway/http2_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

void http2_fields_free(struct http2_fields *f)
{
	buf_wipe(&f->bytes);
	free(f->v);
	*f = (struct http2_fields){ 0 };
}

static int grow(struct http2_fields *f)
{
	if (f->n < f->cap)
		return 0;
	size_t cap = f->cap ? f->cap * 2 : 16;
	struct http2_field *v = realloc(f->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	f->v = v;
	f->cap = cap;
	return 0;
}

int http2_fields_add(struct http2_fields *f, const char *name, size_t name_len, const char *value, size_t value_len)
{
	int r = grow(f);

	if (r == 0)
		r = buf_reserve(&f->bytes, name_len + value_len);
	if (r < 0)
		return r;
	struct http2_field field = { .name = (uint32_t)f->bytes.len, .name_len = (uint32_t)name_len,
				     .value = (uint32_t)(f->bytes.len + name_len), .value_len = (uint32_t)value_len };
	buf_append(&f->bytes, name, name_len);
	for (size_t i = 0; i < name_len; i++) {
		uint8_t *c = &f->bytes.data[field.name + i];
		if (*c >= 'A' && *c <= 'Z')
			*c = (uint8_t)(*c - 'A' + 'a');
	}
	buf_append(&f->bytes, value, value_len);
	f->v[f->n++] = field;
	return 0;
}

static int add(struct http2_fields *f, const char *name, const char *value, size_t len)
{
	return http2_fields_add(f, name, strlen(name), value, len);
}

static bool name_is(const char *name, size_t len, const char *text)
{
	return len == strlen(text) && strncasecmp(name, text, len) == 0;
}

/* "METHOD SP target SP HTTP/1.1", "Host: name": the pseudo-header fields. */
static int request_line(struct http2_fields *f, const char *line, size_t len, const char *host, size_t host_len)
{
	static const char version[] = " HTTP/1.1";
	size_t tail = sizeof(version) - 1;
	const char *space = memchr(line, ' ', len);

	if (!space || len < tail || memcmp(line + len - tail, version, tail) != 0 || space + 1 >= line + len - tail ||
	    host_len < 7 || memcmp(host, "Host: ", 6) != 0)
		return -EINVAL;
	int r = add(f, ":method", line, (size_t)(space - line));
	if (r == 0)
		r = add(f, ":scheme", "https", 5);
	if (r == 0)
		r = add(f, ":authority", host + 6, host_len - 6);
	return r < 0 ? r : add(f, ":path", space + 1, (size_t)(line + len - tail - space - 1));
}

int http2_write_request(struct http2_fields *f, const char *text, size_t len)
{
	const char *line = text, *end = text + len, *first = NULL;
	size_t first_len = 0;
	int r = 0;

	for (size_t n = 0; r == 0; n++) {
		const char *eol = memmem(line, (size_t)(end - line), "\r\n", 2);
		if (!eol)
			return -EINVAL;
		size_t line_len = (size_t)(eol - line);
		const char *colon = memmem(line, line_len, ": ", 2);
		if (line_len == 0)
			return n >= 2 && eol + 2 == end ? 0 : -EINVAL;
		if (n == 0) {
			first = line;
			first_len = line_len;
		} else if (n == 1) {
			r = request_line(f, first, first_len, line, line_len);
		} else if (!colon || colon == line) {
			return -EINVAL;
		} else if (!name_is(line, (size_t)(colon - line), "Transfer-Encoding") &&
			   !name_is(line, (size_t)(colon - line), "Connection")) {
			r = http2_fields_add(f, line, (size_t)(colon - line), colon + 2, (size_t)(eol - colon - 2));
		}
		line = eol + 2;
	}
	return r;
}

static int add_head_field(struct http2_fields *f, const struct http1_head *h, size_t i,
			  const struct http1_response_out *how)
{
	const struct http1_field *field = &h->fields[i];
	struct buf value = { 0 };
	int changed = how->value ? how->value(how->data, h, i, &value) : 0;
	int r = changed;

	if (changed == 0)
		r = http2_fields_add(f, http1_text(h, field->name), field->name.len, http1_text(h, field->value),
				     field->value.len);
	else if (changed > 0)
		r = http2_fields_add(f, http1_text(h, field->name), field->name.len, (const char *)value.data, value.len);
	buf_wipe(&value);
	return r;
}

int http2_write_response(struct http2_fields *f, const struct http1_head *h, const struct http1_response_out *how)
{
	char text[24];

	snprintf(text, sizeof(text), "%03u", h->status);
	int r = add(f, ":status", text, 3);
	for (size_t i = 0; i < h->n_fields && r == 0; i++)
		r = http1_forwarded(h, i) ? add_head_field(f, h, i, how) : 0;
	/* RFC 9110 8.6, as http1_write_response(). */
	if (r == 0 && h->has_content_length && h->framing != HTTP1_BODY_CHUNKED && h->status >= 200 && h->status != 204) {
		snprintf(text, sizeof(text), "%" PRIu64, h->content_length);
		r = add(f, "content-length", text, strlen(text));
	}
	return r;
}

int http2_write_trailers(struct http2_fields *f, const struct http1_head *trailers)
{
	int r = 0;

	for (size_t i = 0; i < trailers->n_fields && r == 0; i++) {
		const struct http1_field *field = &trailers->fields[i];
		r = http2_fields_add(f, http1_text(trailers, field->name), field->name.len,
				     http1_text(trailers, field->value), field->value.len);
	}
	return r;
}
