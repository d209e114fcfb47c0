/* SPDX-License-Identifier: Apache-2.0 */
/* What the sets of rules are, checked against every request of a small world. */
#include "rule_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

#define N_PATHS 5461 /* '/' and up to 6 bytes of four */
static char paths[N_PATHS][8];
static bool upper; /* 'A' in the place of 'b' */
static const char *const world_hosts[] = { "t.x", "a.t.x", "b.a.t.x", "c.b.a.t.x", "z.t.x", "z.a.t.x", "y.x", "q.y" };
static const char *const world_addrs[] = { "10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "11.0.0.0", "::", "::1", "1::" };
static const uint16_t world_ports[] = { 80, 81, 443 };
static const char *const world_methods[] = { "GET", "POST", "XYZ", "get", "post" };

static void make_paths(const char *bytes)
{
	size_t n = 0;

	upper = strchr(bytes, 'A');
	memset(paths, 0, sizeof(paths));
	for (size_t len = 0; len <= 6; len++) {
		for (size_t v = 0; v < (size_t)1 << (2 * len); v++, n++) {
			paths[n][0] = '/';
			for (size_t i = 0; i < len; i++)
				paths[n][i + 1] = bytes[v >> (2 * i) & 3];
		}
	}
	assert_int_equal(n, N_PATHS);
}

/* The meaning of patterns, by recursion, independent of the automaton. */
static bool glob(const char *p, const char *s)
{
	if (strncmp(p, "/**", 3) == 0) {
		if (glob(p + 3, s))
			return true;
		if (*s != '/')
			return false;
		for (s++;; s++) {
			if (glob(p + 3, s))
				return true;
			if (!*s)
				return false;
		}
	}
	if (*p == '*')
		return glob(p + 1, s) || (*s && *s != '/' && glob(p, s + 1));
	return *p == *s && (!*p || glob(p + 1, s + 1));
}

static void random_path(char *out, unsigned segments)
{
	static const char *const parts[] = { "a", "b", "aa", "*", "**", "a*", "*b", "*a*", "" };

	*out = '\0';
	for (unsigned i = 1 + below(segments); i > 0; i--) {
		strcat(out, "/");
		strcat(out, PICK(parts));
	}
	for (char *b = out; upper && (b = strchr(b, 'b'));)
		*b = 'A';
}

static unsigned rule_segments = 2;

static void random_rule(char *out, bool with_path)
{
	static const char *const hosts[] = { "t.x", "a.t.x", "b.a.t.x", "*.t.x", "*.a.t.x", "*.x", "*", "10.0.0.1" };
	static const char *const ranges[] = { "10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.0/29", "10.0.0.1/32",
					      "[::]/0", "[::]/127", "[::1]/128", "0.0.0.0/0" };
	static const char *const methods[] = { "", "", "GET ", "POST ", "GET,POST " };
	char path[64];

	switch (below(with_path ? 4 : 6)) {
	case 0:
		sprintf(out, "%s%s", PICK(methods), PICK(hosts));
		break;
	case 1:
		sprintf(out, "%s%s:%u", PICK(methods), PICK(hosts), PICK(world_ports));
		break;
	case 4:
		sprintf(out, "tcp://%s:%u", PICK(hosts), PICK(world_ports));
		break;
	case 5:
		sprintf(out, "%s:%u", PICK(ranges), PICK(world_ports));
		break;
	default:
		random_path(path, rule_segments);
		sprintf(out, "%shttp%s://%s:%u%s", PICK(methods), below(2) ? "s" : "", PICK(hosts), PICK(world_ports), path);
	}
}

static void test_patterns_match_as_defined(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS(600); i++) {
		char text[64];
		struct path_pattern *p;
		random_path(text, 4);
		assert_int_equal(path_pattern_parse(text, strlen(text), &p, NULL), 0);
		for (size_t k = 0; k < N_PATHS; k++) {
			if (path_pattern_matches(p, paths[k], false) != glob(text, paths[k]))
				fail_msg("%s %s", text, paths[k]);
		}
		free(p);
	}
}

static char lower(char c)
{
	return c == 'A' ? 'a' : c;
}

/* The path as the laxest server takes it, built segment by segment: without empty ones, parameters and a last '/'. */
static void read_loosely(const char *s, char *out)
{
	for (bool parameter = false; *s; s++) {
		parameter = *s != '/' && (parameter || *s == ';');
		if (*s == '/' && s[1 + strspn(s + 1, "/")] && s[1] != '/')
			*out++ = '/';
		else if (*s != '/' && !parameter)
			*out++ = lower(*s);
	}
	*out = '\0';
}

