/* SPDX-License-Identifier: Apache-2.0 */
/* The table of live placeholders: all their patterns found in one pass over a text. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/placeholder_base64.h"
#include "gateway/placeholder_private.h"

#define MIN_BITS 9u
#define MAX_BITS 22u
#define LOAD 4u /* buckets for each block: most positions of a text find an empty one */

static unsigned block_len(const struct placeholder_table *t)
{
	return t->texts ? TEXT_BLOCK : BLOCK;
}

static unsigned window_len(const struct placeholder_table *t)
{
	unsigned most = t->texts ? TEXT_WINDOW : WINDOW;

	return t->texts && t->shortest && t->shortest < most ? t->shortest : most;
}

/* Of positions that are looked at, and number of blocks in a window. */
static unsigned stride(const struct placeholder_table *t)
{
	return window_len(t) - block_len(t) + 1;
}

/* The block at p, of which len bytes are there. */
static uint64_t load(const struct placeholder_table *t, const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	if (len >= sizeof(v))
		memcpy(&v, p, sizeof(v));
	else
		memcpy(&v, p, len);
	return t->texts ? le64toh(v) & UINT32_MAX : v;
}

static uint64_t hash(uint64_t bytes)
{
	return bytes * 0x9e3779b97f4a7c15u;
}

static size_t bucket(const struct placeholder_table *t, uint64_t bytes)
{
	return hash(bytes) >> (64 - t->bits);
}

/* Other bits of the hash than those that chose the bucket. */
static uint8_t kind(uint64_t bytes)
{
	return (uint8_t)(1u << (hash(bytes) >> 32 & 7));
}

static void link_blocks(struct placeholder_table *t, struct placeholder_pattern *p)
{
	for (size_t i = 0; i < stride(t); i++) {
		size_t off = p->window_end - window_len(t) + i;
		uint64_t bytes = load(t, p->bytes + off, p->len - off);
		struct placeholder_block **b = &t->buckets[bucket(t, bytes)];
		p->blocks[i] = (struct placeholder_block){ .chain = *b, .pattern = p, .bytes = bytes, .off = (uint32_t)off };
		*b = &p->blocks[i];
		t->some[bucket(t, bytes)] |= kind(bytes);
	}
	t->n_blocks += stride(t);
}

static void unlink_blocks(struct placeholder_table *t, struct placeholder_pattern *p)
{
	for (size_t i = 0; i < stride(t); i++) {
		size_t at = bucket(t, p->blocks[i].bytes);
		struct placeholder_block **b = &t->buckets[at];
		while (*b != &p->blocks[i])
			b = &(*b)->chain;
		*b = p->blocks[i].chain;
		t->some[at] = 0;
		for (const struct placeholder_block *left = t->buckets[at]; left; left = left->chain)
			t->some[at] |= kind(left->bytes);
	}
	t->n_blocks -= stride(t);
}

/*
 * Room for the blocks of n more patterns, the shortest of them of this length. All are linked anew when the number of
 * buckets changes, or the window.
 */
static int make_room(struct placeholder_table *t, size_t n, size_t shortest)
{
	const bool shorter = t->texts && (!t->shortest || shortest < t->shortest);
	unsigned bits = t->bits ? t->bits : MIN_BITS;

	while (bits < MAX_BITS && ((size_t)1 << bits) < (t->n_blocks + n * stride(t)) * LOAD)
		bits++;
	if (t->buckets && bits == t->bits && !shorter)
		return 0;
	struct placeholder_block **buckets = calloc((size_t)1 << bits, sizeof(struct placeholder_block *));
	uint8_t *some = calloc((size_t)1 << bits, 1);
	if (!buckets || !some) {
		free(buckets);
		free(some);
		return -ENOMEM;
	}
	free(t->buckets);
	free(t->some);
	t->buckets = buckets;
	t->some = some;
	t->bits = bits;
	t->n_blocks = 0;
	if (shorter)
		t->shortest = (unsigned)shortest;
	for (size_t i = 0; i < t->n_patterns; i++)
		link_blocks(t, t->patterns[i]);
	return 0;
}

