/* SPDX-License-Identifier: Apache-2.0 */
/* Placeholders: their making, finding them in streams in every form, substitution and misuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/placeholder_base64.h"
#include "placeholder_slow.h"

#include <cmocka.h>

static const struct placeholder *add(struct placeholder_table *t, const char *shape, size_t len, size_t secret)
{
	const struct placeholder *p = NULL;

	assert_int_equal(placeholder_add(t, shape, len, t, secret, &p), 0);
	return p;
}

static void default_shape(void **state)
{
	static const struct {
		size_t value, placeholder;
	} cases[] = { { 1, 24 }, { 15, 24 }, { 16, 16 }, { 17, 17 }, { 40, 40 }, { 4096, 4096 }, { 65536, 65536 } };
	struct placeholder_table t = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct placeholder *p = add(&t, NULL, cases[i].value, i);
		assert_int_equal(p->len, cases[i].placeholder);
		assert_int_equal(strlen(p->text), p->len);
		assert_memory_equal(p->text, "nsbox_", 6);
		assert_int_equal(strspn(p->text + 6, "abcdefghijklmnopqrstuvwxyz0123456789"), p->len - 6);
		assert_ptr_equal(p->call, &t);
		assert_int_equal(p->secret, i);
	}
	placeholder_table_free(&t);
}

static void shapes(void **state)
{
	static const char *const bad[] = {
		"", "sk-ant", "{random:15}", "{random:1025}", "{random:}", "{random:99999999999999999999}", "{random:20",
		"a b{random:20}", "a%{random:20}", "a\"{random:20}", "{random:20}{random:20}", "\x80{random:20}", "{random:2O}",
		"a\n{random:20}",
	};
	struct placeholder_table t = { 0 };
	const struct placeholder *p;
	(void)state;

	p = add(&t, "sk-ant-{random:40}", 100, 0);
	assert_int_equal(p->len, 47);
	assert_memory_equal(p->text, "sk-ant-", 7);
	p = add(&t, "A_{random:16}.end", 100, 0);
	assert_int_equal(p->len, 22);
	assert_string_equal(p->text + 18, ".end");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (placeholder_add(&t, bad[i], 20, NULL, 0, &p) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
	}
	assert_int_equal(t.n, 2);
	placeholder_table_free(&t);
}

static void checked_at_load(void **state)
{
	struct error e = { 0 };
	(void)state;

	assert_int_equal(placeholder_check("KEY", NULL, 7, true, &e), -EINVAL);
	assert_non_null(strstr(e.message, "KEY"));
	assert_non_null(strstr(e.message, "scrub = no"));
	assert_int_equal(placeholder_check("KEY", NULL, 7, false, NULL), 0);
	assert_int_equal(placeholder_check("KEY", NULL, 8, true, NULL), 0);
	assert_int_equal(placeholder_check("KEY", "sk-{random:3}", 20, true, &e), -EINVAL);
	assert_non_null(strstr(e.message, "sk-{random:3}"));
	assert_int_equal(placeholder_check("KEY", "sk-{random:30}", 20, true, NULL), 0);
}

/* ---- finding, against a slow search that decodes everything first ---- */

static void same(const struct seen *a, const struct seen *b, const char *text, size_t len, size_t cut)
{
	bool equal = a->n == b->n;

	for (size_t i = 0; equal && i < a->n; i++)
		equal = by_place(&a->v[i], &b->v[i]) == 0;
	if (!equal)
		fail_msg("%zu hits against %zu, cut at %zu: %.*s", a->n, b->n, cut, (int)len, text);
}

static void feed(struct placeholder_scan *s, const struct placeholder_table *t, const char *text, size_t len,
		 struct seen *out)
{
	char *piece = malloc(len ? len : 1);

	memcpy(piece, text, len);
	assert_int_equal(placeholder_scan_feed(s, t, piece, len, see, out), 0);
	free(piece);
}