/* A segment of nothing but parameters is an empty one. */
static void read_as_denied(const char *s, char *out)
{
	char once[16];

	read_loosely(s, once);
	read_loosely(once, out);
}

static bool glob_denied(const char *p, const char *s)
{
	char folded[64], exact[16], loose[16];

	for (size_t i = 0; i <= strlen(p); i++)
		folded[i] = lower(p[i]);
	for (size_t i = 0; i <= strlen(s); i++)
		exact[i] = lower(s[i]);
	read_as_denied(s, loose);
	if (glob(folded, exact) || glob(folded, loose))
		return true;
	strcat(loose, "/");
	return glob(folded, loose);
}

static void test_denials_match_as_defined(void **state)
{
	unsigned n[2] = { 0 };

	(void)state;
	make_paths("/aA;");
	for (int i = 0; i < ROUNDS(200); i++) {
		char text[64];
		struct path_pattern *p;
		random_path(text, 3);
		assert_int_equal(path_pattern_parse(text, strlen(text), &p, NULL), 0);
		path_pattern_fold(p);
		for (size_t k = 0; k < N_PATHS; k++) {
			bool match = path_pattern_matches(p, paths[k], true);
			if (match != glob_denied(text, paths[k]))
				fail_msg("%s %s: %d", text, paths[k], match);
			n[match]++;
		}
		free(p);
	}
	make_paths("/abz");
	assert_true(n[0] > ROUNDS(30000u) && n[1] > ROUNDS(30000u));
}

/* Both answers are checked: "no" needs a witness in the world, which holds all short paths. */
static void test_pattern_inclusion_is_exact(void **state)
{
	unsigned yes = 0, no = 0;

	(void)state;
	for (int i = 0; i < ROUNDS(6000); i++) {
		char text[3][64];
		struct path_pattern *p[3];
		for (int k = 0; k < 3; k++) {
			random_path(text[k], 2);
			assert_int_equal(path_pattern_parse(text[k], strlen(text[k]), &p[k], NULL), 0);
		}
		/* p0 within p1 or p2; p0 and p1 within p2 */
		struct pattern_list one = { p, 1 }, two = { p, 2 }, alternatives[] = { { p + 1, 1 }, { p + 2, 1 } };
		int in_union = pattern_lists_included(one, alternatives, 2);
		int both_in = pattern_lists_included(two, alternatives + 1, 1);
		bool witness_union = false, witness_both = false;
		for (size_t k = 0; k < N_PATHS; k++) {
			bool a = glob(text[0], paths[k]), b = glob(text[1], paths[k]), c = glob(text[2], paths[k]);
			witness_union = witness_union || (a && !b && !c);
			witness_both = witness_both || (a && b && !c);
		}
		if (in_union != !witness_union || both_in != !witness_both)
			fail_msg("%s %s %s: %d %d", text[0], text[1], text[2], in_union, both_in);
		yes += (unsigned)(in_union + both_in);
		no += (unsigned)(2 - in_union - both_in);
		for (int k = 0; k < 3; k++)
			free(p[k]);
	}
	assert_true(yes > ROUNDS(500u) && no > ROUNDS(500u));
}

/* Call f with every request of the world that has one of the first n_paths paths, the shortest. */
static bool each_of(size_t n_paths, bool (*f)(const struct net_target *t, void *arg), void *arg)
{
	struct in6_addr addr;

	for (size_t h = 0; h < ARRAY_LEN(world_hosts) + ARRAY_LEN(world_addrs); h++) {
		struct net_target t = { 0 };
		if (h < ARRAY_LEN(world_hosts)) {
			t.host = world_hosts[h];
		} else {
			assert_true(addr_from_text(world_addrs[h - ARRAY_LEN(world_hosts)], &addr));
			t.addr = &addr;
		}
		for (int proto = PROTO_HTTP; proto <= PROTO_TCP; proto++) {
			t.proto = (enum net_proto)proto;
			for (size_t p = 0; p < ARRAY_LEN(world_ports); p++) {
				t.port = world_ports[p];
				for (size_t m = 0; m < ARRAY_LEN(world_methods); m++) {
					t.method = world_methods[m];
					for (size_t k = 0; k < (proto == PROTO_TCP ? 1 : n_paths); k++) {
						t.path = paths[k];
						if (f(&t, arg))
							return true;
					}
				}
			}
		}
	}
	return false;
}

