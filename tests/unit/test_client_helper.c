/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a helper leaves no trace in the host: no SIGCHLD, nothing to reap, no descriptor, no handler run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/helper.h"

static volatile sig_atomic_t children;

static void on_child(int sig)
{
	(void)sig;
	children++;
}

/* Run sh -c script with descriptor 1 on a pipe; what it wrote, and wait until it is gone. */
static void run_script(const char *script, char *out, size_t size)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	char *env[] = { (char *)"ONLY=this", NULL };
	int pair[2], pidfd;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	const int fds[] = { -1, pair[1], -1 };
	const struct helper helper = {
		.dir_fd = AT_FDCWD, .program = "/bin/sh", .argv = argv, .env = env, .fds = fds, .n_fds = 3,
	};
	assert_int_equal(helper_spawn(&helper, &pidfd), 0);
	close(pair[1]);
	size_t len = 0;
	ssize_t n;
	while ((n = read(pair[0], out + len, size - 1 - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		assert_true(n > 0);
		len += (size_t)n;
	}
	out[len] = '\0';
	close(pair[0]);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	while (poll(&p, 1, 60000) < 0 && errno == EINTR)
		;
	assert_true(p.revents & POLLIN);
	close(pidfd);
}

static void host_sees_no_child(void **state)
{
	char out[4096];
	(void)state;

	children = 0;
	assert_true(signal(SIGCHLD, on_child) != SIG_ERR);
	for (int i = 0; i < 20; i++)
		run_script("echo hello", out, sizeof(out));
	assert_string_equal(out, "hello\n");
	assert_int_equal(children, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	/* Control: an ordinary child is counted, so the counter works. */
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	while (waitpid(pid, NULL, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_int_equal(children, 1);
	signal(SIGCHLD, SIG_DFL);
}

static void helper_gets_only_what_is_named(void **state)
{
	char out[4096];
	(void)state;

	/* Inheritable on purpose: a careless host. */
	int leak = open("/", O_RDONLY | O_DIRECTORY);
	assert_true(leak >= 0);
	setenv("SECRET_OF_HOST", "leaks", 1);
	/* A shell glob does not open further descriptors while it reads the directory beyond one. */
	run_script("cd /proc/self/fd && for f in *; do [ -e \"$f\" ] && echo \"fd $f\"; done; export -p; trap", out, sizeof(out));
	close(leak);
	char name[32];
	snprintf(name, sizeof(name), "fd %d\n", leak);
	assert_null(strstr(out, name));
	assert_null(strstr(out, "leaks"));
	assert_non_null(strstr(out, "ONLY="));
	assert_non_null(strstr(out, "fd 2\n"));
}

static void signals_are_at_default(void **state)
{
	char out[4096];
	sigset_t all, before, after;
	(void)state;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	signal(SIGUSR1, SIG_IGN);
	run_script("grep -E 'SigBlk|SigIgn' /proc/self/status", out, sizeof(out));
	sigprocmask(SIG_SETMASK, &before, &after);
	signal(SIGUSR1, SIG_DFL);
	assert_non_null(strstr(out, "SigBlk:\t0000000000000000"));
	assert_non_null(strstr(out, "SigIgn:\t0000000000000000"));
	/* The host's own mask is as it left it. */
	assert_true(sigismember(&after, SIGTERM) == 1);
}

static void failure_of_exec_is_reported(void **state)
{
	char *argv[] = { (char *)"x", NULL };
	char *env[] = { NULL };
	int pidfd = -1;
	(void)state;

	const struct helper helper = {
		.dir_fd = AT_FDCWD, .program = "/nonexistent/program", .argv = argv, .env = env, .fds = NULL, .n_fds = 0,
	};
	int first = open("/dev/null", O_RDONLY);
	close(first);
	assert_int_equal(helper_spawn(&helper, &pidfd), -ENOENT);
	/* No descriptor is left behind: the next one gets the same number. */
	int second = open("/dev/null", O_RDONLY);
	close(second);
	assert_int_equal(first, second);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_sees_no_child),
		cmocka_unit_test(helper_gets_only_what_is_named),
		cmocka_unit_test(signals_are_at_default),
		cmocka_unit_test(failure_of_exec_is_reported),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
