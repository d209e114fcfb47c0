/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas of the gateway: rates against a count of every request, and who pays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "gateway/quota.h"
#include "policy/policy.h"

#include <cmocka.h>

#define SECOND UINT64_C(1000000)
#define HOUR (3600 * SECOND)

static struct quotas none;

/* How many of the requests that come every step microseconds from `from` on pass until `to`. */
static unsigned passed(struct usage *u, uint64_t from, uint64_t to, uint64_t step)
{
	struct payers by = { .quotas = &none, .call = u };
	unsigned n = 0;

	for (uint64_t now = from; now < to; now += step) {
		if (quota_over(&by, 0, now).reason)
			continue;
		quota_count_request(&by, now);
		n++;
	}
	return n;
}

static void test_rate(void **state)
{
	struct usage u = { .credit_at = 5 * HOUR };
	struct payers by = { .quotas = &none, .call = &u };

	(void)state;
	usage_set_rate(&u, 36000); /* 10/s */
	/* A second's worth at once, and then evenly. */
	assert_int_equal(passed(&u, 5 * HOUR, 5 * HOUR + 20, 1), 10);
	struct over_quota over = quota_over(&by, 0, 5 * HOUR + 20);
	assert_string_equal(over.reason, "rate");
	assert_null(over.quota);
	assert_int_equal(over.retry_after, 1);
	assert_int_equal(passed(&u, 5 * HOUR + 20, 5 * HOUR + 100 * SECOND, 1000), 999);
	/* However long nothing came, no more than a second's worth is saved up. */
	assert_int_equal(passed(&u, 5000 * HOUR, 5000 * HOUR + 20, 1), 10);
	/* Time that stands still or goes back gives nothing. */
	assert_int_equal(passed(&u, 4999 * HOUR, 4999 * HOUR + 20, 1), 0);

	usage_set_rate(&u, 5); /* 5/h: one each 12 minutes */
	assert_int_equal(passed(&u, 6000 * HOUR, 6000 * HOUR + 5, 1), 1);
	assert_int_equal(quota_over(&by, 0, 6000 * HOUR).retry_after, 720);
	assert_int_equal(passed(&u, 6000 * HOUR + 1, 6010 * HOUR + SECOND, SECOND), 50);
	usage_set_rate(&u, 100000 * 3600); /* the highest */
	assert_int_equal(passed(&u, 7000 * HOUR, 7000 * HOUR + SECOND, 5), 199999);
	usage_set_rate(&u, 0);
	assert_int_equal(passed(&u, UINT64_MAX - 10, UINT64_MAX, 1), 10);
}

/* Never more in any stretch of time than the rate and one burst, whatever the pattern. */
static void test_rate_bound(void **state)
{
	uint64_t random = 88172645463325252u;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct usage u = { .credit_at = HOUR };
		uint64_t now = HOUR, at[400];
		unsigned n = 0;
		random ^= random << 13, random ^= random >> 7, random ^= random << 17;
		usage_set_rate(&u, 1 + random % 40000);
		for (unsigned i = 0; i < 400; i++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			now += random % (i % 50 ? 40000 : 4 * SECOND);
			if (passed(&u, now, now + 1, 1))
				at[n++] = now;
		}
		uint64_t burst = u.rate / 3600 ? u.rate / 3600 : 1;
		for (unsigned i = 0; i < n; i++) {
			for (unsigned k = i; k < n; k++)
				assert_true(k - i + 1 <= burst + (at[k] - at[i]) * u.rate / HOUR);
		}
	}
}

static void test_payers(void **state)
{
	struct policy *p;
	struct quotas q = { 0 };
	struct usage top = { .max_bytes_up = 1000 }, call = { .parent = &top, .max_requests = 3 };
	struct error e = { 0 };

	(void)state;
	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, "/", true, &e), 0);
	assert_int_equal(policy_set(p, "quota", "spec", "max_requests=2@a.example", "/", "test", &e), 0);
	assert_int_equal(policy_set(p, "quota", "spec", "max_up=100", "/", "test", &e), 0);
	if (policy_finish(p, &e) < 0)
		fail_msg("%s", e.message);
	quotas_init(&q, p);

	struct payers both = { .quotas = &q, .mask = 3, .call = &call }, one = { .quotas = &q, .mask = 2, .call = &call };
	quota_count_request(&both, 1);
	quota_count_request(&both, 2);
	struct over_quota over = quota_over(&both, 0, 3);
	assert_string_equal(over.reason, "max-requests");
	assert_string_equal(over.quota, "flag1");
	assert_int_equal(over.retry_after, 0);
	assert_null(quota_over(&one, 100, 3).reason);
	assert_string_equal(quota_over(&one, 101, 3).reason, "max-up");
	quota_count_request(&one, 4);
	over = quota_over(&one, 0, 5);
	assert_string_equal(over.reason, "uses");
	assert_null(over.quota);
	assert_null(quota_count_upload(&one, 100).reason);
	over = quota_count_upload(&one, 1);
	assert_string_equal(over.reason, "max-up");
	assert_string_equal(over.quota, "flag2");
	/* Everybody paid, and a number that would overflow is over. */
	assert_int_equal(top.bytes_up, 101);
	struct payers alone = { .quotas = &q, .mask = 0, .call = &call };
	assert_string_equal(quota_count_upload(&alone, 900).reason, "bytes-up");
	call.max_requests = 0;
	assert_string_equal(quota_over(&alone, UINT64_MAX, 6).reason, "bytes-up");
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_bound),
		cmocka_unit_test(test_payers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
