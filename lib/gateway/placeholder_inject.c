/* SPDX-License-Identifier: Apache-2.0 */
/* Putting secret values in the place of placeholders. */
#include "gateway/placeholder_inject.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/placeholder_base64.h"

/* In one header or query. More is no use of a secret, but an attempt to make the text grow. */
#define HITS_MAX 64u

struct hits {
	struct placeholder_hit v[HITS_MAX];
	size_t n;
};

/* Appends a value in the form that the place needs. */
typedef int (*escape_fn)(struct buf *out, const struct secret_value *value);

static int collect(void *data, const struct placeholder_hit *hit)
{
	struct hits *h = data;

	if (h->n == HITS_MAX)
		return -E2BIG;
	/* Sorted by where they begin. */
	size_t at = h->n++;
	for (; at && h->v[at - 1].start > hit->start; at--)
		h->v[at] = h->v[at - 1];
	h->v[at] = *hit;
	return 0;
}

static int misuse(struct inject *in, enum inject_place place, const struct placeholder_hit *hit)
{
	in->misuse = *hit;
	in->misuse_place = place;
	return -EACCES;
}

static bool passes(struct inject *in, enum inject_place place, const struct placeholder_hit *hit)
{
	return in->passes && in->passes(in->data, hit->placeholder, place);
}

struct refusal {
	struct inject *in;
	enum inject_place place;
	bool but_base64;
};

static int refuse_hit(void *data, const struct placeholder_hit *hit)
{
	const struct refusal *r = data;

	if ((r->but_base64 && hit->form == PLACEHOLDER_BASE64) || passes(r->in, r->place, hit))
		return 0;
	return misuse(r->in, r->place, hit);
}

int inject_nothing(struct inject *in, enum inject_place place, const void *data, size_t len)
{
	struct refusal r = { .in = in, .place = place };

	return placeholder_each(in->table, data, len, refuse_hit, &r);
}

static bool is_control(uint8_t c)
{
	return (c < ' ' && c != '\t') || c == 0x7f;
}

/* The value goes where a line break would begin another field; nothing that looks like one may pass. */
static int as_header(struct buf *out, const struct secret_value *value)
{
	const uint8_t *p = value->data;

	for (size_t i = 0; i < value->len; i++) {
		if (is_control(p[i]))
			return -EINVAL;
	}
	return buf_append(out, p, value->len);
}

/* Inside Basic credentials: refused like anywhere else, though base64 would carry them. */
static int as_basic(struct buf *out, const struct secret_value *value)
{
	const uint8_t *p = value->data;

	for (size_t i = 0; i < value->len; i++) {
		if (p[i] == '\r' || p[i] == '\n' || p[i] == '\0')
			return -EINVAL;
	}
	return buf_append(out, p, value->len);
}

static int as_query(struct buf *out, const struct secret_value *value)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint8_t *p = value->data;
	int r = 0;

	for (size_t i = 0; i < value->len && r == 0; i++) {
		uint8_t c = p[i];
		if (c == '\r' || c == '\n' || c == '\0')
			return -EINVAL;
		/* unreserved of RFC 3986: everything else might end the parameter or mean something. */
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
		    c == '_' || c == '~')
			r = buf_putc(out, (char)c);
		else
			r = buf_append(out, (char[]){ '%', digits[c >> 4], digits[c & 15] }, 3);
	}
	return r;
}

/* "." and ".." would change which resource the others name. */
static int as_path(struct buf *out, const struct secret_value *value)
{
	const uint8_t *p = value->data;
	size_t dots = 0;

	while (dots < value->len && p[dots] == '.')
		dots++;
	return dots == value->len ? -EINVAL : as_query(out, value);
}

static int as_json(struct buf *out, const struct secret_value *value)
{
	const uint8_t *p = value->data;
	int r = 0;

	for (size_t i = 0; i < value->len && r == 0; i++) {
		if (p[i] < ' ')
			r = buf_printf(out, "\\u%04x", p[i]);
		else if (p[i] == '"' || p[i] == '\\')
			r = buf_append(out, (char[]){ '\\', (char)p[i] }, 2);
		else
			r = buf_putc(out, (char)p[i]);
	}
	return r;
}

static int cut_back(struct buf *out, size_t len, int r)
{
	if (r < 0 && out->len > len) {
		explicit_bzero(out->data + len, out->len - len);
		out->len = len;
	}
	return r;
}

/*
 * text with every placeholder replaced. forms: the forms (1 << enum placeholder_form) that are replaced; others are
 * misuse. 0: none there, nothing appended; 1 appended; negative as in the header, out as before.
 */
