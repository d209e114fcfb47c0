/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a call. The child shares the launcher's memory until it executes (a copy would cost a tenth of a
 * millisecond), so it reports a failure by filling the launcher's error record; the launcher sleeps meanwhile. While it
 * sits in the sandbox nothing there can look into it: the launcher is not dumpable and everybody inside is in a
 * Landlock domain.
 *
 * Order: the network namespace first, since entering the user namespace gives up the capability over it; then all
 * others in one step; terminal and directory while nothing confines; capabilities; Landlock; seccomp; exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "confine/caps.h"
#include "confine/landlock.h"
#include "confine/rlimits.h"
#include "confine/seccomp.h"
#include "namespace/launcher_state.h"
#include "namespace/mount.h"

#define STACK_SIZE (256u * 1024u)
#define ENTER (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

struct child {
	const struct sandbox *sandbox;
	const struct call_request *request;
	int net;
	int terminal_sock; /* takes the terminal's other side to the launcher */
	struct error *e;
};

static int enter(const struct child *c)
{
	if (c->net >= 0 && setns(c->net, CLONE_NEWNET) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_NETWORK, "setns", "cannot enter the network namespace");
	if (setns(c->sandbox->init.pidfd, ENTER) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_NAMESPACE, "setns",
				  "cannot enter the namespaces of the sandbox");
	return 0;
}

/* Never through a magic link such as /proc/self/fd/N: that could lead out (CVE-2024-21626). */
static int change_directory(const struct child *c)
{
	const char *cwd = c->request->cwd;
	char now[4096];
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = root < 0 ? -errno : open_in(root, cwd, true);

	if (fd < 0 || fchdir(fd) < 0)
		return fail_errno(c->e, fd < 0 ? -fd : errno, SANDBOX_STAGE_EXEC, cwd,
				  "cannot start in the directory %s inside the sandbox", cwd);
	/* "(unreachable)...", if it is outside of the root after all. */
	if (!getcwd(now, sizeof(now)) || now[0] != '/')
		return fail(c->e, EACCES, SANDBOX_STAGE_EXEC, cwd, "the directory %s is not in the sandbox", cwd);
	return 0;
}

static int own_terminal(const struct child *c, int stdio[3])
{
	struct winsize size = { .ws_row = (unsigned short)c->request->rows,
				.ws_col = (unsigned short)c->request->columns };
	int unlock = 0;
	const char byte = 0;

	_cleanup_close_ int other = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other < 0 || ioctl(other, TIOCSPTLCK, &unlock) < 0 || ioctl(other, TIOCSWINSZ, &size) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_TERMINAL, "/dev/pts/ptmx", "cannot make a terminal");
	/* By ioctl and not by name: no path can be swapped (CVE-2025-52565). */
	int tty = ioctl(other, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0 || ioctl(tty, TIOCSCTTY, 0) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_TERMINAL, "/dev/pts", "cannot take the terminal");
	int r = msg_send(c->terminal_sock, &byte, 1, &other, 1);
	if (r < 0)
		return fail_errno(c->e, -r, SANDBOX_STAGE_TERMINAL, "/dev/pts", "cannot hand over the terminal");
	stdio[0] = stdio[1] = stdio[2] = tty;
	return 0;
}

/*
 * /dev/null of the host as a standard descriptor becomes the one inside: through the host's, its owner (real root) could
 * change the mode of the host's node.
 */
static int own_null(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return fd;
	int own = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return own < 0 ? -errno : own;
}

/* 0, 1, 2 and nothing else. The sources were moved above them, so none is overwritten before it is used. */
static int place_stdio(const struct child *c)
{
	int stdio[3] = { c->request->stdio[0], c->request->stdio[1], c->request->stdio[2] };

	if (setsid() < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_EXEC, "setsid", "cannot start a session");
	int r = c->request->terminal ? own_terminal(c, stdio) : 0;
	if (r < 0)
		return r;
	for (int i = 0; i < 3; i++) {
		stdio[i] = own_null(stdio[i]);
		if (stdio[i] < 3)
			return fail(c->e, EBADF, SANDBOX_STAGE_EXEC, "stdio", "a standard descriptor is missing");
		if (dup2(stdio[i], i) < 0)
			return fail_errno(c->e, errno, SANDBOX_STAGE_EXEC, "stdio", "cannot place a standard descriptor");
	}
	return 0;
}

/*
 * Supplementary groups stay: an unprivileged process cannot drop them (setgroups is denied in its user namespace). One
 * domain per call, entered here by the call itself, so that two calls are never in the same one.
 */
