/* SPDX-License-Identifier: Apache-2.0 */
/* Grants that a program makes: narrowed by another, cut with another, decided by. */
#include "grant_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct grant *build(const char *const *lines)
{
	struct grant *g;

	assert_int_equal(grant_new(&g), 0);
	for (; lines[0]; lines += 2) {
		if (grant_set(g, lines[0], lines[1], in_dir("w"), "--flag", &e) < 0)
			fail_msg("%s", e.message);
	}
	if (grant_finish(g, &e) < 0)
		fail_msg("%s", e.message);
	return g;
}

#define BUILD(...) build((const char *const[]){ __VA_ARGS__, NULL })

static void narrow_refused(const struct grant *parent, struct grant *request, const char *message)
{
	struct grant_excess first;
	struct grant *g;

	assert_int_equal(grant_narrow(parent, request, &g, &first), 0);
	assert_int_equal(grant_excess_error(&first, "the call", "its parent", &e), -EPERM);
	if (!strstr(e.message, message))
		fail_msg("%s\nnot: %s", e.message, message);
	grant_free(request);
}

static void test_narrowing(void **state)
{
	struct grant *parent = BUILD("allow", "https://a.org/**", "deny", "https://a.org/x", "secret", "A,B", "write", "src", "hide",
				     "src/vendor", "exec", "/usr", "timeout", "10s", "uses", "5", "isolation", "full", "background",
				     "no", "view", "committed");
	struct grant *g, *request;

	(void)state;
	narrow_refused(parent, BUILD("allow", "a.org"), "--flag: the call allow = a.org is more than its parent allows; accepted: "
							"https://a.org");
	narrow_refused(parent, BUILD("allow", "https://a.org/x"), "accepted: the same with deny = https://a.org/x beside it");
	narrow_refused(parent, BUILD("secret", "C"), "secret = C is more than its parent allows; accepted: A, B");
	narrow_refused(parent, BUILD("write", "docs"), "/w/docs is more than its parent allows; accepted: read = ");
	narrow_refused(parent, BUILD("exec", "src"), "/w/src is more than its parent allows; accepted: at or below /usr");
	narrow_refused(parent, BUILD("timeout", "11s"), "timeout = 11s is more than its parent allows; accepted: at most 10s");
	narrow_refused(parent, BUILD("uses", "6"), "accepted: at most 5");
	narrow_refused(parent, BUILD("isolation", "light"), "isolation = light is more than its parent allows; accepted: full");
	narrow_refused(parent, BUILD("background", "yes"), "accepted: no");
	narrow_refused(parent, BUILD("view", "working"), "view = working is more than its parent allows; accepted: committed");
	narrow_refused(parent, BUILD("view", "scratch"), "view = scratch is more than its parent allows; accepted: committed");
	narrow_refused(parent, BUILD("credentials", "any"), "accepted: placeholders-only");
	/* What is not named is inherited, and what is named keeps what is cut out of it. */
	request = BUILD("write", "src", "ttl", "1s", "deny", "https://a.org/y");
	assert_int_equal(grant_narrow(parent, request, &g, NULL), 1);
	assert_int_equal(grant_path_level(g, in_dir("w/src")), GRANT_WRITE);
	assert_true(grant_path_hidden(g, in_dir("w/src/vendor/x")));
	assert_int_equal(grant_number(g, GRANT_TTL), 1000000);
	assert_int_equal(grant_number(g, GRANT_USES), 5);
	assert_true(grant_full(g) && !grant_background(g) && grant_placeholders_only(g));
	assert_true(grant_has_secret(g, "A") && !grant_has_secret(g, "C"));
	assert_int_equal(g->deny.n, 2);
	assert_int_equal(grant_is_subset(g, parent, NULL), 1);
	assert_int_equal(grant_is_subset(parent, g, NULL), 0);
	grant_free(request);

	/* More lines on a finished one, also on one that came from elsewhere: nothing that it had is lost. */
	struct grant *copy;
	assert_int_equal(grant_copy(g, &copy), 0);
	assert_int_equal(grant_set(copy, "uses", "3", NULL, NULL, &e), 0);
	assert_int_equal(grant_finish(copy, &e), 0);
	assert_int_equal(grant_is_subset(copy, g, NULL), 1);
	assert_int_equal(grant_number(copy, GRANT_USES), 3);
	assert_int_equal(grant_path_level(copy, in_dir("w/x")), GRANT_READ);
	assert_true(grant_path_hidden(copy, in_dir("w/src/vendor")) && !grant_may_execute(copy, in_dir("w/src")));
	grant_free(copy);
	grant_free(g);
	grant_free(parent);
	assert_int_equal(grant_new(&g), 0);
	assert_int_equal(grant_set(g, "argv", "a", NULL, "--argv", &e), -EINVAL);
	assert_non_null(strstr(e.message, "only a [grant NAME]"));
	assert_int_equal(grant_set(g, "read", "a\nb", NULL, NULL, &e), -EINVAL);
	assert_int_equal(grant_set(g, "nosuch", "a", NULL, NULL, &e), -EINVAL);
	assert_int_equal(grant_set(g, "allow_private", "a.org", NULL, NULL, &e), -EINVAL);
	grant_free(g);
}