static int grow_arrays(struct placeholder_table *t, size_t n)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 8;
		struct placeholder **p = realloc(t->all, cap * sizeof(struct placeholder *));
		if (!p)
			return -ENOMEM;
		t->all = p;
		t->cap = cap;
	}
	if (t->n_patterns + n > t->patterns_cap) {
		size_t cap = t->patterns_cap ? t->patterns_cap * 2 : 32;
		struct placeholder_pattern **p = realloc(t->patterns, cap * sizeof(struct placeholder_pattern *));
		if (!p)
			return -ENOMEM;
		t->patterns = p;
		t->patterns_cap = cap;
	}
	return 0;
}

/* Index of the first pattern that is not less than these bytes. */
static size_t lower_bound(const struct placeholder_table *t, const uint8_t *bytes, size_t len)
{
	size_t from = 0, to = t->n_patterns;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		const struct placeholder_pattern *p = t->patterns[mid];
		int c = memcmp(p->bytes, bytes, p->len < len ? p->len : len);
		if (c < 0 || (c == 0 && p->len < len))
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static void add_pattern(struct placeholder_table *t, struct placeholder_pattern *p)
{
	size_t at = lower_bound(t, p->bytes, p->len);

	memmove(&t->patterns[at + 1], &t->patterns[at], (t->n_patterns - at) * sizeof(t->patterns[0]));
	t->patterns[at] = p;
	t->n_patterns++;
	t->first[p->bytes[0]]++;
	if (p->len > t->longest)
		t->longest = p->len;
	link_blocks(t, p);
}

static void remove_pattern(struct placeholder_table *t, struct placeholder_pattern *p)
{
	size_t at = lower_bound(t, p->bytes, p->len);

	while (t->patterns[at] != p)
		at++;
	t->n_patterns--;
	memmove(&t->patterns[at], &t->patterns[at + 1], (t->n_patterns - at) * sizeof(t->patterns[0]));
	t->first[p->bytes[0]]--;
	unlink_blocks(t, p);
	if (p->len < t->longest)
		return;
	t->longest = 0;
	for (size_t i = 0; i < t->n_patterns; i++)
		t->longest = t->patterns[i]->len > t->longest ? t->patterns[i]->len : t->longest;
}

/* window_end: where the window should end. shift: -1 for a pattern that is not base64. */
static struct placeholder_pattern *make_pattern(const struct placeholder_table *t, struct placeholder *owner,
						const uint8_t *bytes, size_t len, size_t window_end, int shift)
{
	/* As many blocks as there ever are: a window only shrinks. */
	size_t n = t->texts ? TEXT_WINDOW - TEXT_BLOCK + 1 : WINDOW - BLOCK + 1;
	size_t least = t->texts ? TEXT_WINDOW : WINDOW;
	struct placeholder_pattern *p = calloc(1, sizeof(*p) + n * sizeof(p->blocks[0]) + len);
	if (!p)
		return NULL;
	p->owner = owner;
	p->base64 = shift >= 0;
	p->shift = (uint8_t)(shift >= 0 ? shift : 0);
	p->len = (uint32_t)len;
	p->bytes = memcpy(&p->blocks[n], bytes, len);
	least = least < len ? least : len;
	p->window_end = (uint32_t)(window_end > len ? len : window_end < least ? least : window_end);
	return p;
}

/*
 * The base64 of p when `before` bytes (0-2) of somebody else's stand before it in its group of three: the characters
 * that hold bits of p alone. Both alphabets give the same for most placeholders; then there is one pattern.
 */
static struct placeholder_pattern *base64_pattern(const struct placeholder_table *t, struct placeholder *p, size_t before,
						  bool url, size_t random_end)
{
	struct buf raw = { 0 }, text = { 0 };
	struct placeholder_pattern *pattern = NULL;

	if (buf_append(&raw, "\0\0", before) == 0 && buf_append(&raw, p->text, p->len) == 0 &&
	    base64_encode(&text, raw.data, raw.len, url, false) == 0) {
		size_t from = (before * 8 + 5) / 6, to = raw.len * 8 / 6;
		size_t end = (before + random_end) * 8 / 6 - from;
		bool same = url && !memchr(text.data + from, '-', to - from) && !memchr(text.data + from, '_', to - from);
		pattern = same ? p->patterns : make_pattern(t, p, text.data + from, to - from, end, (int)before);
	}
	buf_wipe(&raw);
	buf_wipe(&text);
	return pattern;
}

/*
 * A text with other bytes than ASCII as it stands where a program took each byte for a character, as many do with
 * headers, and wrote that as UTF-8. In JSON also with escapes, which are read as UTF-8.
 */
static struct placeholder_pattern *latin_pattern(const struct placeholder_table *t, struct placeholder *p)
{
	struct placeholder_pattern *pattern = NULL;
	struct buf text = { 0 };
	int r = 0;

	for (size_t i = 0; i < p->len && r == 0; i++) {
		uint8_t c = (uint8_t)p->text[i];
		if (c < 0x80)
			r = buf_putc(&text, (char)c);
		else
			r = buf_append(&text, (const uint8_t[]){ (uint8_t)(0xc0 | c >> 6), (uint8_t)(0x80 | (c & 0x3f)) }, 2);
	}
	if (r == 0)
		pattern = text.len > p->len ? make_pattern(t, p, text.data, text.len, text.len, -1) : p->patterns;
	buf_wipe(&text);
	return pattern;
}

/* A text of ASCII in UTF-16. Programs send no placeholders that way, so it is for given texts only. */
static struct placeholder_pattern *wide_pattern(const struct placeholder_table *t, struct placeholder *p)
{
	struct placeholder_pattern *pattern = NULL;
	struct buf text = { 0 };
	int r = 0;

	for (size_t i = 0; i < p->len; i++) {
		if ((uint8_t)p->text[i] >= 0x80 || !t->texts)
			return p->patterns;
	}
	for (size_t i = 0; i < p->len && r == 0; i++)
		r = buf_append(&text, (const char[]){ '\0', p->text[i] }, 2);
	if (r == 0)
		pattern = make_pattern(t, p, text.data + 1, text.len - 1, text.len, -1);
	if (pattern)
		pattern->wide = true;
	buf_wipe(&text);
	return pattern;
}

static void free_patterns(struct placeholder *p)
{
	while (p->patterns) {
		struct placeholder_pattern *pattern = p->patterns;
		p->patterns = pattern->next;
		explicit_bzero(pattern, (size_t)(pattern->bytes - (const uint8_t *)pattern) + pattern->len);
		free(pattern);
	}
}

/* All patterns of p as its list; the number of them, or -ENOMEM. */
static int make_patterns(const struct placeholder_table *t, struct placeholder *p, size_t random_end)
{
	int n = 1;

	p->patterns = make_pattern(t, p, (const uint8_t *)p->text, p->len, random_end, -1);
	for (size_t i = 0; p->patterns && i < 8; i++) {
		struct placeholder_pattern *pattern = i < 6 ? base64_pattern(t, p, i / 2, i % 2, random_end) :
						      i < 7 ? latin_pattern(t, p) : wide_pattern(t, p);
		if (!pattern) {
			free_patterns(p);
			break;
		}
		/* The same as one that is there. */
		if (pattern == p->patterns)
			continue;
		pattern->next = p->patterns;
		p->patterns = pattern;
		n++;
	}
	return p->patterns ? n : -ENOMEM;
}

int table_insert(struct placeholder_table *t, struct placeholder *p, size_t random_end)
{
	int n = make_patterns(t, p, random_end);
	if (n < 0)
		return n;
	/* Its base64 is longer than itself. */
	if (grow_arrays(t, (size_t)n) < 0 || make_room(t, (size_t)n, p->len) < 0) {
		free_patterns(p);
		return -ENOMEM;
	}
	p->number = ++t->last;
	p->index = t->n;
	t->all[t->n++] = p;
	for (struct placeholder_pattern *pattern = p->patterns; pattern; pattern = pattern->next)
		add_pattern(t, pattern);
	return 0;
}

int placeholder_add_text(struct placeholder_table *t, const void *text, size_t len, size_t secret)
{
	struct placeholder *p = calloc(1, sizeof(*p) + len + 1);

	if (!p)
		return -ENOMEM;
	p->secret = secret;
	p->len = len;
	memcpy(p->text, text, len);
	int r = table_insert(t, p, len);
	if (r < 0)
		free(p);
	return r;
}

static int any(void *data, const struct placeholder_pattern *pattern, size_t start)
{
	(void)data;
	(void)pattern;
	(void)start;
	return 1;
}

int table_conflict(const struct placeholder_table *t, const struct placeholder *p)
{
	if (table_search(t, (const uint8_t *)p->text, p->len, any, NULL))
		return 1;
	for (size_t i = 0; i < t->n; i++) {
		if (t->all[i]->len > p->len && memmem(t->all[i]->text, t->all[i]->len, p->text, p->len))
			return 1;
	}
	return 0;
}

void placeholder_remove(struct placeholder_table *t, const struct placeholder *gone)
{
	if (!gone)
		return;
	struct placeholder *p = t->all[gone->index];
	for (struct placeholder_pattern *pattern = p->patterns; pattern; pattern = pattern->next)
		remove_pattern(t, pattern);
	free_patterns(p);
	t->all[p->index] = t->all[--t->n];
	t->all[p->index]->index = p->index;
	/* Of the table of values it is one. */
	explicit_bzero(p->text, p->len);
	free(p);
}

void placeholder_table_free(struct placeholder_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free_patterns(t->all[i]);
		free(t->all[i]);
	}
	free(t->all);
	free(t->patterns);
	free(t->buckets);
	free(t->some);
	*t = (struct placeholder_table){ 0 };
}

