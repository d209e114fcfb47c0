/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The laws of grants, against every question of a small world: requests (also where a name resolves to), secrets,
 * files, hidden paths, executables, numbers and choices. "No" needs a witness there, so the order is tested both ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/grant_internal.h"
#include "random.h"

#include <cmocka.h>

static bool with_network; /* targets are asked too, which takes most of the time */
static struct policy *open_policy; /* allows the whole world, so that the grant decides */

/* ---- the world ---- */

static const char *const names[] = { "t.x", "a.t.x", "b.a.t.x", "y.x" };
static const char *const literals[] = { "10.0.0.0", "10.0.0.1", "10.0.0.2", "::1" };
static const char *const resolved[] = { "10.0.0.1", "10.0.0.2", "192.0.2.1", "2001:db8::1" };
static const uint16_t ports[] = { 80, 443, 5000 };
static const char *const methods[] = { "GET", "POST", "get", "post", "X" };
static const char *const paths[] = { "/", "/a", "/b", "/a/b", "/a/", "/a/b/c", "/x", "//a", "/a;p", "/a;p/b", "/a//b", "/b/a",
				     "/x;q/y", "/x/y", "/x/y/z", "/b;q", "/x//y" };
static const char *const secrets[] = { "A", "B", "C" };
static const char *const places[] = { "/w", "/w/s", "/w/s/t", "/w/s-u", "/w/s/t/v", "/w/d", "/usr/bin/x", "/z" };

/* A path of places is named as if it was there: nothing of the file system is looked at. */
static void add_raw(struct grant *g, enum raw_kind kind, const char *path)
{
	struct error e;
	struct raw_grant_path *raw = grow(&g->raw, &g->n_raw, sizeof(*raw), 99, "paths", "", &e);
	assert_non_null(raw);
	*raw = (struct raw_grant_path){ kind, strdup(path), strdup("test") };
}

/* As grant_resolve() without the file system. */
static void finish(struct grant *g)
{
	for (size_t i = 0; i < g->n_raw; i++) {
		enum raw_kind kind = g->raw[i].kind;
		struct path_list *l = kind == RAW_HIDE ? &g->hides : kind == RAW_EXEC ? &g->execs : &g->files;
		enum grant_level level = kind == RAW_READ ? GRANT_READ : kind == RAW_WRITE ? GRANT_WRITE : GRANT_NONE;
		assert_int_equal(path_list_add(l, g->raw[i].text, level, "test"), 0);
	}
	for (size_t i = 0; i < g->n_raw; i++) {
		free(g->raw[i].text);
		free(g->raw[i].origin);
	}
	g->n_raw = 0;
	g->base = g->read_set ? GRANT_NONE : g->write_set || g->read_only ? GRANT_READ : GRANT_WRITE;
	paths_reduce(g);
	assert_true(paths_are_reduced(g));
	assert_int_equal(rules_index(&g->allow) | rules_index(&g->deny), 0);
	g->finished = true;
}

static void set(struct grant *g, const char *key, const char *value)
{
	struct error e;
	if (grant_set(g, key, value, "/", "test", &e) < 0)
		fail_msg("%s", e.message);
}

static void random_rule(char *out, bool deny)
{
	static const char *const hosts[] = { "t.x", "a.t.x", "*.t.x", "*.x", "*", "10.0.0.1" };
	static const char *const ranges[] = { "10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.1/32", "[::]/0", "0.0.0.0/0" };
	static const char *const some[] = { "", "", "GET ", "POST ", "GET,POST " };
	static const char *const rule_paths[] = { "", "/a", "/*", "/**", "/a/**", "/a/*", "/x/y", "/**/b" };

	switch (below(deny ? 7 : 6)) {
	case 0:
		sprintf(out, "%s%s", PICK(some), PICK(hosts));
		break;
	case 1:
		sprintf(out, "%s%s:%u", PICK(some), PICK(hosts), PICK(ports));
		break;
	case 2:
		sprintf(out, "tcp://%s:%u", PICK(hosts), PICK(ports));
		break;
	case 3:
		sprintf(out, "%s:%u", PICK(ranges), PICK(ports));
		break;
	case 6:
		sprintf(out, "%s", PICK(ranges));
		break;
	default:
		sprintf(out, "%shttp%s://%s%s", PICK(some), below(2) ? "s" : "", PICK(hosts), PICK(rule_paths));
	}
}