/* A rule cut down to two paths has no text in the rule language, but crosses processes. */
static void test_rule_of_two_paths(void **state)
{
	struct grant *a = BUILD("allow", "https://a.org/x/*/z/**"), *b = BUILD("allow", "https://a.org/*/y/**"), *both, *copy;
	struct buf text = { 0 };

	(void)state;
	assert_int_equal(grant_intersect(a, b, &both), 0);
	assert_int_equal(both->allow.n, 1);
	assert_int_equal(both->allow.rule[0].rule->n_paths, 2);
	assert_int_equal(grant_copy(both, &copy), 0);
	assert_string_equal(copy->allow.rule[0].text, both->allow.rule[0].text);
	assert_int_equal(grant_is_subset(copy, both, NULL) & grant_is_subset(both, copy, NULL), 1);
	assert_int_equal(grant_dump(copy, &text), 0);
	assert_non_null(strstr(buf_str(&text), "; cannot stand in a policy file: allow = https://a.org/x/*/z/** & /*/y/**"));
	buf_free(&text);
	grant_free(a);
	grant_free(b);
	grant_free(both);
	grant_free(copy);
}

static bool count_visits(const struct net_rule *r, const struct net_target *t, void *arg)
{
	(void)r, (void)t;
	++*(unsigned *)arg;
	return false;
}

/* However many rules there are, a decision looks at those for its host. */
static void test_few_rules_are_looked_at(void **state)
{
	struct policy *p;
	struct grant *g;
	char text[96];

	(void)state;
	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
	assert_int_equal(grant_new(&g), 0);
	for (unsigned i = 0; i < ENTRIES_MAX; i++) {
		snprintf(text, sizeof(text), "https://h%u.example.org/%u/**", i, i);
		assert_int_equal(policy_set(p, "network", "allow", text, "/", "x", &e), 0);
		if (i % 40 == 0)
			assert_int_equal(grant_set(g, "allow", text, "/", "x", &e), 0);
		snprintf(text, sizeof(text), "https://h%u.example.org/%u/x", i, i);
		assert_int_equal(policy_set(p, "network", "deny", text, "/", "x", &e), 0);
		if (i % 40 == 0)
			assert_int_equal(grant_set(g, "deny", text, "/", "x", &e), 0);
	}
	assert_int_equal(policy_finish(p, &e), 0);
	assert_int_equal(grant_finish(g, &e), 0);
	assert_int_equal(grant_within(p, g, NULL), 1);
	for (unsigned i = 0; i < ENTRIES_MAX; i += 7) {
		char host[32], path[32];
		struct net_target t = { PROTO_HTTPS, host, NULL, 443, "GET", path };
		struct net_verdict v;
		unsigned visits = 0;
		snprintf(host, sizeof(host), "h%u.example.org", i);
		snprintf(path, sizeof(path), "/%u/%s", i, i % 2 ? "x" : "y");
		rules_each(&p->allow, &t, count_visits, &visits);
		rules_each(&p->deny, &t, count_visits, &visits);
		rules_each(&g->allow, &t, count_visits, &visits);
		rules_each(&g->deny, &t, count_visits, &visits);
		assert_int_equal(visits, i % 40 == 0 ? 4 : 2);
		grant_decide(p, g, &t, &v);
		assert_int_equal(v.allowed, i % 40 == 0 && i % 2 == 0);
	}
	policy_free(p);
	grant_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRANT_TEST(test_narrowing),
		GRANT_TEST(test_rule_of_two_paths),
		GRANT_TEST(test_few_rules_are_looked_at),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
