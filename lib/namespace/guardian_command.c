/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that becomes the command. It is cloned with the call and waits for its command itself, in the call's own
 * Landlock layer, so that between the supervisor's message and exec() lies nothing but one process's work.
 *
 * It shares the guardian's memory until it executes: a copy would have to be taken apart by exec(). The guardian sleeps
 * in poll() meanwhile, and this file allocates nothing. Executing closes the notice, a socket that both hold; a failure
 * is left in the shared record first.
 */
#include "namespace/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "confine/landlock.h"
#include "confine/rlimits.h"
#include "supervisor/protocol.h"

#define STACK_SIZE (256u * 1024u)

static char stack[STACK_SIZE] __attribute__((aligned(64)));

/* Not stage EXEC, which says that the command is not there. A magic link such as /proc/self/fd/N could lead out
 * (CVE-2024-21626): then the kernel has no path for where we are, "(unreachable)...". */
static int change_directory(const struct call_request *q, struct error *e)
{
	char now[4096];

	if (chdir(q->cwd) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, q->cwd, "cannot start in the directory %s inside the sandbox",
				  q->cwd);
	if (!getcwd(now, sizeof(now)) || now[0] != '/')
		return fail(e, EACCES, SANDBOX_STAGE_USAGE, q->cwd, "the directory %s is not in the sandbox", q->cwd);
	return 0;
}

static int own_terminal(struct command *c, int stdio[3], struct error *e)
{
	struct winsize size = { .ws_row = (unsigned short)c->request.rows,
				.ws_col = (unsigned short)c->request.columns };
	int unlock = 0;
	const char byte = 0;

	_cleanup_close_ int other = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other < 0 || ioctl(other, TIOCSPTLCK, &unlock) < 0 || ioctl(other, TIOCSWINSZ, &size) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_TERMINAL, "/dev/pts/ptmx", "cannot make a terminal");
	/* By ioctl and not by name: no path can be swapped (CVE-2025-52565). */
	int tty = ioctl(other, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0 || ioctl(tty, TIOCSCTTY, 0) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_TERMINAL, "/dev/pts", "cannot take the terminal");
	int r = msg_send(c->notice, &byte, 1, &other, 1);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_TERMINAL, "/dev/pts", "cannot hand over the terminal");
	stdio[0] = stdio[1] = stdio[2] = tty;
	return 0;
}

/*
 * /dev/null of the host as a standard descriptor becomes the one inside, which is in that place already: through the
 * host's, its owner (real root) could change the mode of the host's node.
 */
static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* The sources lie above 2, so none is overwritten before it is used. */
static int place_stdio(struct command *c, struct error *e)
{
	int stdio[3] = { c->request.stdio[0], c->request.stdio[1], c->request.stdio[2] };

	int r = c->request.flags & START_TERMINAL ? own_terminal(c, stdio, e) : 0;
	for (int i = 0; i < 3 && r == 0; i++) {
		if ((is_null(stdio[i]) ? fcntl(i, F_SETFD, 0) : dup2(stdio[i], i)) < 0)
			r = fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "stdio", "cannot place a standard descriptor");
	}
	return r;
}

/* What can be done before the command is known. */
static int prepare(const struct command *c, struct error *e)
{
	if (setsid() < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "setsid", "cannot start a session");
	/* The layer that keeps the command from its guardian: it can neither signal nor trace what is above. */
	int r = c->layer ? landlock_enter(GUARDIAN_RULESET) : 0;
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot enter the call's Landlock domain");
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0
		       ? fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "prctl", "cannot bind the command to its guardian")
		       : 0;
}

/* When to look whether it has started. */
static int tell_guardian(const struct command *c, struct error *e)
{
	const long ns = c->request.flags & START_ASYNC ? START_ASYNC_US * 1000l : 1l;
	const struct itimerspec when = { .it_value = { .tv_nsec = ns } };

	if (timerfd_settime(c->timer, 0, &when, NULL) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "timer", "cannot set the timer of a start");
	return 0;
}

static int finish(struct command *c, struct error *e)
{
	sigset_t none;

	int r = c->request.on_base || c->request.paths.n ? paths_enter(&c->request, e) : 0;
	if (r == 0)
		r = place_stdio(c, e);
	if (r < 0)
		return r;
	/* Not before the last descriptor was passed on: from here on a call that has many on their way stands in the way. */
	r = rlimits_apply(c->open_files);
	if (r == 0 && c->request.open_files)
		r = rlimits_apply(c->request.open_files);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_LIMITS, "open files", "cannot set the limit of open files");
	/* Not closed, or the notice would come before its time. */
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "close_range", "cannot close descriptors");
	/* Dispositions are the launcher's: the default ones. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return tell_guardian(c, e);
}

static int command_main(void *arg)
{
	struct command *c = arg;
	struct error e;

	if (prepare(c, &c->outcome) < 0)
		_exit(125);
	if (call_request_receive(&c->request) < 0) {
		fail(&c->outcome, ECANCELED, SANDBOX_STAGE_NONE, "", "not wanted any more");
		_exit(0);
	}
	c->asked = true;
	const char *name = c->request.argv[0];
	/* Holds until the last step: one that was killed on the way has not started. */
	fail(&e, ECHILD, SANDBOX_STAGE_EXEC, name, "%s was killed while it was started", name);
	c->outcome = e;
	if (change_directory(&c->request, &c->outcome) < 0)
		_exit(125);
	if (c->request.flags & START_SHOW && program_show(&c->request, &c->program, &c->outcome) < 0)
		_exit(126);
	if (c->request.flags & START_EXPECT && program_expect(&c->request, &c->program, &c->outcome) < 0)
		_exit(126);
	if (finish(c, &c->outcome) < 0)
		_exit(125);
	/* From here on success is the end of this memory. */
	c->outcome.err = 0;
	int err = program_execute(&c->request, &c->program);
	if (err == ENOENT || err == ENOTDIR)
		fail(&c->outcome, ENOENT, SANDBOX_STAGE_EXEC, name, "%s was not found inside the sandbox", name);
	else
		fail_errno(&c->outcome, err, SANDBOX_STAGE_EXEC, name, "cannot execute %s inside the sandbox", name);
	_exit(err == ENOENT ? 127 : 126);
}

/* A copied process meets a page fault at each first touch; those of a start are taken ahead of time. */
static void touch_ahead(struct command *c)
{
	explicit_bzero(stack + STACK_SIZE - 24 * 1024, 24 * 1024);
	explicit_bzero(&c->request, sizeof(c->request));
	call_request_touch();
}

int command_clone(struct command *c, int *ret_notice, struct error *e)
{
	int pair[2];
	sigset_t all, old;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "socketpair", "cannot make a socket for the command");
	c->notice = pair[1];
	fail(&c->outcome, ECHILD, SANDBOX_STAGE_EXEC, "", "a prepared call was killed");
	touch_ahead(c);
	STACK_REUSE(stack, sizeof(stack));
	/* A signal must not run anything on the shared memory. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	c->pid = clone(command_main, stack + STACK_SIZE, CLONE_VM | SIGCHLD, c);
	int err = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	fd_close(pair[1]);
	if (c->pid < 0) {
		fd_close(pair[0]);
		return fail_errno(e, err, SANDBOX_STAGE_NAMESPACE, "clone", "cannot make a process in the sandbox");
	}
	*ret_notice = pair[0];
	return 0;
}
