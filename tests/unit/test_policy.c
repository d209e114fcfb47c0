/* SPDX-License-Identifier: Apache-2.0 */
/* Policies as a whole: files and their refusal, secrets in them, layers. */
#include "policy_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void test_lines_refused(void **state)
{
	(void)state;
	REFUSED("", ":1: no '[sandbox]' with 'version = 1'");
	REFUSED("[network]\nmode = none\n", ":1: no '[sandbox]'");
	REFUSED("[sandbox]\nversion = 2\n", ":2: [sandbox] version = 2: accepted: version = 1");
	REFUSED("\xef\xbb\xbf" HEAD, ":1: the file begins with a byte order mark");
	REFUSED(HEAD "; " X50 X50 X50 X50 "\n", ":3: the line has 202 bytes; at most 199");
	REFUSED(HEAD "[env]\nset = A=\0b\n", ":4: control byte 0x00 at column 9");
	REFUSED(HEAD "[env]\r\n", ":3: control byte 0x0d (use Unix line ends)");
	REFUSED(HEAD "[env]\npass\t= A\n", ":4: control byte 0x09 (a tab");
	REFUSED(HEAD "[env]\n pass = A\n", ":4: white space at the beginning");
	REFUSED(HEAD "[env]\npass = A\n   B\n", ":5: white space at the beginning");
	REFUSED(HEAD "[env]\npass : A\n", ":4: 'pass : A': no '='");
	REFUSED(HEAD "[env]\nset: A=b\n", ":4: ':' before '='");
	REFUSED(HEAD "[env]\npass\n", ":4: 'pass': no '='");
	REFUSED(HEAD "[env]\npass ; = A\n", ":4: 'pass ; = A': no '='");
	REFUSED(HEAD "[env]\n= A\n", ":4: no key before '='");
	REFUSED(HEAD "[env]\n" X50 " = A\n", ":4: the key is over 49 bytes");
	REFUSED(HEAD "[secret " X50 "]\n", ":3: the section's name is over 49 bytes");
	REFUSED(HEAD "[nosuch]\n", ":3: unknown section [nosuch]; accepted: [sandbox]");
	REFUSED(HEAD "[Network]\n", ":3: unknown section [Network]");
	REFUSED(HEAD "[secret]\n", ":3: unknown section [secret]");
	REFUSED(HEAD "[env]\n[network]\n[env]\n", ":5: [env] is opened a second time");
	REFUSED(HEAD "[env\n", ":3: '[' without ']'");
	REFUSED(HEAD "[env] x\n", ":3: only a comment may follow");
	REFUSED("version = 1\n", ":1: 'version' stands before the first [SECTION]");
	REFUSED(HEAD "[audit]\nauditor = /x\n", ":4: [audit] auditor = /x: the auditor '/x' has no known prefix; give unix:PATH");
	REFUSED(HEAD "[audit]\nauditor = exec:\n", ":4: [audit] auditor = exec:: the auditor 'exec:' names no command");
	REFUSED(HEAD "[audit]\nauditor = unix:\n", ":4: [audit] auditor = unix:: the auditor 'unix:' names no absolute path");
	REFUSED(HEAD "[audit]\ndeadline = 1ms\n", ":4: [audit] deadline = 1ms: the deadline of the auditor is a time from 5ms");
	REFUSED(HEAD "[audit]\nauditors = exec:x\n", ":4: unknown key 'auditors' in [audit], did you mean 'auditor'");
	REFUSED(HEAD "[grant a b]\n", ":3: a name in [grant a b] is letters, digits, '_' and '-'");
	REFUSED(HEAD "[grant x]\n[grant y]\n[grant x]\n", ":5: [grant x] is opened a second time");
}

