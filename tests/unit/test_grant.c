/* SPDX-License-Identifier: Apache-2.0 */
/* Grants as they are written, checked and asked; their algebra is in test_grant_algebra.c. */
#include "grant_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* By the reader or by policy_finish(); message follows "FILE:". */
static void refused(const char *text, const char *message)
{
	struct policy *p = load(text);
	char expected[512];

	if (p && policy_finish(p, &e) == 0)
		fail_msg("accepted: %s", text);
	snprintf(expected, sizeof(expected), "%s:%s", in_dir("p.ini"), message);
	if (strncmp(e.message, expected, strlen(expected)) != 0)
		fail_msg("%s\nnot: %s", e.message, expected);
	assert_int_equal(e.stage, SANDBOX_STAGE_POLICY);
	policy_free(p);
}

#define G POLICY "[grant push]\n" /* line 22; the next is 23 */

static void test_lines_refused(void **state)
{
	(void)state;
	refused(HEAD "[grant]\n", "3: unknown section [grant]");
	refused(HEAD "[grant a.b]\n", "3: a name in [grant a.b] is letters, digits, '_' and '-'");
	refused(G "alow = x.org\n", "23: unknown key 'alow' in [grant push], did you mean 'allow'; accepted: argv, allow,");
	refused(G "allow_private = x.org\n", "23: [grant push] allow_private = x.org: accepted: allow; whether");
	refused(G "allow =\n", "23: [grant push] allow = : the value is empty");
	refused(G "allow = *x.org\n", "23: [grant push] allow = *x.org: '*x.org': '*' stands alone");
	refused(G "deny = none/x\n", "23: [grant push] deny = none/x: 'none/x': a path needs a scheme");
	refused(G "passthrough = https://x.org\n", "23: [grant push] passthrough = https://x.org: accepted: HOST[:PORT]");
	refused(G "secret = 9A\n", "23: [grant push] secret = 9A: accepted: NAME[,NAME] of secrets");
	refused(G "secret = A,,B\n", "23: [grant push] secret = A,,B: accepted: NAME[,NAME]");
	refused(G "read_only = maybe\n", "23: [grant push] read_only = maybe: accepted: yes, no");
	refused(G "read_only = yes\nwrite = src\n", "24: [grant push] write = src and read_only = yes (");
	refused(G "view = all\n", "23: [grant push] view = all: accepted: working, scratch, committed");
	refused(G "timeout = x\n", "23: [grant push] timeout = x: accepted: a time above 0");
	refused(G "ttl = 0\n", "23: [grant push] ttl = 0: accepted: a time above 0");
	refused(G "uses = 0\n", "23: [grant push] uses = 0: accepted: a whole number from 1 to 1000000000");
	refused(G "bytes_up = 1Q\n", "23: [grant push] bytes_up = 1Q: accepted: a size above 0");
	refused(G "rate = 10\n", "23: [grant push] rate = 10: accepted: a whole number a second, minute or hour");
	refused(G "rate = 100001/s\n", "23: [grant push] rate = 100001/s: accepted: a whole number a second");
	refused(G "open_files = 9999999\n", "23: [grant push] open_files = 9999999: accepted: a whole number from 1 to 1048576");
	refused(G "background = 1\n", "23: [grant push] background = 1: accepted: yes, no");
	refused(G "isolation = heavy\n", "23: [grant push] isolation = heavy: accepted: light, full");
	refused(G "credentials = none\n", "23: [grant push] credentials = none: accepted: any, placeholders-only");
	refused(G "argv = git \"a b\"\n", "23: [grant push] argv = git \"a b\": accepted: words with blanks");
	refused(G "read = ~bob/x\n", "23: [grant push] read = ~bob/x: accepted: a path");
	refused(G "read = nosuch\n", "23: [grant push] read = nosuch: the path must exist: ");
	refused(G "write = /\n", "23: [grant push] write = /: the root as a whole cannot be named");
	refused(G "exec = /proc/self\n", "23: [grant push] exec = /proc/self: the path must exist: ");
	refused(HEAD "[network]\nmode = host\n[grant x]\n", "5: [grant x] narrows the network, but in mode host");
}

