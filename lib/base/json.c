/* SPDX-License-Identifier: Apache-2.0 */
/* JSON writer. */
#include "base/json.h"

#include <stdio.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at s, or 0 (over-long forms, surrogates and values over U+10FFFF are invalid). */
static size_t utf8_len(const uint8_t *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

size_t json_plain(const char *text, size_t left)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t n = utf8_len(s, left);

	/* U+0080..U+009F are terminal controls too (CSI is U+009B). */
	if (s[0] < 0x20 || s[0] == 0x7f || s[0] == '"' || s[0] == '\\' || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0))
		return 0;
	return n;
}

size_t json_run(const char *text, size_t left)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t n = 0;

	while (n < left && s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

int json_text(struct buf *b, const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;
	/* Nearly always it stays as it is: then nothing grows in between. */
	int r = buf_reserve(b, len + 2);

	if (r == 0)
		r = buf_putc(b, '"');
	for (size_t i = 0; i < len && r == 0;) {
		size_t run = json_run(text + i, len - i);
		if (run) {
			r = buf_append(b, s + i, run);
			i += run;
			continue;
		}
		size_t plain = json_plain(text + i, len - i), n = utf8_len(s + i, len - i);
		if (plain)
			r = buf_append(b, s + i, plain);
		else if (n == 0)
			r = buf_puts(b, "\\ufffd");
		else if (s[i] == '"' || s[i] == '\\')
			r = buf_printf(b, "\\%c", s[i]);
		else
			r = buf_printf(b, "\\u%04x", s[i + n - 1]); /* U+0080..U+009F are the second of their bytes */
		i += n ? n : 1;
	}
	return r < 0 ? r : buf_putc(b, '"');
}

void escape_controls(const char *text, char *ret, size_t size)
{
	size_t left = strlen(text), at = 0;

	while (left > 0) {
		size_t plain = *text == '"' || *text == '\\' ? 1 : json_plain(text, left), n = plain ? plain : 4;
		if (at + n >= size)
			break;
		if (plain)
			memcpy(ret + at, text, n);
		else
			snprintf(ret + at, n + 1, "\\x%02x", (uint8_t)*text);
		at += n;
		text += plain ? plain : 1;
		left -= plain ? plain : 1;
	}
	ret[at] = '\0';
}

static int key_of(struct buf *b, const char *key)
{
	int r = 0;
	if (b->len && b->data[b->len - 1] != '{')
		r = buf_putc(b, ',');
	if (r == 0)
		r = json_text(b, key, strlen(key));
	return r < 0 ? r : buf_putc(b, ':');
}

int json_member_bytes(struct buf *b, const char *key, const char *value, size_t len)
{
	int r = key_of(b, key);
	return r < 0 ? r : json_text(b, value, len);
}

int json_member_string(struct buf *b, const char *key, const char *value)
{
	return json_member_bytes(b, key, value, strlen(value));
}

int json_member_int(struct buf *b, const char *key, int64_t value)
{
	int r = key_of(b, key);
	if (r == 0 && value < 0)
		r = buf_putc(b, '-');
	return r < 0 ? r : buf_put_uint(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

int json_member_raw(struct buf *b, const char *key, const char *value)
{
	int r = key_of(b, key);
	return r < 0 ? r : buf_puts(b, value);
}

int json_member_strv(struct buf *b, const char *key, char *const *v)
{
	int r = key_of(b, key);
	if (r == 0)
		r = buf_putc(b, '[');
	for (size_t i = 0; v && v[i] && r == 0; i++) {
		if (i)
			r = buf_putc(b, ',');
		if (r == 0)
			r = json_text(b, v[i], strlen(v[i]));
	}
	return r < 0 ? r : buf_putc(b, ']');
}
