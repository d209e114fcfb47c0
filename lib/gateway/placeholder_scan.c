/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for placeholders in a stream.
 *
 * Three lanes read the same bytes: as they are, with percent escapes decoded, with JSON escapes decoded. Each keeps
 * the longest suffix of what it has read that a pattern begins with: that is all it needs to find what ends later. A
 * lane whose escape character does not occur has nothing to say that the raw one does not, and costs one memchr; where
 * it occurs, what stands between two of them is copied as it is.
 */
#include "gateway/placeholder_scan.h"

#include <string.h>

#include "gateway/placeholder_private.h"

#define SLICE 4096u
#define SLICE_CLEAN (4 * SLICE) /* without an escape in it */
#define ESCAPE_MAX 12u /* \ud83d\ude00 */
#define CHARACTER_MAX 4u /* bytes of UTF-8 */

enum lane { RAW, PERCENT, JSON, N_LANES };

static const uint8_t ESCAPE[N_LANES] = { [PERCENT] = '%', [JSON] = '\\' };

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Value of n hexadecimal digits, -1 when one is none, -2 when they have not all come. */
static int hex_digits(const uint8_t *p, size_t len, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (i == len)
			return -2;
		int d = hex(p[i]);
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* Bytes in the place of an escape, and how many of the stream it took: 0 when that depends on what comes next. */
struct decoded {
	uint8_t bytes[CHARACTER_MAX];
	size_t n, width;
};

static struct decoded one_byte(int byte, size_t width)
{
	return (struct decoded){ .bytes = { (uint8_t)byte }, .n = 1, .width = width };
}

static struct decoded as_utf8(uint32_t c, size_t width)
{
	if (c < 0x80)
		return one_byte((int)c, width);
	struct decoded d = { .n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, .width = width };
	for (size_t i = d.n - 1; i; i--, c >>= 6)
		d.bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
	d.bytes[0] = (uint8_t)(0xf0 << (4 - d.n) | c);
	return d;
}

/* \uXXXX, or two of them that are one character. */
static struct decoded decode_unicode(const uint8_t *p, size_t len)
{
	const struct decoded more = { 0 };
	int high = hex_digits(p + 2, len - 2, 4), low;

	if (high < 0)
		return high == -2 ? more : one_byte(p[0], 1);
	if (high < 0xd800 || high > 0xdfff)
		return as_utf8((uint32_t)high, 6);
	/* Half a character is in no text: 0xff is in none either. */
	const struct decoded half = one_byte(0xff, 6);
	if (high > 0xdbff || (len > 6 && p[6] != '\\') || (len > 7 && p[7] != 'u'))
		return half;
	low = len > 7 ? hex_digits(p + 8, len - 8, 4) : -2;
	if (low == -2)
		return more;
	return low < 0xdc00 || low > 0xdfff ? half :
					      as_utf8(0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00), 12);
}

/* What p begins with, an escape of this lane undone. */
static struct decoded decode(enum lane lane, const uint8_t *p, size_t len)
{
	static const char simple[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";

	if (p[0] != ESCAPE[lane])
		return one_byte(p[0], 1);
	if (len == 1)
		return (struct decoded){ 0 };
	if (lane == JSON && p[1] == 'u')
		return decode_unicode(p, len);
	if (lane == JSON) {
		const char *c = p[1] ? strchr(simple, p[1]) : NULL;
		return c ? one_byte(meaning[c - simple], 2) : one_byte(p[0], 1);
	}
	int v = hex_digits(p + 1, len - 1, 2);
	if (v < 0)
		return v == -2 ? (struct decoded){ 0 } : one_byte(p[0], 1);
	return one_byte(v, 3);
}

struct search {
	placeholder_hit_fn fn;
	void *fn_data;
	enum lane lane;
	const uint8_t *widths; /* NULL: all 1 */
	uint64_t base;	       /* place in the stream of the first byte searched */
	size_t before, after;  /* only hits that begin before this and end behind that */
};

static uint64_t stream_length(const uint8_t *widths, size_t n)
{
	uint64_t sum = 0;

	if (!widths)
		return n;
	for (size_t i = 0; i < n; i++)
		sum += widths[i];
	return sum;
}

/* Is an escape among them? A sum would not tell: a pattern may end inside a character. */
static bool any_escape(const uint8_t *widths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (widths[i] != 1)
			return true;
	}
	return false;
}