static void test_bounds(void **state)
{
	struct buf b = { 0 };
	(void)state;

	buf_puts(&b, G);
	for (int i = 0; i < 17; i++)
		buf_puts(&b, "argv = a\n");
	refused(buf_str(&b), "39: [grant push] argv = a: more than 16 argv patterns in one grant");
	b.len = 0;
	buf_puts(&b, G "argv =");
	for (int i = 0; i < 65; i++)
		buf_puts(&b, " a");
	refused(buf_str(&b), "23: [grant push] argv = a a a");
	assert_non_null(strstr(e.message, "accepted: 1 to 64 words"));
	b.len = 0;
	buf_puts(&b, G);
	for (int i = 0; i < 1025; i++)
		buf_printf(&b, "allow = https://git.example.com/%d\n", i);
	refused(buf_str(&b), "1047: [grant push] allow = https://git.example.com/1024: more than 1024 rules in one grant");
	b.len = 0;
	buf_puts(&b, G);
	for (int i = 0; i < 129; i++)
		buf_printf(&b, "secret = S%d\n", i);
	refused(buf_str(&b), "151: [grant push] secret = S128: more than 128 secrets in one grant");
	b.len = 0;
	buf_puts(&b, POLICY);
	for (int i = 0; i < 129; i++)
		buf_printf(&b, "[grant g%d]\n", i);
	refused(buf_str(&b), "150: more than 128 grants in one policy");
	b.len = 0;
	buf_puts(&b, G);
	for (int i = 0; i < 257; i++) {
		char name[32];
		snprintf(name, sizeof(name), "w/src/%03d", i);
		put_file(name, "", 0);
		buf_printf(&b, "write = src/%03d\n", i);
	}
	refused(buf_str(&b), "279: more than 256 paths in one list of a grant");
	buf_free(&b);
}

static void test_excess(void **state)
{
	(void)state;
	refused(G "allow = https://git.example.com/**\n",
		"23: [grant push] allow = https://git.example.com is more than the policy allows; accepted: the same with "
		"deny = https://git.example.com/admin/** beside it (");
	refused(G "allow = http://git.example.com/x\n",
		"23: [grant push] allow = http://git.example.com/x is more than the policy allows; accepted: "
		"https://git.example.com");
	refused(G "allow = nowhere.example\n",
		"23: [grant push] allow = nowhere.example is more than the policy allows; accepted: nothing: no rule");
	/* A server that merges slashes must not be a way around the denial. */
	refused(G "allow = https://git.example.com//admin/x\n", "23: [grant push] allow = https://git.example.com//admin/x is more");
	refused(G "allow = *.example.org\n", "23: [grant push] allow = *.example.org is more than the policy allows; accepted: "
					     "the same with deny = evil.example.org beside it");
	refused(G "allow = pinned.example.com\n", "23: [grant push] allow = pinned.example.com is more than the policy allows; "
						  "accepted: passthrough = pinned.example.com");
	refused(G "allow = tcp://db.example.com:5433\n", "23: [grant push] allow = tcp://db.example.com:5433 is more");
	refused(G "secret = NOPE\n", "23: [grant push] secret = NOPE is more than the policy allows; accepted: API_KEY, OTHER");
	refused(G "timeout = 11m\n", "23: [grant push] timeout = 11m is more than the policy allows; accepted: at most 10m");
	refused(G "open_files = 5000\n", "23: [grant push] open_files = 5000 is more than the policy allows; accepted: at most 4096");
	refused(G "write = docs\n", "23: [grant push] write = ");
	assert_non_null(strstr(e.message, "/w/docs is more than the policy allows; accepted: read = "));
	refused(G "write = .vscode\n", "23: [grant push] write = ");
	assert_non_null(strstr(e.message, "(the policy has protect = "));
	refused(G "read = secret.env\n", "23: [grant push] read = ");
	assert_non_null(strstr(e.message, "a path that the policy does not hide"));
	refused(G "read = ../out\n", "23: [grant push] read = ");
	assert_non_null(strstr(e.message, "accepted: at or below "));
	refused(G "read = /etc/machine-id\n", "23: [grant push] read = /etc/machine-id is more");
	refused(G "write = /usr/bin\n", "23: [grant push] write = /usr/bin is more");
	refused(G "exec = secret.env\n", "23: [grant push] exec = ");
	/* Inside what is allowed; nested hidden, protected and read-only paths stay so without being named. */
	struct policy *p = finished(G "allow = GET https://git.example.com/acme/**\ndeny = evil.example.org\n"
				      "allow = *.example.org\nallow = http://build.corp.example/x\n"
				      "allow = tcp://db.example.com:5432\npassthrough = pinned.example.com\n"
				      "secret = API_KEY, OTHER\nread = /usr/share\nwrite = .\nwrite = /var/cache\nexec = /usr/bin\n"
				      "hide = /usr/bin/env\ntimeout = 10m\nopen_files = 4096\n[grant empty]\n");
	assert_non_null(policy_grant(p, "push"));
	assert_non_null(policy_grant(p, "empty"));
	assert_null(policy_grant(p, "pus"));
	policy_free(p);
}

