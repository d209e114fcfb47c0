/* SPDX-License-Identifier: Apache-2.0 */
/* The index of rules against looking at all of them, one after the other; and that it asks few of many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "policy/internal.h"

#include <cmocka.h>

#define MANY 16384u
#define AT_MOST 24u /* rules that a decision on many may ask, of each list */

static unsigned asked;

bool __real_rule_matches(const struct rule *r, const struct net_target *t);
bool __wrap_rule_matches(const struct rule *r, const struct net_target *t);

bool __wrap_rule_matches(const struct rule *r, const struct net_target *t)
{
	asked++;
	return __real_rule_matches(r, t);
}

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

#define ONE_OF(list) list[below(ARRAY_LEN(list))]

static void add(struct net_rules *to, const char *text, enum rule_kind kind, bool private)
{
	struct net_rule *r = &to->rule[to->n];
	struct error e;

	if (rule_parse(text, kind, false, &r->rule, &e) < 0)
		fail_msg("%s: %s", text, e.message);
	r->text = strdup(text);
	r->origin = strdup("test");
	r->allow_private = private;
	to->n++;
}

static struct net_rules room_for(size_t n)
{
	struct net_rules rules = { .rule = calloc(n, sizeof(struct net_rule)) };

	assert_non_null(rules.rule);
	return rules;
}

/* ---- the slow way ---- */

/* Of two rules for the same host the one that says more about it comes first. */
static int rank(const struct host_pattern *h)
{
	return h->kind == HOST_NAME ? 1000 : h->kind == HOST_SUFFIX ? 1 + (int)strlen(h->name) : h->prefix;
}

struct slow {
	const struct net_rule *first, *near; /* near: for the place, matching or not */
	bool private, method, path, whole;
};

static bool before(const struct net_rule *r, const struct net_rule *than)
{
	return !than || rank(&r->rule->host) > rank(&than->rule->host);
}

static struct slow slowly(const struct net_rules *rules, const struct net_target *t)
{
	struct slow s = { 0 };

	for (size_t i = 0; i < rules->n; i++) {
		const struct net_rule *r = &rules->rule[i];
		if (!rule_matches_endpoint(r->rule, t))
			continue;
		s.whole |= rule_is_unrestricted(r->rule);
		if (before(r, s.near))
			s.near = r;
		if (__real_rule_matches(r->rule, t)) {
			s.private |= r->allow_private || r->rule->host.kind == HOST_ADDR;
			if (before(r, s.first))
				s.first = r;
			continue;
		}
		bool method = r->rule->methods == RULE_METHODS_ANY ||
			      (t->method && (r->rule->methods & rule_method_bit(t->method, false)));
		s.method |= !method;
		s.path |= method;
	}
	return s;
}

/* ---- at random ---- */

static void random_path(char *to, const char *const *words, size_t n)
{
	*to = '\0';
	for (unsigned i = below(5); i > 0; i--)
		sprintf(to + strlen(to), "/%s", words[below((unsigned)n)]);
	if (!*to)
		strcpy(to, "/");
}

static void random_rule(char *to)
{
	static const char *const methods[] = { "", "", "", "GET ", "POST ", "GET,POST " };
	static const char *const hosts[] = { "a.org", "a.org", "a.org", "b.a.org", "*.a.org", "*.org", "*", "10.0.0.1", "[::1]" };
	static const char *const schemes[] = { "https://", "https://", "https://", "http://", "" };
	static const char *const ports[] = { "", "", "", ":8080" };
	static const char *const words[] = { "**", "**", "*", "a", "b", "ab", "abc", "a*", "*b", "a*c", "*a*b*", "%3B", "", "A", "aB" };
	const char *scheme = ONE_OF(schemes);
	char path[64] = "";

	if (*scheme && below(8))
		random_path(path, words, ARRAY_LEN(words));
	sprintf(to, "%s%s%s%s%s", *scheme ? ONE_OF(methods) : "", scheme, ONE_OF(hosts), ONE_OF(ports), path);
}

struct asked_for {
	struct net_target t;
	struct in6_addr addr;
	char path[64];
};

static void random_target(struct asked_for *to)
{
	static const char *const hosts[] = { "a.org", "a.org", "b.a.org", "c.b.a.org", "org", "10.0.0.1", NULL };
	static const char *const methods[] = { "GET", "POST", "get", "DELETE", NULL };
	static const char *const words[] = { "a", "b", "ab", "abc", "abb", "", "a;b", ";", "c", "AB", "A" };

	random_path(to->path, words, ARRAY_LEN(words));
	to->t = (struct net_target){ .proto = below(8) ? PROTO_HTTPS : (enum net_proto)below(PROTO_COUNT), .host = ONE_OF(hosts),
				     .port = below(6) ? 443 : 8080, .method = ONE_OF(methods),
				     .path = below(12) ? to->path : NULL };
	if (!to->t.host) {
		assert_true(addr_from_text(below(2) ? "10.0.0.1" : "::1", &to->addr));
		to->t.addr = &to->addr;
	}
}

static struct net_rules random_rules(unsigned n, enum rule_kind kind)
{
	struct net_rules rules = room_for(n);
	char text[160];

	while (rules.n < n) {
		random_rule(text);
		add(&rules, text, kind, below(3) == 0);
	}
	assert_int_equal(rules_index(&rules), 0);
	return rules;
}