static void random_network(struct grant *g)
{
	char text[128];

	if (below(4) == 0)
		set(g, "allow", "none");
	for (unsigned n = below(4); n > 0; n--) {
		random_rule(text, false);
		set(g, "allow", text);
	}
	if (below(6) == 0)
		set(g, "passthrough", below(2) ? "*.t.x" : "a.t.x");
	for (unsigned n = below(3); n > 0; n--) {
		random_rule(text, true);
		set(g, "deny", text);
	}
}

static void random_files(struct grant *g)
{
	switch (below(6)) {
	case 0:
		set(g, "read_only", "yes");
		break;
	case 1:
		g->read_set = true;
		__attribute__((fallthrough));
	case 2:
		g->write_set = true;
		for (unsigned n = below(4); n > 0; n--)
			add_raw(g, g->read_set && below(2) ? RAW_READ : RAW_WRITE, PICK(places));
		break;
	case 3:
		g->read_set = true;
		for (unsigned n = below(4); n > 0; n--)
			add_raw(g, RAW_READ, PICK(places));
		break;
	default:
		break;
	}
	for (unsigned n = below(3); n > 0; n--)
		add_raw(g, RAW_HIDE, PICK(places));
	if (below(3) == 0) {
		g->exec_set = true;
		for (unsigned n = below(3); n > 0; n--)
			add_raw(g, RAW_EXEC, PICK(places));
	}
}

static struct grant *random_grant(bool network)
{
	static const char *const values[][4] = {
		{ "timeout", "1s", "2s", "3s" },       { "ttl", "1s", "2s", "3s" },  { "open_files", "1", "2", "3" },
		{ "uses", "1", "2", "3" },	       { "bytes_up", "1", "2", "3" }, { "rate", "5/h", "1/m", "60/h" },
		{ "isolation", "light", "full", "full" },
		{ "background", "yes", "no", "no" },   { "credentials", "any", "any", "placeholders-only" },
		{ "view", "working", "scratch", "committed" },
	};
	struct grant *g;

	assert_int_equal(grant_new(&g), 0);
	if (network && below(4))
		random_network(g);
	if (below(2))
		set(g, "secret", "none");
	for (unsigned n = below(3); n > 0; n--)
		set(g, "secret", PICK(secrets));
	if (!network || below(2))
		random_files(g);
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (below(5) == 0)
			set(g, values[i][0], values[i][1 + below(3)]);
	}
	finish(g);
	return g;
}

/* ---- every question, in one number each ---- */

/* f(arg, answer) for each; the answer is a level: the more the wider. */
typedef bool (*visitor)(const struct grant *const *g, void *arg, unsigned answers[3]);

static unsigned ask_target(const struct grant *g, const struct net_target *t, const struct in6_addr *to)
{
	struct net_verdict v;

	grant_decide(open_policy, g, t, &v);
	/* What decides early must not refuse what is allowed in the end. */
	if (v.allowed && !grant_host_possible(open_policy, g, t->proto, t->host, t->addr, t->port))
		fail_msg("%s:%u is allowed and not possible", t->host ? t->host : "address", t->port);
	return v.allowed && !(to && grant_addr_denied(open_policy, g, t->proto, to, t->port));
}

static bool ask_targets(const struct grant *const *g, size_t n, visitor f, void *arg)
{
	struct in6_addr addr, to;
	unsigned answers[3] = { 0 };

	for (size_t h = 0; h < ARRAY_LEN(names) * ARRAY_LEN(resolved) + ARRAY_LEN(literals); h++) {
		bool named = h < ARRAY_LEN(names) * ARRAY_LEN(resolved);
		struct net_target t = { .host = named ? names[h % ARRAY_LEN(names)] : NULL, .addr = named ? NULL : &addr };
		if (named)
			addr_from_text(resolved[h / ARRAY_LEN(names)], &to);
		else
			addr_from_text(literals[h - ARRAY_LEN(names) * ARRAY_LEN(resolved)], &addr);
		for (int proto = 0; proto < PROTO_COUNT; proto++) {
			bool http = proto == PROTO_HTTP || proto == PROTO_HTTPS;
			t.proto = (enum net_proto)proto;
			for (size_t k = 0; k < ARRAY_LEN(ports) * (http ? ARRAY_LEN(methods) * ARRAY_LEN(paths) : 1); k++) {
				t.port = ports[k % ARRAY_LEN(ports)];
				t.method = http ? methods[k / ARRAY_LEN(ports) % ARRAY_LEN(methods)] : NULL;
				t.path = http ? paths[k / ARRAY_LEN(ports) / ARRAY_LEN(methods)] : NULL;
				for (size_t i = 0; i < n; i++)
					answers[i] = ask_target(g[i], &t, named ? &to : NULL);
				if (f(g, arg, answers))
					return true;
			}
		}
	}
	return false;
}

