/* SPDX-License-Identifier: Apache-2.0 */
/* Values that leave a stream: in every form, over every cut, and never the beginning of one before it is known. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/scrub.h"
#include "placeholder_slow.h"

#include <cmocka.h>

struct room {
	struct placeholder_table values, names;
	const struct placeholder *stand_in[8];
};

static const struct placeholder *stand_in(void *data, size_t secret)
{
	return ((struct room *)data)->stand_in[secret];
}

static void add(struct room *r, size_t secret, const char *value)
{
	assert_int_equal(placeholder_add_text(&r->values, value, strlen(value), secret), 0);
	assert_int_equal(placeholder_add(&r->names, NULL, strlen(value), r, secret, &r->stand_in[secret]), 0);
}

static void leave(struct room *r)
{
	placeholder_table_free(&r->values);
	placeholder_table_free(&r->names);
}

static void feed(struct scrub *s, const uint8_t *text, size_t len, bool last, struct buf *out)
{
	uint8_t *piece = malloc(len + 1);

	if (len)
		memcpy(piece, text, len);
	assert_int_equal(scrub_feed(s, piece, len, last, out), 0);
	free(piece);
}

/* What becomes of the text; the same for every cut, and no value is left. */
static void scrubbed(struct room *room, const struct buf *text, struct buf *ret)
{
	static struct seen left;
	struct scrub s = { .values = &room->values, .stand_in = stand_in, .data = room };

	ret->len = 0;
	feed(&s, text->data, text->len, true, ret);
	scrub_reset(&s);
	naive(&room->values, &left, (char *)ret->data, ret->len);
	assert_int_equal(left.n, 0);
	for (size_t cut = 0; cut <= text->len; cut++) {
		struct buf out = { 0 };
		s = (struct scrub){ .values = &room->values, .stand_in = stand_in, .data = room };
		feed(&s, text->data, cut, false, &out);
		assert_true(out.len <= ret->len && (!out.len || memcmp(out.data, ret->data, out.len) == 0));
		feed(&s, text->data + cut, text->len - cut, true, &out);
		assert_int_equal(out.len, ret->len);
		assert_memory_equal(out.data, ret->data, out.len);
		scrub_reset(&s);
		buf_free(&out);
	}
	struct buf out = { 0 };
	s = (struct scrub){ .values = &room->values, .stand_in = stand_in, .data = room };
	for (size_t at = 0; at < text->len; at++)
		feed(&s, text->data + at, 1, false, &out);
	feed(&s, NULL, 0, true, &out);
	assert_int_equal(out.len, ret->len);
	assert_memory_equal(out.data, ret->data, out.len);
	scrub_reset(&s);
	buf_free(&out);
}

/* A character as JSON escapes it; its length. */
static size_t put_character(struct buf *out, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	if (n < 4)
		buf_printf(out, "\\u%04x", c);
	else
		buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
	return n;
}

static void put_form(struct buf *out, const char *s, uint32_t form, uint32_t bits)
{
	struct buf b64 = { 0 };
	size_t len = strlen(s);

	if (form >= 3) {
		buf_append(&b64, "xx", bits % 3);
		buf_puts(&b64, s);
		struct buf raw = b64;
		b64 = (struct buf){ 0 };
		base64_encode(&b64, raw.data, raw.len, bits & 8, true);
		buf_free(&raw);
		s = buf_str(&b64);
		len = b64.len;
		form -= 3;
	}
	for (size_t i = 0; i < len; i++) {
		bool escaped = bits >> (i % 31) & 1;
		/* But one that is cut, or goes on. */
		bool character = form == 2 && bits & 2 && (uint8_t)s[i] >= 0xc0 && i + 4 <= len;
		if (character && escaped)
			i += put_character(out, s + i) - 1;
		else if (form == 1 && (escaped || s[i] == '%'))
			buf_printf(out, i % 2 ? "%%%02x" : "%%%02X", (uint8_t)s[i]);
		else if (form == 2 && (s[i] == '"' || s[i] == '\\' || (s[i] == '/' && bits & 1)))
			buf_printf(out, "\\%c", s[i]);
		else if (form == 2 && escaped)
			buf_printf(out, "\\u%04x", (uint8_t)s[i]);
		else
			buf_putc(out, s[i]);
	}
	buf_free(&b64);
}

