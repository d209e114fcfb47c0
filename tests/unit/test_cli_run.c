/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox run: exit statuses, signals, the report, and the private terminal under a terminal of the test's own. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <jansson.h>

#include "base/util.h"
#include "nsbox.h"
#include "test_cli_fake.h"

#include <cmocka.h>

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define _cleanup_outcome_ _cleanup_(outcome_free)

static const char *out_of(const struct outcome *o) { return (const char *)o->out.data; }
static const char *err_of(const struct outcome *o) { return (const char *)o->err.data; }

static int status_of(const char *const *words)
{
	_cleanup_outcome_ struct outcome o;
	run_nsbox(words, NULL, &o);
	return o.status;
}

static void test_exit_status(void **state)
{
	(void)state;
	assert_int_equal(status_of(WORDS("run", "true")), 0);
	assert_int_equal(status_of(WORDS("run", "--", "sh", "-c", "exit 7")), 7);
	assert_int_equal(status_of(WORDS("run", "sh", "-c", "kill -9 $$")), 128 + 9);
	assert_int_equal(status_of(WORDS("run", "/nonexistent")), 127);
	assert_int_equal(status_of(WORDS("run", "/etc/passwd")), 126);
	fake_reason = "timeout";
	assert_int_equal(status_of(WORDS("run", "sh", "-c", "kill -15 $$")), 124);
	fake_reason = NULL;
	fake_start_stage = SANDBOX_STAGE_MOUNT;
	fake_start_errno = ENOENT; /* not of the command: ours */
	assert_int_equal(status_of(WORDS("run", "true")), 125);
	fake_start_stage = 0;
}

/* What follows the command belongs to it, also when it looks like an option of ours. */
static void test_words_of_the_command(void **state)
{
	_cleanup_outcome_ struct outcome o, dashes;
	(void)state;

	run_nsbox(WORDS("run", "echo", "--json", "--", "-t", "a b"), NULL, &o);
	assert_string_equal(out_of(&o), "--json -- -t a b\n");
	assert_string_equal(err_of(&o), "");
	run_nsbox(WORDS("run", "--", "cat"), "input", &dashes);
	assert_string_equal(out_of(&dashes), "input");
}

static const char *const denials[] = {
	"{\"seq\":1,\"time\":\"a\",\"event\":\"net.deny\",\"sandbox\":\"s\",\"call\":\"c\",\"host\":\"a.example\",\"port\":443,"
	"\"reason\":\"no-rule\",\"prev\":\"0\",\"hash\":\"1\"}",
	"{\"seq\":2,\"time\":\"b\",\"event\":\"net.deny\",\"sandbox\":\"s\",\"call\":\"c\",\"host\":\"a.example\",\"port\":443,"
	"\"reason\":\"no-rule\",\"prev\":\"1\",\"hash\":\"2\"}",
	"{\"seq\":3,\"event\":\"net.allow\",\"host\":\"b.example\",\"port\":443}",
	"{\"seq\":4,\"event\":\"http.deny\",\"host\":\"b.example\",\"port\":443,\"method\":\"POST\",\"path\":\"/\\u001b[2J\"}",
	"{\"seq\":5,\"event\":\"secret.misuse\",\"name\":\"KEY\",\"host\":\"c.example\",\"port\":443}",
	NULL,
};

