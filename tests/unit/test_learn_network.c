/* SPDX-License-Identifier: Apache-2.0 */
/* Rules from answers and denials: neither makes the other wider, and none is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "learn.h"

#include <cmocka.h>

#define PATHS 9 /* one more than are listed each by itself */

static void deny(json_t *denied, const char *reason, const char *method, const char *path)
{
	json_array_append_new(denied, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i}", "event", "http.deny", "reason",
						reason, "host", "a.example", "scheme", "https", "method", method, "path", path,
						"port", 443, "count", 1));
}

/* Of the place: the answer and as many paths (/0, /1, ...) with a yes. */
static json_t *answered(const char *answer, unsigned n)
{
	json_t *rules = json_object();
	char rule[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(rule, sizeof(rule), "GET https://a.example/%u", i);
		json_object_set_new(rules, rule, json_true());
	}
	return json_pack("{s:{s:s, s:o}}", "https://a.example", "answer", answer, "rules", rules);
}

/* All lines, and frees both. */
static void learned(json_t *answers, json_t *denied, struct buf *ret)
{
	struct learn learn = { .asking.answers = answers };

	learn_network(&learn, denied);
	for (size_t i = 0; i < learn.network.n; i++) {
		struct proposal *p = &learn.network.list[i];
		buf_printf(ret, "%s = %s ; %s\n", p->key ? p->key : "", p->value, p->reason);
	}
	json_decref(denied);
	learn_free(&learn);
	assert_non_null(buf_str(ret));
}

static void test_a_yes_is_not_widened(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	char line[80];
	json_t *denied = json_array();
	(void)state;

	deny(denied, "no-rule", "POST", "/0");
	learned(answered("yes", PATHS), denied, &b);
	for (unsigned i = 0; i < PATHS; i++) {
		snprintf(line, sizeof(line), "allow = GET https://a.example/%u ; you said yes to it\n", i);
		assert_non_null(strstr(buf_str(&b), line));
	}
	assert_non_null(strstr(buf_str(&b), "allow = POST https://a.example/0 ; was asked for 1 time, and denied\n"));
	assert_null(strstr(buf_str(&b), "**"));
}

static void test_denials_beside_a_yes(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_t *denied = json_array();
	char path[16];
	(void)state;

	deny(denied, "no-rule", "GET", "/0");
	for (unsigned i = 0; i < PATHS; i++) {
		snprintf(path, sizeof(path), "/late/%u", i);
		deny(denied, "no-rule", "GET", path);
	}
	learned(answered("yes", 1), denied, &b);
	assert_string_equal(buf_str(&b), "allow = GET https://a.example/0 ; you said yes to it\n"
					 "allow = GET https://a.example/** ; was asked for 9 times, and denied\n");
}

static void test_what_an_answer_covers(void **state)
{
	static const struct {
		const char *answer, *lines;
	} cases[] = {
		{ "always", "allow = https://a.example ; you said yes to it\n"
			    "allow_private = GET https://a.example/p ; was asked for 1 time, and denied\n" },
		{ "no", " = https://a.example ; was asked for, and you said no\n" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf b = { 0 };
		json_t *denied = json_array();
		deny(denied, "no-rule", "GET", "/x");
		deny(denied, "private-address", "GET", "/p");
		learned(answered(cases[i].answer, 0), denied, &b);
		assert_string_equal(buf_str(&b), cases[i].lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_yes_is_not_widened),
		cmocka_unit_test(test_denials_beside_a_yes),
		cmocka_unit_test(test_what_an_answer_covers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
