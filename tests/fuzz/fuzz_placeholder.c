/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placeholders: the fast search over any cutting finds what a slow one finds; substitution leaves no placeholder and
 * refuses the one that may go nowhere. Bytes from 0x80 on stand for placeholders and pieces of them in various forms,
 * so that the fuzzer need not find them by itself.
 */
#include "../unit/placeholder_slow.h"
#include "gateway/placeholder_inject.h"
#include "gateway/placeholder_private.h"
#include "fuzz.h"

#define TEXT_MAX 2048u

/* Fixed, so that a finding can be repeated. The last may go nowhere. */
static const char *const TEXTS[] = { "nsbox_0abcdefghi", "nsbox_0zyxwvutsrqponml", "sk-ant-0a1b2c3d4e5f6g7h8", "a3b2c1d0e9f8g7h6" };
#define N_TEXTS (sizeof(TEXTS) / sizeof(TEXTS[0]))

static struct placeholder_table *table(void)
{
	static struct placeholder_table t;

	for (size_t i = 0; t.n < N_TEXTS; i++) {
		struct placeholder *p = calloc(1, sizeof(*p) + strlen(TEXTS[i]) + 1);
		CHECK(p);
		p->len = strlen(TEXTS[i]);
		p->secret = i;
		strcpy(p->text, TEXTS[i]);
		CHECK(table_insert(&t, p, p->len) == 0);
	}
	return &t;
}

static void put_form(struct buf *out, uint8_t c)
{
	const char *s = TEXTS[c & 3];
	size_t len = c & 64 ? strlen(s) / 2 : strlen(s), from = c & 32 ? len / 3 : 0;

	switch (c >> 2 & 7) {
	case 0:
		buf_append(out, s + from, len - from);
		break;
	case 1:
		for (size_t i = from; i < len; i++)
			buf_printf(out, i % 3 ? "%%%02x" : "%c", (uint8_t)s[i]);
		break;
	case 2:
		for (size_t i = from; i < len; i++)
			buf_printf(out, i % 3 ? "\\u%04X" : "%c", (uint8_t)s[i]);
		break;
	case 3:
	case 4:
	case 5:
		base64_encode(out, s + from, len - from, c & 4, false);
		break;
	case 6:
		buf_puts(out, "%");
		break;
	default:
		buf_puts(out, "\\u00");
	}
}

static void feed(struct placeholder_scan *s, const struct placeholder_table *t, const uint8_t *text, size_t len,
		 struct seen *out)
{
	uint8_t *piece = malloc(len);

	CHECK(piece);
	memcpy(piece, text, len);
	CHECK(placeholder_scan_feed(s, t, piece, len, see, out) == 0);
	free(piece);
}

static void search(const struct placeholder_table *t, const struct buf *text, size_t step)
{
	static struct seen slow, fast;
	struct placeholder_scan s = { 0 };

	naive(t, &slow, (const char *)text->data, text->len);
	fast.n = 0;
	for (size_t at = 0; at < text->len; at += step)
		feed(&s, t, text->data + at, text->len - at < step ? text->len - at : step, &fast);
	CHECK(s.total == text->len && placeholder_scan_held(&s) <= text->len);
	placeholder_scan_reset(&s);
	sort(&fast);
	CHECK(fast.n == slow.n);
	for (size_t i = 0; i < fast.n; i++)
		CHECK(by_place(&fast.v[i], &slow.v[i]) == 0);
	fast.n = 0;
	CHECK(placeholder_each(t, text->data, text->len, see, &fast) == 0);
	sort(&fast);
	CHECK(fast.n == slow.n);
}

static bool decide(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	(void)data;
	(void)place;
	*ret = (struct secret_value){ .data = "!", .len = 1 };
	return p->secret != N_TEXTS - 1;
}

static void check_injected(const struct placeholder_table *t, int r, const struct buf *out)
{
	CHECK(r == 1 || out->len == 0);
	if (r != 1)
		return;
	for (size_t i = 0; i < t->n; i++)
		CHECK(!memmem(out->data, out->len, t->all[i]->text, t->all[i]->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct placeholder_table *t = table();
	struct inject in = { .table = t, .decide = decide };
	struct buf text = { 0 }, out = { 0 }, basic = { 0 };

	if (size < 2)
		return 0;
	for (size_t i = 1; i < size && text.len < TEXT_MAX; i++)
		data[i] < 0x80 ? (void)buf_putc(&text, (char)data[i]) : put_form(&text, data[i]);
	search(t, &text, data[0] % 100 + 1);

	const char *s = (const char *)text.data;
	check_injected(t, inject_header(&in, "X", 1, s, text.len, &out), &out);
	out.len = 0;
	check_injected(t, inject_query(&in, s, text.len, &out), &out);
	out.len = 0;
	buf_puts(&basic, "Basic ");
	base64_encode(&basic, s, text.len, false, data[0] & 1);
	int r = inject_header(&in, "Authorization", 13, (const char *)basic.data, basic.len, &out);
	check_injected(t, r, &out);
	if (r == 1) {
		struct buf plain = { 0 };
		CHECK(base64_decode(&plain, (const char *)out.data + 6, out.len - 6) == 0);
		check_injected(t, 1, &plain);
		buf_free(&plain);
	}
	buf_free(&text);
	buf_free(&out);
	buf_free(&basic);
	return 0;
}
