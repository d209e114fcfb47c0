/* SPDX-License-Identifier: Apache-2.0 */
/* The command line without running anything: options, messages, help, check, audit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "nsbox.h"
#include "report.h"
#include "base/util.h"
#include "test_cli_fake.h"

#include <cmocka.h>

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define _cleanup_outcome_ _cleanup_(outcome_free)

static const char *out_of(const struct outcome *o) { return (const char *)o->out.data; }
static const char *err_of(const struct outcome *o) { return (const char *)o->err.data; }

static void expect_refusal(const char *const *words, const char *text)
{
	_cleanup_outcome_ struct outcome o;

	run_nsbox(words, NULL, &o);
	if (o.status != EXIT_NSBOX || o.out.len || strncmp(err_of(&o), "nsbox: ", 7) != 0 || !strstr(err_of(&o), text))
		fail_msg("status %d, out '%s', err '%s', expected '%s'", o.status, out_of(&o), err_of(&o), text);
}

static void test_policy_flags(void **state)
{
	_cleanup_outcome_ struct outcome o;
	(void)state;

	fake_show_calls = 1;
	run_nsbox(WORDS("run", "--dry-run", "--read", "/r", "--write=w", "-p", "base", "--hide", "h", "-fpolicy.ini", "-C",
			"/work", "--workdir-force", "--protect", "p", "--tmpfs", "/c:1M", "--allow", "GET a.example",
			"--deny=b", "--allow-private", "c", "--passthrough", "d:1", "--net", "gateway", "--secret",
			"KEY@a.example,b.example", "--secret=K2=exec:get it@c.example", "--connect-to",
			"a.example:443:127.0.0.1:1", "--upstream-ca", "ca@x.pem@a.example", "--upstream-ca", "ca.pem",
			"--env", "A=b=c", "--env", "D", "--memory", "1G", "--cpus", "1.5", "--pids", "9", "--timeout", "1m",
			"--disk", "2G", "--open-files", "99", "--audit-log", "f.jsonl", "--allow-degraded", "memory", "--rm"),
		  NULL, &o);
	fake_show_calls = 0;
	assert_int_equal(o.status, 0);
	assert_string_equal(out_of(&o), "[sandbox]\nversion = 1\n");
	assert_string_equal(err_of(&o),
			    "workdir /work 1\n"
			    "profile base\n"
			    "file policy.ini\n"
			    "[filesystem] read = /r (--read)\n"
			    "[filesystem] write = w (--write)\n"
			    "[filesystem] hide = h (--hide)\n"
			    "[filesystem] protect = p (--protect)\n"
			    "[filesystem] tmpfs = /c:1M (--tmpfs)\n"
			    "[network] allow = GET a.example (--allow)\n"
			    "[network] deny = b (--deny)\n"
			    "[network] allow_private = c (--allow-private)\n"
			    "[network] passthrough = d:1 (--passthrough)\n"
			    "[network] mode = gateway (--net)\n"
			    "[secret KEY] allow = a.example (--secret)\n"
			    "[secret KEY] allow = b.example (--secret)\n"
			    "[secret K2] source = exec:get it (--secret)\n"
			    "[secret K2] allow = c.example (--secret)\n"
			    "[network] connect_to = a.example:443:127.0.0.1:1 (--connect-to)\n"
			    "[network] upstream_ca = ca@x.pem a.example (--upstream-ca)\n"
			    "[network] upstream_ca = ca.pem (--upstream-ca)\n"
			    "[env] set = A=b=c (--env)\n"
			    "[env] pass = D (--env)\n"
			    "[limits] memory = 1G (--memory)\n"
			    "[limits] cpus = 1.5 (--cpus)\n"
			    "[limits] pids = 9 (--pids)\n"
			    "[limits] timeout = 1m (--timeout)\n"
			    "[limits] disk = 2G (--disk)\n"
			    "[limits] open_files = 99 (--open-files)\n"
			    "audit log f.jsonl\n"
			    "[sandbox] allow_degraded = memory (--allow-degraded)\n");
}

static void test_bad_options(void **state)
{
	(void)state;
	expect_refusal(WORDS("run", "--alow", "x", "true"), "unknown option --alow; did you mean --allow?");
	expect_refusal(WORDS("run", "-x", "true"), "unknown option -x");
	expect_refusal(WORDS("run", "--allow"), "option --allow needs a value: --allow RULE");
	expect_refusal(WORDS("run", "--json=1", "true"), "takes no value");
	expect_refusal(WORDS("run", "--allow", "a"), "no command to run");
	expect_refusal(WORDS("rum", "true"), "unknown command rum; did you mean run?");
	expect_refusal(WORDS("audit", "shwo"), "unknown command audit shwo; did you mean show?");
	expect_refusal(WORDS("exce", "id"), "unknown command exce; did you mean exec?");
	expect_refusal((const char *const[]){ NULL }, "no command given");
	expect_refusal(WORDS("run", "--profile", "missing", "true"), "there is no profile missing\\x1b[31m");
	expect_refusal(WORDS("version", "x"), "takes no argument");
	expect_refusal(WORDS("help", "nothing"), "there is no help on nothing");
	expect_refusal(WORDS("a\x1b]0;x\n"), "unknown command a\\x1b]0;x\\x0a (");
}

/* A forgotten prefix or target leaves the secret itself in the argument. */
static void test_secret_is_never_shown(void **state)
{
	static const char *const forms[] = { "KEY=hunter2@host", "KEY=hunter2", "hunter2", "@hunter2", "hunter2-x@host",
					     "KEY=hunter2@", "=hunter2@h", "9hunter2@h", "KEY=Env:hunter2@h" };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		_cleanup_outcome_ struct outcome o;
		run_nsbox(WORDS("run", "--secret", forms[i], "true"), NULL, &o);
		assert_int_equal(o.status, EXIT_NSBOX);
		assert_non_null(strstr(err_of(&o), "--secret needs NAME"));
		assert_null(strstr(err_of(&o), "hunter2"));
	}
	_cleanup_outcome_ struct outcome o;
	run_nsbox(WORDS("run", "--secrets=hunter2", "true"), NULL, &o);
	assert_int_equal(o.status, EXIT_NSBOX);
	assert_null(strstr(err_of(&o), "hunter2"));
}

