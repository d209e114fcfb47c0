/* SPDX-License-Identifier: Apache-2.0 */
/* Text, numbers and times for the page of a report. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "nsbox.h"
#include "report_html.h"

static void check(int r)
{
	if (r < 0) {
		refuse("out of memory");
		exit(EXIT_NSBOX);
	}
}

void html_put(struct buf *b, const char *markup)
{
	check(buf_puts(b, markup));
}

void html_add(struct buf *b, const struct buf *html)
{
	check(buf_append(b, html->data, html->len));
}

/* No byte that ends an element's text, an attribute or a character reference. */
static void put_escaped(struct buf *b, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '&':
			html_put(b, "&amp;");
			break;
		case '<':
			html_put(b, "&lt;");
			break;
		case '>':
			html_put(b, "&gt;");
			break;
		case '"':
			html_put(b, "&quot;");
			break;
		case '\'':
			html_put(b, "&#39;");
			break;
		case '`': /* ended attributes in old browsers */
			html_put(b, "&#96;");
			break;
		default:
			check(buf_putc(b, text[i]));
		}
	}
}

void html_text(struct buf *b, const char *text, size_t len, size_t max)
{
	_cleanup_buf_ struct buf plain = { 0 };
	size_t shown = len;

	if (len > max) {
		shown = max;
		while (shown && ((unsigned char)text[shown] & 0xc0) == 0x80)
			shown--;
	}
	escape_text(&plain, text, shown);
	put_escaped(b, plain.data ? (const char *)plain.data : "", plain.len);
	if (len > max)
		html_put(b, "\xe2\x80\xa6");
}

void html_member(struct buf *b, const json_t *record, const char *key)
{
	const json_t *value = json_object_get(record, key);

	if (json_is_string(value))
		html_text(b, json_string_value(value), json_string_length(value), REPORT_MAX_TEXT);
}

void html_uint(struct buf *b, uint64_t v)
{
	check(buf_put_uint(b, v));
}

void html_bytes(struct buf *b, uint64_t v)
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	size_t unit = 0;

	if (v < 1000) {
		check(buf_printf(b, "%" PRIu64 " B", v));
		return;
	}
	double scaled = (double)v / 1000;
	while (scaled >= 999.95 && unit + 1 < ARRAY_LEN(units)) {
		scaled /= 1000;
		unit++;
	}
	check(buf_printf(b, "%.1f %s", scaled, units[unit]));
}

void html_duration(struct buf *b, int64_t us)
{
	if (us < 0)
		html_put(b, "?");
	else if (us < 10000)
		check(buf_printf(b, "%.1f ms", (double)us / 1000));
	else if (us < 1000000)
		check(buf_printf(b, "%" PRId64 " ms", us / 1000));
	else if (us < 60000000)
		check(buf_printf(b, "%.2f s", (double)us / 1000000));
	else if (us < 3600000000)
		check(buf_printf(b, "%" PRId64 " min %" PRId64 " s", us / 60000000, us / 1000000 % 60));
	else
		check(buf_printf(b, "%" PRId64 " h %" PRId64 " min", us / 3600000000, us / 60000000 % 60));
}

static bool split_time(int64_t us, struct tm *ret)
{
	time_t seconds = us / 1000000;

	return us >= 0 && gmtime_r(&seconds, ret);
}

void html_date(struct buf *b, int64_t us)
{
	struct tm tm;

	if (!split_time(us, &tm))
		html_put(b, "?");
	else
		check(buf_printf(b, "%d-%02d-%02d %02d:%02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
				 tm.tm_hour, tm.tm_min, tm.tm_sec));
}

void html_clock(struct buf *b, int64_t us, int64_t base)
{
	static const int64_t day = 86400000000;
	struct tm tm;

	if (!split_time(us, &tm)) {
		html_put(b, "?");
		return;
	}
	if (base >= 0 && us / day != base / day)
		check(buf_printf(b, "%02d-%02d ", tm.tm_mon + 1, tm.tm_mday));
	check(buf_printf(b, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(us / 1000 % 1000)));
}

static bool digits(const char *s, size_t n, int *ret)
{
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*ret = *ret * 10 + (s[i] - '0');
	}
	return true;
}

int64_t report_time(const json_t *record)
{
	const char *s = report_string(record, "time");
	struct tm tm = { 0 };
	int micro;

	/* 2026-01-31T12:00:00.000000Z, the one form that logs have. */
	if (strlen(s) != 27 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' ||
	    s[26] != 'Z' || !digits(s, 4, &tm.tm_year) || !digits(s + 5, 2, &tm.tm_mon) || !digits(s + 8, 2, &tm.tm_mday) ||
	    !digits(s + 11, 2, &tm.tm_hour) || !digits(s + 14, 2, &tm.tm_min) || !digits(s + 17, 2, &tm.tm_sec) ||
	    !digits(s + 20, 6, &micro) || tm.tm_year < 1970)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t)timegm(&tm) * 1000000 + micro;
}

const char *report_string(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));

	return text ? text : "";
}

uint64_t report_count(const json_t *record, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(record, key));

	return v > 0 ? (uint64_t)v : 0;
}
