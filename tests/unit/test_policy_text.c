/* SPDX-License-Identifier: Apache-2.0 */
/* Policies that are finished: their text and their encoding, and what they decide. */
#include "policy_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

static struct policy *rich_policy(void)
{
	struct policy *p = new_policy();
	put_file("ca.pem", "x", 1);
	mkdir(in_dir("w/d"), 0700);
	mkdir(in_dir("w/.claude"), 0700);
	assert_int_equal(policy_load_profile(p, "git", &e), 0);
	assert_int_equal(policy_load_profile(p, "node", &e), 0);
	assert_int_equal(policy_load_profile(p, "python", &e), 0);
	set(p, "filesystem", "read", in_dir("w/d"));
	set(p, "filesystem", "tmpfs", "/a:b:2M");
	set(p, "network", "allow", "GET,HEAD https://api.example.com/v1/**");
	set(p, "network", "allow", "*.example.org");
	set(p, "network", "allow", "*.example.org");
	set(p, "network", "allow", "tcp://db.example.com:5432");
	set(p, "network", "allow", "10.1.0.0/16:22");
	set(p, "network", "deny", "evil.example.org");
	set(p, "network", "deny", "https://api.example.com/v1/admin/**");
	set(p, "network", "allow_private", "https://build.corp.example/**");
	set(p, "network", "passthrough", "pinned.example.com");
	set(p, "network", "connect_to", "b.example.org:443:[::1]:8443");
	set(p, "network", "connect_to", "a.example.org:443:127.0.0.1:8443");
	set(p, "network", "upstream_ca", in_dir("ca.pem"));
	char line[600];
	/* The last one for a host counts. */
	set(p, "network", "client_cert", "/nonexistent.pem /nonexistent.key B.example.org");
	snprintf(line, sizeof(line), "%s %s b.example.org", in_dir("ca.pem"), in_dir("ca.pem"));
	set(p, "network", "client_cert", line);
	set(p, "network", "upstream_proxy", "http://[::1]:3128");
	set(p, "network", "upstream_proxy", "http://Proxy.Corp:3128/ exec:print login");
	set(p, "secret", "spec", "API_KEY=env:REAL@https://api.example.com/**,x.example.org");
	set(p, "secret API_KEY", "inject", "header, query, path, body");
	set(p, "secret API_KEY", "placeholder", "sk-ant-{random:40}");
	set(p, "secret API_KEY", "scrub", "no");
	set(p, "secret API_KEY", "on_misuse", "kill");
	set(p, "secret", "spec", "SIGNS=exec:make key@https://api.example.com/**");
	set(p, "secret SIGNS", "inject", "sigv4");
	set(p, "secret SIGNS", "key_id", "API_KEY");
	set(p, "secret SIGNS", "revoke", "end key");
	set(p, "quota api", "match", "POST https://api.example.com/v1/**");
	set(p, "quota api", "match", "tcp://db.example.com:5432");
	set(p, "quota api", "max_requests", "100");
	set(p, "quota api", "rate", "120/m");
	set(p, "quota", "spec", "max_up=1.5M,rate=5/h@evil.example.org");
	set(p, "quota", "spec", "max_requests=7");
	set(p, "env", "set", "A=b c=d");
	set(p, "env", "pass", "X, Y");
	set(p, "limits", "memory", "1.5G");
	set(p, "limits", "cpus", "1.5");
	set(p, "limits", "timeout", "250ms");
	set(p, "limits", "disk", "10M");
	set(p, "sandbox", "allow_degraded", "memory, cpus");
	set(p, "audit", "auditor", "unix:auditor.sock");
	set(p, "audit", "deadline", "2s");
	finish(p);
	return p;
}

static void test_dump_loads_again(void **state)
{
	struct policy *p = rich_policy(), *again = new_policy();
	char *first = dump(p), *same = dump(p), *second;

	(void)state;
	assert_string_equal(first, same);
	put_file("dump.ini", first, strlen(first));
	if (policy_load_file(again, in_dir("dump.ini"), &e) < 0)
		fail_msg("%s\n%s", e.message, first);
	finish(again);
	second = dump(again);
	strip_comments(first);
	strip_comments(second);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "allow = *.example.org\n"));
	assert_non_null(strstr(first, "[quota api]\nmatch = POST https://api.example.com/v1/**\nmatch = "
				      "tcp://db.example.com:5432\nmax_requests = 100\nrate = 2/s\n"));
	assert_non_null(strstr(first, "[quota flag1]\nmatch = evil.example.org\nmax_up = 1536K\nrate = 5/h\n"));
	assert_non_null(strstr(first, "[quota flag2]\n; match: everything\nmax_requests = 7\n"));
	assert_non_null(strstr(first, "memory = 1536M\n"));
	assert_non_null(strstr(first, "timeout = 250.000ms\n"));
	assert_non_null(strstr(first, "/auditor.sock\n"));
	assert_non_null(strstr(first, "deadline = 2000ms\n"));
	policy_free(p);
	policy_free(again);
	free(first);
	free(same);
	free(second);
}

