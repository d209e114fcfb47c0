/* SPDX-License-Identifier: Apache-2.0 */
/* Growable buffers and the JSON writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"

#include <cmocka.h>

static void test_growth(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_putc(&b, (char)('a' + i % 26)), 0);
	assert_int_equal(b.len, 10000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(b.data[i], 'a' + i % 26);
	assert_string_equal(buf_str(&b) + 9998, "op");
	assert_int_equal(b.len, 10000);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	buf_consume(&b, 9999);
	assert_int_equal(b.len, 1);
	assert_int_equal(b.data[0], 'a' + 9999 % 26);
	buf_consume(&b, 5);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_printf(&b, "%s=%d", "x", 7), 0);
	assert_string_equal(buf_str(&b), "x=7");
}

static void test_impossible_sizes(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	assert_int_equal(buf_puts(&b, "kept"), 0);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 4), -ENOMEM);
	assert_int_equal(buf_reserve(&b, SIZE_MAX / 2 + 2), -ENOMEM);
	assert_string_equal(buf_str(&b), "kept");
	buf_wipe(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
}

static void expect_json(const char *in, size_t len, const char *expect)
{
	_cleanup_buf_ struct buf b = { 0 };

	assert_int_equal(json_text(&b, in, len), 0);
	assert_string_equal(buf_str(&b), expect);
}

static void test_escaped_controls(void **state)
{
	char text[64];
	(void)state;

	escape_controls("a\x1b[2J\n\x7f \"\\ \xc3\xa9\xc2\x9b\xff", text, sizeof(text));
	assert_string_equal(text, "a\\x1b[2J\\x0a\\x7f \"\\ \xc3\xa9\\xc2\\x9b\\xff");
	/* Nothing is cut in two. */
	escape_controls("abc\x1b", text, 7);
	assert_string_equal(text, "abc");
	escape_controls("abc\x1b", text, 8);
	assert_string_equal(text, "abc\\x1b");
	escape_controls("ab\xc3\xa9", text, 4);
	assert_string_equal(text, "ab");
	escape_controls("a", text, 1);
	assert_string_equal(text, "");
}

static void test_json_strings(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\r\n\t\x1b\x7f", "\"\\u000d\\u000a\\u0009\\u001b\\u007f\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xc2\x9b", "\"\\u009b\"" },			     /* CSI as one character */
		{ "\xff\xfe", "\"\\ufffd\\ufffd\"" },
		{ "\xc0\xaf", "\"\\ufffd\\ufffd\"" },		     /* over-long '/' */
		{ "\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },     /* surrogate */
		{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" }, /* over U+10FFFF */
		{ "\xf0\x80\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
		{ "\xe2\x82", "\"\\ufffd\\ufffd\"" },		     /* cut */
		{ "\xe2\x82\"", "\"\\ufffd\\ufffd\\\"\"" },	     /* the quote is not swallowed */
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_json(cases[i].in, strlen(cases[i].in), cases[i].out);
	expect_json("a\0b", 3, "\"a\\u0000b\"");
	/* A sequence that the length cuts, with its rest behind it in memory. */
	expect_json("\xe2\x82\xac", 2, "\"\\ufffd\\ufffd\"");
}

static void test_json_members(void **state)
{
	char *v[] = { (char[]){ "a" }, (char[]){ "b\"" }, NULL };
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	buf_putc(&b, '{');
	assert_int_equal(json_member_string(&b, "s", "x"), 0);
	assert_int_equal(json_member_int(&b, "i", INT64_MIN), 0);
	assert_int_equal(json_member_strv(&b, "v", v), 0);
	assert_int_equal(json_member_strv(&b, "n", NULL), 0);
	assert_int_equal(json_member_raw(&b, "r", "{\"y\":1}"), 0);
	assert_int_equal(json_member_bytes(&b, "k\n", "\0", 1), 0);
	assert_string_equal(buf_str(&b), "{\"s\":\"x\",\"i\":-9223372036854775808,\"v\":[\"a\",\"b\\\"\"],\"n\":[],"
					 "\"r\":{\"y\":1},\"k\\u000a\":\"\\u0000\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_impossible_sizes),
		cmocka_unit_test(test_escaped_controls),
		cmocka_unit_test(test_json_strings),
		cmocka_unit_test(test_json_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
