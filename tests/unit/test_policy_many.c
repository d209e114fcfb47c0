/* SPDX-License-Identifier: Apache-2.0 */
/* Policies with as many rules and secrets as there may be: what is dropped, refused and found, and that a grant is
 * compared with those of its hosts only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "policy/grant_internal.h"

#include <cmocka.h>

static struct error e;

/* A name that is different for each i: https://PREFIXi.example.com/PATH. */
static char *rule_for(const char *prefix, unsigned i, const char *path, char ret[128])
{
	snprintf(ret, 128, "%s%u.example.com/%s", prefix, i, path);
	return ret;
}

static void say(struct policy *p, const char *key, const char *rule)
{
	assert_int_equal(policy_set(p, "network", key, rule, "/", "test", &e), 0);
}

static struct policy *policy_of(unsigned n)
{
	char rule[128];
	struct policy *p;

	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, "/tmp", true, &e), 0);
	for (unsigned i = 0; i < n; i++)
		say(p, "allow", rule_for("GET https://h", i, "v1/**", rule));
	return p;
}

static void as_many_as_there_may_be(void **state)
{
	struct policy *p = policy_of(RULES_MAX);

	(void)state;
	assert_int_equal(policy_finish(p, &e), 0);
	assert_int_equal(p->allow.n, RULES_MAX);
	policy_free(p);
}

static void one_more_is_refused(void **state)
{
	struct policy *p = policy_of(RULES_MAX);

	(void)state;
	assert_int_equal(policy_set(p, "network", "allow", "one.example.org", "/", "test", &e), -E2BIG);
	assert_non_null(strstr(e.message, "16384"));
	policy_free(p);
}

/* Of what is said twice the first stays, in the order in which it was given. */
static void what_is_said_twice_is_dropped(void **state)
{
	struct policy *p = policy_of(0);
	char text[128];

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		say(p, "allow", rule_for(i % 3 ? "https://a" : "https://b", i % 1000, "v1", text));
	say(p, "allow_private", "https://a1.example.com/v1");
	assert_int_equal(policy_finish(p, &e), 0);
	for (unsigned i = 0, k = 0; i < 3000 && k < p->allow.n; i++) {
		bool before = false;
		rule_for(i % 3 ? "https://a" : "https://b", i % 1000, "v1", text);
		for (size_t j = 0; j < k && !before; j++)
			before = strcmp(p->allow.rule[j].text, text) == 0;
		if (!before)
			assert_string_equal(p->allow.rule[k++].text, text);
	}
	assert_int_equal(p->allow.n, 2001);
	assert_true(p->allow.rule[2000].allow_private);
	policy_free(p);
}

static int within(const struct policy *p, const char *key, const char *rule, struct grant_excess *first)
{
	struct grant *g;

	assert_int_equal(grant_new(&g), 0);
	assert_int_equal(grant_set(g, key, rule, "/", "test", &e), 0);
	assert_int_equal(grant_finish(g, &e), 0);
	int r = grant_within(p, g, first);
	grant_free(g);
	return r;
}

/* What the index leaves out would change nothing: hosts of every kind, on both sides. */
static void a_grant_meets_the_rules_of_its_hosts(void **state)
{
	static const struct {
		const char *rule;
		int within;
	} rows[] = {
		{ "GET https://h77.example.com/v1/a", 1 },	{ "GET https://h77.example.com/v2", 0 },
		{ "POST https://h77.example.com/v1/a", 0 },	{ "https://x.deep.example.net/", 1 },
		{ "https://deep.example.net/", 0 },		{ "https://*.x.deep.example.net/", 1 },
		{ "https://*.example.net/", 0 },		{ "https://192.0.2.7/", 1 },
		{ "https://192.0.3.7/", 0 },			{ "https://blocked.deep.example.net/", 0 },
		{ "tcp://anything.example.org:9000", 1 },	{ "tcp://anything.example.org:9001", 0 },
		{ "192.0.2.0/25:443", 0 },			{ "198.51.100.128/25:5432", 1 },
	};
	struct policy *p = policy_of(3000);
	struct grant_excess first = { 0 };

	(void)state;
	say(p, "allow", "https://*.deep.example.net/**");
	say(p, "allow", "https://192.0.2.7/**");
	say(p, "allow", "198.51.100.0/24:5432");
	say(p, "allow", "tcp://*:9000");
	say(p, "deny", "blocked.deep.example.net");
	assert_int_equal(policy_finish(p, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = within(p, "allow", rows[i].rule, &first);
		if (r != rows[i].within)
			fail_msg("%s: %d", rows[i].rule, r);
		/* And without the index. */
		struct rule_index *allow = TAKE_PTR(p->allow.index), *deny = TAKE_PTR(p->deny.index);
		assert_int_equal(within(p, "allow", rows[i].rule, &first), r);
		p->allow.index = allow;
		p->deny.index = deny;
	}
	policy_free(p);
}

static void add_secret(struct policy *p, unsigned i, int want)
{
	char spec[64];

	snprintf(spec, sizeof(spec), "KEY_%u@a.example.org", i);
	assert_int_equal(policy_set(p, "secret", "spec", spec, "/", "test", &e), want);
}

static struct policy_secret *copy_of(const struct policy_secret *s)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct policy_secret *copy;

	assert_int_equal(policy_secret_encode(s, &bytes), 0);
	assert_int_equal(policy_secret_decode(bytes.data, bytes.len, &copy), 0);
	return copy;
}

/* In a policy that is read, that comes from another process, and that is changed while it is in force. */
static void so_many_secrets_and_no_more(void **state)
{
	struct policy *p = policy_of(0), *q;
	_cleanup_buf_ struct buf bytes = { 0 };
	size_t n;

	(void)state;
	say(p, "allow", "a.example.org");
	for (unsigned i = 0; i < SECRETS_MAX; i++)
		add_secret(p, i, 0);
	add_secret(p, SECRETS_MAX, -E2BIG);
	assert_non_null(strstr(e.message, "more than 128 secrets in one policy"));
	assert_int_equal(policy_finish(p, &e), 0);
	assert_int_equal(policy_encode(p, &bytes), 0);
	assert_int_equal(policy_decode(bytes.data, bytes.len, &q, &e), 0);
	const struct policy_secret *all = policy_secrets(q, &n);
	assert_int_equal(n, 128);
	assert_string_equal(all[127].name, "KEY_127");

	_cleanup_(policy_secret_freep) struct policy_secret *one = copy_of(&all[127]);
	one->name[0] = 'X';
	assert_int_equal(policy_add_secret(q, one, &e), -E2BIG);
	assert_non_null(strstr(e.message, "more than 128 secrets in one policy"));
	assert_int_equal(policy_remove_secret(q, "KEY_3", &e), 0);
	assert_int_equal(policy_add_secret(q, one, &e), 0);
	policy_free(q);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_there_may_be),
		cmocka_unit_test(one_more_is_refused),
		cmocka_unit_test(what_is_said_twice_is_dropped),
		cmocka_unit_test(so_many_secrets_and_no_more),
		cmocka_unit_test(a_grant_meets_the_rules_of_its_hosts),
	};

	return cmocka_run_group_tests_name("policy-many", tests, NULL, NULL);
}