static int replace(struct inject *in, enum inject_place place, unsigned forms, const char *text, size_t len,
		   escape_fn escape, struct buf *out)
{
	struct hits hits = { .n = 0 };
	size_t at = 0, before = out->len;

	int r = placeholder_each(in->table, text, len, collect, &hits);
	if (r == -E2BIG)
		return misuse(in, place, &hits.v[0]);
	if (r < 0 || hits.n == 0)
		return r;
	for (size_t i = 0; i < hits.n; i++) {
		const struct placeholder_hit *hit = &hits.v[i];
		struct secret_value value = { 0 };
		/* Overlapping ones cannot both be meant. */
		if (!(forms >> hit->form & 1) || hit->start < at || !in->decide(in->data, hit->placeholder, place, &value)) {
			if (passes(in, place, hit))
				continue;
			r = misuse(in, place, hit);
		}
		if (r == 0)
			r = buf_append(out, text + at, (size_t)hit->start - at);
		if (r == 0)
			r = escape(out, &value);
		if (r < 0)
			return cut_back(out, before, r);
		at = (size_t)hit->end;
	}
	r = buf_append(out, text + at, len - at);
	return r < 0 ? cut_back(out, before, r) : 1;
}

/* Where the credentials of "Basic credentials" begin; 0 when it is another scheme or something else. */
static size_t basic_credentials(const char *name, size_t name_len, const char *value, size_t len)
{
	static const char field[] = "Authorization", scheme[] = "Basic ";
	size_t at = strlen(scheme);

	if (name_len != strlen(field) || strncasecmp(name, field, name_len) != 0 || len <= at ||
	    strncasecmp(value, scheme, at) != 0)
		return 0;
	while (at < len && value[at] == ' ')
		at++;
	return at;
}

/* "Basic " and credentials. 0: nothing in them, or they are no base64 (left to the check of the plain value). */
static int inject_basic(struct inject *in, const char *value, size_t len, size_t at, struct buf *out)
{
	struct buf decoded = { 0 }, text = { 0 };
	struct refusal others = { .in = in, .place = PLACE_HEADER, .but_base64 = true };
	size_t before = out->len;

	int r = base64_decode(&decoded, value + at, len - at);
	if (r < 0) {
		buf_wipe(&decoded);
		return r == -EINVAL ? 0 : r;
	}
	r = replace(in, PLACE_BASIC, 1u << PLACEHOLDER_RAW, (const char *)decoded.data, decoded.len, as_basic, &text);
	/* The base64 form in the value itself is what was just replaced; any other form is one too many. */
	if (r > 0) {
		int e = placeholder_each(in->table, value, len, refuse_hit, &others);
		r = e < 0 ? e : r;
	}
	if (r > 0) {
		int e = buf_append(out, value, at);
		if (e == 0)
			e = base64_encode(out, text.data, text.len, false, true);
		if (e < 0)
			r = cut_back(out, before, e);
	}
	buf_wipe(&decoded);
	buf_wipe(&text);
	return r;
}

int inject_header(struct inject *in, const char *name, size_t name_len, const char *value, size_t value_len,
		  struct buf *out)
{
	int r = inject_nothing(in, PLACE_HEADER, name, name_len);
	if (r < 0)
		return r;
	size_t credentials = basic_credentials(name, name_len, value, value_len);
	if (credentials) {
		r = inject_basic(in, value, value_len, credentials, out);
		if (r)
			return r;
	}
	return replace(in, PLACE_HEADER, 1u << PLACEHOLDER_RAW, value, value_len, as_header, out);
}

int inject_query(struct inject *in, const char *query, size_t len, struct buf *out)
{
	return replace(in, PLACE_QUERY, 1u << PLACEHOLDER_RAW | 1u << PLACEHOLDER_PERCENT, query, len, as_query, out);
}

int inject_path(struct inject *in, const char *path, size_t len, struct buf *out)
{
	return replace(in, PLACE_PATH, 1u << PLACEHOLDER_RAW | 1u << PLACEHOLDER_PERCENT, path, len, as_path, out);
}

int inject_body_value(enum body_form form, const struct placeholder_hit *hit, const struct secret_value *value,
		      struct buf *out)
{
	/* Somebody who escapes it says what the place is. */
	if (hit->form == PLACEHOLDER_PERCENT || (form == BODY_FORM && hit->form != PLACEHOLDER_JSON))
		return as_query(out, value);
	if (hit->form == PLACEHOLDER_JSON || form == BODY_JSON)
		return as_json(out, value);
	return buf_append(out, value->data, value->len);
}