/* The patterns one of whose blocks stands at text + at. */
static int search_bucket(const struct placeholder_table *t, uint64_t bytes, const uint8_t *text, size_t at, size_t len,
			 pattern_fn fn, void *data)
{
	for (const struct placeholder_block *b = t->buckets[bucket(t, bytes)]; b; b = b->chain) {
		const struct placeholder_pattern *p = b->pattern;
		if (b->bytes != bytes || at < b->off || len - (at - b->off) < p->len ||
		    memcmp(text + at - b->off, p->bytes, p->len) != 0)
			continue;
		int r = fn(data, p, at - b->off);
		if (r)
			return r;
	}
	return 0;
}

int table_search(const struct placeholder_table *t, const uint8_t *text, size_t len, pattern_fn fn, void *data)
{
	if (!t->n_blocks)
		return 0;
	for (size_t i = 0, step = stride(t), block = block_len(t); i + block <= len; i += step) {
		uint64_t bytes = load(t, text + i, len - i);
		if (!(t->some[bucket(t, bytes)] & kind(bytes)))
			continue;
		int r = search_bucket(t, bytes, text, i, len, fn, data);
		if (r)
			return r;
	}
	return 0;
}

size_t table_suffix(const struct placeholder_table *t, const uint8_t *text, size_t len)
{
	size_t max = t->longest ? t->longest - 1 : 0;

	for (size_t k = len < max ? len : max; k; k--) {
		const uint8_t *s = text + len - k;
		if (!t->first[s[0]])
			continue;
		size_t at = lower_bound(t, s, k);
		while (at < t->n_patterns && t->patterns[at]->len == k && memcmp(t->patterns[at]->bytes, s, k) == 0)
			at++;
		if (at < t->n_patterns && t->patterns[at]->len > k && memcmp(t->patterns[at]->bytes, s, k) == 0)
			return k;
	}
	return 0;
}