/* Paths of up to five bytes: the product with all of them would take minutes. */
static bool each_request(bool (*f)(const struct net_target *t, void *arg), void *arg)
{
	return each_of(341, f, arg);
}

struct sets {
	struct rule **a, **b, **both;
	size_t n_a, n_b, n_both;
};

static bool any_matches(struct rule *const *rules, size_t n, const struct net_target *t)
{
	for (size_t i = 0; i < n; i++) {
		if (rule_matches(rules[i], t))
			return true;
	}
	return false;
}

static bool contradicts_subset(const struct net_target *t, void *arg)
{
	struct sets *s = arg;
	return any_matches(s->a, s->n_a, t) && !any_matches(s->b, s->n_b, t);
}

static bool contradicts_intersection(const struct net_target *t, void *arg)
{
	struct sets *s = arg;
	return (any_matches(s->a, s->n_a, t) && any_matches(s->b, s->n_b, t)) != any_matches(s->both, s->n_both, t);
}

static void test_rules_random(void **state)
{
	unsigned yes = 0, no = 0, disjoint = 0;

	(void)state;
	for (int i = 0; i < ROUNDS(4000); i++) {
		char ta[128], tb[128];
		random_rule(ta, below(2));
		random_rule(tb, below(2));
		struct rule *a = parse(ta, RULE_ALLOW), *b = parse(tb, RULE_ALLOW), *both;
		struct sets s = { &a, &b, &both, 1, 1, 0 };
		int subset = rule_is_subset(a, b);
		assert_in_range(subset, 0, 1);
		/* "No" needs a witness, which may have a long path. */
		bool contradicted = each_request(contradicts_subset, &s) || (!subset && each_of(N_PATHS, contradicts_subset, &s));
		if (subset == contradicted)
			fail_msg("%s within %s: %d", ta, tb, subset);
		assert_int_equal(rule_is_covered(a, NULL, &b, 1), subset);
		int r = rule_intersect(a, b, &both);
		assert_in_range(r, 0, 1);
		s.n_both = (size_t)r;
		if (each_request(contradicts_intersection, &s))
			fail_msg("%s and %s", ta, tb);
		if (r) {
			assert_int_equal(rule_is_subset(both, a), 1);
			assert_int_equal(rule_is_subset(both, b), 1);
		}
		if (subset)
			assert_int_equal(r, 1);
		*(subset ? &yes : &no) += 1;
		disjoint += !r;
		rule_free(a);
		rule_free(b);
		rule_free(both);
	}
	assert_true(yes > ROUNDS(50u) && no > ROUNDS(1000u) && disjoint > ROUNDS(1000u));
}

static int are_subset(struct rule *const *a, size_t n_a, struct rule *const *b, size_t n_b)
{
	int r = 1;

	for (size_t i = 0; i < n_a && r == 1; i++)
		r = rule_is_covered(a[i], NULL, b, n_b);
	return r;
}

static void test_sets_random(void **state)
{
	unsigned yes = 0, no = 0;

	(void)state;
	for (int i = 0; i < ROUNDS(1500); i++) {
		char text[8][128], all[1200] = "";
		struct rule *rules[8];
		bool with_path = below(2);
		size_t n = 2 + below(7), n_a = n > 2 ? 1 + below(2) : 1;
		for (size_t k = 0; k < n; k++) {
			random_rule(text[k], with_path);
			rules[k] = parse(text[k], RULE_ALLOW);
			sprintf(all + strlen(all), "%s%s", k == n_a ? " | " : ", ", text[k]);
		}
		struct sets s = { .a = rules, .n_a = n_a, .b = rules + n_a, .n_b = n - n_a };
		int subset = are_subset(s.a, s.n_a, s.b, s.n_b);
		bool contradicted = each_request(contradicts_subset, &s);
		if (!subset && !contradicted)
			contradicted = each_of(N_PATHS, contradicts_subset, &s);
		if (subset == contradicted)
			fail_msg("%s: %d", all, subset);
		yes += (unsigned)subset;
		no += !subset;
		for (size_t k = 0; k < n; k++)
			rule_free(rules[k]);
	}
	assert_true(yes > ROUNDS(20u) && no > ROUNDS(500u));
}

