/* SPDX-License-Identifier: Apache-2.0 */
/* Grants as they are written, checked, printed, sent and asked; their algebra is in test_grant_algebra.c. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "policy/grant_internal.h"

#include <cmocka.h>

static char dir[64]; /* of this test; a workdir "w" with src, src/vendor, docs and the file secret.env; a home "h" */
static struct error e;

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned at;
	char *p = path[at++ % 4];
	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void put_file(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	static const char *const dirs[] = { "w", "h", "w/src", "w/src/vendor", "w/docs", "w/.vscode", "out" };

	(void)state;
	memset(&e, 0, sizeof(e));
	strcpy(dir, "/tmp/nsbox-grant-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdir(in_dir(dirs[i]), 0700) < 0)
			return -1;
	}
	put_file("w/secret.env", "x");
	return setenv("HOME", in_dir("h"), 1);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define HEAD "[sandbox]\nversion = 1\n"
#define POLICY                                                \
	HEAD "; ends at line 21\n"                            \
	     "[filesystem]\n"                                 \
	     "hide = secret.env\n"                            \
	     "read = docs\n"                                  \
	     "tmpfs = /var/cache\n"                           \
	     "[network]\n"                                    \
	     "allow = https://git.example.com/**\n"           \
	     "allow = *.example.org\n"                        \
	     "allow_private = http://build.corp.example/**\n" \
	     "allow = tcp://db.example.com:5432\n"            \
	     "passthrough = pinned.example.com\n"             \
	     "deny = evil.example.org\n"                      \
	     "deny = https://git.example.com/admin/**\n"      \
	     "[secret API_KEY]\n"                             \
	     "allow = https://git.example.com/**\n"           \
	     "[secret OTHER]\n"                               \
	     "allow = https://a.example.org/**\n"             \
	     "[limits]\n"                                     \
	     "timeout = 10m\n"

static struct policy *load(const char *text)
{
	struct policy *p;

	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, in_dir("w"), false, &e), 0);
	put_file("p.ini", text);
	if (policy_load_file(p, in_dir("p.ini"), &e) < 0) {
		policy_free(p);
		return NULL;
	}
	return p;
}

static struct policy *finished(const char *text)
{
	struct policy *p = load(text);

	if (!p || policy_finish(p, &e) < 0)
		fail_msg("%s", e.message);
	return p;
}

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
#define X20 "xxxxxxxxxxxxxxxxxxxx"

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
		put_file(name, "");
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
	assert_false(grant_inherits_network(t) || grant_inherits_secrets(t));
	assert_true(grant_inherits_files(t) && grant_inherits_exec(t));
	assert_true(grant_placeholders_only(t) && !grant_background(t) && !grant_full(t));
	assert_true(!grant_placeholders_only(u) && grant_background(u));
	assert_int_equal(grant_of_policy(p, &top), 0);
	assert_true(grant_inherits_network(top) && grant_inherits_secrets(top) && grant_inherits_files(top));
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
	assert_true(grant_inherits_network(g) && !grant_inherits_secrets(g));
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
	assert_null(strstr(policy_warnings(p), "hg"));
	policy_free(p);
}

#define RICH                                                                                                      \
	POLICY "[grant push]\nargv = git push *\nargv = hg push\nallow = POST https://git.example.com/acme/**\n"       \
	       "deny = POST https://git.example.com/acme/old\npassthrough = pinned.example.com\nsecret = OTHER, API_KEY\n" \
	       "write = src\nread = src/vendor\nread = .\nhide = docs\nexec = /usr/bin\nexec = /usr/lib\nttl = 60s\n"     \
	       "timeout = 1500ms\nuses = 20\nbytes_up = 64K\nrate = 90/m\nopen_files = 99\nbackground = yes\nisolation = full\n"      \
	       "credentials = any\nview = committed\n[grant empty]\n[grant ro]\nread_only = yes\nexec = none\n"           \
	       "[grant none]\nread = none\n[grant write]\nwrite = src\n"

