/* SPDX-License-Identifier: Apache-2.0 */
/* The commands on named sandboxes: what they ask the library for, and what they print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "runner.h"
#include "test_cli_fake.h"

#include <cmocka.h>

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define _cleanup_outcome_ _cleanup_(outcome_free)

static const char *out_of(const struct outcome *o) { return (const char *)o->out.data; }
static const char *err_of(const struct outcome *o) { return (const char *)o->err.data; }

/* The calls of the library are shown on stderr. */
static void expect(const char *const *words, int status, const char *out, const char *err)
{
	_cleanup_outcome_ struct outcome o;

	fake_show_calls = 1;
	run_nsbox(words, NULL, &o);
	fake_show_calls = 0;
	if (o.status != status || strcmp(out_of(&o), out) != 0 || strcmp(err_of(&o), err) != 0)
		fail_msg("%s: status %d, out '%s', err '%s'", words[0], o.status, out_of(&o), err_of(&o));
}

static void expect_refusal(const char *const *words, const char *text)
{
	_cleanup_outcome_ struct outcome o;

	run_nsbox(words, NULL, &o);
	if (o.status != EXIT_NSBOX || o.out.len || strncmp(err_of(&o), "nsbox: ", 7) != 0 || !strstr(err_of(&o), text))
		fail_msg("status %d, out '%s', err '%s', expected '%s'", o.status, out_of(&o), err_of(&o), text);
}

static void test_create(void **state)
{
	(void)state;
	expect(WORDS("create", "--net", "none", "--name", "work"), 0, "work\n",
	       "[network] mode = none (--net)\ncreate work\n");
	expect(WORDS("create"), 0, "k3f9x2m1\n", "create -\n");
	expect_refusal(WORDS("create", "--name", "taken"), "there is a sandbox taken already");
	expect_refusal(WORDS("create", "true"), "takes no argument true");
	expect_refusal(WORDS("create", "--alow", "x"), "did you mean --allow?");
}

static void test_run_kept(void **state)
{
	(void)state;
	/* Kept, and nothing said about it. */
	expect(WORDS("run", "--name", "work", "sh", "-c", "exit 3"), 3, "", "create work\n");
	expect(WORDS("run", "--name", "work", "--rm", "sh", "-c", "exit 3"), 3, "", "create work\nremove work 1\n");
	/* A command that never ran takes no name away. */
	expect(WORDS("run", "--name", "work", "/nonexistent"), 127, "",
	       "create work\nnsbox: cannot run it\nremove work 1\n");
	expect_refusal(WORDS("run", "--name", "taken", "true"), "there is a sandbox taken already");
	expect(WORDS("run", "--isolation", "full", "--name", "work", "true"), 0, "", "isolation full\ncreate work\n");
}

static void test_run_detached(void **state)
{
	(void)state;
	expect(WORDS("run", "-d", "true"), 0, "k3f9x2m1\n", "stdio -1 -3 -3\ndetached 1\ncreate -\n");
	expect(WORDS("run", "-d", "--name", "work", "true"), 0, "work\n", "stdio -1 -3 -3\ndetached 1\ncreate work\n");
	expect_refusal(WORDS("run", "-d", "-t", "true"), "-d and -t exclude each other");
	expect_refusal(WORDS("run", "-d", "--json", "true"), "-d and --json exclude each other");
}

static void test_exec(void **state)
{
	(void)state;
	setenv("PASSED", "on", 1);
	unsetenv("ABSENT");
	expect(WORDS("exec", "work", "-w", "/tmp", "--env", "A=b=c", "--env=PASSED", "--env", "ABSENT", "--timeout", "2m",
		     "--isolation=full", "--background", "--", "sh", "-c", "exit 4"),
	       4, "",
	       "isolation full\ndirectory /tmp\ntimeout 120000\nbackground 1\nenv A=b=c\nenv PASSED=on\nopen work\n");
	/* Options before the name too; what follows the command is its own. */
	expect(WORDS("exec", "--isolation", "light", "work", "echo", "-d", "--", "x"), 0, "-d -- x\n",
	       "isolation light\nopen work\n");
	expect(WORDS("exec", "work", "-d", "true"), 0, "k3f9x2m1.1\n", "stdio -1 -3 -3\ndetached 1\nopen work\n");
	expect(WORDS("exec", "work", "/nonexistent"), 127, "", "open work\nnsbox: cannot run it\n");
	expect_refusal(WORDS("exec", "missing", "true"), "there is no sandbox missing");
	expect_refusal(WORDS("exec"), "needs a sandbox and a command");
	expect_refusal(WORDS("exec", "work"), "needs a sandbox and a command");
	expect_refusal(WORDS("exec", "--", "true"), "needs a sandbox and a command");
	expect_refusal(WORDS("exec", "work", "--timeout", "soon", "true"), "--timeout soon");
}

