/* SPDX-License-Identifier: Apache-2.0 */
/* A slow and obvious search for placeholders in all their forms: what the fast one is compared with. */
#ifndef NSBOX_TESTS_PLACEHOLDER_SLOW_H
#define NSBOX_TESTS_PLACEHOLDER_SLOW_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/placeholder_base64.h"
#include "gateway/placeholder_scan.h"

struct seen {
	struct placeholder_hit v[512];
	size_t n;
};

static inline int see(void *data, const struct placeholder_hit *hit)
{
	struct seen *s = data;
	if (s->n == sizeof(s->v) / sizeof(s->v[0]))
		abort();
	s->v[s->n++] = *hit;
	return 0;
}

static inline int by_place(const void *a, const void *b)
{
	const struct placeholder_hit *x = a, *y = b;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->form != y->form)
		return x->form < y->form ? -1 : 1;
	return x->placeholder < y->placeholder ? -1 : x->placeholder > y->placeholder;
}

static inline void sort(struct seen *s)
{
	qsort(s->v, s->n, sizeof(s->v[0]), by_place);
}

/* One byte, or those of a character that is escaped; how many there were. */
static inline size_t unescape(char escape, const char *p, size_t len, char ret[4], size_t *ret_n)
{
	static const char pairs[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
	unsigned c, low;
	int n = 0, m = 0;
	char text[13] = "";

	*ret = *p;
	*ret_n = 1;
	memcpy(text, p, len < 12 ? len : 12);
	if (*p != escape || len < 2)
		return 1;
	for (size_t i = 0; escape == '\\' && i < sizeof(pairs) - 1; i += 2) {
		if (pairs[i] == p[1]) {
			*ret = pairs[i + 1];
			return 2;
		}
	}
	if (strspn(text + 1 + (escape == '\\'), "0123456789abcdefABCDEF") < (escape == '%' ? 2 : 4))
		return 1;
	if (escape == '%') {
		text[3] = '\0';
		*ret = (char)strtol(text + 1, NULL, 16);
		return 3;
	}
	if (sscanf(text, "\\u%4x%n", &c, &n) != 1)
		return 1;
	if (c >= 0xd800 && c < 0xdc00 && strspn(text + 8, "0123456789abcdefABCDEF") == 4 &&
	    sscanf(text + 6, "\\u%4x%n", &low, &m) == 1 && low >= 0xdc00 && low < 0xe000)
		c = 0x10000 + (c - 0xd800) * 0x400 + (low - 0xdc00);
	else
		m = 0;
	if (c >= 0xd800 && c < 0xe000) {
		*ret = (char)0xff;
		return (size_t)n;
	}
	*ret_n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = *ret_n; i--; c >>= 6)
		ret[i] = (char)(i ? 0x80 | (c & 0x3f) : lead[*ret_n] | c);
	return (size_t)(n + m);
}

/* A text with one kind of escapes undone, and where each of its bytes comes from: beginning and end of the escape. */
struct view {
	char *decoded;
	size_t *from, *to, n;
	char escape;
};

static inline struct view view(char escape, const char *text, size_t len)
{
	struct view v = { malloc(len + 4), malloc((len + 4) * sizeof(size_t)), malloc((len + 4) * sizeof(size_t)), 0, escape };
	size_t bytes = 1;

	for (size_t at = 0; at < len;) {
		v.decoded[v.n] = text[at];
		size_t next = at + (escape ? unescape(escape, text + at, len - at, &v.decoded[v.n], &bytes) : 1);
		for (size_t i = 0; i < bytes; i++) {
			v.from[v.n + i] = at;
			v.to[v.n + i] = i + 1 < bytes ? at : next;
		}
		v.n += bytes;
		at = next;
	}
	return v;
}

static inline void naive_one(struct seen *out, const struct placeholder *p, const char *needle, size_t n,
			     enum placeholder_form form, const struct view *v)
{
	const char *at = v->decoded, *end = v->decoded + v->n;

	for (; (at = memmem(at, (size_t)(end - at), needle, n)); at++) {
		size_t i = (size_t)(at - v->decoded);
		bool escaped = false;
		for (size_t k = i; k < i + n; k++)
			escaped |= v->to[k] - v->from[k] != 1;
		if (!v->escape || escaped)
			see(out, &(struct placeholder_hit){ .placeholder = p, .form = form, .start = v->from[i],
							    .end = v->to[i + n - 1] });
	}
}

/* Each byte taken for a character of Latin-1, as UTF-8. */
static inline struct buf latin(const struct placeholder *p)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < p->len; i++) {
		unsigned char c = (unsigned char)p->text[i];
		if (c >= 0x80)
			buf_putc(&out, (char)(0xc0 + c / 64));
		buf_putc(&out, (char)(c >= 0x80 ? 0x80 + c % 64 : c));
	}
	return out;
}

static inline struct buf wide(const struct placeholder *p)
{
	struct buf out = { 0 };

	for (size_t i = 0; i < p->len; i++) {
		if (i)
			buf_putc(&out, '\0');
		buf_putc(&out, p->text[i]);
		if ((unsigned char)p->text[i] >= 0x80) {
			buf_free(&out);
			break;
		}
	}
	return out;
}

static inline void naive(const struct placeholder_table *t, struct seen *out, const char *text, size_t len)
{
	static const enum placeholder_form forms[] = { PLACEHOLDER_RAW, PLACEHOLDER_PERCENT, PLACEHOLDER_JSON };
	struct view views[] = { view(0, text, len), view('%', text, len), view('\\', text, len) };

	out->n = 0;
	for (size_t i = 0; i < 3 * t->n; i++) {
		const struct placeholder *p = t->all[i / 3];
		const struct view *v = &views[i % 3];
		struct buf other = latin(p);
		naive_one(out, p, p->text, p->len, forms[i % 3], v);
		if (other.len > p->len)
			naive_one(out, p, (char *)other.data, other.len, forms[i % 3], v);
		buf_free(&other);
		other = t->texts ? wide(p) : (struct buf){ 0 };
		if (other.len)
			naive_one(out, p, (char *)other.data, other.len, forms[i % 3], v);
		buf_free(&other);
		for (size_t before = 0; before < 3; before++) {
			struct buf raw = { 0 }, b64 = { 0 };
			buf_append(&raw, "xy", before);
			buf_puts(&raw, p->text);
			base64_encode(&b64, raw.data, raw.len, false, false);
			size_t skip = (before * 8 + 5) / 6, end = raw.len * 8 / 6;
			naive_one(out, p, (char *)b64.data + skip, end - skip, PLACEHOLDER_BASE64, v);
			buf_free(&raw);
			buf_free(&b64);
		}
	}
	for (size_t i = 0; i < 3; i++) {
		free(views[i].decoded);
		free(views[i].from);
		free(views[i].to);
	}
	sort(out);
}

#endif