static int found(void *data, const struct placeholder_pattern *p, size_t start)
{
	const struct search *s = data;

	if (start >= s->before || start + p->len <= s->after)
		return 0;
	uint64_t from = s->base + stream_length(s->widths, start);
	uint64_t len = stream_length(s->widths ? s->widths + start : NULL, p->len);
	/* Without an escape in it, it is the raw lane's. */
	if (s->lane != RAW && !any_escape(s->widths + start, p->len))
		return 0;
	enum placeholder_form escape = s->lane == PERCENT ? PLACEHOLDER_PERCENT
				       : s->lane == JSON ? PLACEHOLDER_JSON
							 : PLACEHOLDER_RAW;
	struct placeholder_hit hit = {
		.placeholder = p->owner,
		.secret = p->owner->secret,
		.owner_len = p->owner->len,
		.form = p->base64 ? PLACEHOLDER_BASE64 : escape,
		.escape = escape,
		.wide = p->wide,
		.shift = p->shift,
		.len = p->len,
		.start = from,
		.end = from + len,
	};
	return s->fn(s->fn_data, &hit);
}

/* pending = the last n bytes of these */
static int keep(struct placeholder_lane *l, const uint8_t *data, const uint8_t *widths, size_t len, size_t n)
{
	l->pending.len = l->widths.len = 0;
	if (!n)
		return 0;
	int r = buf_append(&l->pending, data + len - n, n);
	if (r == 0 && widths)
		r = buf_append(&l->widths, widths + len - n, n);
	return r;
}

/*
 * The next decoded bytes of a lane: what ends in them is found. base: their place in the stream. First over the seam
 * with what is pending, then within.
 */
static int lane_take(struct placeholder_lane *l, const struct placeholder_table *t, struct search *s, const uint8_t *data,
		     const uint8_t *widths, size_t len, uint64_t base)
{
	size_t pending = l->pending.len, max = t->longest ? t->longest - 1 : 0;

	if (pending) {
		size_t seam = len < max ? len : max;
		int r = buf_append(&l->pending, data, seam);
		if (r == 0 && widths)
			r = buf_append(&l->widths, widths, seam);
		if (r < 0)
			return r;
		s->widths = widths ? l->widths.data : NULL;
		s->base = base - stream_length(s->widths, pending);
		s->before = s->after = pending;
		r = table_search(t, l->pending.data, l->pending.len, found, s);
		if (r)
			return r;
	}
	s->widths = widths;
	s->base = base;
	s->before = len;
	s->after = 0;
	int r = table_search(t, data, len, found, s);
	if (r)
		return r;
	if (!pending || len >= max)
		return keep(l, data, widths, len, table_suffix(t, data, len));
	size_t gone = l->pending.len - table_suffix(t, l->pending.data, l->pending.len);
	buf_consume(&l->pending, gone);
	if (widths)
		buf_consume(&l->widths, gone);
	return 0;
}

/* The decoded bytes of a slice: never more than it has. */
#define DECODED_MAX (SLICE + ESCAPE_MAX + CHARACTER_MAX)
struct decoding {
	uint8_t bytes[DECODED_MAX], widths[DECODED_MAX];
	size_t n;
};

/* The width of a character is that of its last byte: what begins inside of it begins with it. False: it goes on. */
static bool take_decoded(struct decoding *to, const struct decoded *d)
{
	memcpy(to->bytes + to->n, d->bytes, CHARACTER_MAX);
	memset(to->widths + to->n, 0, CHARACTER_MAX);
	to->n += d->n;
	if (d->width)
		to->widths[to->n - 1] = (uint8_t)d->width;
	return d->width;
}

/* A lane with escapes over one slice of the stream that begins at base. */
static int lane_decode(struct placeholder_lane *l, const struct placeholder_table *t, struct search *s,
		       const uint8_t *data, size_t len, uint64_t base)
{
	struct decoding to;
	size_t at = 0;

	to.n = 0;
	base -= l->n_partial;
	while (l->n_partial && at < len) {
		l->partial[l->n_partial++] = data[at++];
		/* A refuted escape gives back its later bytes, which may begin another one. */
		while (l->n_partial) {
			struct decoded d = decode(s->lane, l->partial, l->n_partial);
			if (!take_decoded(&to, &d))
				break;
			l->n_partial = (uint8_t)(l->n_partial - d.width);
			memmove(l->partial, l->partial + d.width, l->n_partial);
		}
	}
	while (at < len) {
		const uint8_t *escape = memchr(data + at, ESCAPE[s->lane], len - at);
		size_t run = escape ? (size_t)(escape - data) - at : len - at;
		memcpy(to.bytes + to.n, data + at, run);
		memset(to.widths + to.n, 1, run);
		to.n += run;
		at += run;
		if (at == len)
			break;
		struct decoded d = decode(s->lane, data + at, len - at);
		if (!take_decoded(&to, &d))
			break;
		at += d.width;
	}
	memcpy(l->partial + l->n_partial, data + at, len - at);
	l->n_partial = (uint8_t)(l->n_partial + len - at);
	return lane_take(l, t, s, to.bytes, to.widths, to.n, base);
}