static void decide(struct policy *p, const struct grant *g, const char *method, const char *url, bool allowed,
		   const char *reason, const char *rule)
{
	struct net_verdict v;
	if (grant_check_url(p, g, url, method, &v, &e) < 0)
		fail_msg("%s", e.message);
	if (v.allowed != allowed || strcmp(v.reason, reason) != 0 || strcmp(v.rule, rule) != 0)
		fail_msg("%s: %d %s %s", url, v.allowed, v.reason, v.rule);
}

static void test_decisions(void **state)
{
	struct policy *p = finished(G "allow = POST https://git.example.com/acme/**\ndeny = https://git.example.com/acme/old\n"
				      "allow = http://build.corp.example/**\nallow = tcp://db.example.com:5432\n"
				      "deny = 10.0.0.0/8\nsecret = API_KEY\n[grant empty]\n");
	const struct grant *g = policy_grant(p, "push"), *empty = policy_grant(p, "empty");
	struct in6_addr addr;
	struct net_verdict v;
	size_t n;

	(void)state;
	decide(p, g, "POST", "https://git.example.com/acme/x", true, "rule", "POST https://git.example.com/acme/**");
	decide(p, g, "GET", "https://git.example.com/acme/x", false, "grant", "POST https://git.example.com/acme/**");
	decide(p, g, "POST", "https://git.example.com/other", false, "grant", "POST https://git.example.com/acme/**");
	decide(p, g, "POST", "https://git.example.com/acme/old", false, "grant-deny", "https://git.example.com/acme/old");
	decide(p, g, "POST", "https://git.example.com/acme//old;x", false, "grant-deny", "https://git.example.com/acme/old");
	decide(p, g, "GET", "https://a.example.org/", false, "grant", "");
	decide(p, g, "GET", "https://evil.example.org/", false, "deny-rule", "evil.example.org");
	decide(p, g, "GET", "https://nowhere.example/", false, "no-rule", "");
	decide(p, g, NULL, "tcp://db.example.com:5432", true, "rule", "tcp://db.example.com:5432");
	decide(p, g, NULL, "https://pinned.example.com", false, "grant", "");
	decide(p, empty, "POST", "https://git.example.com/acme/x", false, "grant", "");
	/* Whether the target may be private is the policy's word. */
	assert_int_equal(grant_check_url(p, g, "http://build.corp.example/x", NULL, &v, &e), 0);
	assert_true(v.allowed && v.allow_private);
	assert_int_equal(grant_check_url(p, g, "https://git.example.com/acme/x", "POST", &v, &e), 0);
	assert_true(v.allowed && !v.allow_private);
	assert_non_null(strstr(v.origin, "p.ini:23"));
	assert_int_equal(grant_check_url(p, empty, "https://git.example.com/", "POST", &v, &e), 0);
	assert_non_null(strstr(v.origin, "p.ini:29")); /* where the grant stands */

	assert_true(grant_host_possible(p, g, PROTO_HTTPS, "git.example.com", NULL, 443));
	assert_false(grant_host_possible(p, g, PROTO_HTTPS, "a.example.org", NULL, 443));
	assert_false(grant_host_possible(p, empty, PROTO_HTTPS, "git.example.com", NULL, 443));
	assert_true(addr_from_text("10.1.2.3", &addr));
	assert_true(grant_addr_denied(p, g, PROTO_HTTPS, &addr, 443));
	assert_false(grant_addr_denied(p, empty, PROTO_HTTPS, &addr, 443));

	const struct policy_secret *s = policy_secrets(p, &n);
	struct net_target t = { PROTO_HTTPS, "git.example.com", NULL, 443, "POST", "/acme/x" };
	assert_string_equal(s[0].name, "API_KEY");
	assert_true(grant_has_secret(g, "API_KEY"));
	assert_false(grant_has_secret(g, "OTHER"));
	assert_true(grant_secret_allowed(g, &s[0], &t));
	assert_false(grant_secret_allowed(empty, &s[0], &t));
	t.host = "a.example.org";
	assert_false(grant_secret_allowed(g, &s[0], &t)); /* not its target */
	assert_false(grant_secret_allowed(g, &s[1], &t)); /* its target, but not held */
	policy_free(p);
}