/* Question q about everything but the network; false behind the last. */
static bool ask_rest(const struct grant *g, size_t q, unsigned *answer)
{
	if (q < ARRAY_LEN(secrets)) {
		*answer = grant_has_secret(g, secrets[q]);
		return true;
	}
	q -= ARRAY_LEN(secrets);
	/* Each place, and something new below it. */
	if (q < 6 * ARRAY_LEN(places)) {
		char path[64];
		snprintf(path, sizeof(path), "%s%s", places[q / 6], q % 2 ? "/new" : "");
		*answer = q / 2 % 3 == 0 ? (unsigned)grant_path_level(g, path) : q / 2 % 3 == 1 ? !grant_path_hidden(g, path) :
			  grant_may_execute(g, path);
		return true;
	}
	q -= 6 * ARRAY_LEN(places);
	if (q == 0)
		*answer = (unsigned)grant_path_level(g, "/other");
	else if (q == 1)
		*answer = grant_may_execute(g, "/other");
	else if (q <= 7)
		*answer = grant_number(g, (enum grant_number)(q - 2)) ? (unsigned)grant_number(g, (enum grant_number)(q - 2)) : ~0u;
	else if (q == 8)
		*answer = !grant_full(g);
	else if (q == 9)
		*answer = grant_background(g);
	else if (q == 10)
		*answer = !grant_placeholders_only(g);
	else if (q == 11)
		*answer = GRANT_VIEW_COMMITTED - grant_view(g);
	else
		return false;
	return true;
}

static bool ask_all(const struct grant *const *g, size_t n, visitor f, void *arg)
{
	unsigned answers[3] = { 0 };

	for (size_t q = 0; ask_rest(g[0], q, &answers[0]); q++) {
		for (size_t i = 1; i < n; i++)
			assert_true(ask_rest(g[i], q, &answers[i]));
		if (f(g, arg, answers))
			return true;
	}
	return with_network && ask_targets(g, n, f, arg);
}

static bool is_above(const struct grant *const *g, void *arg, unsigned answers[3])
{
	(void)g, (void)arg;
	return answers[0] > answers[1];
}

static bool is_not_the_lower(const struct grant *const *g, void *arg, unsigned answers[3])
{
	(void)g, (void)arg;
	return answers[2] != (answers[0] < answers[1] ? answers[0] : answers[1]);
}

static bool world_is_subset(const struct grant *a, const struct grant *b)
{
	return !ask_all((const struct grant *const[]){ a, b }, 2, is_above, NULL);
}

/* Both, for messages. */
static void show(const struct grant *a, const struct grant *b, const struct grant *c)
{
	const struct grant *const all[] = { a, b, c };
	struct buf text = { 0 };

	for (size_t i = 0; i < 3 && all[i]; i++)
		assert_int_equal(grant_dump(all[i], &text), 0);
	fprintf(stderr, "%s", buf_str(&text));
	buf_free(&text);
}

