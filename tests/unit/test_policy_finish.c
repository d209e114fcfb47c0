/* SPDX-License-Identifier: Apache-2.0 */
/* Policies when they are finished: what contradicts itself, and the paths. */
#include "policy_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static void test_contradictions(void **state)
{
	static const struct {
		const char *a, *a_value, *b, *b_value, *message;
	} cases[] = {
		{ "mode", "none", "allow", "a.org", "rules and secrets need mode gateway" },
		{ "mode", "host", "deny", "a.org", "rules and secrets need mode gateway" },
		{ "mode", "none", "connect_to", "a.org:1:b:2", "rules and secrets need mode gateway" },
		{ "passthrough", "a.org", "allow", "https://a.org/x", "cannot stand beside" },
		{ "passthrough", "a.org", "allow", "a.org", "cannot stand beside" },
		{ "passthrough", "a.org", "allow", "GET *.org", "cannot stand beside" },
		{ "passthrough", "a.org", "deny", "https://a.org/x", "cannot stand beside" },
		{ "passthrough", "*.org", "allow", "a.org:443", "cannot stand beside" },
		{ "allow", "tcp://a.org:443", "allow", "https://a.org/x", "cannot stand beside" },
		{ "allow", "10.0.0.0/8:80", "allow", "http://10.0.0.1/x", "cannot stand beside" },
		{ "passthrough", "a.org", "allow", "*.org", NULL },
		{ "passthrough", "a.org", "allow", "http://a.org/x", NULL },
		{ "passthrough", "a.org:8443", "allow", "https://a.org/x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy *p = new_policy();
		set(p, "network", cases[i].a, cases[i].a_value);
		set(p, "network", cases[i].b, cases[i].b_value);
		if (cases[i].message) {
			finish_refused(p, cases[i].message);
		} else {
			finish(p);
			policy_free(p);
		}
	}
}

static void test_contradictions_of_secrets(void **state)
{
	struct policy *p = new_policy();
	(void)state;

	set(p, "network", "mode", "none");
	set(p, "secret", "spec", "K@a.org");
	finish_refused(p, "rules and secrets need mode gateway");
	p = new_policy();
	set(p, "network", "passthrough", "a.org");
	set(p, "secret", "spec", "K@*.org");
	finish_refused(p, "cannot stand beside K");
	p = new_policy();
	set(p, "secret K", "source", "env:X");
	finish_refused(p, "has no 'allow = TARGET'");

	static const char *const signing[][3] = {
		/* inject, key_id, message */
		{ "sigv4", NULL, "say with 'key_id = NAME'" },
		{ "sigv4", "C", "say with 'key_id = NAME'" },
		{ "sigv4", "A", "say with 'key_id = NAME'" },
		{ "sigv4, body", "B", "'inject = sigv4' stands alone" },
		{ "header", "B", "which is for 'inject = sigv4'" },
		{ "header", NULL, "no 'source = exec:COMMAND' whose output" },
	};
	for (size_t i = 0; i < ARRAY_LEN(signing); i++) {
		p = new_policy();
		set(p, "secret", "spec", "A@https://a.org");
		set(p, "secret", "spec", "B@https://a.org");
		set(p, "secret A", "inject", signing[i][0]);
		if (signing[i][1])
			set(p, "secret A", "key_id", signing[i][1]);
		else if (i == ARRAY_LEN(signing) - 1)
			set(p, "secret A", "revoke", "end it");
		finish_refused(p, signing[i][2]);
	}
	p = new_policy();
	set(p, "secret", "spec", "K@http://a.org");
	finish_refused(p, "may not go to http://a.org unencrypted");
	p = new_policy();
	set(p, "secret", "spec", "K=env:X@a.org");
	set(p, "env", "pass", "X");
	finish_refused(p, "must not enter the sandbox");
	p = new_policy();
	set(p, "secret", "spec", "K=env:X@a.org");
	set(p, "env", "set", "K=1");
	finish_refused(p, "must not enter the sandbox");
}

static void test_contradictions_of_dialling(void **state)
{
	char line[600];
	struct policy *p = new_policy();
	(void)state;

	set(p, "network", "upstream_ca", "/nonexistent.pem a.org");
	finish_refused(p, "an existing file");
	put_file("ca.pem", "x", 1);
	p = new_policy();
	set(p, "network", "upstream_ca", in_dir("ca.pem"));
	finish_refused(p, "there are none: name the host");
	p = new_policy();
	set(p, "network", "client_cert", "/nonexistent.pem /nonexistent.key a.org");
	finish_refused(p, "an existing file with the certificate");
	p = new_policy();
	snprintf(line, sizeof(line), "%s /nonexistent.key a.org", in_dir("ca.pem"));
	set(p, "network", "client_cert", line);
	finish_refused(p, "an existing file with the private key");
	p = new_policy();
	snprintf(line, sizeof(line), "%s %s a.org", in_dir("ca.pem"), in_dir("ca.pem"));
	set(p, "network", "client_cert", line);
	set(p, "network", "mode", "none");
	finish_refused(p, "client_cert needs the gateway");
	p = new_policy();
	set(p, "network", "upstream_proxy", "http://proxy.corp:3128");
	set(p, "network", "mode", "host");
	finish_refused(p, "upstream_proxy needs the gateway");
	p = new_policy();
	set(p, "network", "upstream_proxy", "http://proxy.corp:3128 env:PROXY_LOGIN");
	set(p, "env", "pass", "PROXY_LOGIN");
	finish_refused(p, "must not enter the sandbox");
}

static void test_paths_refused(void **state)
{
	struct policy *p = new_policy();

	(void)state;
	assert_true(policy_set(p, "filesystem", "read", "/a\nb", NULL, "--read", &e) < 0);
	assert_non_null(strstr(e.message, "control byte (0x0a"));
	assert_true(policy_set_workdir(p, "/a\nb", false, &e) < 0);
	assert_true(policy_set_workdir(p, "", false, &e) < 0);
	set(p, "filesystem", "read", "nosuch");
	finish_refused(p, "the path must exist");
	p = new_policy();
	set(p, "filesystem", "write", "/");
	finish_refused(p, "the root as a whole");
	p = new_policy();
	set(p, "filesystem", "read", "/proc/self/root");
	finish_refused(p, "the root as a whole");
	p = new_policy();
	set(p, "filesystem", "read", "/proc/self");
	finish_refused(p, "/proc");
	p = new_policy();
	set(p, "filesystem", "tmpfs", "/proc/x");
	finish_refused(p, "has its own there");

	static const char *const workdirs[] = { "h", "", "link", "/", "/tmp" };
	assert_int_equal(symlink("h", in_dir("link")), 0);
	for (size_t i = 0; i < ARRAY_LEN(workdirs); i++) {
		const char *w = workdirs[i][0] == '/' ? workdirs[i] : in_dir(workdirs[i]);
		p = new_policy();
		assert_int_equal(policy_set_workdir(p, w, false, &e), 0);
		finish_refused(p, "--workdir-force");
		p = new_policy();
		assert_int_equal(policy_set_workdir(p, w, true, &e), 0);
		finish(p);
		policy_free(p);
	}
	put_file("file", "", 0);
	p = new_policy();
	assert_int_equal(policy_set_workdir(p, in_dir("file"), false, &e), 0);
	finish_refused(p, "is not a directory");
}

/* What a command may have planted where it can write is not followed out of there; a link of the user's elsewhere is. */
static void test_planted_links(void **state)
{
	static const char *const refused[] = { "w/out", "w/out/deep", "alias/out", "w/in/out" };
	static const char *const kinds[] = { "read", "write", "protect" };
	static const char *const links[] = { "w/out", "w/in", "alias", "mine" };
	struct policy *p;

	(void)state;
	mkdir(in_dir("elsewhere"), 0700);
	mkdir(in_dir("elsewhere/deep"), 0700);
	mkdir(in_dir("w/real"), 0700);
	assert_int_equal(symlink("../elsewhere", in_dir("w/out")), 0);
	assert_int_equal(symlink("w", in_dir("alias")), 0);
	assert_int_equal(symlink(".", in_dir("w/in")), 0);
	assert_int_equal(symlink("elsewhere", in_dir("mine")), 0);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			p = new_policy();
			set(p, "filesystem", kinds[k], in_dir(refused[i]));
			finish_refused(p, "through a symbolic link");
		}
	p = new_policy();
	set(p, "filesystem", "write", in_dir("elsewhere"));
	set(p, "filesystem", "read", in_dir("mine/deep"));
	set(p, "filesystem", "write", in_dir("w/out/deep"));
	set(p, "filesystem", "write", in_dir("w/in/real"));
	finish(p);
	policy_free(p);
	p = new_policy();
	set(p, "filesystem", "read", in_dir("mine"));
	set(p, "filesystem", "hide", in_dir("w/out"));
	finish_refused(p, "name that itself if it is meant");
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		unlink(in_dir(links[i]));
}

