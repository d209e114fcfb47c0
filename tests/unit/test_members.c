/* SPDX-License-Identifier: Apache-2.0 */
/* What a gateway may write into a record: a flat list of members, and nothing that could forge a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/members.h"

static void accepts_flat_members(void **state)
{
	static const char *const good[] = {
		"",
		"\"host\":\"api.example.com\"",
		"\"host\":\"a\",\"port\":443,\"ms\":-1",
		"\"path\":\"/a\\\"b\\\\c\\u0000\"",
		"\"where\":[],\"names\":[\"A\",\"B\"]",
		"\"bytes_up\":18446744073709551615",
		"\"path\":\"/\\u00e9\xc3\xa9\\n\\ufffd\",\"ms\":0",
		"\"raised\":true,\"ms\":0",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!members_are_flat(good[i]))
			fail_msg("refused: %s", good[i]);
	}
}

static void refuses_forgeries(void **state)
{
	static const char *const bad[] = {
		"\"host\":\"a\"}\n{\"seq\":1", /* a second line */
		"\"host\":\"a\"}",
		"\"host\":\"a\",",
		",\"host\":\"a\"",
		"\"hash\":\"00\"", /* members that are the supervisor's own */
		"\"seq\":7",
		"\"prev\":\"x\"",
		"\"time\":\"x\"",
		"\"event\":\"call.exit\"",
		"\"sandbox\":\"other\"",
		"\"call\":\"other\"",
		"\"reason\":\"x\"",
		"\"h\\u0061sh\":\"x\"", /* the same, escaped */
		"\"Host\":\"x\"",
		"\"\":\"x\"",
		"\"host\":\"a\nb\"",
		"\"host\":\"a\x1b[2J\"",
		"\"host\":\"a",
		"\"host\":\"a\\",
		"\"host\":\"a\\x\"",
		"\"host\":{}",
		"\"host\":[[]]",
		"\"host\":[\"a\",]",
		"\"host\":truer",
		"\"host\":tru",
		"\"host\":[true]",
		"\"host\":false",
		"\"host\":null",
		"\"host\":1e9",
		"\"host\":-",
		"\"host\":111111111111111111111",
		"\"host\":007", /* no JSON */
		"\"host\":-01",
		"\"host\":\"\\u12\"",
		"\"host\":\"\\u",
		"\"host\":\"\\u123g\"",
		"\"host\":\"\\ud800\"", /* half a pair */
		"\"host\":\"\xff\"",
		"\"host\":\"\xc3",
		"\"host\":\"\xed\xa0\x80\"",
		"\"host\":\"\xc2\x9b[2J\"", /* a terminal takes it for an escape */
		"host:1",
		" ",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (members_are_flat(bad[i]))
			fail_msg("accepted: %s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_flat_members),
		cmocka_unit_test(refuses_forgeries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