static void test_values_refused(void **state)
{
	(void)state;
	REFUSED(HEAD "[network]\nalow = a.org\n", ":4: unknown key 'alow' in [network], did you mean 'allow'; accepted: mode,");
	REFUSED(HEAD "[network]\nallow =\n", ":4: [network] allow = : the value is empty");
	REFUSED(HEAD "[network]\nallow = ; a.org\n", ":4: [network] allow = : the value is empty");
	REFUSED(HEAD "[network]\nallow = *x.org\n", ":4: [network] allow = *x.org: '*x.org': '*' stands alone");
	REFUSED(HEAD "[network]\nmode = open\n", ":4: [network] mode = open: accepted: gateway, none, host");
	REFUSED(HEAD "[network]\nconnect_to = a:1:b\n", ":4: [network] connect_to = a:1:b: accepted: HOST:PORT:ADDR:PORT");
	REFUSED(HEAD "[network]\nconnect_to = a:0:b:1\n", ":4: [network] connect_to = a:0:b:1: accepted:");
	REFUSED(HEAD "[network]\nupstream_proxy = http://me:pw@p.org:1\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = https://p.org:1\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org:1/x\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org:1 me:pw\n", ":4: [network] upstream_proxy: it is not shown");
	REFUSED(HEAD "[network]\nupstream_proxy = http://p.org:1 env:A env:B\n", ":4: [network] upstream_proxy: it is not");
	REFUSED(HEAD "[network]\nclient_cert = c k\n", ":4: [network] client_cert = c k: accepted: CERT KEY HOST");
	REFUSED(HEAD "[network]\nclient_cert = c k a.org x\n", ":4: [network] client_cert = c k a.org x: accepted: CERT KEY");
	REFUSED(HEAD "[network]\nclient_cert = c k *.org\n", ":4: [network] client_cert = c k *.org: accepted: CERT KEY");
	REFUSED(HEAD "[filesystem]\nread = ~bob/x\n", ":4: [filesystem] read = ~bob/x: accepted: a path");
	REFUSED(HEAD "[filesystem]\ntmpfs = /x:5Q\n", ":4: [filesystem] tmpfs = /x:5Q: accepted: PATH[:SIZE]");
	REFUSED(HEAD "[env]\nset = A\n", ":4: [env] set: accepted: NAME=VALUE");
	REFUSED(HEAD "[env]\npass = A, ,B\n", ":4: [env] pass = A, ,B: an empty item");
	REFUSED(HEAD "[env]\npass = A-B\n", ":4: [env] pass = A-B: accepted: NAME[,NAME]");
	REFUSED(HEAD "[limits]\nmemory = 2X\n", ":4: [limits] memory = 2X: accepted: a size above 0");
	REFUSED(HEAD "[limits]\nmemory = 99999999T\n", ":4: [limits] memory = 99999999T: accepted:");
	REFUSED(HEAD "[limits]\npids = 0\n", ":4: [limits] pids = 0: accepted: a whole number");
	REFUSED(HEAD "[limits]\ntimeout = -1\n", ":4: [limits] timeout = -1: accepted: a time");
	REFUSED(HEAD "[limits]\ncpus = x\n", ":4: [limits] cpus = x: accepted: a number of CPUs");
	REFUSED(HEAD "[secret A]\ninject = cookie\n", ":4: [secret A] inject = cookie: accepted: header, basic, query, path, body, or sigv4 alone");
	REFUSED(HEAD "[secret A]\non_misuse = ask\n", ":4: [secret A] on_misuse = ask: accepted: block, kill, pass");
	REFUSED(HEAD "[secret A]\nrevoke =\n", ":4: [secret A] revoke");
	REFUSED(HEAD "[secret A]\nkey_id = a b\n", ":4: [secret A] key_id = a b: accepted: the name of a secret");
	REFUSED(HEAD "[secret A]\nplaceholder = x\n", ":4: [secret A] placeholder = x: accepted:");
	REFUSED(HEAD "[secret A]\nplaceholder = {random:4}\n", ":4: [secret A] placeholder = {random:4}: accepted:");
	REFUSED(HEAD "[secret A]\nallow = *\n", ":4: [secret A] allow = *: a secret needs named hosts");
	REFUSED(HEAD "[secret 9A]\ninsecure = yes\n", ":4: a secret's name is a variable's name");
	REFUSED("[sandbox]\nversion = 1\nextends = gti\n", ":3: no profile 'gti', did you mean 'git'");
	REFUSED("[sandbox]\nversion = 1\nextends = ./p.ini\n", ":3: [sandbox] extends = ./p.ini: extends is nested");
	REFUSED("[sandbox]\nversion = 1\nextends = ./none.ini\n", ":3: [sandbox] extends = ./none.ini: cannot open");
}

/* What stands where a source is expected may be the secret. */
static void test_source_never_shown(void **state)
{
	static const char *const specs[] = { "K=sk-hidden@a.org", "K=sk-hidden", "K=env:sk-hidden@a.org", "sk-hidden@a.org",
					     "K=sk-hidden@", "K=env:X,sk-hidden@a b", "K=file:@a.org" };
	struct policy *p = new_policy();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		assert_true(policy_set(p, "secret", "spec", specs[i], NULL, "--secret", &e) < 0);
		assert_null(strstr(e.message, "hidden"));
		assert_null(strstr(e.object, "hidden"));
		assert_int_equal(strncmp(e.message, "--secret: ", 10), 0);
	}
	assert_true(policy_set(p, "secret K", "source", "sk-hidden", NULL, "api", &e) < 0);
	assert_null(strstr(e.message, "hidden"));
	assert_null(strstr(e.object, "hidden"));
	policy_free(p);
}

