/* SPDX-License-Identifier: Apache-2.0 */
/* First byte even: an encoded policy; odd: a policy file. What is accepted encodes to itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"
#include "fuzz.h"

static const char new_rule[] = "POST https://new.example:8443/v1/**";

/* While a sandbox runs: a rule that came and went leaves nothing, and a secret is the same alone as within. */
static void change(struct policy *p)
{
	struct buf before = { 0 }, after = { 0 };
	struct error e;
	size_t n;

	if (policy_encode(p, &before) < 0)
		abort();
	if (policy_find_rule(p, new_rule, &e) < 0 && policy_add_rule(p, RULE_KEY_ALLOW, new_rule, "fuzz", &e) == 0 &&
	    (policy_find_rule(p, new_rule, &e) < 0 || policy_remove_rule(p, RULE_KEY_NONE, new_rule, &e) < 0))
		abort();
	if (policy_encode(p, &after) < 0 || after.len != before.len || memcmp(after.data, before.data, after.len) != 0)
		abort();
	const struct policy_secret *secrets = policy_secrets(p, &n);
	for (size_t i = 0; i < n; i++) {
		struct policy_secret *alone;
		before.len = after.len = 0;
		if (policy_secret_encode(&secrets[i], &before) < 0 ||
		    policy_secret_decode(before.data, before.len, &alone) < 0 || policy_secret_encode(alone, &after) < 0 ||
		    after.len != before.len || memcmp(after.data, before.data, after.len) != 0)
			abort();
		policy_secret_free(alone);
	}
	buf_free(&before);
	buf_free(&after);
}

static void encoded(const uint8_t *data, size_t size)
{
	struct policy *p;
	struct error e = { 0 };
	struct buf again = { 0 };
	struct net_verdict v;
	struct net_target t = { PROTO_HTTPS, "a.example.org", NULL, 443, "GET", "/v1/x" };

	if (policy_decode(data, size, &p, &e) < 0)
		return;
	if (policy_encode(p, &again) < 0 || again.len != size || memcmp(again.data, data, size) != 0)
		abort();
	policy_decide(p, &t, &v);
	if (v.allowed && !policy_host_possible(p, t.proto, t.host, t.addr, t.port))
		abort();
	size_t n;
	policy_quotas(p, &n);
	if (n < POLICY_QUOTAS_MAX && policy_quotas_of(p, &t) >> n)
		abort();
	again.len = 0;
	if (policy_dump(p, &again) < 0)
		abort();
	change(p);
	buf_free(&again);
	policy_free(p);
}

static void file(const uint8_t *data, size_t size)
{
	struct ini_file f = { 0 };
	struct error e = { 0 };
	struct policy *p;

	if (ini_read((const char *)data, size, "fuzz.ini", &f, &e) < 0) {
		if (strncmp(e.message, "fuzz.ini:", 9) != 0)
			abort();
		return;
	}
	if (policy_new(&p) < 0)
		abort();
	for (size_t i = 0; i < f.n; i++) {
		/* Not extends: it opens files. */
		if (strcmp(f.entry[i].key, "extends") != 0)
			policy_set(p, f.entry[i].section, f.entry[i].key, f.entry[i].value, "/", "fuzz", &e);
	}
	/* It only looks where the words of a command lead. */
	if (policy_auditor(p)->spec)
		policy_check_auditor(p, policy_auditor(p)->spec, &e);
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