/* What no policy file can hold becomes a comment, and the file stays valid; but not without what takes something away. */
static void test_dump_of_unusual_values(void **state)
{
	struct policy *p = new_policy(), *again = new_policy();
	char name[400] = "w/";

	(void)state;
	set(p, "env", "set", "A=x ;y");
	set(p, "env", "set", "B=x\ny");
	set(p, "env", "set", "C=x ");
	finish(p);
	char *text = dump(p);
	put_file("dump.ini", text, strlen(text));
	if (policy_load_file(again, in_dir("dump.ini"), &e) < 0)
		fail_msg("%s\n%s", e.message, text);
	policy_free(p);
	policy_free(again);
	free(text);

	memset(name + 2, 'd', 220);
	mkdir(in_dir(name), 0700);
	for (size_t i = 0; i < 3; i++) {
		static const char *const keys[] = { "hide", "protect", "read" };
		p = new_policy();
		set(p, "filesystem", keys[i], in_dir(name));
		finish(p);
		text = dump(p);
		put_file("dump.ini", text, strlen(text));
		again = new_policy();
		assert_int_equal(policy_load_file(again, in_dir("dump.ini"), &e), -EINVAL);
		assert_non_null(strstr(text, "cannot stand in a policy file: "));
		policy_free(p);
		policy_free(again);
		free(text);
	}
}