static void one_target(const struct policy *p, unsigned round)
{
	struct asked_for to;
	struct net_verdict v;

	random_target(&to);
	const struct slow deny = slowly(&p->deny, &to.t), allow = slowly(&p->allow, &to.t);
	bool private;
	const struct net_rule *fast = rules_match(&p->allow, &to.t, &private);
	if (fast != allow.first || rules_match(&p->deny, &to.t, NULL) != deny.first)
		fail_msg("round %u, %s %s: %s instead of %s", round, to.t.host, to.path, fast ? fast->text : "nothing",
			 allow.first ? allow.first->text : "nothing");
	assert_int_equal(private, allow.private);
	policy_decide(p, &to.t, &v);
	assert_int_equal(v.allowed, !deny.first && allow.first);
	assert_int_equal(v.allow_private, v.allowed && allow.private);
	assert_string_equal(v.rule, deny.first ? deny.first->text : allow.first ? allow.first->text : "");
	assert_string_equal(v.reason, deny.first ? "deny-rule" : allow.first ? "rule" : allow.path ? "path" :
				      allow.method ? "method" : "no-rule");
	assert_int_equal(policy_host_possible(p, to.t.proto, to.t.host, to.t.addr, to.t.port), allow.near && !deny.whole);
}

static void the_same_as_all_of_them(void **state)
{
	static const unsigned sizes[] = { 1, 3, 6, 12, 40, 200, 600 };

	(void)state;
	for (unsigned round = 0; round < 420; round++) {
		seed = round;
		unsigned n = sizes[round % ARRAY_LEN(sizes)];
		struct policy p = { .finished = true, .allow = random_rules(n, RULE_ALLOW),
				    .deny = random_rules(n / 20 + 1, RULE_DENY) };
		for (unsigned i = 0; i < 60; i++)
			one_target(&p, round);
		net_rules_done(&p.allow);
		net_rules_done(&p.deny);
	}
}

/* Denials are many and read widely: the same for a list of nothing else. */
static void the_same_for_denials(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 120; round++) {
		seed = 1000000 + round;
		struct net_rules rules = random_rules(20 + round * 3, RULE_DENY);
		for (unsigned i = 0; i < 60; i++) {
			struct asked_for to;
			random_target(&to);
			assert_ptr_equal(rules_match(&rules, &to.t, NULL), slowly(&rules, &to.t).first);
		}
		net_rules_done(&rules);
	}
}

/* ---- many ---- */

/* With the number in the place of '#'. */
static void numbered(const char *form, unsigned i, char ret[160])
{
	const char *at = strchr(form, '#');

	snprintf(ret, 160, "%.*s%u%s", (int)(at - form), form, i, at + 1);
}

static void few_of_many(const char *form, const char *asks_for, bool found)
{
	struct net_rules rules = room_for(MANY);
	struct net_target t = { .proto = PROTO_HTTPS, .host = "a.org", .port = 443, .method = "GET" };
	char text[160], path[160];

	for (unsigned i = 0; i < MANY; i++) {
		numbered(form, i, text);
		add(&rules, text, RULE_ALLOW, false);
	}
	assert_int_equal(rules_index(&rules), 0);
	for (unsigned i = 0; i < MANY; i += 1009) {
		numbered(asks_for, i, path);
		t.path = path;
		asked = 0;
		const struct net_rule *r = rules_match(&rules, &t, NULL);
		assert_true(asked <= AT_MOST);
		assert_ptr_equal(r, found ? &rules.rule[i] : NULL);
	}
	net_rules_done(&rules);
}

static void asks_few(void **state)
{
	(void)state;
	few_of_many("https://a.org/v1/#/**", "/v1/#/x/y", true);
	few_of_many("https://a.org/v1/#/**", "/v1/none/#", false);
	few_of_many("https://a.org/**/x#/y", "/some/where/x#/y", true);
	few_of_many("https://a.org/**/x#/y", "/xx/x/x#/yy", false);
	few_of_many("https://a.org/v1/*/n#", "/v1/name/n#", true);
	few_of_many("https://a.org/v1/n#-*", "/v1/n#-", true);
	few_of_many("https://a.org/same/for/all/of/them/#", "/same/for/all/of/them/#", true);
}

/* No verdict, no walk: what a denied request is told does not take a look at each rule either. */
static void a_denial_asks_few(void **state)
{
	struct policy p = { .finished = true, .allow = room_for(MANY), .deny = room_for(1) };
	struct net_target t = { .proto = PROTO_HTTPS, .host = "a.org", .port = 443, .method = "GET", .path = "/elsewhere" };
	struct net_verdict v;
	char text[160];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%shttps://a.org/v1/%u/**", i % 2 ? "GET " : "", i);
		add(&p.allow, text, RULE_ALLOW, false);
	}
	assert_int_equal(rules_index(&p.allow) | rules_index(&p.deny), 0);
	asked = 0;
	policy_decide(&p, &t, &v);
	assert_string_equal(v.reason, "path");
	assert_true(asked <= AT_MOST);
	net_rules_done(&p.allow);
	net_rules_done(&p.deny);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_as_all_of_them),
		cmocka_unit_test(the_same_for_denials),
		cmocka_unit_test(asks_few),
		cmocka_unit_test(a_denial_asks_few),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