static void test_secret_spec(void **state)
{
	struct policy *p = new_policy();
	size_t n;

	(void)state;
	set(p, "secret", "spec", "A=exec:get x@a.org");
	set(p, "secret", "spec", "B@https://a.org/v1/**,b.org:8443");
	const struct policy_secret *s = policy_secrets(p, &n);
	assert_int_equal(n, 2);
	assert_int_equal(s[1].source, SOURCE_ENV);
	assert_string_equal(s[1].source_arg, "B");
	assert_int_equal(s[1].n_allow, 2);
	assert_int_equal(s[1].inject, INJECT_HEADER | INJECT_BASIC | INJECT_QUERY);
	policy_free(p);
}

static void test_layers(void **state)
{
	struct policy *p = new_policy();
	const char base[] = HEAD "[network]\nmode = none\n[limits]\npids = 7\n";
	const char file[] = "[network]\nmode = gateway\nallow = a.org ; why\n[sandbox]\nversion = 1\nextends = base, ./low.ini\n"
			    "[filesystem]\nread = sub\n[secret S]\nsource = file:key\nallow = https://a.org/**, b.org\n";
	size_t n;

	(void)state;
	mkdir(in_dir("w/sub"), 0700);
	put_file("low.ini", base, sizeof(base) - 1);
	put_file("p.ini", file, sizeof(file) - 1);
	if (policy_load_file(p, in_dir("p.ini"), &e) < 0)
		fail_msg("%s", e.message);
	set(p, "limits", "pids", "9");
	finish(p);
	assert_int_equal(policy_net_mode(p), NET_GATEWAY); /* the file after what it extends */
	assert_int_equal(policy_limits(p)->pids, 9);	   /* flags last */
	assert_non_null(entry(p, PATH_READ, in_dir("w/sub")));
	const struct policy_secret *s = policy_secrets(p, &n);
	assert_string_equal(s->source_arg, in_dir("key")); /* against the file */
	assert_int_equal(s->n_allow, 2);
	assert_non_null(strstr(policy_warnings(p), "b.org, which no rule allows"));
	assert_int_equal(policy_finish(p, &e), 0);
	assert_int_equal(policy_set(p, "limits", "pids", "1", NULL, "--pids", &e), -EBUSY);
	policy_free(p);
}

/* While a sandbox runs: the same text under two keys is two rules, and what is taken back is the one that was added. */
static void test_rules_by_their_key(void **state)
{
	struct policy *p = new_policy();
	const struct net_target t = { .proto = PROTO_HTTPS, .host = "a.org", .port = 443, .method = "GET", .path = "/" };
	struct net_verdict v;
	(void)state;

	set(p, "network", "allow", "https://a.org");
	finish(p);
	assert_int_equal(policy_add_rule(p, RULE_KEY_ALLOW, "https://a.org", "test", &e), -EEXIST);
	policy_decide(p, &t, &v);
	assert_true(v.allowed && !v.allow_private);
	assert_int_equal(policy_add_rule(p, RULE_KEY_PRIVATE, "https://a.org", "test", &e), 0);
	assert_int_equal(policy_add_rule(p, RULE_KEY_PRIVATE, "https://a.org", "test", &e), -EEXIST);
	policy_decide(p, &t, &v);
	assert_true(v.allowed && v.allow_private);
	assert_int_equal(policy_remove_rule(p, RULE_KEY_PRIVATE, "https://a.org", &e), 0);
	policy_decide(p, &t, &v);
	assert_true(v.allowed && !v.allow_private);

	assert_true(policy_add_rule(p, RULE_KEY_PASSTHROUGH, "a.org", "test", &e) < 0); /* its requests are to be read */
	assert_true(policy_add_rule(p, RULE_KEY_PASSTHROUGH, "https://b.org/x", "test", &e) < 0);
	assert_false(policy_is_passthrough(p, "b.org", 443));
	assert_int_equal(policy_add_rule(p, RULE_KEY_PASSTHROUGH, "b.org", "test", &e), 0);
	assert_true(policy_is_passthrough(p, "b.org", 443));
	assert_true(policy_add_rule(p, RULE_KEY_ALLOW, "https://b.org", "test", &e) < 0);
	assert_int_equal(policy_rule_key("deny"), RULE_KEY_NONE);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines_refused),
		TEST(test_values_refused),
		TEST(test_source_never_shown),
		TEST(test_secret_spec),
		TEST(test_layers),
		TEST(test_rules_by_their_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