static void strip_comments(char *text)
{
	char *out = text;
	for (char *in = text; *in;) {
		if (strncmp(in, " ; ", 3) == 0)
			in += strcspn(in, "\n");
		else
			*out++ = *in++;
	}
	*out = '\0';
}

static char *dump(struct policy *p)
{
	struct buf b = { 0 };
	assert_int_equal(policy_dump(p, &b), 0);
	assert_non_null(buf_str(&b));
	return (char *)b.data;
}

static void test_dump_loads_again(void **state)
{
	struct policy *p = finished(RICH), *again;
	char *first = dump(p), *same = dump(p), *second;
	size_t n, m;

	(void)state;
	assert_string_equal(first, same);
	assert_non_null(strstr(first, "\n[grant push]\nargv = git push * ; bound to this command/"));
	assert_non_null(strstr(first, "\nallow = none ; no network/"));
	assert_non_null(strstr(first, "\nread_only = yes ; nothing is writable/"));
	assert_non_null(strstr(first, "\nexec = none ; nothing/"));
	assert_non_null(strstr(first, "\nread = none ; nothing but what is named here/"));
	assert_non_null(strstr(first, "p.ini:24\n")); /* origins */
	again = finished(first);
	second = dump(again);
	const struct grant *const *a = policy_grants(p, &n), *const *b = policy_grants(again, &m);
	assert_int_equal(n, m);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(grant_is_subset(a[i], b[i], NULL), 1);
		assert_int_equal(grant_is_subset(b[i], a[i], NULL), 1);
	}
	strip_comments(first);
	strip_comments(second);
	assert_string_equal(first, second);
	free(first);
	free(same);
	free(second);
	policy_free(p);
	policy_free(again);
}

static void flip_all(struct buf *bytes, const uint8_t *data, size_t len)
{
	struct buf second = { 0 };
	struct grant *again;

	for (size_t n = 0; n < len; n++) {
		assert_int_equal(grant_decode(data, n, &again, &e), -EBADMSG);
		for (unsigned flip = 1; flip < 256; flip += 51) {
			bytes->data[n] ^= (uint8_t)flip;
			if (grant_decode(bytes->data, len, &again, &e) == 0) {
				second.len = 0;
				assert_int_equal(grant_encode(again, &second), 0);
				assert_int_equal(second.len, len);
				assert_memory_equal(second.data, bytes->data, len);
				grant_free(again);
			}
			bytes->data[n] ^= (uint8_t)flip;
		}
	}
	buf_free(&second);
}

static void test_encoding(void **state)
{
	struct policy *p = finished(RICH), *again;
	const struct grant *g = policy_grant(p, "push");
	struct buf bytes = { 0 }, second = { 0 };
	size_t n;

	(void)state;
	assert_int_equal(grant_encode(g, &bytes), 0);
	flip_all(&bytes, bytes.data, bytes.len);
	/* Inside a policy. */
	bytes.len = 0;
	assert_int_equal(policy_encode(p, &bytes), 0);
	assert_int_equal(policy_decode(bytes.data, bytes.len, &again, &e), 0);
	assert_int_equal((policy_grants(again, &n), n), 5);
	assert_string_equal(grant_name(policy_grant_for_argv(again, (const char *const[]){ "hg", "push", NULL })), "push");
	char *a = dump(p), *b = dump(again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	assert_int_equal(policy_encode(again, &second), 0);
	assert_int_equal(bytes.len, second.len);
	assert_memory_equal(bytes.data, second.data, bytes.len);
	policy_free(again);
	/* One that is no template does not belong there, nor one that is not finished anywhere. */
	struct grant *own;
	assert_int_equal(grant_new(&own), 0);
	assert_int_equal(grant_encode(own, &second), -EINVAL);
	grant_free(own);
	buf_free(&bytes);
	buf_free(&second);
	policy_free(p);
}

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines_refused),	TEST(test_bounds), TEST(test_excess),	       TEST(test_decisions),
		TEST(test_defaults),		TEST(test_files),  TEST(test_argv),	       TEST(test_dump_loads_again),
		TEST(test_encoding),		TEST(test_narrowing), TEST(test_rule_of_two_paths),
		TEST(test_few_rules_are_looked_at),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