static int confine(const struct child *c)
{
	sigset_t none;
	int r = rlimits_apply(c->request->open_files);
	if (r < 0)
		return fail_errno(c->e, -r, SANDBOX_STAGE_LIMITS, "open files", "cannot set the limit of open files");
	r = caps_drop_all();
	if (r < 0)
		return fail_errno(c->e, -r, SANDBOX_STAGE_CAPABILITIES, "capabilities", "cannot drop all capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_CAPABILITIES, "no_new_privs", "cannot set no_new_privs");
	r = landlock_enter(c->sandbox->ruleset);
	if (r < 0)
		return fail_errno(c->e, -r, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot enter the Landlock domain");
	if (close_range(3, ~0u, 0) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_EXEC, "close_range", "cannot close descriptors");
	/* After the last change of credentials, which would clear it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return fail_errno(c->e, errno, SANDBOX_STAGE_EXEC, "prctl", "cannot bind the call to its launcher");
	umask(022);
	/* Dispositions are the launcher's: the default ones. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	r = seccomp_load(SECCOMP_CALL);
	return r < 0 ? fail_errno(c->e, -r, SANDBOX_STAGE_SECCOMP, "seccomp", "cannot load the system call filter") : 0;
}

static const char *path_of(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return "/usr/local/bin:/usr/bin:/bin";
}

/* Returns the errno of the best attempt: EACCES when something was found, else ENOENT. */
static int execute(const struct call_request *q)
{
	char file[4096];
	const char *name = q->argv[0];
	int best = ENOENT;

	if (strchr(name, '/')) {
		execve(name, q->argv, q->env);
		return errno;
	}
	for (const char *dir = path_of(q->env); *name; dir++) {
		size_t n = strcspn(dir, ":");
		int len = snprintf(file, sizeof(file), "%.*s/%s", (int)n, n ? dir : ".", name);
		if (n == 0)
			len = snprintf(file, sizeof(file), "./%s", name);
		if (len > 0 && (size_t)len < sizeof(file)) {
			execve(file, q->argv, q->env);
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return errno;
			if (errno == EACCES)
				best = EACCES;
		}
		dir += n;
		if (!*dir)
			break;
	}
	return best;
}

static int child_main(void *arg)
{
	const struct child *c = arg;

	if (enter(c) < 0 || change_directory(c) < 0 || place_stdio(c) < 0 || confine(c) < 0)
		_exit(125);
	/* From here on success is the end of this memory. */
	struct error before = *c->e;
	memset(c->e, 0, sizeof(*c->e));
	int err = execute(c->request);
	*c->e = before;
	const char *name = c->request->argv[0];
	if (err == ENOENT || err == ENOTDIR)
		fail(c->e, ENOENT, SANDBOX_STAGE_EXEC, name, "%s was not found inside the sandbox", name);
	else
		fail_errno(c->e, err, SANDBOX_STAGE_EXEC, name, "cannot execute %s inside the sandbox", name);
	_exit(err == ENOENT ? 127 : 126);
}

/* The child's numbers below 3 are its own standard descriptors soon. */
static int lift(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static pid_t clone_child(struct child *c, int *ret_pidfd)
{
	static char stack[STACK_SIZE] __attribute__((aligned(64)));
	sigset_t all, old;

	STACK_REUSE(stack, sizeof(stack));
	/* A signal must not run anything on the shared memory. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	/* Its children's pid namespace, for the moment of one clone. */
	int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid = -1;
	if (own >= 0 && setns(c->sandbox->init.pidfd, CLONE_NEWPID) == 0) {
		pid = clone(child_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, ret_pidfd);
		int saved = errno;
		if (setns(own, CLONE_NEWPID) < 0)
			_exit(1); /* the next child would belong to this sandbox */
		errno = saved;
	}
	int saved = errno;
	fd_close(own);
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return pid;
}

int call_launch(struct sandbox *sandbox, int net, const struct call_request *request, struct call *ret,
	       int *ret_terminal, struct error *e)
{
	struct error outcome;
	struct call_request lifted = *request;
	int pair[2] = { -EBADF, -EBADF }, pidfd = -EBADF;
	size_t n_fds = 0;
	char byte;

	*ret_terminal = -EBADF;
	for (int i = 0; i < 3 && !request->terminal; i++)
		lifted.stdio[i] = lift(request->stdio[i]);
	if (request->terminal && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_TERMINAL, "socketpair", "cannot make a terminal");

	/* Holds until the child is past its last step: one that was killed on the way has not started. */
	fail(&outcome, ECHILD, SANDBOX_STAGE_EXEC, request->argv[0], "%s was killed while it was started",
	     request->argv[0]);
	struct child child = { .sandbox = sandbox, .request = &lifted, .net = net, .terminal_sock = pair[1],
			       .e = &outcome };
	pid_t pid = clone_child(&child, &pidfd);
	int err = errno;
	for (int i = 0; i < 3 && !request->terminal; i++)
		fd_close(lifted.stdio[i]);
	fd_close(pair[1]);
	int r = 0;
	if (pid < 0) {
		r = fail_errno(e, err, SANDBOX_STAGE_NAMESPACE, "clone", "cannot make a process in the sandbox");
	} else if (outcome.err) {
		waitpid(pid, NULL, __WALL);
		fd_close(pidfd);
		if (e)
			*e = outcome;
		r = -outcome.err;
	} else if (request->terminal && (msg_recv(pair[0], &byte, 1, ret_terminal, 1, &n_fds) < 0 || n_fds != 1)) {
		*ret_terminal = -EBADF;
	}
	fd_close(pair[0]);
	if (r == 0)
		*ret = (struct call){ .number = request->number, .pid = pid, .pidfd = pidfd };
	return r;
}
