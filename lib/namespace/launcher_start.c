/* SPDX-License-Identifier: Apache-2.0 */
/* Cloning the launcher from the supervisor: its namespaces, id maps, descriptors and signals. */
#include "namespace/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/launcher_state.h"
#include "namespace/user_map.h"
#include "supervisor/protocol.h"

void launcher_give_up(int sock, enum sandbox_stage stage, const char *object, const char *what)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;

	fail_errno(&e, errno, stage, object, "%s", what);
	if (wire_put_u32(&m, LAUNCHER_FAILED) == 0 && wire_put_error(&m, &e) == 0)
		msg_send(sock, m.data, m.len, NULL, 0);
	_exit(1);
}

/* The supervisor's end, the program of the inits, and 0 to 2 taken, so that nothing a call still needs has the number of
 * one of its standard descriptors. */
static int place_descriptors(int sock, int init_fd)
{
	int s = fcntl(sock, F_DUPFD_CLOEXEC, 10), i = fcntl(init_fd, F_DUPFD_CLOEXEC, 10);
	if (s < 0 || i < 0 || dup3(s, SUPERVISOR_FD, O_CLOEXEC) < 0 || dup3(i, INIT_FD, O_CLOEXEC) < 0)
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (dup3(i, fd, O_CLOEXEC) < 0)
			return -1;
	return close_range(INIT_FD + 1, ~0u, 0);
}

/* In the clone. The map first: it needs /proc/self, which belongs to root once we are not dumpable. */
static _Noreturn void launcher_main(int sock, int init_fd, uid_t uid, gid_t gid)
{
	int r = user_map_self(uid, gid);

	if (r < 0) {
		errno = -r;
		launcher_give_up(sock, SANDBOX_STAGE_USER_NAMESPACE, "uid_map",
				 "cannot map the user into a user namespace (`nsbox doctor` says what this machine needs)");
	}
	if (place_descriptors(sock, init_fd) < 0)
		launcher_give_up(fcntl(sock, F_GETFD) < 0 ? SUPERVISOR_FD : sock, SANDBOX_STAGE_HELPER, "nsbox-launcher",
				 "the launcher cannot place its descriptors");
	/* Whoever was our parent may be gone already: then the socket says so. */
	prctl(PR_SET_NAME, "nsbox-launcher");
	/* The two that the supervisor ignores: every call is to start with the defaults. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		launcher_give_up(SUPERVISOR_FD, SANDBOX_STAGE_HELPER, "nsbox-launcher", "the launcher cannot close itself up");
	launcher_serve();
}

int launcher_start(int init_fd, int *ret_sock, int *ret_pidfd, struct error *e)
{
	int pair[2], pidfd = -EBADF;
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_HELPER, "launcher", "cannot make a socket for the launcher");
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		launcher_main(pair[1], init_fd, uid, gid);
	int err = errno;
	fd_close(pair[1]);
	if (pid < 0) {
		fd_close(pair[0]);
		return fail_errno(e, err, SANDBOX_STAGE_USER_NAMESPACE, "clone3",
				  "cannot make a user namespace (`nsbox doctor` says what this machine needs)");
	}
	*ret_sock = pair[0];
	*ret_pidfd = pidfd;
	return 0;
}
