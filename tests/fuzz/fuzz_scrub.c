/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers: whatever the cuts, the same comes out, and no value in any form; a length that was promised is kept. Of several
 * texts one behind the other no value comes out, and one over their border is the only reason to stop. Bytes from 0x80 on stand for values and pieces of them in various forms, so that the fuzzer need not find them by itself.
 */
#include <errno.h>

#include "../unit/placeholder_slow.h"
#include "gateway/scrub.h"
#include "fuzz.h"

#define TEXT_MAX 1024u

/* The last changes lengths. */
static const char *const VALUES[] = { "sk-real-7f3a9c21e8b4", "7f3a9c21", "another~value>0123", "a/b\"\xc3\xa9\\d%41\xf0\x9f\x98\x80?" };
static const char *const NAMES[] = { "nsbox_0abcdefghijklm", "nsbox_0z", "nsbox_zyxwvutsrqpo", "nsbox_mnbvcxlkjhgf0123456" };
#define N_VALUES (sizeof(VALUES) / sizeof(VALUES[0]))

static const struct placeholder *stand_in(void *data, size_t secret)
{
	return ((struct placeholder *const *)data)[secret];
}

static void prepare(struct placeholder_table *values, struct placeholder **names, size_t n)
{
	values->texts = true;
	for (size_t i = 0; i < n; i++) {
		CHECK(placeholder_add_text(values, VALUES[i], strlen(VALUES[i]), i) == 0);
		names[i] = calloc(1, sizeof(*names[i]) + strlen(NAMES[i]) + 1);
		CHECK(names[i]);
		names[i]->len = strlen(NAMES[i]);
		strcpy(names[i]->text, NAMES[i]);
	}
}

/* A character as JSON escapes it, or a byte that is none; its length. */
static size_t put_character(struct buf *out, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = p[0] < 0xc0 ? 1 : p[0] < 0xf0 ? 2 : 4;

	if (n > len || n == 1)
		buf_printf(out, "\\u%04x", p[0]);
	else if (n == 2)
		buf_printf(out, "\\u%04x", (p[0] & 0x1f) << 6 | (p[1] & 0x3f));
	else
		buf_puts(out, "\\uD83d\\ude00");
	return n > len ? 1 : n;
}

static void put_form(struct buf *out, uint8_t c)
{
	const char *s = VALUES[c & 3];
	size_t len = c & 64 ? strlen(s) / 2 : strlen(s), from = c & 32 ? len / 3 : 0;

	switch (c >> 2 & 7) {
	case 0:
		buf_append(out, s + from, len - from);
		break;
	case 1:
		for (size_t i = from; i < len;)
			i += put_character(out, s + i, len - i);
		break;
	case 2:
		for (size_t i = from; i < len; i++)
			buf_printf(out, i % 3 || s[i] == '%' ? "%%%02x" : "%c", (uint8_t)s[i]);
		break;
	case 3:
		for (size_t i = from; i < len; i++)
			buf_printf(out, i % 3 || s[i] == '\\' ? "\\u%04X" : "%c", (uint8_t)s[i]);
		break;
	case 4:
	case 5:
	case 6:
		if (c & 32 && (c & 4)) {
			for (size_t i = 0; i < len; i++)
				buf_append(out, (const char[]){ s[i], '\0' }, 2);
			break;
		}
		base64_encode(out, s + from, len - from, c & 4, false);
		break;
	default:
		buf_puts(out, c & 64 ? "%" : "\\u00");
	}
}

static int feed(struct scrub *s, const uint8_t *text, size_t len, bool last, struct buf *out)
{
	uint8_t *piece = malloc(len ? len : 1);

	CHECK(piece);
	if (len)
		memcpy(piece, text, len);
	int r = scrub_feed(s, piece, len, last, out);
	free(piece);
	return r;
}

static void check(const struct placeholder_table *values, struct placeholder *const *names, bool same_length,
		  const struct buf *text, size_t step)
{
	static struct seen left;
	struct scrub whole = { .values = values, .stand_in = stand_in, .data = (void *)names, .same_length = same_length };
	struct scrub cut = whole;
	struct buf one = { 0 }, two = { 0 };

	CHECK(feed(&whole, text->data, text->len, true, &one) == 0);
	for (size_t at = 0; at < text->len; at += step)
		CHECK(feed(&cut, text->data + at, text->len - at < step ? text->len - at : step, false, &two) == 0);
	CHECK(feed(&cut, NULL, 0, true, &two) == 0);
	CHECK(one.len == two.len && (!one.len || memcmp(one.data, two.data, one.len) == 0));
	CHECK(!same_length || one.len == text->len);
	naive(values, &left, (const char *)one.data, one.len);
	CHECK(left.n == 0);
	scrub_reset(&whole);
	scrub_reset(&cut);
	buf_free(&one);
	buf_free(&two);
}

/* Does a value stand over the end of one of the texts? */
static bool over_a_border(const struct placeholder_table *values, const struct buf *text, size_t step)
{
	static struct seen all;

	naive(values, &all, (const char *)text->data, text->len);
	for (size_t i = 0; i < all.n; i++) {
		if (all.v[i].start / step != (all.v[i].end - 1) / step)
			return true;
	}
	return false;
}

static void check_texts(const struct placeholder_table *values, struct placeholder *const *names, const struct buf *text,
			size_t step, size_t piece)
{
	static struct seen left;
	struct scrub s = { .values = values, .stand_in = stand_in, .data = (void *)names, .texts = true };
	struct buf out = { 0 };
	int r = 0;

	for (size_t at = 0, to; at < text->len && r == 0; at = to) {
		size_t end = (at / step + 1) * step; /* of a text */
		to = at + piece < end ? at + piece : end;
		to = to < text->len ? to : text->len;
		bool last = to == end || to == text->len;
		r = feed(&s, text->data + at, to - at, last, &out);
		if (last)
			scrub_next(&s);
	}
	CHECK(r == 0 || (r == -EXDEV && over_a_border(values, text, step)));
	naive(values, &left, (const char *)out.data, out.len);
	CHECK(left.n == 0);
	scrub_reset(&s);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct placeholder_table all, alike;
	static struct placeholder *names[N_VALUES], *alike_names[N_VALUES];
	struct buf text = { 0 };

	if (!all.n) {
		prepare(&all, names, N_VALUES);
		prepare(&alike, alike_names, N_VALUES - 1);
	}
	for (size_t i = 1; i < size && text.len < TEXT_MAX; i++)
		data[i] < 0x80 ? (void)buf_putc(&text, (char)data[i]) : put_form(&text, data[i]);
	if (text.len) {
		check(&all, names, false, &text, data[0] % 100 + 1);
		check(&alike, alike_names, true, &text, data[0] % 100 + 1);
		check_texts(&all, names, &text, data[0] % 100 + 1, data[0] % 7 + 1);
	}
	buf_free(&text);
	return 0;
}
