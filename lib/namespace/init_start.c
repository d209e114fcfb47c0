/* SPDX-License-Identifier: Apache-2.0 */
/* Making an init: new namespaces, their id map, and the program executed by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "confine/caps.h"
#include "namespace/init_protocol.h"
#include "namespace/launcher_state.h"
#include "namespace/user_map.h"

#define SANDBOX_NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* Over its own namespaces only: mounting, its host name, coming back from another mount namespace, giving all that up,
 * and hidden sources for root's own files. The last is in use only while an overlay is made (root_overlay.c). */
static const int init_caps[] = { CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP, CAP_DAC_OVERRIDE };

/* Answered as init itself would. */
static _Noreturn void give_up(int sock, enum sandbox_stage stage, const char *object, const char *what)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;

	fail_errno(&e, errno, stage, object, "%s", what);
	if (wire_put_u32(&m, INIT_READY) == 0 && wire_put_u8(&m, 1) == 0 && wire_put_error(&m, &e) == 0)
		msg_send(sock, m.data, m.len, NULL, 0);
	_exit(1);
}

/*
 * What the kernel counts for a user over all namespaces, and gives a new one without a bound: half of it for a sandbox, so
 * that a call cannot take the last one from the user's own programs. The files are those of whoever opens them. Where they
 * cannot be written, as in containers, the user's bound is the only one.
 */
static void halve_user_limits(void)
{
	static const char *const limits[][2] = {
		{ "/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances" },
		{ "/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches" },
	};
	char text[24];

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		_cleanup_close_ int user = open(limits[i][0], O_RDONLY | O_CLOEXEC);
		_cleanup_close_ int own = open(limits[i][1], O_WRONLY | O_CLOEXEC);
		ssize_t n = user < 0 || own < 0 ? -1 : read(user, text, sizeof(text) - 1);
		if (n <= 0)
			continue;
		text[n] = '\0';
		const unsigned long half = strtoul(text, NULL, 10) / 2;
		n = write(own, text, (size_t)snprintf(text, sizeof(text), "%lu", half));
	}
}

/* In the clone: no return. */
static _Noreturn void become_init(int init_fd, int sock, uid_t uid, gid_t gid)
{
	char *const argv[] = { (char *)"init", NULL }, *const env[] = { NULL };

	/* This copy of the launcher is not dumpable either, and then its /proc/self belongs to root. */
	int r = prctl(PR_SET_DUMPABLE, 1) < 0 ? -errno : user_map_self(uid, gid);
	if (r < 0) {
		errno = -r;
		give_up(sock, SANDBOX_STAGE_USER_NAMESPACE, "uid_map", "cannot map the user into the sandbox");
	}
	halve_user_limits();
	/* Two steps, since either may sit on the other's number. */
	int high = fcntl(init_fd, F_DUPFD_CLOEXEC, 10);
	int s = fcntl(sock, F_DUPFD_CLOEXEC, 10);
	if (high < 0 || s < 0 || dup2(s, INIT_SOCKET) < 0)
		give_up(sock, SANDBOX_STAGE_INTERNAL, "nsbox-init", "cannot place the descriptors of nsbox-init");
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	if (close_range(INIT_SOCKET + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		give_up(INIT_SOCKET, SANDBOX_STAGE_INTERNAL, "close_range", "cannot close the descriptors of nsbox-init");
	r = caps_keep(init_caps, ARRAY_LEN(init_caps));
	if (r < 0) {
		errno = -r;
		give_up(INIT_SOCKET, SANDBOX_STAGE_CAPABILITIES, "nsbox-init", "cannot set the capabilities of nsbox-init");
	}
	syscall(SYS_execveat, high, "", argv, env, AT_EMPTY_PATH);
	give_up(INIT_SOCKET, SANDBOX_STAGE_HELPER, "nsbox-init", "cannot execute the helper nsbox-init");
}

/* The soft limit at the moment of the clone becomes the ceiling of the new user namespace. */
static int set_pids(uint32_t pids, struct rlimit *ret_old)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NPROC, ret_old) < 0)
		return -errno;
	limit = *ret_old;
	limit.rlim_cur = pids < limit.rlim_max ? pids : limit.rlim_max;
	return setrlimit(RLIMIT_NPROC, &limit) < 0 ? -errno : 0;
}

static int clone_init(int init_fd, int sock, struct init *init)
{
	struct clone_args args = {
		.flags = SANDBOX_NAMESPACES | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&init->pidfd,
		.exit_signal = SIGCHLD,
	};
	uid_t uid = geteuid();
	gid_t gid = getegid();

	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		become_init(init_fd, sock, uid, gid);
	if (pid < 0)
		return -errno;
	init->pid = (pid_t)pid;
	return 0;
}

/*
 * Init stays in the host's network namespace: making one for it first would put half a millisecond in front of all its
 * mounting, which now runs beside the making of the call's namespace. It has no capability there, opens no socket but
 * the control socket, which is a file, and from the first call on its filter ends it for anything like it; calls do not
 * see its /proc entry.
 */
int init_start(int init_fd, uint32_t pids, struct init *ret, struct error *e)
{
	struct init init = { .pidfd = -EBADF, .sock = -EBADF, .net = -EBADF };
	struct rlimit old;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "init", "cannot make a socket for init");
	init.sock = pair[0];
	int r = set_pids(pids, &old);
	if (r == 0) {
		r = clone_init(init_fd, pair[1], &init);
		/* Else the next calls would start with this one's limit. */
		if (setrlimit(RLIMIT_NPROC, &old) < 0 && r == 0) {
			r = -errno;
			init_kill(&init);
		}
	}
	fd_close(pair[1]);
	if (r < 0) {
		init_close(&init);
		return fail_errno(e, -r, SANDBOX_STAGE_NAMESPACE, "clone3", "cannot make the namespaces of the sandbox");
	}
	init.net = net_new(&init.net_cookie, e);
	if (init.net < 0) {
		r = init.net;
		init_kill(&init);
		init_wait(&init);
		init_close(&init);
		return r;
	}
	*ret = init;
	return 0;
}

void init_kill(const struct init *init)
{
	syscall(SYS_pidfd_send_signal, init->pidfd, SIGKILL, NULL, 0);
}

void init_wait(const struct init *init)
{
	while (waitpid(init->pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

void init_close(struct init *init)
{
	fd_close(init->pidfd);
	fd_close(init->sock);
	fd_close(init->net);
	*init = (struct init){ .pidfd = -EBADF, .sock = -EBADF, .net = -EBADF };
}
