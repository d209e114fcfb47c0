/* SPDX-License-Identifier: Apache-2.0 */
/* Putting placeholders in the place of secret values. */
#include "gateway/scrub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/placeholder_base64.h"

static int collect(void *data, const struct placeholder_hit *hit)
{
	struct scrub *s = data;

	/* Part of one that was replaced already. */
	if (hit->start < s->base || !s->stand_in(s->data, hit->placeholder->secret))
		return 0;
	return buf_append(&s->hits, hit, sizeof(*hit));
}

/* By their beginnings; of two that begin together the longer one first. */
static int by_place(const void *a, const void *b)
{
	const struct placeholder_hit *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end < y->end) - (x->end > y->end);
}

/* So many of its characters escaped, the rest as they are. */
static int put_escaped(struct buf *out, const uint8_t *text, size_t len, bool json, size_t escapes)
{
	int r = 0;

	for (size_t i = 0; i < len && i < escapes && r == 0; i++)
		r = json ? buf_printf(out, "\\u%04x", text[i]) : buf_printf(out, "%%%02X", text[i]);
	return r == 0 && escapes < len ? buf_append(out, text + escapes, len - escapes) : r;
}

/* As many characters of base64 as stood there, whatever the lengths: what follows keeps its place in its group. */
static int base64_text(const struct placeholder_hit *hit, const struct placeholder *p, struct buf *ret)
{
	struct buf raw = { 0 }, text = { 0 };
	size_t from = ((size_t)hit->shift * 8 + 5) / 6, value = hit->placeholder->len;

	int r = buf_append(&raw, "\0\0", hit->shift);
	for (size_t n = 0; n < value && r == 0; n += p->len)
		r = buf_append(&raw, p->text, p->len < value - n ? p->len : value - n);
	if (r == 0)
		r = base64_encode(&text, raw.data, raw.len, false, false);
	if (r == 0)
		r = buf_append(ret, text.data + from, hit->len);
	buf_free(&raw);
	buf_free(&text);
	return r;
}

static int replace(struct scrub *s, const struct placeholder_hit *hit, struct buf *out)
{
	const struct placeholder *p = s->stand_in(s->data, hit->placeholder->secret);
	size_t width = (size_t)(hit->end - hit->start), before = out->len;
	_cleanup_buf_ struct buf coded = { 0 };
	const uint8_t *text = (const uint8_t *)p->text;
	size_t len = p->len;
	int r = 0;

	if (hit->form == PLACEHOLDER_BASE64) {
		r = base64_text(hit, p, &coded);
		text = coded.data;
		len = coded.len;
	}
	if (r == 0 && hit->escape == PLACEHOLDER_PERCENT)
		r = put_escaped(out, text, len, false, (width - hit->len) / 2);
	else if (r == 0 && hit->escape == PLACEHOLDER_JSON)
		r = put_escaped(out, text, len, true, (width - hit->len) / 5);
	else if (r == 0)
		r = buf_append(out, text, len);
	return r == 0 && s->same_length && out->len - before != width ? -EBADMSG : r;
}

/* The pending bytes from s->base up to this place of the stream go on as they are; *at is where they begin. */
static int pass(struct scrub *s, uint64_t to, size_t *at, struct buf *out)
{
	size_t n = to > s->base ? (size_t)(to - s->base) : 0;
	int r = n ? buf_append(out, s->pending.data + *at, n) : 0;

	*at += n;
	s->base += n;
	return r;
}

int scrub_feed(struct scrub *s, const void *data, size_t len, bool last, struct buf *out)
{
	int r = placeholder_scan_feed(&s->scan, s->values, data, len, collect, s);
	uint64_t end = s->scan.total - (last ? 0 : placeholder_scan_held(&s->scan));

	if (r < 0)
		return r;
	if (!s->hits.len && !s->pending.len && end == s->scan.total) {
		s->base = end;
		return buf_append(out, data, len);
	}
	r = buf_append(&s->pending, data, len);
	struct placeholder_hit *hits = (struct placeholder_hit *)(void *)s->hits.data;
	size_t n = s->hits.len / sizeof(*hits), i = 0, at = 0;
	if (n)
		qsort(hits, n, sizeof(*hits), by_place);
	/* One that begins in what is held back waits: another may begin before it. */
	for (; r == 0 && i < n && hits[i].start < end; i++) {
		if (hits[i].start < s->base)
			continue;
		r = pass(s, hits[i].start, &at, out);
		if (r == 0)
			r = replace(s, &hits[i], out);
		at += (size_t)(hits[i].end - s->base);
		s->base = hits[i].end;
	}
	if (r == 0)
		r = pass(s, end, &at, out);
	buf_consume(&s->pending, at);
	buf_consume(&s->hits, i * sizeof(*hits));
	return r;
}

int scrub_text(const struct placeholder_table *values, scrub_fn stand_in, void *fn_data, const void *text, size_t len,
	       struct buf *out)
{
	struct scrub s = { .values = values, .stand_in = stand_in, .data = fn_data };
	int r = placeholder_scan_feed(&s.scan, values, text, len, collect, &s);
	size_t n = s.hits.len;

	placeholder_scan_reset(&s.scan);
	s.hits.len = 0;
	if (r == 0 && n)
		r = scrub_feed(&s, text, len, true, out);
	scrub_reset(&s);
	return r < 0 ? r : n > 0;
}

void scrub_reset(struct scrub *s)
{
	placeholder_scan_reset(&s->scan);
	/* May hold what it was to keep from going on. */
	buf_wipe(&s->pending);
	buf_free(&s->hits);
}

bool scrub_keeps_length(const void *value, size_t len, const struct placeholder *p)
{
	const uint8_t *v = value;

	/* A short escape of JSON (\/), of the value or of its base64, has no equal among the characters of placeholders. */
	for (size_t i = 0; i < len; i++) {
		if (v[i] < ' ' || v[i] > '~' || v[i] == '"' || v[i] == '\\' || v[i] == '/' || v[i] == '?')
			return false;
	}
	return len == p->len;
}
