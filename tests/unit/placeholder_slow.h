/* SPDX-License-Identifier: Apache-2.0 */
/* A slow and obvious search for placeholders in all their forms: what the fast one is compared with. */
#ifndef NSBOX_TESTS_PLACEHOLDER_SLOW_H
#define NSBOX_TESTS_PLACEHOLDER_SLOW_H

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

static inline size_t unescape(char escape, const char *p, size_t len, char *ret)
{
	char digits[5] = "";
	size_t head = escape == '%' ? 1 : 2, n = escape == '%' ? 2 : 4;
	static const char pairs[] = "\"\"\\\\//b\bf\fn\nr\rt\t";

	*ret = *p;
	if (*p != escape || len < 2)
		return 1;
	if (escape == '\\' && p[1] != 'u') {
		for (size_t i = 0; i < sizeof(pairs) - 1; i += 2) {
			if (pairs[i] == p[1]) {
				*ret = pairs[i + 1];
				return 2;
			}
		}
		return 1;
	}
	if (len < head + n)
		return 1;
	memcpy(digits, p + head, n);
	if (strspn(digits, "0123456789abcdefABCDEF") != n)
		return 1;
	long v = strtol(digits, NULL, 16);
	*ret = (char)(v < 0x80 ? v : 0xff);
	return head + n;
}

static inline void naive_one(struct seen *out, const struct placeholder *p, const char *needle, size_t n,
		      enum placeholder_form form, char escape, const char *text, size_t len)
{
	char *decoded = malloc(len + 1);
	size_t *from = malloc((len + 1) * sizeof(*from));
	size_t m = 0;

	for (size_t at = 0; at < len; m++) {
		from[m] = at;
		decoded[m] = text[at];
		at += escape ? unescape(escape, text + at, len - at, &decoded[m]) : 1;
	}
	from[m] = len;
	for (size_t i = 0; i + n <= m; i++) {
		if (memcmp(decoded + i, needle, n) == 0 && (!escape || from[i + n] - from[i] != n))
			see(out, &(struct placeholder_hit){ .placeholder = p, .form = form, .start = from[i], .end = from[i + n] });
	}
	free(decoded);
	free(from);
}

static inline void naive(const struct placeholder_table *t, struct seen *out, const char *text, size_t len)
{
	out->n = 0;
	for (size_t i = 0; i < t->n; i++) {
		const struct placeholder *p = t->all[i];
		naive_one(out, p, p->text, p->len, PLACEHOLDER_RAW, 0, text, len);
		naive_one(out, p, p->text, p->len, PLACEHOLDER_PERCENT, '%', text, len);
		naive_one(out, p, p->text, p->len, PLACEHOLDER_JSON, '\\', text, len);
		for (size_t before = 0; before < 3; before++) {
			struct buf raw = { 0 }, b64 = { 0 };
			buf_append(&raw, "xy", before);
			buf_puts(&raw, p->text);
			base64_encode(&b64, raw.data, raw.len, false, false);
			size_t skip = (before * 8 + 5) / 6, end = raw.len * 8 / 6;
			for (size_t k = 0; k < 3; k++)
				naive_one(out, p, (char *)b64.data + skip, end - skip, PLACEHOLDER_BASE64, "\0%\\"[k], text, len);
			buf_free(&raw);
			buf_free(&b64);
		}
	}
	sort(out);
}

#endif