/* Whole, cut in two at every offset, byte by byte: all as the slow search says. */
static void check_text(const struct placeholder_table *t, const char *text, size_t len, size_t wanted)
{
	static struct seen slow, fast;
	struct placeholder_scan s = { 0 };

	naive(t, &slow, text, len);
	if (wanted != SIZE_MAX && slow.n != wanted)
		fail_msg("%zu hits, wanted %zu: %.*s", slow.n, wanted, (int)len, text);
	for (size_t cut = 0; cut <= len; cut++) {
		fast.n = 0;
		feed(&s, t, text, cut, &fast);
		assert_true(placeholder_scan_held(&s) <= cut);
		feed(&s, t, text + cut, len - cut, &fast);
		sort(&fast);
		same(&fast, &slow, text, len, cut);
		placeholder_scan_reset(&s);
	}
	fast.n = 0;
	for (size_t at = 0; at < len; at++)
		feed(&s, t, text + at, 1, &fast);
	sort(&fast);
	same(&fast, &slow, text, len, len + 1);
	placeholder_scan_reset(&s);
}

/* Encoders: which characters get escaped is decided by a bit pattern. */
static void put_percent(struct buf *out, const char *s, size_t len, uint32_t bits)
{
	for (size_t i = 0; i < len; i++)
		bits >> (i % 32) & 1 ? buf_printf(out, i % 2 ? "%%%02x" : "%%%02X", (uint8_t)s[i]) : buf_putc(out, s[i]);
}

static void put_json(struct buf *out, const char *s, size_t len, uint32_t bits)
{
	for (size_t i = 0; i < len; i++)
		bits >> (i % 32) & 1 ? buf_printf(out, "\\u%04x", (uint8_t)s[i]) : buf_putc(out, s[i]);
}

static void every_form_is_found(void **state)
{
	struct placeholder_table t = { 0 };
	const struct placeholder *p = add(&t, NULL, 16, 0);
	struct buf text = { 0 };
	(void)state;

	add(&t, "key-{random:30}", 30, 1);
	buf_printf(&text, "a=%s&b", p->text);
	check_text(&t, (char *)text.data, text.len, 1);
	for (uint32_t bits = 1; bits; bits = bits << 3 | bits << 1) {
		text.len = 0;
		buf_puts(&text, "%%4%");
		put_percent(&text, p->text, p->len, bits);
		buf_puts(&text, "%");
		check_text(&t, (char *)text.data, text.len, 1);
		text.len = 0;
		buf_puts(&text, "{\"\\u00\\\\n\\x");
		put_json(&text, p->text, p->len, bits);
		buf_puts(&text, "\\u");
		check_text(&t, (char *)text.data, text.len, 1);
	}
	for (size_t before = 0; before < 7; before++) {
		for (size_t url = 0; url < 2; url++) {
			struct buf raw = { 0 }, b64 = { 0 };
			buf_append(&raw, "\xff\xfe\xfd\xfc\xfb\xfa\xf9", before);
			buf_printf(&raw, "%s%.*s", p->text, (int)(6 - before % 4), "?>?>~~");
			base64_encode(&b64, raw.data, raw.len, url, true);
			check_text(&t, (char *)b64.data, b64.len, 1);
			/* base64 that went through a form or a JSON string */
			text.len = 0;
			put_percent(&text, (char *)b64.data, b64.len, 0x41041);
			check_text(&t, (char *)text.data, text.len, 1);
			text.len = 0;
			put_json(&text, (char *)b64.data, b64.len, 0x41041);
			check_text(&t, (char *)text.data, text.len, 1);
			buf_free(&raw);
			buf_free(&b64);
		}
	}
	buf_free(&text);
	placeholder_table_free(&t);
}

static void near_misses_are_not(void **state)
{
	struct placeholder_table t = { 0 };
	const struct placeholder *p = add(&t, NULL, 40, 0);
	struct buf text = { 0 };
	(void)state;

	for (size_t i = 0; i < p->len; i++) {
		text.len = 0;
		buf_puts(&text, p->text);
		text.data[i] ^= 0x40;
		check_text(&t, (char *)text.data, text.len, 0);
	}
	check_text(&t, p->text, p->len - 1, 0);
	check_text(&t, p->text + 1, p->len - 1, 0);
	buf_free(&text);
	placeholder_table_free(&t);
}

