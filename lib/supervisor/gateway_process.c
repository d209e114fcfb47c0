/* SPDX-License-Identifier: Apache-2.0 */
/* Making the process of a gateway: nsbox-gateway with one end of a socket as descriptor 3 and nothing else of ours. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

struct spawn {
	int helper_dir, sock, null;
	pid_t parent;
};

/* Runs in the supervisor's address space (CLONE_VM) until exec: system calls only, nothing that allocates. */
static int gateway_child(void *arg)
{
	static char *const argv[] = { (char *)"nsbox-gateway", NULL };
	static char *const env[] = { NULL };
	const struct spawn *s = arg;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != s->parent)
		_exit(127);
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(s->null, fd) < 0)
			_exit(127);
	}
	/* Descriptor 3 is the socket inside; helper_dir is needed for the exec itself and closes with it. */
	if (s->helper_dir == 3 || dup2(s->sock, 3) < 0)
		_exit(127);
	syscall(SYS_execveat, s->helper_dir, "nsbox-gateway", argv, env, AT_SYMLINK_NOFOLLOW);
	_exit(127);
}

static int spawn(struct supervisor *s, int sock, int *ret_pidfd)
{
	static char stack[65536] __attribute__((aligned(16)));
	struct spawn args = { .sock = sock, .parent = getpid() };
	int pidfd = -EBADF;

	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Above the range that the child fills. */
	_cleanup_close_ int helper_dir = fcntl(s->helper_dir, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || helper_dir < 0)
		return -errno;
	args.null = null;
	args.helper_dir = helper_dir;
	STACK_REUSE(stack, sizeof(stack));
	int r = clone(gateway_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &args, &pidfd);
	if (r < 0)
		return -errno;
	*ret_pidfd = pidfd;
	return 0;
}

/* Those that nobody waits for any more: gateway_forget() only kills. */
static void reap_forgotten(void)
{
	siginfo_t info;

	do
		info.si_pid = 0;
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid);
}

/* A process and our end of its socket. */
static int start_process(struct supervisor *s, int *ret_sock, int *ret_pidfd)
{
	int pair[2];

	reap_forgotten();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0];
	_cleanup_close_ int theirs = pair[1];
	int r = spawn(s, theirs, ret_pidfd);
	if (r == 0)
		*ret_sock = TAKE_FD(ours);
	return r;
}

void gateway_prepare(struct supervisor *s)
{
	start_process(s, &s->spare_sock, &s->spare_pidfd);
}

int gateway_process(struct supervisor *s, int *ret_sock, int *ret_pidfd)
{
	if (s->spare_sock < 0)
		return start_process(s, ret_sock, ret_pidfd);
	*ret_sock = TAKE_FD(s->spare_sock);
	*ret_pidfd = TAKE_FD(s->spare_pidfd);
	return 0;
}
