/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on stderr, answers on stdin, and text made safe for a terminal or a shell. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"

int write_all(int fd, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);
		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			/* Somebody who shares the descriptor made it non-blocking. */
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

char *read_line(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, stdin);

	if (n < 0) {
		free(line);
		return NULL;
	}
	if (n > 0 && line[n - 1] == '\n')
		line[n - 1] = '\0';
	return line;
}

/* Code point at s, its length in *ret_len; -1 when the bytes are not UTF-8. */
static int32_t decode_utf8(const uint8_t *s, size_t left, size_t *ret_len)
{
	static const int32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
	int32_t c = n == 1 ? s[0] : s[0] & (0x7f >> n);

	if (n == 0 || n > left)
		return -1;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (s[i] & 0x3f);
	}
	*ret_len = n;
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? -1 : c;
}

/* Letters and marks that show nothing, in which words for a program can stand that a person does not see: tags, variation
 * selectors of no emoji, fillers. */
static bool is_invisible(int32_t c)
{
	return c == 0xad || c == 0x034f || c == 0x115f || c == 0x1160 || c == 0x17b4 || c == 0x17b5 || (c >= 0x180b && c <= 0x180f) ||
	       c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0d) || c == 0xffa0 || (c >= 0xfff0 && c <= 0xfffb) ||
	       (c >= 0x1bca0 && c <= 0x1bca3) || (c >= 0x1d173 && c <= 0x1d17a) || (c >= 0xe0000 && c <= 0xe0fff);
}

/* Controls of a terminal, and the marks that turn the reading direction: with them one name can look like another. */
static bool is_hostile(int32_t c)
{
	return is_invisible(c) || c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

void escape_text(struct buf *b, const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;

	for (size_t i = 0; i < len;) {
		size_t n = 1;
		int32_t c = decode_utf8(s + i, len - i, &n);
		if (c < 0)
			n = 1;
		if (!is_hostile(c)) {
			buf_append(b, s + i, n);
		} else {
			for (size_t k = 0; k < n; k++)
				buf_printf(b, "\\x%02x", s[i + k]);
		}
		i += n;
	}
}

void quote_word(struct buf *b, const char *text)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-";
	size_t len = strlen(text);

	if (len && strspn(text, safe) == len) {
		buf_append(b, text, len);
		return;
	}
	buf_putc(b, '\'');
	for (const char *quote; (quote = strchr(text, '\'')); text = quote + 1) {
		escape_text(b, text, (size_t)(quote - text));
		buf_puts(b, "'\\''");
	}
	escape_text(b, text, strlen(text));
	buf_putc(b, '\'');
}

static void say_text(const char *text, size_t len)
{
	_cleanup_buf_ struct buf b = { 0 };

	buf_puts(&b, "nsbox: ");
	escape_text(&b, text, len);
	buf_putc(&b, '\n');
	write_all(STDERR_FILENO, b.data, b.len);
}

static void vsay(const char *fmt, va_list ap)
{
	char *text;
	int n = vasprintf(&text, fmt, ap);

	if (n < 0)
		return;
	say_text(text, (size_t)n);
	free(text);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

int refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
	return EXIT_NSBOX;
}

int refuse_error(sandbox_error *error)
{
	say("%s", error ? sandbox_error_message(error) : "out of memory");
	sandbox_error_free(error);
	return EXIT_NSBOX;
}

/* Edits (insert, delete, replace) between two short words. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], n = strlen(b);

	if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

const char *nearest_hint(const char *word, const char *prefix, const char *const *names, char *buf, size_t size)
{
	const char *best = NULL;
	size_t best_distance = strlen(word) > 5 ? 4 : 3; /* at most one edit less than this */

	for (; *names; names++) {
		size_t d = distance(word, *names);
		if (d < best_distance && d < strlen(word)) {
			best = *names;
			best_distance = d;
		}
	}
	buf[0] = '\0';
	if (best)
		snprintf(buf, size, "; did you mean %s%s?", prefix, best);
	return buf;
}