static const char *const VALUES[] = { "sk-real-7f3a9c21e8b44d06a5", "short-v8", "with/slash\"quote\\and%41percent?",
				      "another_value.0123456789~>", "p\xc3\xa4ss-\xe2\x82\xac-w\xc3\xb6rd-\xf0\x9f\x98\x80" };

static void every_form(void **state)
{
	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(VALUES); v++) {
		struct room room = { .values.texts = true };
		struct buf text = { 0 }, out = { 0 };
		add(&room, 0, VALUES[v]);
		bool keeps = scrub_is_plain(VALUES[v], strlen(VALUES[v])) && strlen(VALUES[v]) == room.stand_in[0]->len;
		assert_int_equal(keeps, v == 0 || v == 3);
		for (uint32_t i = 0; i < 6 * 32; i++) {
			text.len = 0;
			buf_puts(&text, "before ");
			put_form(&text, VALUES[v], i % 6, i < 6 ? i % 3 : i * 2654435761u);
			buf_puts(&text, " behind");
			scrubbed(&room, &text, &out);
			assert_memory_equal(out.data, "before ", 7);
			assert_memory_equal(out.data + out.len - 7, " behind", 7);
			if (keeps)
				assert_int_equal(out.len, text.len);
			if (i % 6 == 0) {
				assert_int_equal(out.len, 14 + room.stand_in[0]->len);
				assert_memory_equal(out.data + 7, room.stand_in[0]->text, room.stand_in[0]->len);
			}
		}
		buf_free(&text);
		buf_free(&out);
		leave(&room);
	}
}

/* Basic credentials that a server shows: all but the bits shared with neighbours are the placeholder's. */
/* In either order of bytes, plain and escaped, over every cut. */
static void utf16(void **state)
{
	struct room room = { .values.texts = true };
	struct buf out = { 0 };

	(void)state;
	add(&room, 0, VALUES[0]);
	for (int form = 0; form < 4; form++) {
		struct buf text = { 0 }, want = { 0 };
		for (int which = 0; which < 2; which++) {
			const char *s = which ? room.stand_in[0]->text : VALUES[0];
			buf_puts(which ? &want : &text, "before ");
			for (size_t i = 0; i < 2 * strlen(s); i++) {
				uint8_t c = i % 2 == (form & 1) ? (uint8_t)s[i / 2] : 0;
				if (form < 2)
					buf_append(which ? &want : &text, &c, 1);
				else
					buf_printf(which ? &want : &text, "%%%02X", c);
			}
			buf_puts(which ? &want : &text, " behind");
		}
		scrubbed(&room, &text, &out);
		assert_int_equal(out.len, want.len);
		assert_memory_equal(out.data, want.data, want.len);
		buf_free(&text);
		buf_free(&want);
	}
	buf_free(&out);
	leave(&room);
}

static void base64_decodes(void **state)
{
	struct room room = { 0 };
	struct buf text = { 0 }, out = { 0 }, plain = { 0 };
	char user[8] = "";
	(void)state;

	add(&room, 0, VALUES[0]);
	for (size_t n = 0; n < 6; n++) {
		const struct placeholder *p = room.stand_in[0];
		struct buf raw = { 0 };
		text.len = plain.len = 0;
		memset(user, 'u', n);
		buf_printf(&raw, "%s%s|end", user, VALUES[0]);
		base64_encode(&text, raw.data, raw.len, false, true);
		scrubbed(&room, &text, &out);
		assert_int_equal(base64_decode(&plain, (char *)out.data, out.len), 0);
		assert_int_equal(plain.len, raw.len);
		assert_memory_equal(plain.data, user, n);
		assert_memory_equal(plain.data + n + 1, p->text + 1, p->len - 2);
		assert_memory_equal(plain.data + n + p->len, "|end", 4);
		buf_free(&raw);
	}
	buf_free(&text);
	buf_free(&out);
	buf_free(&plain);
	leave(&room);
}

