/* SPDX-License-Identifier: Apache-2.0 */
/* Grants that are slow to compare. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "policy/grant_internal.h"

#include <cmocka.h>

static void set(struct grant *g, const char *key, const char *value)
{
	struct error e;
	if (grant_set(g, key, value, "/", "test", &e) < 0)
		fail_msg("%s", e.message);
}

static void finish(struct grant *g)
{
	struct error e;
	if (grant_finish(g, &e) < 0)
		fail_msg("%s", e.message);
}
/* Written to be slow: refused after a bounded time, never taken for a subset. */
static void test_entangled(void **state)
{
	struct grant *a, *b;
	char text[256];

	(void)state;
	assert_int_equal(grant_new(&a), 0);
	assert_int_equal(grant_new(&b), 0);
	for (unsigned i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "https://t.x/**/a*b*%c*c*%c*/**/x*y*z%u", 'a' + i % 26, 'a' + i / 26, i);
		set(a, "allow", text);
		snprintf(text, sizeof(text), "https://t.x/**/*%c*b*/**/*a*c*%u/**", 'a' + i % 26, i);
		set(b, "allow", text);
	}
	finish(a);
	finish(b);
	clock_t start = clock();
	struct grant_excess first;
	assert_int_equal(grant_is_subset(a, b, &first), 0);
	struct grant *both = NULL;
	int r = grant_intersect(a, b, &both);
	assert_true(r == 0 || r == -E2BIG);
	/* Of the processor some seconds on a slow machine with sanitizers; without the bound it would be hours. */
	assert_true(clock() - start < 60 * CLOCKS_PER_SEC);
	/* One bound for several questions: what they spend together counts. */
	grant_budget_begin(1u << 16);
	struct grant *fine, *wide;
	assert_int_equal(grant_new(&fine), 0);
	assert_int_equal(grant_new(&wide), 0);
	set(fine, "allow", "https://t.x/**/a*b");
	set(wide, "allow", "https://t.x/**/*b");
	finish(fine);
	finish(wide);
	assert_int_equal(grant_is_subset(fine, wide, &first), 1);
	assert_int_equal(grant_is_subset(a, b, &first), 0);
	assert_int_equal(grant_is_subset(fine, wide, &first), 0);
	grant_budget_end();
	assert_int_equal(grant_is_subset(fine, wide, &first), 1);
	grant_free(fine);
	grant_free(wide);
	grant_free(a);
	grant_free(b);
	grant_free(both);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_entangled) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