/* From now on the lane keeps what is pending itself; up to here it was what the raw lane has. */
static int lane_part(struct placeholder_lane *l, const struct placeholder_lane *raw)
{
	int r = keep(l, raw->pending.data, NULL, raw->pending.len, raw->pending.len);

	l->widths.len = 0;
	if (r == 0)
		r = buf_reserve(&l->widths, l->pending.len);
	if (r < 0)
		return r;
	if (l->pending.len)
		memset(l->widths.data, 1, l->pending.len);
	l->widths.len = l->pending.len;
	l->own = true;
	return 0;
}

/*
 * Back to sharing, when what is pending is the same again: no escape in it and of the same length. (Of "%a3Bla" the raw
 * lane may keep "a3Bla", which the percent lane never read.)
 */
static void lane_join(struct placeholder_lane *l, const struct placeholder_lane *raw)
{
	if (!l->n_partial && l->pending.len == raw->pending.len && !any_escape(l->widths.data, l->widths.len))
		l->own = false;
}

static int feed_slice(struct placeholder_scan *s, const struct placeholder_table *t, struct search *search,
		      const uint8_t *data, size_t len)
{
	for (enum lane lane = PERCENT; lane < N_LANES; lane++) {
		struct placeholder_lane *l = &s->lanes[lane];
		int r = 0;
		if (!l->own && !memchr(data, ESCAPE[lane], len))
			continue;
		search->lane = lane;
		if (!l->own)
			r = lane_part(l, &s->lanes[RAW]);
		if (r == 0)
			r = lane_decode(l, t, search, data, len, s->total);
		if (r)
			return r;
	}
	search->lane = RAW;
	int r = lane_take(&s->lanes[RAW], t, search, data, NULL, len, s->total);
	if (r)
		return r;
	s->total += len;
	for (enum lane lane = PERCENT; lane < N_LANES; lane++)
		lane_join(&s->lanes[lane], &s->lanes[RAW]);
	return 0;
}

/* How much of it is fed at once: more when only the raw lane has to read it. */
static size_t next_slice(const struct placeholder_scan *s, const uint8_t *data, size_t len)
{
	size_t n = len < SLICE_CLEAN ? len : SLICE_CLEAN;

	for (enum lane lane = PERCENT; lane < N_LANES; lane++) {
		const uint8_t *escape = s->lanes[lane].own ? data : memchr(data, ESCAPE[lane], n);
		n = escape ? (size_t)(escape - data) : n;
	}
	n = n < SLICE ? SLICE : n;
	return n < len ? n : len;
}

int placeholder_scan_feed(struct placeholder_scan *s, const struct placeholder_table *t, const void *data, size_t len,
			  placeholder_hit_fn fn, void *fn_data)
{
	struct search search = { .fn = fn, .fn_data = fn_data };
	const uint8_t *p = data;

	for (size_t at = 0; at < len;) {
		size_t n = next_slice(s, p + at, len - at);
		int r = feed_slice(s, t, &search, p + at, n);
		if (r)
			return r;
		at += n;
	}
	return 0;
}

uint64_t placeholder_scan_held(const struct placeholder_scan *s)
{
	uint64_t held = s->lanes[RAW].pending.len;

	for (enum lane lane = PERCENT; lane < N_LANES; lane++) {
		const struct placeholder_lane *l = &s->lanes[lane];
		uint64_t n = l->own ? stream_length(l->widths.data, l->widths.len) + l->n_partial : 0;
		held = n > held ? n : held;
	}
	return held;
}

void placeholder_scan_reset(struct placeholder_scan *s)
{
	for (enum lane lane = RAW; lane < N_LANES; lane++) {
		buf_free(&s->lanes[lane].pending);
		buf_free(&s->lanes[lane].widths);
	}
	*s = (struct placeholder_scan){ 0 };
}

int placeholder_each(const struct placeholder_table *t, const void *data, size_t len, placeholder_hit_fn fn,
		     void *fn_data)
{
	struct placeholder_scan s = { 0 };
	struct search raw = { .fn = fn, .fn_data = fn_data, .lane = RAW, .before = len };

	/* Mostly short texts, and nothing has to be kept for a next piece. */
	if (!len || (!memchr(data, ESCAPE[PERCENT], len) && !memchr(data, ESCAPE[JSON], len)))
		return table_search(t, data, len, found, &raw);
	int r = placeholder_scan_feed(&s, t, data, len, fn, fn_data);
	placeholder_scan_reset(&s);
	return r;
}