/* A sandbox that others use too: only what this call did is told, and no flag of exec would have allowed it. */
static void test_exec_report(void **state)
{
	static const char *const denials[] = {
		"{\"event\":\"net.deny\",\"call\":\"k3f9x2m1.2\",\"host\":\"other.example\",\"port\":443,\"reason\":\"no-rule\"}",
		"{\"event\":\"net.deny\",\"call\":\"k3f9x2m1.1\",\"host\":\"a.example\",\"port\":443,\"reason\":\"no-rule\"}",
		NULL,
	};
	_cleanup_outcome_ struct outcome o;
	(void)state;

	fake_events = denials;
	run_nsbox(WORDS("exec", "work", "false"), NULL, &o);
	fake_events = NULL;
	assert_int_equal(o.status, 1);
	assert_string_equal(err_of(&o), "nsbox: denied: connect to a.example:443 (no-rule) by call k3f9x2m1.1; allowed in a "
					"sandbox that is made with --allow a.example\n");
}

static void test_lists(void **state)
{
	_cleanup_outcome_ struct outcome json;
	(void)state;

	expect(WORDS("ls"), 0,
	       "NAME     STATE     PID      CREATED               WORKDIR    NET\n"
	       "a        running   12       2026-01-02T03:04:05Z  /w\\x1b[2J  none\n"
	       "missing  starting  1234567  2026-01-02T03:04:05Z  /v         gateway\n",
	       "");
	run_nsbox(WORDS("ls", "--json"), NULL, &json);
	assert_int_equal(json.status, 0);
	assert_int_equal(out_of(&json)[0], '[');
	expect_refusal(WORDS("ls", "work"), "takes no argument work");
	expect(WORDS("inspect", "work"), 0, "{\"id\":\"k3f9x2m1\"}\n", "open work\n");
	expect_refusal(WORDS("inspect"), "needs the name of one sandbox");
	expect_refusal(WORDS("inspect", "missing"), "there is no sandbox missing");
	expect(WORDS("prune"), 0, "a\nb\n", "");
	expect_refusal(WORDS("prune", "x"), "takes no argument x");
}

static void test_rm_and_kill(void **state)
{
	(void)state;
	expect(WORDS("rm", "a", "b"), 0, "", "open a\nremove a 0\nopen b\nremove b 0\n");
	/* One that fails does not keep the others. */
	expect(WORDS("rm", "missing", "busy", "b"), 125, "",
	       "nsbox: there is no sandbox missing\nopen busy\nnsbox: commands run in sandbox busy: nsbox kill busy ends them, "
	       "nsbox rm -f busy ends all of it\nopen b\nremove b 0\n");
	expect(WORDS("rm", "busy", "missing", "-f"), 0, "", "open busy\nremove busy 1\n");
	expect_refusal(WORDS("rm"), "needs the names of sandboxes");
	expect(WORDS("kill", "work"), 0, "", "open work\nsignal work 9\n");
	expect(WORDS("kill", "--signal", "sigterm", "work", "3"), 0, "", "open work\nsignal k3f9x2m1.3 15\n");
	expect(WORDS("kill", "work", "-s1", "other.7"), 0, "", "open work\nsignal other.7 1\n");
	expect(WORDS("grant", "revoke", "work.3"), 0, "", "open work\nrevoke k3f9x2m1.3\n");
	expect_refusal(WORDS("grant", "revoke", "work"), "the id of a call is ID.NUMBER");
	expect_refusal(WORDS("grant", "revoke", "work."), "the id of a call is ID.NUMBER");
	expect_refusal(WORDS("grant", "revoke", ".3"), "the id of a call is ID.NUMBER");
	expect_refusal(WORDS("grant", "revoke", "work.3", "work.4"), "needs the id of one call");
	expect_refusal(WORDS("kill", "work", "--signal", "NOTHING"), "no signal of this name or number");
	expect_refusal(WORDS("kill", "work", "--signal=65"), "no signal of this name or number");
	expect_refusal(WORDS("kill"), "needs the name of a sandbox");
}

static void test_logs(void **state)
{
	static const char full[] = "nsbox: the output is full: what was written after this is not kept\n";
	_cleanup_outcome_ struct outcome all, one, followed;
	(void)state;

	run_nsbox(WORDS("logs", "work"), NULL, &all);
	assert_int_equal(all.status, 0);
	assert_string_equal(out_of(&all), "one\nthree\n");
	assert_true(strncmp(err_of(&all), "two\n", 4) == 0 && strcmp(err_of(&all) + 4, full) == 0);
	run_nsbox(WORDS("logs", "--call", "2", "work"), NULL, &one);
	assert_string_equal(out_of(&one), "three\n");
	/* Until the sandbox is gone. */
	fake_gone = 1;
	run_nsbox(WORDS("logs", "-f", "work", "--call", "k3f9x2m1.1"), NULL, &followed);
	fake_gone = 0;
	assert_int_equal(followed.status, 0);
	assert_string_equal(out_of(&followed), "one\n");
	expect_refusal(WORDS("logs"), "needs the name of one sandbox");
	expect_refusal(WORDS("logs", "missing"), "there is no sandbox missing");
}

