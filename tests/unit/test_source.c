/* SPDX-License-Identifier: Apache-2.0 */
/* What commands of secrets print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "source/answer.h"

#include <cmocka.h>

#define NOW 1800000000 /* 2027-01-15T08:00:00Z */

static void good_ones(void **state)
{
	static const struct {
		const char *text, *value;
		uint64_t seconds;
	} cases[] = {
		{ "key", "key", 0 },
		{ "key\n", "key", 0 },
		{ " key \n", " key ", 0 },
		{ "{\"value\":\"key\"}", "key", 0 },
		{ "{\"value\":\"k\\\"ey\",\"expires_at\":null,\"more\":[1]}\n", "k\"ey", 0 },
		{ "{\"value\":\"key\",\"expires_at\":1800000060}", "key", 60 },
		{ "{\"value\":\"key\",\"expires_at\":\"2027-01-15T08:01:00Z\"}", "key", 60 },
		{ "{\"value\":\"key\",\"expires_at\":\"2027-01-15T09:31:00.123456+01:30\"}", "key", 60 },
		{ "{\"value\":\"key\",\"expires_at\":\"2027-01-15 06:01:00-02:00\"}", "key", 60 },
		{ "[1]", "[1]", 0 },
		{ "{\"value\":\"{not json\"}", "{not json", 0 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf value = { 0 };
		uint64_t seconds = 1;
		const char *why = answer_parse(cases[i].text, strlen(cases[i].text), NOW, &value, &seconds);
		if (why)
			print_message("%s: %s\n", cases[i].text, why);
		assert_null(why);
		assert_string_equal(buf_str(&value), cases[i].value);
		assert_int_equal(seconds, cases[i].seconds);
	}
}

static void bad_ones(void **state)
{
	static const char *const cases[] = {
		"", "\n", "{", "{not json", "{\"value\":7}", "{\"type\":\"service_account\"}\n",
		"{\"value\":\"key\",\"value\":\"key\"}", "{\"value\":\"key\"} more", "{\"value\":\"\"}", "{\"value\":\"key\",\"expires_at\":1800000000}",
		"{\"value\":\"key\",\"expires_at\":\"2027-01-15T07:59:59Z\"}", "{\"value\":\"key\",\"expires_at\":\"soon\"}",
		"{\"value\":\"key\",\"expires_at\":\"2027-01-15T08:01:00\"}", "{\"value\":\"key\",\"expires_at\":\"2027-01-15\"}",
		"{\"value\":\"key\",\"expires_at\":\"2027-13-15T08:01:00Z\"}", "{\"value\":\"key\",\"expires_at\":[]}",
		"{\"value\":\"key\",\"expires_at\":\"2027-01-15T08:01:00Zx\"}", "{\"value\":\"key\",\"expires_at\":1.5}",
		"{\"value\":\"key\",\"expires_at\":\"2027-01-15T08:01:00.Z\"}", "{\"value\":\"key\",\"expires_at\":-1}",
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf value = { 0 };
		uint64_t seconds;
		const char *why = answer_parse(cases[i], strlen(cases[i]), NOW, &value, &seconds);
		if (!why)
			print_message("%s\n", cases[i]);
		assert_non_null(why);
		assert_null(strstr(why, "key"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good_ones), cmocka_unit_test(bad_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