static void assert_sets(const char *const *texts, size_t n, int expected)
{
	struct rule *rules[8];

	for (size_t i = 0; i < n; i++)
		rules[i] = parse(texts[i], RULE_ALLOW);
	assert_int_equal(are_subset(rules, 1, rules + 1, n - 1), expected);
	for (size_t i = 0; i < n; i++)
		rule_free(rules[i]);
}

/* The first rule is covered by the others only together. */
static void test_sets_cover_together(void **state)
{
	static const char *const halves[] = { "10.0.0.0/8:1", "10.0.0.0/9:1", "10.128.0.0/9:1" };
	static const char *const quarter_missing[] = { "10.0.0.0/8:1", "10.0.0.0/9:1", "10.128.0.0/10:1" };
	static const char *const schemes[] = { "a.org", "http://a.org", "https://a.org" };
	static const char *const methods[] = { "GET,POST a.org", "GET a.org", "POST a.org" };
	static const char *const all_methods[] = { "a.org", "GET,POST a.org" };
	static const char *const split_path[] = { "https://a.org/x/*", "https://a.org/x/a*", "https://a.org/x/*" };
	static const char *const name_pieces[] = { "*.a.org", "b.a.org", "*.b.a.org" };
	static const char *const v6[] = { "[::]/0:1", "[::]/1:1", "[8000::]/1:1" };
	static const char *const v6_without_v4[] = { "0.0.0.0/0:1", "[::]/0:1" };

	(void)state;
	assert_sets(halves, 3, 1);
	assert_sets(quarter_missing, 3, 0);
	assert_sets(schemes, 3, 1);
	assert_sets(schemes, 2, 0);
	assert_sets(methods, 3, 1);
	assert_sets(all_methods, 2, 0);
	assert_sets(split_path, 3, 1);
	assert_sets(split_path, 2, 0);
	assert_sets(name_pieces, 3, 0);
	assert_sets(v6, 3, 1);
	assert_sets(v6_without_v4, 2, 0);
}

struct covering {
	struct rule *a, *cut, *b[4];
	size_t n_b;
};

static bool contradicts_covering(const struct net_target *t, void *arg)
{
	struct covering *c = arg;
	return rule_matches(c->a, t) && (!c->cut || rule_matches(c->cut, t)) && !any_matches(c->b, c->n_b, t);
}

/* Denials on either side, in worlds where paths have parameters, doubled slashes and letters of both cases. */
static void test_covering_random(void **state)
{
	unsigned yes = 0, no = 0;

	(void)state;
	rule_segments = 1; /* or witnesses would need longer paths than the world has */
	for (int i = 0; i < ROUNDS(2000); i++) {
		if (i % 1000 == 0)
			make_paths(i ? "/aA;" : "/ab;");
		char text[6][128], all[900] = "";
		bool with_path = below(4);
		struct covering c = { .n_b = below(4) };
		for (size_t k = 0; k < 2 + c.n_b; k++) {
			bool deny = k && (k == 1 || below(2));
			random_rule(text[k], with_path);
			*(k == 0 ? &c.a : k == 1 ? &c.cut : &c.b[k - 2]) = parse(text[k], deny ? RULE_DENY : RULE_ALLOW);
			sprintf(all + strlen(all), "%s%s%s", k == 2 ? " | " : ", ", deny ? "deny " : "", text[k]);
		}
		if (below(3) == 0) {
			rule_free(c.cut);
			c.cut = NULL;
		}
		int covered = rule_is_covered(c.a, c.cut, c.b, c.n_b);
		bool contradicted = each_request(contradicts_covering, &c);
		if (!covered && !contradicted)
			contradicted = each_of(N_PATHS, contradicts_covering, &c);
		if (covered == contradicted)
			fail_msg("%s: %d", all, covered);
		yes += (unsigned)covered;
		no += !covered;
		rule_free(c.a);
		rule_free(c.cut);
		rules_free(memcpy(calloc(4, sizeof(c.b[0])), c.b, sizeof(c.b)), c.n_b);
	}
	make_paths("/abz");
	rule_segments = 2;
	assert_true(yes > ROUNDS(200u) && no > ROUNDS(100u));
}

static int setup(void **state)
{
	(void)state;
	make_paths("/abz");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns_match_as_defined),
		cmocka_unit_test(test_denials_match_as_defined),
		cmocka_unit_test(test_pattern_inclusion_is_exact),
		cmocka_unit_test(test_rules_random),
		cmocka_unit_test(test_sets_random),
		cmocka_unit_test(test_sets_cover_together),
		cmocka_unit_test(test_covering_random),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