static uint32_t next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Random mixtures of placeholders in all forms, of pieces of them, and of what encodings begin with. */
static void streaming_equals_whole(void **state)
{
	static const char *const noise[] = { "%", "\\", "\\u", "\\u00", "%6", "%%", "\\\\", "n", "nsbox_", "=", "%6e", "x" };
	struct placeholder_table t = { 0 };
	uint32_t seed = 20240517;
	(void)state;

	for (size_t i = 0; i < 6; i++)
		add(&t, i % 3 == 2 ? "k{random:16}" : NULL, 14 + 3 * i, i);
	for (int round = 0; round < 300; round++) {
		struct buf text = { 0 }, b64 = { 0 };
		for (uint32_t n = next(&seed) % 6; n; n--) {
			const struct placeholder *p = t.all[next(&seed) % t.n];
			size_t len = next(&seed) % 3 ? p->len : next(&seed) % p->len;
			switch (next(&seed) % 5) {
			case 0:
				buf_append(&text, p->text, len);
				break;
			case 1:
				put_percent(&text, p->text, len, next(&seed));
				break;
			case 2:
				put_json(&text, p->text, len, next(&seed));
				break;
			case 3:
				b64.len = 0;
				base64_encode(&b64, p->text, len, false, false);
				put_percent(&text, (char *)b64.data, b64.len, next(&seed) & next(&seed) & next(&seed));
				break;
			default:
				buf_puts(&text, noise[next(&seed) % ARRAY_LEN(noise)]);
			}
			if (next(&seed) % 2)
				buf_puts(&text, noise[next(&seed) % ARRAY_LEN(noise)]);
		}
		if (text.len)
			check_text(&t, (char *)text.data, text.len, SIZE_MAX);
		buf_free(&text);
		buf_free(&b64);
	}
	placeholder_table_free(&t);
}

/* Inputs longer than the internal slice, the placeholder at each place around its border. */
static void long_inputs(void **state)
{
	struct placeholder_table t = { 0 };
	const struct placeholder *p = add(&t, NULL, 24, 0);
	struct buf encoded = { 0 };
	char *text = malloc(12000);
	(void)state;

	put_percent(&encoded, p->text, p->len, 0x55555555);
	for (size_t at = 4000; at < 4200; at++) {
		struct seen s = { .n = 0 };
		memset(text, 'n', 12000);
		memcpy(text + at, encoded.data, encoded.len);
		memcpy(text + at + 4096, p->text, p->len);
		assert_int_equal(placeholder_each(&t, text, 12000, see, &s), 0);
		sort(&s);
		assert_int_equal(s.n, 2);
		assert_int_equal(s.v[0].start, at);
		assert_int_equal(s.v[0].end, at + encoded.len);
		assert_int_equal(s.v[0].form, PLACEHOLDER_PERCENT);
		assert_int_equal(s.v[1].start, at + 4096);
		assert_int_equal(s.v[1].form, PLACEHOLDER_RAW);
	}
	free(text);
	buf_free(&encoded);
	placeholder_table_free(&t);
}

/* Whatever is forwarded while a placeholder comes in pieces, it never includes the beginning of one that follows. */
static void hold_back_is_exact(void **state)
{
	struct placeholder_table t = { 0 };
	const struct placeholder *p = add(&t, NULL, 32, 0);
	struct placeholder_scan s = { 0 };
	struct buf encoded = { 0 };
	struct seen seen = { .n = 0 };
	(void)state;

	feed(&s, &t, "data: {}\n\n", 10, &seen);
	assert_int_equal(placeholder_scan_held(&s), 0);
	for (size_t i = 0; i < p->len - 1; i++) {
		feed(&s, &t, p->text + i, 1, &seen);
		assert_int_equal(placeholder_scan_held(&s), i + 1);
	}
	feed(&s, &t, "!", 1, &seen);
	assert_int_equal(placeholder_scan_held(&s), 0);
	put_json(&encoded, p->text, p->len - 1, UINT32_MAX);
	for (size_t i = 0; i < encoded.len; i++) {
		feed(&s, &t, (char *)encoded.data + i, 1, &seen);
		assert_int_equal(placeholder_scan_held(&s), i + 1);
	}
	assert_int_equal(seen.n, 0);
	feed(&s, &t, p->text + p->len - 1, 1, &seen);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.v[0].end - seen.v[0].start, encoded.len + 1);
	assert_int_equal(s.total, 10 + 32 + encoded.len + 1);
	buf_free(&encoded);
	placeholder_scan_reset(&s);
	placeholder_table_free(&t);
}

