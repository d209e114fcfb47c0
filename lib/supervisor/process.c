/* SPDX-License-Identifier: Apache-2.0 */
/* Making the processes of gateways and auditors. */
#include "supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/util.h"

struct spawn {
	const struct process *process;
	int sock, null;
	pid_t parent;
};

static int child(void *arg)
{
	const struct spawn *s = arg;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != s->parent)
		_exit(127);
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(s->null, fd) < 0)
			_exit(127);
	}
	if (dup2(s->sock, PROCESS_SOCKET) < 0)
		_exit(127);
	s->process->become(s->process->arg);
	_exit(127);
}

static int spawn(const struct process *p, int sock, int *ret_pidfd)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct spawn args = { .process = p, .parent = getpid() };
	int pidfd = -EBADF;

	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Above what the child fills: dup2() to the same number would leave it close-on-exec. */
	_cleanup_close_ int high = fcntl(sock, F_DUPFD_CLOEXEC, PROCESS_KEPT);
	if (null < 0 || high < 0)
		return -errno;
	args.null = null;
	args.sock = high;
	STACK_REUSE(stack, sizeof(stack));
	int r = clone(child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &args, &pidfd);
	if (r < 0)
		return -errno;
	*ret_pidfd = pidfd;
	return 0;
}

/* Those that nobody waits for any more: who forgets one only kills it. */
static void reap_forgotten(void)
{
	siginfo_t info;

	do
		info.si_pid = 0;
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid);
}

int process_start(const struct process *p, int *ret_sock, int *ret_pidfd)
{
	int pair[2];

	reap_forgotten();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int theirs = pair[1];
	int r = spawn(p, theirs, ret_pidfd);
	if (r == 0)
		*ret_sock = TAKE_FD(ours);
	return r;
}
