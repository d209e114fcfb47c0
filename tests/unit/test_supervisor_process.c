/* SPDX-License-Identifier: Apache-2.0 */
/* Making the processes of gateways. */
#include "base/util.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* There is no program here: the process ends at once. Its number, and nobody waits for it. */
static pid_t make_and_forget(struct supervisor *s)
{
	siginfo_t info = { 0 };
	int sock = -EBADF, pidfd = -EBADF;
	char byte;

	assert_int_equal(gateway_process(s, &sock, &pidfd), 0);
	assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(read(sock, &byte, 1), 0);
	close(sock);
	close(pidfd);
	return info.si_pid;
}

static void forgotten_gateways_are_reaped(void **state)
{
	struct supervisor s = { .spare_sock = -EBADF, .spare_pidfd = -EBADF,
				.helper_dir = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	siginfo_t info = { 0 };
	(void)state;

	pid_t first = make_and_forget(&s), second = make_and_forget(&s);
	assert_int_equal(waitid(P_PID, (id_t)first, &info, WEXITED | WNOHANG | WNOWAIT), -1);
	assert_int_equal(waitid(P_PID, (id_t)second, &info, WEXITED | WNOHANG), 0);
	close(s.helper_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forgotten_gateways_are_reaped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