static void test_events(void **state)
{
	static const char *const events[] = { "{\"event\":\"call.start\"}", "{\"event\":\"net.deny\"}", "{\"event\":\"call.exit\"}",
					      NULL };
	_cleanup_outcome_ struct outcome count, gone;
	(void)state;

	fake_events = events;
	fake_gone = 1;
	run_nsbox(WORDS("events", "work", "--count", "2"), NULL, &count);
	assert_int_equal(count.status, 0);
	assert_string_equal(out_of(&count), "{\"event\":\"call.start\"}\n{\"event\":\"net.deny\"}\n");
	/* All that are listed; one of them has gone meanwhile. */
	run_nsbox(WORDS("events", "-f"), NULL, &gone);
	fake_events = NULL;
	fake_gone = 0;
	assert_int_equal(gone.status, 0);
	assert_string_equal(out_of(&gone),
			    "{\"event\":\"call.start\"}\n{\"event\":\"net.deny\"}\n{\"event\":\"call.exit\"}\n");
	expect_refusal(WORDS("events", "missing"), "there is no sandbox missing");
	expect_refusal(WORDS("events", "--count", "0"), "a number from 1");
}

static void test_durations(void **state)
{
	unsigned long ms = 0;
	(void)state;

	assert_true(duration_ms("250ms", &ms) && ms == 250);
	assert_true(duration_ms("3", &ms) && ms == 3000);
	assert_true(duration_ms("3s", &ms) && ms == 3000);
	assert_true(duration_ms("10m", &ms) && ms == 600000);
	assert_true(duration_ms("2h", &ms) && ms == 7200000);
	assert_true(duration_ms("1d", &ms) && ms == 86400000);
	assert_false(duration_ms("0", &ms));
	assert_false(duration_ms("", &ms));
	assert_false(duration_ms("-1", &ms));
	assert_false(duration_ms("1.5s", &ms));
	assert_false(duration_ms("1w", &ms));
	assert_false(duration_ms("9999999999999", &ms));
}

static void test_changes(void **state)
{
	(void)state;
	expect(WORDS("diff"), 0, "k3f9x2m1  /w\\x1b[2J  (b)\n", "");
	expect(WORDS("diff", "k3f9x2m1"), 0,
	       "A  a\\x1b/\n"
	       "R  /x/o -> n  [build, program]  [conflict: changed on the host too]\n"
	       "m  m  (0644 -> 0600)\n",
	       "");
	expect(WORDS("diff", "k3f9x2m1", "a"), 0, "", "");
	expect(WORDS("diff", "--patch", "k3f9x2m1"), 0, "+\033[2J\tx\n", "");
	expect_refusal(WORDS("diff", "--patch", "--json", "k3f9x2m1"), "exclude each other");
	expect_refusal(WORDS("diff", "missing"), "missing");
	expect(WORDS("commit", "k3f9x2m1"), 0, "", "nsbox: 2 files committed\n");
	expect(WORDS("commit", "k3f9x2m1", "a"), 0, "", "nsbox: 1 file committed\n");
	expect(WORDS("commit", "--accept-executable", "k3f9x2m1"), 0, "", "nsbox: 3 files committed\n");
	/* Behind "--" nothing is an option, however many words there are. */
	expect(WORDS("commit", "k3f9x2m1", "--", "a", "--accept-executable"), 0, "", "nsbox: 1 file committed\n");
	expect(WORDS("commit", "--", "k3f9x2m1", "-a", "--", "-b"), 0, "", "nsbox: 1 file committed\n");
	expect(WORDS("commit", "--digest", "ab12", "k3f9x2m1"), 0, "", "digest ab12\nnsbox: 2 files committed\n");
	expect_refusal(WORDS("diff", "--digest", "--patch", "k3f9x2m1"), "exclude each other");
	expect(WORDS("discard", "k3f9x2m1", "a"), 0, "", "nsbox: 1 file discarded\n");
	expect(WORDS("snapshot", "k3f9x2m1", "one"), 0, "", "snapshot k3f9x2m1 one\n");
	expect(WORDS("rollback", "k3f9x2m1", "one"), 0, "", "rollback k3f9x2m1 one\n");
	expect_refusal(WORDS("snapshot", "k3f9x2m1"), "a name for the copy");
	expect_refusal(WORDS("rollback", "k3f9x2m1"), "the name of a snapshot");
	expect_refusal(WORDS("commit"), "needs the id of a sandbox");
	expect_refusal(WORDS("discard"), "needs the id of a sandbox");
	expect_refusal(WORDS("discard", "--accept-executable", "k3f9x2m1"), "unknown option");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),	    cmocka_unit_test(test_run_kept), cmocka_unit_test(test_run_detached),
		cmocka_unit_test(test_exec),	    cmocka_unit_test(test_exec_report), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_rm_and_kill), cmocka_unit_test(test_logs),     cmocka_unit_test(test_events),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
