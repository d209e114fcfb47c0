/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte even: an encoded grant; odd: sections [grant NAME] of a policy file. What is accepted encodes to itself,
 * prints, and the laws of intersections hold for what two sections, or one and a fixed one, have in common.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/grant_internal.h"
#include "fuzz.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

static struct grant *fixed_grant(void)
{
	static const char *const lines[][2] = {
		{ "allow", "https://a.example.org/v1/**" }, { "allow", "*.example.org:8080" }, { "deny", "https://a.example.org/v1/x" },
		{ "deny", "10.0.0.0/8" },		    { "secret", "API_KEY" },	       { "write", "/usr" },
		{ "hide", "/usr/share" },		    { "exec", "/usr/bin" },	       { "uses", "20" }, { "rate", "10/s" },
	};
	struct grant *g;
	struct error e;

	must(grant_new(&g) == 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		must(grant_set(g, lines[i][0], lines[i][1], "/", "fixed", &e) == 0);
	must(grant_finish(g, &e) == 0);
	return g;
}

static void check_pair(const struct grant *a, const struct grant *b)
{
	struct grant *both;
	int subset = grant_is_subset(a, b, NULL);
	int r = grant_intersect(a, b, &both);

	must(subset == 0 || subset == 1);
	if (r < 0) {
		must(r == -E2BIG);
		return;
	}
	struct net_target t = { PROTO_HTTPS, "a.example.org", NULL, 443, "GET", "/v1/x" };
	struct policy *p;
	struct net_verdict v[3];
	struct error e;
	must(policy_new(&p) == 0 && policy_set(p, "network", "allow", "*", "/", "fuzz", &e) == 0);
	must(rules_index(&p->allow) == 0 && rules_index(&p->deny) == 0);
	grant_decide(p, a, &t, &v[0]);
	grant_decide(p, b, &t, &v[1]);
	grant_decide(p, both, &t, &v[2]);
	must(v[2].allowed == (v[0].allowed && v[1].allowed));
	must(!subset || !v[0].allowed || v[1].allowed);
	must(!v[2].allowed || grant_host_possible(p, both, t.proto, t.host, NULL, t.port));
	must(grant_path_level(both, "/usr/bin/x") <= grant_path_level(a, "/usr/bin/x"));
	must(paths_are_reduced(both));
	grant_free(both);
	policy_free(p);
}

static void check_one(const struct grant *g)
{
	struct buf bytes = { 0 }, again = { 0 };
	struct grant *copy, *fixed = fixed_grant();

	must(grant_encode(g, &bytes) == 0);
	must(grant_decode(bytes.data, bytes.len, &copy, NULL) == 0);
	must(grant_encode(copy, &again) == 0 && again.len == bytes.len && memcmp(again.data, bytes.data, bytes.len) == 0);
	bytes.len = again.len = 0;
	must(grant_dump(g, &bytes) == 0 && grant_dump(copy, &again) == 0);
	must(again.len == bytes.len && memcmp(again.data, bytes.data, bytes.len) == 0);
	check_pair(g, fixed);
	check_pair(fixed, copy);
	buf_free(&bytes);
	buf_free(&again);
	grant_free(copy);
	grant_free(fixed);
}

static void encoded(const uint8_t *data, size_t size)
{
	struct grant *g;
	struct buf again = { 0 };

	if (grant_decode(data, size, &g, NULL) < 0)
		return;
	must(grant_encode(g, &again) == 0 && again.len == size && memcmp(again.data, data, size) == 0);
	buf_free(&again);
	check_one(g);
	grant_free(g);
}

static void file(const uint8_t *data, size_t size)
{
	struct ini_file f = { 0 };
	struct error e = { 0 };
	struct policy *p;
	size_t n = 0;

	if (ini_read((const char *)data, size, "fuzz.ini", &f, &e) < 0)
		return;
	must(policy_new(&p) == 0);
	for (size_t i = 0; i < f.n; i++) {
		if (strncmp(f.entry[i].section, "grant ", 6) == 0)
			policy_set(p, f.entry[i].section, f.entry[i].key, f.entry[i].value, "/", "fuzz", &e);
	}
	for (size_t i = 0; i < p->n_grants; i++) {
		if (grant_resolve(p->grants[i], "/", &e) < 0)
			continue;
		check_one(p->grants[i]);
		if (i && p->grants[i - 1]->finished && n++ < 4)
			check_pair(p->grants[i - 1], p->grants[i]);
	}
	policy_grant_for_argv(p, (const char *const[]){ "/usr/bin/git", "push", "origin", NULL });
	argv_warn(p);
	policy_free(p);
	ini_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		file(data + 1, size - 1);
	else
		encoded(data + 1, size - 1);
	return 0;
}