/* What nobody says in a template is not granted, of what leaves the sandbox; the rest is as in the policy. */
static void test_defaults(void **state)
{
	struct policy *p = finished(POLICY "[grant t]\n[grant u]\nbackground = yes\ncredentials = any\nsecret = API_KEY\n");
	const struct grant *t = policy_grant(p, "t"), *u = policy_grant(p, "u");
	struct grant *top, *g;

	(void)state;
	assert_false(!t->allow_set || !t->secrets_set);
	assert_true(grant_inherits_files(t) && grant_inherits_exec(t));
	assert_true(grant_placeholders_only(t) && !grant_background(t) && !grant_full(t));
	assert_true(!grant_placeholders_only(u) && grant_background(u));
	assert_int_equal(grant_of_policy(p, &top), 0);
	assert_true(!top->allow_set && !top->secrets_set && grant_inherits_files(top));
	assert_true(!grant_placeholders_only(top) && grant_background(top));
	assert_int_equal(grant_number(top, GRANT_TIMEOUT), 600000000);
	assert_int_equal(grant_number(top, GRANT_OPEN_FILES), 0);
	assert_int_equal(grant_is_subset(t, top, NULL), 0); /* it names no timeout */
	assert_int_equal(grant_narrow(top, t, &g, NULL), 1);
	assert_int_equal(grant_is_subset(g, top, NULL), 1);
	assert_int_equal(grant_number(g, GRANT_TIMEOUT), 600000000);
	assert_string_equal(grant_name(g), "t");
	grant_free(g);
	/* A program's own: placeholders-only as soon as it names a rule or a secret. */
	assert_int_equal(grant_new(&g), 0);
	assert_int_equal(grant_set(g, "deny", "x.org", NULL, NULL, &e), 0);
	assert_int_equal(grant_set(g, "secret", "none", NULL, NULL, &e), 0);
	assert_int_equal(grant_finish(g, &e), 0);
	assert_false(grant_placeholders_only(g));
	assert_true(!g->allow_set && g->secrets_set);
	assert_int_equal(grant_set(g, "allow", "x.org", NULL, NULL, &e), 0);
	assert_int_equal(grant_finish(g, &e), 0);
	assert_true(grant_placeholders_only(g));
	grant_free(g);
	grant_free(top);
	policy_free(p);
}

static void check(struct policy *p, const struct grant *g, const char *path, bool write, bool allowed, const char *reason)
{
	struct path_verdict v;
	assert_int_equal(grant_check_path(p, g, path, write, &v, &e), 0);
	if (v.allowed != allowed || strcmp(v.reason, reason) != 0)
		fail_msg("%s: %d %s %s", path, v.allowed, v.reason, v.rule);
}

static void test_files(void **state)
{
	struct policy *p = finished(POLICY "[grant w]\nwrite = src\nread = src/vendor\n[grant r]\nread = docs\nhide = /usr/bin\n"
					   "[grant o]\nread_only = yes\n[grant n]\nwrite = src\n[grant x]\nread = none\nexec = src\n");
	const struct grant *w = policy_grant(p, "w"), *r = policy_grant(p, "r"), *o = policy_grant(p, "o"),
			   *n = policy_grant(p, "n"), *x = policy_grant(p, "x");

	(void)state;
	check(p, w, in_dir("w/src/new"), true, true, "rule");
	check(p, w, in_dir("w/src/vendor/x"), true, false, "grant");
	check(p, w, in_dir("w/src/vendor/x"), false, true, "rule");
	check(p, w, in_dir("w/other"), false, false, "grant"); /* read is named: exactly these */
	check(p, w, in_dir("w/secret.env"), false, false, "hide");
	check(p, w, "/usr/bin/env", false, true, "system");
	check(p, w, "/var/cache/x", true, true, "rule"); /* the sandbox's own */
	check(p, r, in_dir("w/docs/x"), false, true, "rule");
	check(p, r, in_dir("w/docs/x"), true, false, "read-only");
	check(p, r, in_dir("w/src/x"), true, false, "grant"); /* naming what is read makes nothing writable */
	check(p, r, "/usr/bin/env", false, false, "grant");
	check(p, o, in_dir("w/src/x"), false, true, "rule");
	check(p, o, in_dir("w/src/x"), true, false, "grant");
	check(p, n, in_dir("w/src/x"), true, true, "rule");
	check(p, n, in_dir("w/x"), true, false, "grant");
	check(p, n, in_dir("w/x"), false, true, "rule"); /* only write is named: reading is as before */
	check(p, x, in_dir("w/src/x"), false, false, "grant");
	assert_true(grant_may_execute(x, in_dir("w/src/x")));
	assert_false(grant_may_execute(x, in_dir("w/srcx")));
	assert_false(grant_may_execute(r, "/usr/bin/env"));
	policy_free(p);
}