static void test_encoding(void **state)
{
	struct policy *p = rich_policy(), *again;
	struct buf bytes = { 0 }, second = { 0 };

	(void)state;
	assert_int_equal(policy_encode(p, &bytes), 0);
	assert_int_equal(policy_decode(bytes.data, bytes.len, &again, &e), 0);
	assert_int_equal(policy_encode(again, &second), 0);
	assert_int_equal(bytes.len, second.len);
	assert_memory_equal(bytes.data, second.data, bytes.len);
	char *a = dump(p), *b = dump(again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	policy_free(again);

	/* A cut message is never valid; a changed byte gives a policy that encodes to just these bytes, or none. */
	for (size_t n = 0; n < bytes.len; n++) {
		again = NULL;
		assert_true(policy_decode(bytes.data, n, &again, &e) < 0);
		for (unsigned flip = 1; flip < 256; flip += 85) {
			bytes.data[n] ^= (uint8_t)flip;
			if (policy_decode(bytes.data, bytes.len, &again, &e) == 0) {
				second.len = 0;
				assert_int_equal(policy_encode(again, &second), 0);
				assert_int_equal(second.len, bytes.len);
				assert_memory_equal(second.data, bytes.data, bytes.len);
				policy_free(again);
			}
			bytes.data[n] ^= (uint8_t)flip;
		}
	}
	buf_free(&bytes);
	buf_free(&second);
	policy_free(p);
}

static void decide(struct policy *p, const char *method, const char *url, bool allowed, const char *reason, const char *rule)
{
	struct net_verdict v;
	if (policy_check_url(p, url, method, &v, &e) < 0)
		fail_msg("%s", e.message);
	if (v.allowed != allowed || strcmp(v.reason, reason) != 0 || strcmp(v.rule, rule) != 0)
		fail_msg("%s: %d %s %s", url, v.allowed, v.reason, v.rule);
}

static void counts(struct policy *p, const char *method, const char *url, uint64_t quotas)
{
	struct net_verdict v;
	if (policy_check_url(p, url, method, &v, &e) < 0)
		fail_msg("%s", e.message);
	if (v.quotas != quotas)
		fail_msg("%s %s: %llx", method ? method : "any", url, (unsigned long long)v.quotas);
}

/* Bits in the order of rich_policy(). What could be read in another way counts too. */
static void test_quotas(void **state)
{
	struct policy *p = rich_policy();

	(void)state;
	counts(p, "POST", "https://api.example.com/v1/x", 1 | 4);
	counts(p, "post", "https://api.example.com/v1/x", 1 | 4);
	counts(p, "POST", "https://api.example.com/v1//x", 1 | 4);
	counts(p, "GET", "https://api.example.com/v1/x", 4);
	counts(p, "POST", "https://api.example.com/v2", 4);
	counts(p, NULL, "tcp://db.example.com:5432", 1 | 4);
	counts(p, NULL, "tcp://db.example.com:5433", 4);
	counts(p, "GET", "http://evil.example.org:8080/", 2 | 4);
	policy_free(p);

	REFUSED(HEAD "[quota a b]\nrate = 1/s\n", ":3: a name in [quota a b] is letters");
	REFUSED(HEAD "[quota a]\nallow = x.example\n", ":4: unknown key 'allow' in [quota a]");
	REFUSED(HEAD "[quota a]\nmax_requests = 0\n", ":4: [quota a] max_requests = 0: accepted: a whole number from 1");
	REFUSED(HEAD "[quota a]\nmax_up = 1X\n", ":4: [quota a] max_up = 1X: accepted: a size above 0");
	REFUSED(HEAD "[quota a]\nrate = 10/d\n", ":4: [quota a] rate = 10/d: accepted: a whole number a second");
	REFUSED(HEAD "[quota a]\nmatch = https://x.example/%2f\n", ":4: [quota a] match = https://x.example/%2f: ");
	static const char *const bad[] = { "", "100", "max_requests", "uses=1", "max_requests=1,", "rate=1/s@" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		p = new_policy();
		assert_true(policy_set(p, "quota", "spec", bad[i], NULL, "--quota", &e) < 0);
		policy_free(p);
	}
	p = new_policy();
	set(p, "quota a", "match", "x.example");
	assert_int_equal(policy_finish(p, &e), -EINVAL);
	assert_non_null(strstr(e.message, "limits nothing"));
	policy_free(p);
	p = new_policy();
	set(p, "quota a", "max_up", "1K");
	set(p, "network", "mode", "none");
	assert_int_equal(policy_finish(p, &e), -EINVAL);
	policy_free(p);
	p = new_policy();
	for (unsigned i = 0; i < POLICY_QUOTAS_MAX; i++)
		set(p, "quota", "spec", "rate=1/s");
	assert_int_equal(policy_set(p, "quota", "spec", "rate=1/s", NULL, "--quota", &e), -ENOMEM);
	assert_non_null(strstr(e.message, "more than 64 quotas"));
	policy_free(p);
}

static void test_decisions(void **state)
{
	struct policy *p = rich_policy();
	struct net_verdict v;
	uint16_t ports[8];
	struct in6_addr addr;

	(void)state;
	decide(p, NULL, "https://api.example.com/v1/x?y=%2f", true, "rule", "GET,HEAD https://api.example.com/v1/**");
	decide(p, "POST", "https://api.example.com/v1/x", false, "method", "");
	decide(p, "GET", "https://api.example.com/v2", false, "path", "");
	decide(p, "GET", "https://API.example.com./v1/../v1/a", true, "rule", "GET,HEAD https://api.example.com/v1/**");
	decide(p, "GET", "https://api.example.com/v1/admin/x", false, "deny-rule", "https://api.example.com/v1/admin/**");
	decide(p, "GET", "https://api.example.com/v1//%61dmin/x", false, "deny-rule", "https://api.example.com/v1/admin/**");
	decide(p, "GET", "http://api.example.com/v1/x", false, "no-rule", "");
	decide(p, "PUT", "http://a.b.example.org/", true, "rule", "*.example.org");
	decide(p, "GET", "http://example.org/", false, "no-rule", "");
	decide(p, "GET", "https://evil.example.org/", false, "deny-rule", "evil.example.org");
	decide(p, NULL, "tcp://evil.example.org:7", false, "deny-rule", "evil.example.org");
	decide(p, NULL, "tcp://db.example.com:5432", true, "rule", "tcp://db.example.com:5432");
	decide(p, NULL, "tcp://10.1.2.3:22", true, "rule", "10.1.0.0/16:22");
	decide(p, NULL, "tcp://10.2.2.3:22", false, "no-rule", "");
	decide(p, NULL, "https://pinned.example.com/", true, "passthrough", "pinned.example.com");
	decide(p, NULL, "http://169.254.169.254/", false, "no-rule", "");
	static const char *const bad[] = { "x", "ftp://a", "https://", "https://a:0", "https://a:65536", "https://u@a/",
					   "https://a/%5c", "tcp://a", "https://a:1:2/", "https://127.1/" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(policy_check_url(p, bad[i], NULL, &v, &e) < 0);
	assert_int_equal(policy_check_url(p, "https://build.corp.example/x", NULL, &v, &e), 0);
	assert_true(v.allowed && v.allow_private);
	assert_int_equal(policy_check_url(p, "https://x.example.org/x", NULL, &v, &e), 0);
	assert_true(v.allowed && !v.allow_private);

	assert_true(policy_host_possible(p, PROTO_HTTPS, "api.example.com", NULL, 443));
	assert_false(policy_host_possible(p, PROTO_HTTPS, "evil.example.org", NULL, 443));
	assert_false(policy_host_possible(p, PROTO_HTTPS, "other.example", NULL, 443));
	assert_true(policy_is_passthrough(p, "pinned.example.com", 443));
	assert_false(policy_is_passthrough(p, "pinned.example.com", 8443));
	assert_int_equal(policy_ports(p, ports, ARRAY_LEN(ports)), 4);
	assert_int_equal(ports[0], 22);
	assert_int_equal(ports[3], 5432);
	assert_string_equal(policy_connect_to(p, "b.example.org", 443)->addr, "::1");
	assert_null(policy_connect_to(p, "b.example.org", 80));
	assert_true(policy_degraded_allowed(p, "cpus"));
	assert_false(policy_degraded_allowed(p, "pids"));
	assert_true(addr_from_text("10.1.2.3", &addr));
	assert_false(policy_addr_denied(p, PROTO_TCP, &addr, 22));

	size_t n;
	const struct policy_secret *s = policy_secrets(p, &n);
	struct net_target t = { PROTO_HTTPS, "api.example.com", NULL, 443, "POST", "/x" };
	assert_true(secret_allowed(s, &t));
	t.host = "other.example";
	assert_false(secret_allowed(s, &t));
	t.host = "x.example.org";
	t.proto = PROTO_HTTP;
	t.port = 80;
	assert_false(secret_allowed(s, &t)); /* not encrypted */
	policy_free(p);
}

/* The index must find what looking at every rule finds. */
static void test_index_finds_all(void **state)
{
	static const char *const hosts[] = { "a.x", "b.a.x", "*.x", "*.a.x", "*", "10.0.0.1", "x" };
	static const char *const ranges[] = { "10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "[::]/0", "[fd00::]/8", "10.0.0.1/32" };
	static const char *const asked[] = { "a.x", "b.a.x", "c.b.a.x", "x", "y", "10.0.0.1", "10.0.0.2", "10.9.9.9", "11.0.0.1",
					     "::1", "fd00::1" };
	uint64_t seed = 42;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct policy *p = new_policy();
		char text[64];
		for (int i = 0; i < 12; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned v = (unsigned)(seed >> 33);
			if (v % 3)
				snprintf(text, sizeof(text), "tcp://%s:%u", hosts[v / 3 % ARRAY_LEN(hosts)], 1 + v / 100 % 2);
			else
				snprintf(text, sizeof(text), "%s:%u", ranges[v / 3 % ARRAY_LEN(ranges)], 1 + v / 100 % 2);
			set(p, "network", v / 1000 % 4 ? "allow" : "deny", text);
		}
		finish(p);
		for (size_t k = 0; k < ARRAY_LEN(asked) * 2; k++) {
			struct net_target t = { .proto = PROTO_TCP, .host = asked[k / 2], .port = (uint16_t)(1 + k % 2) };
			struct in6_addr addr;
			struct net_verdict v;
			bool allow = false, deny = false;
			if (addr_from_text(t.host, &addr)) {
				t.host = NULL;
				t.addr = &addr;
			}
			for (size_t i = 0; i < p->allow.n; i++)
				allow = allow || rule_matches(p->allow.rule[i].rule, &t);
			for (size_t i = 0; i < p->deny.n; i++)
				deny = deny || rule_matches(p->deny.rule[i].rule, &t);
			policy_decide(p, &t, &v);
			if (v.allowed != (allow && !deny))
				fail_msg("%s:%u: %d %d %d", asked[k / 2], t.port, v.allowed, allow, deny);
			assert_int_equal(policy_host_possible(p, t.proto, t.host, t.addr, t.port), allow && !deny);
		}
		policy_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dump_loads_again),
		TEST(test_dump_of_unusual_values),
		TEST(test_encoding),
		TEST(test_quotas),
		TEST(test_decisions),
		TEST(test_index_finds_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