static void test_report(void **state)
{
	_cleanup_outcome_ struct outcome o, good;
	(void)state;

	fake_events = denials;
	run_nsbox(WORDS("run", "--json", "sh", "-c", "echo out; exit 3"), NULL, &o);
	run_nsbox(WORDS("run", "true"), NULL, &good);
	fake_events = NULL;
	assert_int_equal(o.status, 3);
	assert_string_equal(out_of(&o), "out\n");
	assert_string_equal(err_of(&good), ""); /* hints only where something failed */

	const char *json_text = strchr(err_of(&o), '{');
	assert_non_null(json_text);
	_cleanup_free_ char *hints = strndup(err_of(&o), (size_t)(json_text - err_of(&o)));
	assert_string_equal(hints, "nsbox: denied: connect to a.example:443 (no-rule) by call c, 2 times; allow it with --allow "
				   "a.example\n"
				   "nsbox: denied: POST b.example:443/\\x1b[2J; allow it with --allow 'POST "
				   "https://b.example/%1B%5B2J'\n"
				   "nsbox: blocked: placeholder of secret KEY sent to c.example:443; a secret goes only to the "
				   "targets of its own --secret\n");
	json_t *json = json_loads(json_text, 0, NULL), *denied = json_object_get(json, "denied");
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "sandbox")), "k3f9x2m1");
	assert_string_equal(json_string_value(json_object_get(json, "reason")), "exit");
	assert_true(json_is_true(json_object_get(json, "started")));
	assert_int_equal(json_integer_value(json_object_get(json, "exit")), 3);
	assert_int_equal(json_integer_value(json_object_get(json, "signal")), 0);
	assert_int_equal(json_array_size(denied), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(denied, 0), "allow")), "--allow a.example");
	json_decref(json);
}

/* Words of a failed command that are on the host and, the policy says, not inside. */
static void test_report_paths(void **state)
{
	char path[] = "/tmp/denied.XXXXXX";
	_cleanup_outcome_ struct outcome o, absent, good;
	int fd = mkstemp(path);
	char want[256];

	(void)state;
	assert_true(fd >= 0);
	run_nsbox(WORDS("run", "sh", "-c", "exit 3", path, "/dev/null", "/tmp/denied-and-absent"), NULL, &o);
	run_nsbox(WORDS("run", "true", path), NULL, &good);
	close(fd);
	unlink(path);
	run_nsbox(WORDS("run", "sh", "-c", "exit 3", path), NULL, &absent);
	snprintf(want, sizeof(want), "nsbox: denied: read %s (no-rule) by call k3f9x2m1.1; allow it with --read %s\n", path, path);
	assert_string_equal(err_of(&o), want);
	assert_string_equal(err_of(&good), "");
	assert_string_equal(err_of(&absent), "");
}

static void test_report_is_bounded(void **state)
{
	const char *events[600];
	char texts[599][80];
	_cleanup_outcome_ struct outcome o;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		snprintf(texts[i], sizeof(texts[i]), "{\"event\":\"net.deny\",\"host\":\"h%zu\",\"port\":443}", i);
		events[i] = texts[i];
	}
	events[ARRAY_LEN(texts)] = NULL;
	fake_events = events;
	run_nsbox(WORDS("run", "--json", "false"), NULL, &o);
	fake_events = NULL;
	size_t lines = 0;
	for (const char *p = err_of(&o); (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 5 + 1);
	assert_non_null(strstr(err_of(&o), "more denials: nsbox audit show k3f9x2m1"));
	json_t *json = json_loads(strchr(err_of(&o), '{'), 0, NULL);
	assert_int_equal(json_array_size(json_object_get(json, "denied")), 256);
	assert_int_equal(json_integer_value(json_object_get(json, "denied_left_out")), 599 - 256);
	json_decref(json);
}

static void test_json_when_nothing_started(void **state)
{
	_cleanup_outcome_ struct outcome o;
	(void)state;

	run_nsbox(WORDS("run", "--json", "/nonexistent"), NULL, &o);
	json_t *json = json_loads(strchr(err_of(&o), '{'), 0, NULL);
	assert_true(json_is_false(json_object_get(json, "started")));
	assert_int_equal(json_integer_value(json_object_get(json, "exit")), 127);
	assert_string_equal(json_string_value(json_object_get(json, "reason")), "error");
	json_decref(json);
}

/* nsbox under a terminal of ours (both ends ours), or with plain descriptors. */
struct session {
	pid_t pid;
	int outer, slave;
	struct termios before;
	struct buf seen;
};