/* One of the hits goes to *arg, and is enough. */
static int note_hit(void *arg, const struct placeholder_hit *hit)
{
	*(struct placeholder_hit *)arg = *hit;
	return 1;
}

static void many_come_and_go(void **state)
{
	enum { N = 3000 };
	static const struct placeholder *all[N];
	struct placeholder_hit hit;
	struct placeholder_table t = { 0 };
	uint32_t seed = 7;
	(void)state;

	for (size_t i = 0; i < N; i++)
		all[i] = add(&t, i % 5 ? NULL : "sk-{random:20}", 16 + i % 50, i);
	for (size_t i = 0; i < N; i += 1 + next(&seed) % 3) {
		char gone[80];
		snprintf(gone, sizeof(gone), "%s", all[i]->text);
		placeholder_remove(&t, all[i]);
		all[i] = NULL;
		assert_int_equal(placeholder_each(&t, gone, strlen(gone), note_hit, &hit), 0);
	}
	for (size_t i = 0; i < N; i++) {
		if (!all[i])
			continue;
		assert_int_equal(placeholder_each(&t, all[i]->text, all[i]->len, note_hit, &hit), 1);
		assert_ptr_equal(hit.placeholder, all[i]);
		assert_int_equal(hit.placeholder->secret, i);
	}
	for (size_t i = 0; i < N; i++)
		placeholder_remove(&t, all[i]);
	assert_int_equal(t.n, 0);
	assert_int_equal(t.n_patterns, 0);
	assert_int_equal(t.n_blocks, 0);
	assert_int_equal(t.longest, 0);
	for (size_t i = 0; i < 256; i++)
		assert_int_equal(t.first[i], 0);
	placeholder_table_free(&t);
}

/* A scan that lives longer than a placeholder whose beginning it has seen. */
static void table_changes_in_a_stream(void **state)
{
	struct placeholder_table t = { 0 };
	const struct placeholder *gone = add(&t, NULL, 100, 0), *stays = add(&t, NULL, 20, 1), *late;
	struct placeholder_scan s = { 0 };
	struct seen seen = { .n = 0 };
	(void)state;

	feed(&s, &t, gone->text, 99, &seen);
	char last = gone->text[99];
	placeholder_remove(&t, gone);
	feed(&s, &t, &last, 1, &seen);
	assert_int_equal(seen.n, 0);
	late = add(&t, NULL, 50, 2);
	feed(&s, &t, late->text, 50, &seen);
	feed(&s, &t, stays->text, 20, &seen);
	assert_int_equal(seen.n, 2);
	placeholder_scan_reset(&s);
	placeholder_table_free(&t);
	/* An empty table finds nothing and holds nothing. */
	feed(&s, &t, "nsbox_%41\\u0041", 15, &seen);
	assert_int_equal(seen.n, 2);
	placeholder_scan_reset(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_shape),
		cmocka_unit_test(shapes),
		cmocka_unit_test(checked_at_load),
		cmocka_unit_test(every_form_is_found),
		cmocka_unit_test(near_misses_are_not),
		cmocka_unit_test(streaming_equals_whole),
		cmocka_unit_test(long_inputs),
		cmocka_unit_test(hold_back_is_exact),
		cmocka_unit_test(many_come_and_go),
		cmocka_unit_test(table_changes_in_a_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