/* The profiles that nobody asked for, and what is said about them. */
static void test_profile_chosen(void **state)
{
	const struct {
		const char *const *words;
		const char *calls;
	} rows[] = {
		{ WORDS("run", "--dry-run", "git", "status"),
		  "nsbox: profile git, since the command is git (--profile none: without)\nprofile git\n" },
		{ WORDS("run", "--dry-run", "sh", "-c", "git"), "" },
		{ WORDS("run", "--dry-run", "-p", "none", "git"), "" },
		{ WORDS("run", "--dry-run", "-p", "base", "git"), "profile base\n" },
		{ WORDS("run", "--dry-run", "-p", "none", "-p", "base", "git"), "profile base\n" },
	};

	(void)state;
	fake_show_calls = 1;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_outcome_ struct outcome o;
		run_nsbox(rows[i].words, NULL, &o);
		assert_int_equal(o.status, 0);
		assert_string_equal(err_of(&o), rows[i].calls);
	}
	fake_show_calls = 0;
}

static void test_profile_commands(void **state)
{
	const struct {
		const char *const *words;
		int status;
		const char *out, *err;
	} rows[] = {
		{ WORDS("profile", "ls"), 0, "git             git\n                  for git\n", "" },
		{ WORDS("profile", "show", "git"), 0, "[sandbox]\nversion = 1\n", "" },
		{ WORDS("profile", "show", "missing"), 125, "", "nsbox: there is no profile missing\n" },
		{ WORDS("profile", "show"), 125, "", "nsbox: nsbox profile show needs one NAME\n" },
		{ WORDS("profile", "check", "git"), 0, "git can be used here\n", "" },
		{ WORDS("profile", "check", "missing"), 125, "", "nsbox: there is no profile missing\\x1b[31m\n" },
		{ WORDS("profile", "trust"), 125, "", "nsbox: there is no .nsbox.ini in .\n" },
		{ WORDS("profile", "trust", "-C", "new"), 125, "[a]\none\n2\\x1b\ntwo\n",
		  "nsbox: nobody can be asked here: --yes trusts what is shown\n" },
		{ WORDS("profile", "trust", "-C", "changed", "--yes"), 0, "+2\\x1b\ntrusted changed: 1\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_outcome_ struct outcome o;
		run_nsbox(rows[i].words, NULL, &o);
		assert_string_equal(err_of(&o), rows[i].err);
		assert_string_equal(out_of(&o), rows[i].out);
		assert_int_equal(o.status, rows[i].status);
	}
}

static void test_env_file(void **state)
{
	static const char text[] = "A=1\n# comment\n\nB\nC=a b";
	char path[] = "/tmp/test-cli-XXXXXX";
	_cleanup_outcome_ struct outcome o;
	(void)state;

	int fd = mkstemp(path);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	fake_show_calls = 1;
	run_nsbox(WORDS("run", "--dry-run", "--env-file", path), NULL, &o);
	fake_show_calls = 0;
	assert_int_equal(o.status, 0);
	char expect[512];
	snprintf(expect, sizeof(expect),
		 "[env] set = A=1 (--env-file %s line 1)\n[env] pass = B (--env-file %s line 4)\n"
		 "[env] set = C=a b (--env-file %s line 5)\n",
		 path, path, path);
	assert_string_equal(err_of(&o), expect);
	assert_int_equal(write(fd, "\nD=\0x\n", 6), 6);
	close(fd);
	expect_refusal(WORDS("run", "--env-file", path, "true"), "line 6: a NUL byte");
	unlink(path);
	expect_refusal(WORDS("run", "--env-file", path, "true"), "cannot open --env-file");
	expect_refusal(WORDS("run", "--env-file", "/", "true"), "cannot read --env-file");
}

static void test_warnings(void **state)
{
	_cleanup_outcome_ struct outcome o;
	(void)state;

	run_nsbox(WORDS("run", "--dry-run", "--allow", "*"), NULL, &o);
	assert_int_equal(o.status, 0);
	assert_string_equal(err_of(&o), "nsbox: warning: * allows every public host\nnsbox: warning: second\n");
}

static void test_check(void **state)
{
	_cleanup_outcome_ struct outcome yes, no, path, json;
	(void)state;

	run_nsbox(WORDS("check", "--allow", "a", "--url", "https://a/"), NULL, &yes);
	assert_int_equal(yes.status, EXIT_YES);
	assert_string_equal(out_of(&yes), "allow: a (from --allow), reason: rule\n");
	run_nsbox(WORDS("check", "--url=https://a/", "--method", "POST"), NULL, &no);
	assert_int_equal(no.status, EXIT_NO);
	assert_string_equal(out_of(&no), "deny: no rule, reason: no-rule\n");
	/* --write alone asks, --write=PATH grants. */
	fake_show_calls = 1;
	run_nsbox(WORDS("check", "--path", "/x", "--write", "--write=/y"), NULL, &path);
	fake_show_calls = 0;
	assert_int_equal(path.status, EXIT_NO);
	assert_string_equal(err_of(&path), "[filesystem] write = /y (--write)\n");
	run_nsbox(WORDS("check", "--json", "--path", "/x"), NULL, &json);
	assert_int_equal(json.status, EXIT_YES);
	assert_int_equal(out_of(&json)[0], '{');
	expect_refusal(WORDS("check"), "needs one of --url URL and --path PATH");
	expect_refusal(WORDS("check", "--url", "a", "--path", "b"), "needs one of");
	expect_refusal(WORDS("check", "--url", "a", "--write"), "--write with --path");
	expect_refusal(WORDS("check", "--url", "bad"), "bad is no URL");
}

static void expect_answer(const char *const *words, int status, const char *out)
{
	_cleanup_outcome_ struct outcome o;

	run_nsbox(words, NULL, &o);
	if (o.status != status || strcmp(out_of(&o), out) != 0)
		fail_msg("status %d, out '%s', err '%s', expected %d '%s'", o.status, out_of(&o), err_of(&o), status, out);
}

static void test_grant(void **state)
{
	static const char yes[] = "allow: a (from --allow), reason: rule\n", no[] = "deny: no rule, reason: no-rule\n";
	_cleanup_outcome_ struct outcome flags;
	(void)state;

	expect_answer(WORDS("grant", "show", "-f", "p.ini", "push"), EXIT_YES, "[grant push]\n");
	expect_answer(WORDS("grant", "show", "push", "-f", "p.ini"), EXIT_YES, "[grant push]\n");
	expect_answer(WORDS("grant", "check", "push", "--url", "https://a/"), EXIT_YES, yes);
	expect_answer(WORDS("grant", "check", "--url", "https://a/", "--method", "POST", "push"), EXIT_NO, no);
	expect_answer(WORDS("grant", "check", "push", "--path", "/x", "--write"), EXIT_NO, no);
	expect_answer(WORDS("grant", "check", "push", "--secret", "KEY"), EXIT_YES, yes);
	expect_answer(WORDS("grant", "check", "push", "--secret=OTHER"), EXIT_NO, no);
	expect_answer(WORDS("grant", "check", "-f", "p", "--", "git", "push"), EXIT_YES, "push\n");
	expect_answer(WORDS("grant", "check", "push", "--", "git", "push"), EXIT_YES, "push\n");
	expect_answer(WORDS("grant", "check", "push", "--", "hg"), EXIT_NO, "no grant\n");
	expect_answer(WORDS("grant", "check", "--json", "push", "--", "git"), EXIT_YES,
		      "{\"decision\":\"allow\",\"rule\":\"push\",\"source\":\"\",\"reason\":\"argv\"}\n");
	/* With a target it is the policy's flag. */
	fake_show_calls = 1;
	run_nsbox(WORDS("grant", "check", "--secret", "K@a.example", "--write=/y", "push", "--secret", "KEY"), NULL, &flags);
	fake_show_calls = 0;
	assert_int_equal(flags.status, EXIT_YES);
	assert_string_equal(err_of(&flags), "[secret K] allow = a.example (--secret)\n[filesystem] write = /y (--write)\n");
	expect_refusal(WORDS("grant", "show"), "needs the name of a grant");
	expect_refusal(WORDS("grant", "show", "pull"), "no such grant");
	expect_refusal(WORDS("grant", "show", "push", "pull"), "takes one grant, not also pull");
	expect_refusal(WORDS("grant", "check", "push"), "needs one of --url URL");
	expect_refusal(WORDS("grant", "check", "push", "--url", "a", "--", "git"), "needs one of --url URL");
	expect_refusal(WORDS("grant", "check", "--url", "a"), "needs the name of a grant");
	expect_refusal(WORDS("grant", "check", "push", "--"), "no command behind --");
	expect_refusal(WORDS("grant", "check", "pull", "--", "git"), "no such grant");
	expect_refusal(WORDS("grant", "check", "push", "--secret", "K", "--write"), "--write with --path");
	expect_refusal(WORDS("grant", "chekc"), "did you mean check?");
}

static void test_audit(void **state)
{
	static const char log[] =
		"{\"seq\":1,\"time\":\"T\",\"event\":\"call.start\",\"sandbox\":\"s\",\"call\":\"s.1\",\"argv\":[\"a b\",\"c\"],"
		"\"path\":\"\\u001b[2J\",\"port\":443,\"prev\":\"0\",\"hash\":\"1\"}\n"
		"garbage\x1b[2J\n";
	char path[] = "/tmp/test-cli-XXXXXX";
	_cleanup_outcome_ struct outcome table, json, ok, bad;
	(void)state;

	int fd = mkstemp(path);
	assert_int_equal(write(fd, log, sizeof(log) - 1), sizeof(log) - 1);
	close(fd);
	run_nsbox(WORDS("audit", "show", "--file", path), NULL, &table);
	assert_int_equal(table.status, 0);
	assert_string_equal(out_of(&table), "T  s.1          call.start     argv=['a b' c] path='\\x1b[2J' port=443\n"
					    "not a record: garbage\\x1b[2J\n");
	run_nsbox(WORDS("audit", "show", "--json", "--file", path), NULL, &json);
	assert_string_equal(out_of(&json), log);
	unlink(path);
	run_nsbox(WORDS("audit", "verify", "known"), NULL, &ok);
	assert_int_equal(ok.status, EXIT_YES);
	run_nsbox(WORDS("audit", "verify", "known", "--head",
			"0000000000000000000000000000000000000000000000000000000000000000"),
		  NULL, &bad);
	assert_int_equal(bad.status, EXIT_NO);
	assert_string_equal(out_of(&bad), "NOT intact: text\n");
	expect_refusal(WORDS("audit", "verify", "known", "--head", "abc"), "64 lower-case hex digits");
	expect_refusal(WORDS("audit", "verify", "other"), "there is no audit log");
	expect_refusal(WORDS("audit", "show", "--file", path), "cannot open the audit log");
	expect_refusal(WORDS("audit", "show", "a", "b"), "takes one sandbox id");
	expect_refusal(WORDS("audit", "show", "a", "--file", "b"), "not both");
}

static void test_doctor_and_version(void **state)
{
	_cleanup_outcome_ struct outcome doctor, version;
	(void)state;

	run_nsbox(WORDS("doctor"), NULL, &doctor);
	assert_int_equal(doctor.status, EXIT_NO);
	assert_string_equal(out_of(&doctor),
			    "ok        user namespaces\nmissing   landlock\n          boot with lsm=landlock\n");
	run_nsbox(WORDS("version"), NULL, &version);
	assert_string_equal(out_of(&version), "nsbox 1.2.3\n");
}

/* Every command and every option is explained, wherever --help stands. */
static void test_help_is_complete(void **state)
{
	_cleanup_outcome_ struct outcome all;
	(void)state;

	run_nsbox(WORDS("help"), NULL, &all);
	assert_int_equal(all.status, 0);
	for (const struct command *const *c = commands; *c; c++) {
		_cleanup_outcome_ struct outcome one, other;
		assert_int_equal(strstr(out_of(&all), (*c)->name) != NULL, !(*c)->internal);
		if ((*c)->internal)
			continue;
		run_nsbox(WORDS("help", (*c)->name), NULL, &one);
		run_nsbox(WORDS((*c)->name, "--help"), NULL, &other);
		assert_int_equal(one.status, 0);
		assert_string_equal(out_of(&one), out_of(&other));
		for (const struct option *const *t = (*c)->options; t && *t; t++) {
			for (const struct option *o = *t; o->name; o++)
				assert_non_null(strstr(out_of(&one), o->name));
		}
	}
	_cleanup_outcome_ struct outcome sub;
	run_nsbox(WORDS("audit", "verify", "--help"), NULL, &sub);
	assert_int_equal(sub.status, 0);
	assert_non_null(strstr(out_of(&sub), "--head HASH"));
}

static void test_denial_flags(void **state)
{
	static const struct {
		const char *json, *flag;
	} cases[] = {
		{ "{\"event\":\"net.deny\",\"host\":\"a.example\",\"port\":443,\"reason\":\"no-rule\"}", "--allow a.example" },
		{ "{\"event\":\"net.deny\",\"host\":\"a.example\",\"port\":8443}", "--allow a.example:8443" },
		{ "{\"event\":\"net.deny\",\"addr\":\"192.0.2.1\",\"port\":22}", "--allow 192.0.2.1/32:22" },
		{ "{\"event\":\"http.deny\",\"host\":\"a.example\",\"port\":443,\"method\":\"PUT\",\"path\":\"/x y\"}",
		  "--allow 'PUT https://a.example/x%20y'" },
		{ "{\"event\":\"http.deny\",\"host\":\"a.example\",\"port\":8080,\"method\":\"GET\",\"path\":\"/\"}",
		  "--allow 'GET https://a.example:8080/'" },
		{ "{\"event\":\"http.deny\",\"host\":\"a.example\",\"port\":80,\"method\":\"GET\",\"path\":\"/it's\"}",
		  "--allow 'GET http://a.example/it%27s'" },
		{ "{\"event\":\"net.deny\",\"host\":\"a.example\",\"port\":443,\"reason\":\"private-address\"}",
		  "--allow-private a.example" },
		{ "{\"event\":\"net.deny\",\"host\":\"a.example\",\"port\":443,\"reason\":\"deny-rule\"}", NULL },
		{ "{\"event\":\"net.deny\",\"host\":\"a.example\",\"port\":25,\"reason\":\"unknown-protocol\"}",
		  "--allow tcp://a.example:25" },
		{ "{\"event\":\"http.deny\",\"host\":\"a.example\",\"port\":80,\"reason\":\"bare-lf\"}", NULL },
		{ "{\"event\":\"http.deny\",\"host\":\"a.example\",\"port\":80,\"method\":\"GET\",\"path\":\"/\",\"reason\":\"timeout\"}",
		  NULL },
		{ "{\"event\":\"net.deny\",\"host\":\"a.example\",\"port\":443,\"reason\":\"tls-handshake\"}", NULL },
		{ "{\"event\":\"secret.misuse\",\"name\":\"K\",\"host\":\"a.example\",\"port\":443}", NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf b = { 0 };
		json_t *denial = json_loads(cases[i].json, 0, NULL);
		assert_int_equal(denial_flag(denial, &b), cases[i].flag != NULL);
		if (cases[i].flag)
			assert_string_equal(buf_str(&b), cases[i].flag);
		json_decref(denial);
	}
}

static void test_escape(void **state)
{
	static const char hostile[] = "a\n\x1b\x7f\xc2\x9b\xff\xc3\xa9\xe2\x80\xae\xed\xa0\x80\xc0\x80z";
	_cleanup_buf_ struct buf b = { 0 };
	(void)state;

	escape_text(&b, hostile, sizeof(hostile) - 1);
	assert_string_equal(buf_str(&b), "a\\x0a\\x1b\\x7f\\xc2\\x9b\\xff\xc3\xa9\\xe2\\x80\\xae\\xed\\xa0\\x80\\xc0\\x80z");
}

/* A tag, a selector, a soft hyphen, a filler; and beside them what is seen: an emoji with its selector, a letter with an accent. */
static void test_escape_invisible(void **state)
{
	static const char text[] = "a\xf3\xa0\x81\xa1\xf3\xa0\x84\x80\xc2\xad\xe3\x85\xa4";
	static const char seen[] = "\xe2\x9d\xa4\xef\xb8\x8f\xcc\x81\xe3\x80\x80\xef\xbf\xbd";
	_cleanup_buf_ struct buf b = { 0 }, same = { 0 };
	(void)state;

	escape_text(&b, text, sizeof(text) - 1);
	assert_string_equal(buf_str(&b), "a\\xf3\\xa0\\x81\\xa1\\xf3\\xa0\\x84\\x80\\xc2\\xad\\xe3\\x85\\xa4");
	escape_text(&same, seen, sizeof(seen) - 1);
	assert_string_equal(buf_str(&same), seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape_invisible),
		cmocka_unit_test(test_policy_flags),	      cmocka_unit_test(test_bad_options),
		  cmocka_unit_test(test_secret_is_never_shown),
		cmocka_unit_test(test_profile_chosen),
		cmocka_unit_test(test_profile_commands),
		cmocka_unit_test(test_env_file),	      cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_check),		      cmocka_unit_test(test_grant),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_doctor_and_version),    cmocka_unit_test(test_help_is_complete),
		cmocka_unit_test(test_denial_flags),	      cmocka_unit_test(test_escape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