static void session_start(struct session *s, bool ignore_hup, const char *const *words)
{
	struct winsize size = { .ws_row = 33, .ws_col = 99 };

	*s = (struct session){ 0 };
	assert_int_equal(openpty(&s->outer, &s->slave, NULL, NULL, &size), 0);
	tcgetattr(s->slave, &s->before);
	fflush(stdout);
	s->pid = fork();
	if (s->pid == 0) {
		int n = 0;
		setsid();
		ioctl(s->slave, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			dup2(s->slave, fd);
		close_range(3, ~0U, 0);
		if (ignore_hup)
			signal(SIGHUP, SIG_IGN);
		while (words[n])
			n++;
		_exit(commands_run(n, (char **)(uintptr_t)words));
	}
}

/* Until the text is there; false after a minute. */
static bool session_expect(struct session *s, const char *text)
{
	uint64_t end = now_us() + 60000000;

	while (now_us() < end) {
		buf_str(&s->seen);
		if (memmem(s->seen.data, s->seen.len, text, strlen(text)))
			return true;
		struct pollfd p = { .fd = s->outer, .events = POLLIN };
		if (poll(&p, 1, 100) > 0) {
			buf_reserve(&s->seen, 4096);
			ssize_t n = read(s->outer, s->seen.data + s->seen.len, 4096);
			if (n > 0)
				s->seen.len += (size_t)n;
		}
	}
	print_message("seen: %s\n", buf_str(&s->seen));
	return false;
}

/* Its exit status, with the settings of the terminal as they were. */
static int session_end(struct session *s, struct rusage *ret_usage)
{
	struct termios after;
	int status;

	/* Read on, or its last output would block it. */
	while (wait4(s->pid, &status, WNOHANG, ret_usage) == 0) {
		struct pollfd p = { .fd = s->outer, .events = POLLIN };
		char rest[4096];
		if (poll(&p, 1, 20) > 0) {
			ssize_t n = read(s->outer, rest, sizeof(rest));
			if (n > 0)
				buf_append(&s->seen, rest, (size_t)n);
		}
	}
	assert_int_equal(tcgetattr(s->slave, &after), 0);
	assert_memory_equal(&after, &s->before, sizeof(after));
	close(s->outer);
	close(s->slave);
	buf_free(&s->seen);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void session_type(struct session *s, const char *text)
{
	assert_int_equal(write(s->outer, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_terminal(void **state)
{
	struct winsize size = { .ws_row = 44, .ws_col = 111 };
	struct session s;
	(void)state;

	session_start(&s, false,
		      WORDS("run", "sh", "-c",
			    "trap 'echo got-int' INT; trap 'echo now $(stty size)' WINCH; test -t 0 && echo at $(stty size);"
			    "read line; echo line=$line; while ! read -r x; do :; done; echo end=$x; exit 5"));
	assert_true(session_expect(&s, "at 33 99"));
	session_type(&s, "hello\r");
	assert_true(session_expect(&s, "line=hello"));
	/* Ctrl-C is a byte for us and a signal inside. */
	session_type(&s, "\x03");
	assert_true(session_expect(&s, "got-int"));
	assert_int_equal(ioctl(s.outer, TIOCSWINSZ, &size), 0);
	session_type(&s, "\r");
	assert_true(session_expect(&s, "now 44 111"));
	assert_int_equal(session_end(&s, NULL), 5);
}

static void test_terminal_restored_on_signal(void **state)
{
	struct session s;
	(void)state;

	session_start(&s, false, WORDS("run", "sh", "-c", "echo ready; exec sleep 100"));
	assert_true(session_expect(&s, "ready"));
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	assert_int_equal(session_end(&s, NULL), 128 + SIGTERM);
}

/* A command that has closed its terminal leaves it hung up: waiting must not spin, output afterwards must come. */
static void test_hung_up_terminal(void **state)
{
	struct rusage usage;
	struct session s;
	(void)state;

	session_start(&s, false,
		      WORDS("run", "sh", "-c",
			    "exec </dev/null >/dev/null 2>&1; sleep 1; exec >/dev/tty; echo back again; exit 4"));
	assert_true(session_expect(&s, "back again"));
	assert_int_equal(session_end(&s, &usage), 4);
	assert_true(usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec < 300000);
	assert_true(usage.ru_stime.tv_sec == 0 && usage.ru_stime.tv_usec < 300000);
}

/* Everything that is written just before the end arrives, and much input passes whole. */
static void test_terminal_bytes(void **state)
{
	_cleanup_outcome_ struct outcome much, input, end;
	_cleanup_free_ char *big = malloc(200001);
	(void)state;

	run_nsbox(WORDS("run", "-t", "seq", "1", "50000"), NULL, &much);
	assert_int_equal(much.status, 0);
	size_t lines = 0;
	for (size_t i = 0; i < much.out.len; i++)
		lines += much.out.data[i] == '\n';
	assert_int_equal(lines, 50000);
	assert_non_null(strstr(out_of(&much), "\n50000\r\n"));

	for (size_t i = 0; i < 200000; i++)
		big[i] = i % 80 == 79 ? '\n' : 'x';
	big[200000] = '\0';
	run_nsbox(WORDS("run", "-t", "sh", "-c", "stty -echo; echo ready; wc -c"), big, &input);
	assert_int_equal(input.status, 0);
	assert_non_null(strstr(out_of(&input), "200000"));
	/* End of input in the middle of a line ends the reader all the same. */
	run_nsbox(WORDS("run", "-t", "wc", "-c"), "abc", &end);
	assert_int_equal(end.status, 0);
	assert_non_null(strstr(out_of(&end), "3"));
}

static void test_closed_output(void **state)
{
	int out[2], status;
	(void)state;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	close(out[0]);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(open("/dev/null", O_RDWR), 0);
		alarm(60);
		_exit(commands_run(4, (char *[]){ (char[]){ "run" }, (char[]){ "-t" }, (char[]){ "yes" }, (char[]){ "x" }, NULL }));
	}
	close(out[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGHUP);
}

static void test_forwarded_signals(void **state)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		struct session s;
		session_start(&s, false,
			      WORDS("run", "-T", "sh", "-c",
				    "for s in HUP INT TERM QUIT; do trap \"echo got $s; exit 9\" $s; done; echo ready;"
				    "while :; do sleep 0.1; done"));
		assert_true(session_expect(&s, "ready"));
		assert_int_equal(kill(s.pid, signals[i]), 0);
		char got[16];
		snprintf(got, sizeof(got), "got %s", sigabbrev_np(signals[i]));
		assert_true(session_expect(&s, got));
		assert_int_equal(session_end(&s, NULL), 9);
	}
}

/* nohup nsbox run ...: ignored stays ignored. */
static void test_ignored_signal_stays_ignored(void **state)
{
	struct session s;
	(void)state;

	session_start(&s, true, WORDS("run", "-T", "sh", "-c", "echo ready; sleep 0.5; exit 6"));
	assert_true(session_expect(&s, "ready"));
	assert_int_equal(kill(s.pid, SIGHUP), 0);
	assert_int_equal(session_end(&s, NULL), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_words_of_the_command),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_report_paths),
		cmocka_unit_test(test_report_is_bounded),
		cmocka_unit_test(test_json_when_nothing_started),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_terminal_restored_on_signal),
		cmocka_unit_test(test_hung_up_terminal),
		cmocka_unit_test(test_terminal_bytes),
		cmocka_unit_test(test_closed_output),
		cmocka_unit_test(test_forwarded_signals),
		cmocka_unit_test(test_ignored_signal_stays_ignored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
