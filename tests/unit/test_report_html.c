/* SPDX-License-Identifier: Apache-2.0 */
/* The page of nsbox audit report: escaping, numbers, bounds, and records of any form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "report_html.h"

#include <cmocka.h>

static struct report_model m;

static void line(const char *text)
{
	report_take_line(&m, text, strlen(text), true);
}

static const char *page(struct buf *b)
{
	report_page(b, &m, &(struct report_verdict){ .intact = true, .text = "2 records, chain intact, head x", .path = "/l" });
	report_model_clear(&m);
	return buf_str(b);
}

static void test_text(void **state)
{
	static const struct {
		const char *text, *html;
		size_t len;
	} texts[] = {
		{ "plain", "plain", 5 },
		{ "<a href=\"x\">&'`", "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&#96;", 15 },
		{ "a\0b\n\x1b[m\x7f", "a\\x00b\\x0a\\x1b[m\\x7f", 8 },
		{ "\xff\xc0\xaf<", "\\xff\\xc0\\xaf&lt;", 4 },
		{ "\xe2\x80\xae" "evil", "\\xe2\\x80\\xae" "evil", 7 }, /* right-to-left override */
		{ "\xc3\xbc", "\xc3\xbc", 2 },
		{ "&lt;", "&amp;lt;", 4 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		_cleanup_buf_ struct buf b = { 0 };
		html_text(&b, texts[i].text, texts[i].len, 100);
		assert_string_equal(buf_str(&b), texts[i].html);
	}
	/* Cut between characters. */
	_cleanup_buf_ struct buf b = { 0 };
	html_text(&b, "ab\xc3\xbc" "cd", 6, 3);
	assert_string_equal(buf_str(&b), "ab\xe2\x80\xa6");
}

static const char *number(struct buf *b, void (*put)(struct buf *, uint64_t), uint64_t v)
{
	b->len = 0;
	put(b, v);
	return buf_str(b);
}

static const char *duration(struct buf *b, int64_t us)
{
	b->len = 0;
	html_duration(b, us);
	return buf_str(b);
}

static void test_numbers(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	assert_string_equal(number(&b, html_bytes, 0), "0 B");
	assert_string_equal(number(&b, html_bytes, 999), "999 B");
	assert_string_equal(number(&b, html_bytes, 1000), "1.0 kB");
	assert_string_equal(number(&b, html_bytes, 999999), "1.0 MB");
	assert_string_equal(number(&b, html_bytes, UINT64_MAX), "18.4 EB");
	assert_string_equal(duration(&b, -1), "?");
	assert_string_equal(duration(&b, 1234), "1.2 ms");
	assert_string_equal(duration(&b, 250000), "250 ms");
	assert_string_equal(duration(&b, 61000000), "1 min 1 s");
	assert_string_equal(duration(&b, 7260000000), "2 h 1 min");
}

static int64_t time_of(const char *text)
{
	json_t *record = json_pack("{s:s}", "time", text);
	int64_t us = report_time(record);

	json_decref(record);
	return us;
}

static void test_times(void **state)
{
	static const char *const bad[] = { "", "2026-11-27", "2026-11-27T03:49:33.319690", "2026-11-27T03:49:33.31969aZ",
					   "x026-11-27T03:49:33.319690Z", "1026-11-27T03:49:33.319690Z" };
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	int64_t us = time_of("2026-11-27T03:49:33.319690Z");
	assert_int_equal(us, 1795751373319690);
	html_date(&b, us);
	html_clock(&b, us, us);
	html_clock(&b, us + 86400000000, us);
	html_clock(&b, -1, us);
	assert_string_equal(buf_str(&b), "2026-11-27 03:49:33 UTC03:49:33.31911-28 03:49:33.319?");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(time_of(bad[i]), -1);
}

static void test_calls(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	report_model_init(&m);
	line("{\"time\":\"2026-11-27T03:00:00.000000Z\",\"event\":\"sandbox.start\",\"sandbox\":\"s\",\"workdir\":\"/w\",\"net\":\"none\"}");
	line("{\"time\":\"2026-11-27T03:00:01.000000Z\",\"event\":\"call.start\",\"call\":\"s.1\",\"argv\":[\"a b\",\"<c>\"],"
	     "\"argv_left_out\":3,\"cwd\":\"/w\",\"isolation\":\"full\"}");
	line("{\"time\":\"2026-11-27T03:00:03.500000Z\",\"event\":\"call.exit\",\"call\":\"s.1\",\"exit\":0,\"signal\":0,\"reason\":\"exit\"}");
	line("{\"event\":\"call.exit\",\"call\":\"s.2\",\"exit\":0,\"signal\":9,\"reason\":\"killed\"}");
	line("{\"event\":\"call.start\",\"call\":\"s.3\",\"argv\":[\"x\"]}");
	line("{\"event\":\"call.denied\",\"call\":\"s.4\",\"argv\":[\"rm\"],\"reason\":\"auditor\"}");
	line("{\"event\":\"call.exit\",\"call\":\"s.5\",\"reason\":\"not found\"}");
	assert_int_equal(m.n_calls, 5);
	assert_int_equal(m.calls_total, 3);
	assert_int_equal(m.calls_failed, 2);
	assert_int_equal(m.denials.total, 1);
	const char *html = page(&b);
	assert_non_null(strstr(html, "&#39;a b&#39; &#39;&lt;c&gt;&#39; \xe2\x80\xa6 and 3 more words"));
	assert_non_null(strstr(html, "2.50 s"));
	assert_non_null(strstr(html, "exit 0"));
	assert_non_null(strstr(html, "signal 9"));
	assert_non_null(strstr(html, "no end in the log"));
	assert_non_null(strstr(html, "no exit status"));
	assert_non_null(strstr(html, "its start is not in the log"));
	assert_non_null(strstr(html, ">denied<"));
}