static void check(struct policy *p, const char *path, bool write, bool allowed, const char *reason)
{
	struct path_verdict v;
	assert_int_equal(policy_check_path(p, path, write, &v, &e), 0);
	if (v.allowed != allowed || strcmp(v.reason, reason) != 0)
		fail_msg("%s: %d %s", path, v.allowed, v.reason);
}

static void test_path_precedence(void **state)
{
	struct policy *p = new_policy();
	struct stat st;

	(void)state;
	mkdir(in_dir("w/.git"), 0700);
	mkdir(in_dir("w/.git/hooks"), 0700);
	mkdir(in_dir("w/sub"), 0700);
	mkdir(in_dir("w/sub/deep"), 0700);
	mkdir(in_dir("w/hidden"), 0700);
	mkdir(in_dir("w/hidden/open"), 0700);
	mkdir(in_dir("other"), 0700);
	put_file("w/.git/config", "x", 1);
	put_file("w/.envrc", "x", 1);
	put_file("w/p.ini", HEAD "[filesystem]\nread = sub\n", sizeof(HEAD "[filesystem]\nread = sub\n") - 1);
	assert_int_equal(symlink("sub", in_dir("w/link")), 0);
	assert_int_equal(symlink("../other", in_dir("w/.vscode")), 0);
	assert_int_equal(policy_load_file(p, in_dir("w/p.ini"), &e), 0);
	set(p, "filesystem", "write", in_dir("w/link/deep"));
	set(p, "filesystem", "hide", in_dir("w/hidden"));
	set(p, "filesystem", "write", in_dir("w/hidden/open"));
	set(p, "filesystem", "tmpfs", "/var/cache:1M");
	finish(p);

	const struct policy_path *x = entry(p, PATH_WRITE, in_dir("w/sub/deep"));
	assert_non_null(x);
	assert_string_equal(x->given, in_dir("w/link/deep"));
	assert_int_equal(stat(in_dir("w/sub/deep"), &st), 0);
	assert_true(x->dev == st.st_dev && x->ino == st.st_ino && x->is_dir);
	assert_non_null(entry(p, PATH_WRITE, in_dir("w")));
	assert_non_null(entry(p, PATH_PROTECT, in_dir("w/.git/hooks")));
	assert_non_null(entry(p, PATH_PROTECT, in_dir("w/.envrc")));
	assert_non_null(entry(p, PATH_PROTECT, in_dir("w/p.ini")));
	assert_null(entry(p, PATH_PROTECT, in_dir("w/.git/config")));
	assert_null(entry(p, PATH_PROTECT, in_dir("w/.vscode")));

	check(p, in_dir("w/new"), true, true, "rule");
	check(p, in_dir("w/sub/f"), true, false, "read-only");
	check(p, in_dir("w/sub/f"), false, true, "rule");
	check(p, in_dir("w/link/f"), true, false, "read-only");
	check(p, in_dir("w/sub/deep/f"), true, true, "rule");
	check(p, in_dir("w/hidden/open/f"), false, false, "hide");
	check(p, in_dir("w/.git/hooks/pre-commit"), true, false, "protect");
	check(p, in_dir("w/.git/config"), true, true, "rule");
	check(p, in_dir("h/.ssh/id"), true, true, "private");
	/* What the host has there is not there inside. */
	check(p, in_dir("h"), true, true, "private");
	assert_int_equal(mkdir(in_dir("h/.ssh"), 0700), 0);
	check(p, in_dir("h/.ssh"), false, false, "private");
	assert_int_equal(rmdir(in_dir("h/.ssh")), 0);
	check(p, in_dir("other/x"), false, true, "private"); /* below /tmp */
	check(p, "/etc/shadow", false, false, "absent");
	check(p, "/etc/machine-id", false, false, "absent");
	check(p, "/etc/apt/auth.conf", false, false, "absent");
	check(p, "/usr/bin/env", false, true, "system");
	check(p, "/usr/bin/env", true, false, "system");
	check(p, "/srv/x", false, false, "not-granted");
	check(p, "/var/cache/x", true, true, "rule");
	policy_free(p);

	/* Named as writable itself: the user decided. */
	p = new_policy();
	set(p, "filesystem", "write", in_dir("w/.git/hooks"));
	finish(p);
	assert_null(entry(p, PATH_PROTECT, in_dir("w/.git/hooks")));
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_contradictions),
		TEST(test_contradictions_of_secrets),
		TEST(test_contradictions_of_dialling),
		TEST(test_paths_refused),
		TEST(test_planted_links),
		TEST(test_path_precedence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