static bool binds(const char *pattern, const char *command)
{
	const char *argv[16] = { NULL };
	char copy[256];
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", command);
	for (char *rest = copy, *word; rest && (word = strsep(&rest, " ")) != NULL;)
		argv[n++] = word;
	return argv_matches(pattern, argv);
}

static void test_argv(void **state)
{
	static const struct {
		const char *pattern, *command;
		bool match;
	} cases[] = {
		{ "git push *", "git push", true },	     { "git push *", "git push origin main", true },
		{ "git push *", "git pull", false },	     { "git push *", "git", false },
		{ "git push", "git push origin", false },    { "git * origin", "git push origin", true },
		{ "git * origin", "git origin", false },     { "git * origin", "git push -f origin", false },
		{ "git push", "/usr/bin/git push", true },   { "git push", "./git push", true },
		{ "git push", "gitx push", false },	     { "/usr/bin/git *", "/usr/bin/git x", true },
		{ "/usr/bin/git *", "git x", false },	     { "/usr/*/git", "/usr/local/bin/git", true },
		{ "python3*", "python3.11", true },	     { "python3*", "/usr/bin/python3", true },
		{ "python3*", "python", false },	     { "npm run-*t *", "npm run-test -v", true },
		{ "a*b*c", "aXbYbZc", true },		     { "a*b*c", "aXbYbZ", false },
		{ "*", "anything at all", true },	     { "*", "x", true },
		{ "* x", "a x", true },			     { "* x", "x", false },
		{ "a **", "a b", true },		     { "a **", "a", false },
		{ "a * *", "a", false },		     { "a * *", "a b", true },
		{ "a * *", "a b c d", true },		     { "a", "a ", false },
		{ "a *", "a  ", true },
	};
	const char *const nothing[] = { NULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (binds(cases[i].pattern, cases[i].command) != cases[i].match)
			fail_msg("%s: %s", cases[i].pattern, cases[i].command);
	}
	assert_false(argv_matches("*", nothing));
	struct policy *p = finished(POLICY "[grant all]\nargv = git   *\nargv = hg push\n[grant push]\nargv = git push *\n"
					   "[grant other]\nargv = svn *\nargv = hg *\n");
	const char *const push[] = { "git", "push", NULL }, *const hg[] = { "/usr/bin/hg", "log", NULL }, *const make[] = { "make", NULL };
	size_t n;
	assert_int_equal((policy_grants(p, &n), n), 3);
	assert_string_equal(grant_name(policy_grant_for_argv(p, push)), "all"); /* the first in the file */
	assert_string_equal(grant_name(policy_grant_for_argv(p, hg)), "other");
	assert_null(policy_grant_for_argv(p, make));
	assert_null(policy_grant_for_argv(p, nothing));
	assert_non_null(strstr(policy_warnings(p), "p.ini:26: [grant push] argv = git push * never binds: [grant all] argv = git *"));
	/* With its '=', since the name of the directory is random. */
	assert_null(strstr(policy_warnings(p), "= hg"));
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRANT_TEST(test_lines_refused),
		GRANT_TEST(test_bounds),
		GRANT_TEST(test_excess),
		GRANT_TEST(test_decisions),
		GRANT_TEST(test_defaults),
		GRANT_TEST(test_files),
		GRANT_TEST(test_argv),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