/* Each text is the value, and what holds half of a character is not. */
static void characters_outside_of_ascii(void **state)
{
	static const char value[] = "p\xc3\xa9-\xe2\x82\xac-\xf0\x9f\x98\x80-word";
	static const char *const texts[] = {
		value,
		"p\\u00e9-\\u20ac-\\ud83d\\ude00-word",
		"p\\u00E9-\\u20AC-\\uD83D\\uDE00-word",
		"\\u0070\\u00e9\\u002d\\u20aC\\u002d\\uD83d\\uDe00\\u002d\\u0077\\u006f\\u0072\\u0064",
		"p\\u00e9-\xe2\x82\xac-\\ud83d\\ude00-word",
		"p\xc3\xa9-\\u20ac-\xf0\x9f\x98\x80-word",
		"p%C3%A9-%e2%82%ac-%F0%9F%98%80-word",
		"p\\u00c3\\u00a9-\\u00e2\\u0082\\u00ac-\\u00f0\\u009f\\u0098\\u0080-word",
		"p\xc3\x83\xc2\xa9-\xc3\xa2\xc2\x82\xc2\xac-\xc3\xb0\xc2\x9f\xc2\x98\xc2\x80-word",
	};
	static const char *const others[] = {
		"p\\u00e9-\\u20ac-\\ud83d-word", "p\\u00e9-\\u20ac-\\ude00\\ud83d-word", "p\\u00e9-\\u20ac-\\ud83d\\\\de00-word",
		"p\\u00e9-\\u20ac-\\ud83d\\u0e00-word", "p\\u00e9-\\u20ac-\\ud83d\\u", "p\\u00e8-\\u20ac-\\ud83d\\ude00-word",
	};
	struct room room = { .values.texts = true };
	struct buf text = { 0 }, out = { 0 };
	(void)state;

	add(&room, 0, value);
	assert_false(scrub_is_plain(value, strlen(value)));
	for (size_t i = 0; i < ARRAY_LEN(texts) + ARRAY_LEN(others); i++) {
		bool is_value = i < ARRAY_LEN(texts);
		text.len = 0;
		buf_printf(&text, "before %s behind", is_value ? texts[i] : others[i - ARRAY_LEN(texts)]);
		scrubbed(&room, &text, &out);
		assert_memory_equal(out.data, "before ", 7);
		assert_memory_equal(out.data + out.len - 7, " behind", 7);
		bool same = out.len == text.len && memcmp(out.data, text.data, text.len) == 0;
		if (same == is_value || (is_value && memmem(out.data, out.len, "word", 4)))
			fail_msg("%s -> %.*s", buf_str(&text), (int)out.len, (char *)out.data);
	}
	buf_free(&text);
	buf_free(&out);
	leave(&room);
}

/* A value that is no UTF-8: JSON has its bytes as characters of Latin-1. */
static void latin_in_json(void **state)
{
	static const char value[] = "caf\xe9-\xa9-word";
	struct room room = { .values.texts = true };
	struct buf text = { 0 }, out = { 0 };
	(void)state;

	add(&room, 0, value);
	for (int i = 0; i < 2; i++) {
		text.len = 0;
		buf_puts(&text, i ? "[\"caf\xc3\xa9-\xc2\xa9-word\"]" : "[\"caf\\u00e9-\\u00a9-word\"]");
		scrubbed(&room, &text, &out);
		assert_non_null(memmem(out.data, out.len, room.stand_in[0]->text + 1, room.stand_in[0]->len - 1));
		assert_null(memmem(out.data, out.len, "word", 4));
	}
	buf_free(&text);
	buf_free(&out);
	leave(&room);
}

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void mixtures(void **state)
{
	static const char *const noise[] = { "%", "\\", "\\u", "\\u00", "\\ud83d", "\\ud83d\\u", "%7", "sk-", "short", "=", "/", "x", "{\"a\":" };
	struct room room = { .values.texts = true };
	uint32_t seed = 20240611;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(VALUES); i++)
		add(&room, i, VALUES[i]);
	/* One inside another. */
	add(&room, ARRAY_LEN(VALUES), "7f3a9c21e8b4");
	for (int round = 0; round < 400; round++) {
		struct buf text = { 0 }, out = { 0 };
		for (uint32_t n = next(&seed) % 5; n; n--) {
			char piece[64];
			snprintf(piece, sizeof(piece), "%s", VALUES[next(&seed) % ARRAY_LEN(VALUES)]);
			if (next(&seed) % 3 == 0)
				piece[next(&seed) % strlen(piece)] = '\0';
			put_form(&text, piece, next(&seed) % 6, next(&seed));
			buf_puts(&text, noise[next(&seed) % ARRAY_LEN(noise)]);
		}
		scrubbed(&room, &text, &out);
		buf_free(&text);
		buf_free(&out);
	}
	leave(&room);
}

