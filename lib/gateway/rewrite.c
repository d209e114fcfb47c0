/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing what a table finds in a stream. */
#include "gateway/rewrite.h"

#include <stdlib.h>

static int collect(void *data, const struct placeholder_hit *hit)
{
	struct rewrite *s = data;

	/* Part of one that was replaced already, or the end of one that was let go before it was one. */
	if (hit->start < s->base)
		return s->cut && hit->start >= s->intact ? s->cut(s->data, hit) : 0;
	int r = s->wanted(s->data, hit);
	return r > 0 ? buf_append(&s->hits, hit, sizeof(*hit)) : r;
}

/* By their beginnings; of two that begin together the longer one first. */
static int by_place(const void *a, const void *b)
{
	const struct placeholder_hit *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end < y->end) - (x->end > y->end);
}

/* The pending bytes from s->base up to this place of the stream go on as they are; *at is where they begin. */
static int pass(struct rewrite *s, uint64_t to, size_t *at, struct buf *out)
{
	size_t n = to > s->base ? (size_t)(to - s->base) : 0;
	int r = n ? buf_append(out, s->pending.data + *at, n) : 0;

	*at += n;
	s->base += n;
	return r;
}

int rewrite_take(struct rewrite *s, const void *data, size_t len, bool last, struct buf *out)
{
	int r = placeholder_scan_feed(&s->scan, s->table, data, len, collect, s);
	uint64_t end = s->scan.total - (last ? 0 : placeholder_scan_held(&s->scan));

	if (r < 0)
		return r;
	if (!s->hits.len && !s->pending.len && end == s->scan.total) {
		s->base = end;
		return 1;
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
			r = s->replace(s->data, &hits[i], out);
		at += (size_t)(hits[i].end - s->base);
		s->base = s->intact = hits[i].end;
	}
	if (r == 0)
		r = pass(s, end, &at, out);
	buf_consume(&s->pending, at);
	buf_consume(&s->hits, i * sizeof(*hits));
	return r;
}

void rewrite_next(struct rewrite *s)
{
	if (!placeholder_scan_held(&s->scan)) {
		rewrite_reset(s);
		return;
	}
	buf_wipe(&s->pending);
	buf_free(&s->hits);
}

void rewrite_reset(struct rewrite *s)
{
	placeholder_scan_reset(&s->scan);
	/* May hold what was to be kept from going on. */
	buf_wipe(&s->pending);
	buf_free(&s->hits);
	s->base = s->intact = 0;
}