#define CHECK(condition, a, b, c)                \
	do {                                     \
		if (!(condition)) {              \
			show(a, b, c);           \
			fail_msg("%s", #condition); \
		}                                \
	} while (0)

static struct grant *meet(const struct grant *a, const struct grant *b)
{
	struct grant *g;
	int r = grant_intersect(a, b, &g);
	if (r < 0)
		fail_msg("grant_intersect: %d", r);
	assert_true(paths_are_reduced(g));
	return g;
}

static bool same(const struct grant *a, const struct grant *b)
{
	return grant_is_subset(a, b, NULL) == 1 && grant_is_subset(b, a, NULL) == 1;
}

/* ---- laws ---- */

static void laws(bool network, int rounds, unsigned min_yes)
{
	unsigned yes = 0, no = 0;

	with_network = network;
	for (int i = 0; i < ROUNDS(rounds); i++) {
		struct grant *a = random_grant(network), *b = random_grant(network), *ab, *ba, *aa;
		/* Else one is hardly ever within another. */
		if (below(3) == 0) {
			struct grant *lower = meet(a, b);
			grant_free(a);
			a = lower;
		}
		struct grant_excess first = { 0 };
		int subset = grant_is_subset(a, b, &first);
		CHECK(subset == world_is_subset(a, b), a, b, NULL);
		CHECK(subset || (first.field && first.accepted[0]), a, b, NULL);
		ab = meet(a, b);
		ba = meet(b, a);
		aa = meet(a, a);
		CHECK(!ask_all((const struct grant *const[]){ a, b, ab }, 3, is_not_the_lower, NULL), a, b, ab);
		CHECK(grant_is_subset(ab, a, NULL) == 1, a, b, ab);
		CHECK(grant_is_subset(ab, b, NULL) == 1, a, b, ab);
		CHECK(same(ab, ba), a, b, ab);
		CHECK(same(aa, a), a, aa, NULL);
		CHECK(subset == same(ab, a), a, b, ab);
		/* What the request names is inside: then it is exactly the intersection. */
		struct grant *narrowed = NULL;
		int r = grant_narrow(b, a, &narrowed, &first);
		CHECK(r == 1 || !subset, a, b, NULL);
		CHECK(r != 1 || same(narrowed, ab), a, b, narrowed);
		/* Over the wire it is the same. */
		struct grant *copy;
		assert_int_equal(grant_copy(ab, &copy), 0);
		CHECK(same(copy, ab), ab, copy, NULL);
		yes += (unsigned)subset;
		no += !subset;
		grant_free(a);
		grant_free(b);
		grant_free(ab);
		grant_free(ba);
		grant_free(aa);
		grant_free(narrowed);
		grant_free(copy);
	}
	assert_true(yes > ROUNDS(min_yes) && no > ROUNDS(min_yes));
}

static void test_laws_without_network(void **state)
{
	(void)state;
	laws(false, 4000, 300);
}

static void test_laws(void **state)
{
	(void)state;
	laws(true, 400, 50);
}

/* Whatever is below both is below the intersection. */
static void test_greatest_lower_bound(void **state)
{
	unsigned below_both = 0;

	(void)state;
	for (int i = 0; i < ROUNDS(800); i++) {
		bool network = below(2);
		struct grant *a = random_grant(network), *b = random_grant(network), *c = random_grant(network), *ab = meet(a, b);
		struct grant *lower = below(2) ? meet(c, ab) : meet(c, a);
		bool both = grant_is_subset(lower, a, NULL) == 1 && grant_is_subset(lower, b, NULL) == 1;
		CHECK(both == (grant_is_subset(lower, ab, NULL) == 1), a, b, lower);
		below_both += both;
		/* And it is associative. */
		struct grant *bc = meet(b, c), *left = meet(ab, c), *right = meet(a, bc);
		CHECK(same(left, right), left, right, NULL);
		grant_free(a);
		grant_free(b);
		grant_free(c);
		grant_free(ab);
		grant_free(bc);
		grant_free(left);
		grant_free(right);
		grant_free(lower);
	}
	assert_true(below_both > ROUNDS(150));
}

/* Nothing is added by saying nothing. */
static void test_top(void **state)
{
	struct grant *top;

	(void)state;
	assert_int_equal(grant_of_policy(open_policy, &top), 0);
	for (int i = 0; i < ROUNDS(300); i++) {
		struct grant *g = random_grant(true), *both = meet(g, top);
		CHECK(grant_is_subset(g, top, NULL) == 1, g, NULL, NULL);
		CHECK(same(both, g), g, both, NULL);
		grant_free(g);
		grant_free(both);
	}
	grant_free(top);
}

static int setup(void **state)
{
	static const char *const all[] = { "*", "*:5000", "*:443", "*:80", "0.0.0.0/0:80", "0.0.0.0/0:443", "0.0.0.0/0:5000",
					   "[::]/0:80", "[::]/0:443", "[::]/0:5000", "tcp://*:80", "tcp://*:443", "tcp://*:5000",
					   "10.0.0.0", "10.0.0.1", "10.0.0.2", "[::1]" };
	struct error e;

	(void)state;
	/* Put together by hand: policy_finish() refuses opaque rules beside others. */
	assert_int_equal(policy_new(&open_policy), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct rule *rule;
		assert_int_equal(rule_parse(all[i], RULE_ALLOW, false, &rule, &e), 0);
		assert_int_equal(add_net_rule(&open_policy->allow, rule, false, "test", &e), 0);
	}
	struct rule *relayed;
	assert_int_equal(rule_parse("*", RULE_PASSTHROUGH, false, &relayed, &e), 0);
	assert_int_equal(add_net_rule(&open_policy->allow, relayed, false, "test", &e), 0);
	return rules_index(&open_policy->allow) | rules_index(&open_policy->deny);
}

static int teardown(void **state)
{
	(void)state;
	policy_free(open_policy);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_laws_without_network), cmocka_unit_test(test_laws),
		cmocka_unit_test(test_greatest_lower_bound), cmocka_unit_test(test_top),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