static void test_bounds(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	char text[512];
	(void)state;

	report_model_init(&m);
	for (unsigned i = 0; i < REPORT_MAX_CALLS + 7; i++) {
		snprintf(text, sizeof(text), "{\"event\":\"call.start\",\"call\":\"s.%u\",\"argv\":[\"x\"]}", i);
		line(text);
		/* Different ones, so that they cannot be counted as one; a call that is left out counts too. */
		snprintf(text, sizeof(text), "{\"event\":\"http.deny\",\"call\":\"s.%u\",\"host\":\"h%u.example\"}", i, i);
		line(text);
	}
	for (unsigned i = 0; i < REPORT_MAX_CALL_ROWS + 9; i++)
		line("{\"event\":\"dns.query\",\"call\":\"s.1\",\"host\":\"h\"}");
	for (unsigned i = 0; i < REPORT_MAX_BAD_LINES + 3; i++)
		line("{\"event\":");
	assert_int_equal(m.denials.total, REPORT_MAX_CALLS + 7);
	assert_int_equal(m.denials.n, REPORT_MAX_GROUPS);
	const char *html = page(&b);
	assert_non_null(strstr(html, ">7 more calls are left out here"));
	assert_non_null(strstr(html, ">507 more records are left out here"));
	assert_non_null(strstr(html, ">10 more events of this call are left out here"));
	assert_non_null(strstr(html, ">3 more lines are left out here"));
	assert_true(b.len < 1000000);
}

static void test_bytes_are_bounded(void **state)
{
	_cleanup_buf_ struct buf b = { 0 }, record = { 0 };
	(void)state;

	report_model_init(&m);
	for (unsigned i = 0; i < 6000; i++) {
		record.len = 0;
		buf_printf(&record, "{\"event\":\"x.y\",\"call\":\"s.%u\"", i % 900);
		/* Each byte becomes four. */
		for (unsigned k = 0; k < 12; k++) {
			buf_printf(&record, ",\"m%u\":\"", k);
			for (unsigned j = 0; j < 400; j++)
				buf_puts(&record, "\\u001b");
			buf_puts(&record, "\"");
		}
		buf_puts(&record, "}");
		line(buf_str(&record));
	}
	page(&b);
	assert_true(b.len < REPORT_MAX_ROW_BYTES + 2000000);
}

static void test_any_json(void **state)
{
	static const char *const records[] = {
		"{\"event\":\"http.request\"}",
		"{\"event\":\"\"}",
		"{\"event\":1}",
		"{\"event\":\"http.deny\",\"host\":[1],\"port\":\"x\",\"method\":{},\"path\":null,\"rule\":7,\"status\":-1,\"ms\":1.5}",
		"{\"event\":\"call.start\",\"call\":\"c\",\"argv\":\"x\",\"cwd\":[]}",
		"{\"event\":\"call.start\",\"call\":\"c\",\"argv\":[1,null,{\"a\":\"b\"},[]]}",
		"{\"event\":\"call.start\",\"call\":7}",
		"{\"event\":\"call.exit\",\"call\":\"c\",\"exit\":\"0\",\"signal\":[],\"reason\":5}",
		"{\"event\":\"call.exit\"}",
		"{\"event\":\"sandbox.start\",\"sandbox\":[],\"degraded\":[1,\"<x>\"],\"workdir\":9}",
		"{\"event\":\"sandbox.exit\",\"reason\":{}}",
		"{\"event\":\"secret.misuse\",\"name\":[],\"where\":{}}",
		"{\"event\":\"x\",\"new\":{\"<script>\":[\"</script>\"]},\"a\\u0000b\":\"c\\u0000d\"}",
		"{\"event\":\"x\",\"bytes_up\":9223372036854775807,\"bytes_down\":-5}",
		"[]",
		"1",
		"null",
		"",
		"{\"event\":\"a\",\"event\":\"b\"}",
	};
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	report_model_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(records); i++)
		line(records[i]);
	const char *html = page(&b);
	assert_null(strstr(html, "<x>"));
	/* The one script is ours. */
	const char *script = strstr(html, "<script>");
	assert_non_null(script);
	assert_null(strstr(script + 1, "<script>"));
	assert_non_null(strstr(html, "&lt;script&gt;"));

	_cleanup_buf_ struct buf empty = { 0 };
	report_model_init(&m);
	assert_non_null(strstr(page(&empty), "No call."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	      cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_times),	      cmocka_unit_test(test_calls),
		cmocka_unit_test(test_bounds),	      cmocka_unit_test(test_bytes_are_bounded),
		cmocka_unit_test(test_any_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