/* Texts of one stream: what they were up to an error, one behind the other, holds no value. */
static int texts(struct room *room, const struct buf *whole, size_t cut, size_t second, struct buf *out)
{
	const size_t ends[] = { cut, second, whole->len };
	struct scrub s = { .values = &room->values, .stand_in = stand_in, .data = room, .texts = true };
	int r = 0;

	for (size_t i = 0, at = 0; i < ARRAY_LEN(ends) && r == 0; at = ends[i++]) {
		r = scrub_feed(&s, whole->data + at, ends[i] - at, true, out);
		scrub_next(&s);
	}
	scrub_reset(&s);
	return r;
}

static void values_in_two_texts(void **state)
{
	static struct seen left;
	(void)state;

	for (size_t v = 0; v < ARRAY_LEN(VALUES); v++) {
		struct room room = { .values.texts = true };
		struct buf text = { 0 }, out = { 0 };
		add(&room, 0, VALUES[v]);
		for (uint32_t form = 0; form < 6; form++) {
			text.len = 0;
			buf_puts(&text, "..");
			put_form(&text, VALUES[v], form, 0x55555555);
			naive(&room.values, &left, (char *)text.data, text.len);
			size_t begin = left.n ? left.v[0].start : 0, end = left.n ? left.v[0].end : 0;
			for (size_t cut = 0; cut <= text.len; cut++) {
				out.len = 0;
				int r = texts(&room, &text, cut, cut + (cut < text.len), &out);
				bool inside = (cut > begin && cut < end) || (cut + 1 > begin && cut + 1 < end);
				assert_int_equal(r, inside ? -EXDEV : 0);
				naive(&room.values, &left, (char *)out.data, out.len);
				assert_int_equal(left.n, 0);
			}
		}
		buf_free(&text);
		buf_free(&out);
		leave(&room);
	}
}

/* What was replaced at the end of one text is not the beginning of another value. */
static void replaced_before_the_border(void **state)
{
	struct room room = { .values.texts = true };
	struct buf text = { 0 }, out = { 0 };
	(void)state;

	add(&room, 0, "abcabcabcabc");
	buf_puts(&text, "abcabcabcabcabc.");
	assert_int_equal(texts(&room, &text, 12, 15, &out), 0);
	assert_int_equal(out.len, room.stand_in[0]->len + 4);
	buf_free(&text);
	buf_free(&out);
	leave(&room);
}

static void what_has_no_stand_in_stays(void **state)
{
	struct room room = { 0 };
	struct buf text = { 0 }, out = { 0 };
	(void)state;

	add(&room, 0, VALUES[0]);
	room.stand_in[0] = NULL;
	buf_puts(&text, VALUES[0]);
	assert_int_equal(scrub_text(&room.values, stand_in, &room, text.data, text.len, &out), 0);
	assert_int_equal(out.len, 0);
	buf_free(&text);
	leave(&room);
}

/* A promised length is never broken. */
static void another_length_is_an_error(void **state)
{
	struct room room = { .values.texts = true };
	struct buf out = { 0 };
	(void)state;

	add(&room, 0, "short-v8");
	struct scrub s = { .values = &room.values, .stand_in = stand_in, .data = &room, .same_length = true };
	assert_int_equal(scrub_feed(&s, "a short-v8 b", 12, true, &out), -EBADMSG);
	scrub_reset(&s);
	buf_free(&out);
	leave(&room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form),	      cmocka_unit_test(base64_decodes),
		cmocka_unit_test(mixtures),	      cmocka_unit_test(what_has_no_stand_in_stays),
		cmocka_unit_test(another_length_is_an_error), cmocka_unit_test(characters_outside_of_ascii),
		cmocka_unit_test(latin_in_json), cmocka_unit_test(values_in_two_texts),
		cmocka_unit_test(replaced_before_the_border), cmocka_unit_test(utf16),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
