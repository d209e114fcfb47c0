/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guardian: the process that prepares a call, starts its command, and ends everything of it.
 *
 * Theory of operation. A copy of the launcher enters the call's namespaces, drops all capabilities, enters the
 * sandbox's Landlock ruleset (a domain of its own, since every entry makes one) and loads the filter. Then it clones
 * the process that becomes the command (guardian_command.c). All that happens ahead of time, so that starting a call
 * costs one message and one exec.
 *
 * The command is in one layer more. So the guardian, in the domain above, can signal every process of its call and
 * nobody else's; no process of the call can signal or trace it; siblings can do neither to each other. It is also
 * the subreaper of all of them: when waitpid() has no child left, nothing of the call lives. With `full` it is pid 1 of
 * the call's own pid namespace besides.
 *
 * It reads from the supervisor only. Its end without a last word means that it was killed: the launcher then ends the
 * whole sandbox, because nobody else can tell the processes of this call apart.
 */
#include "namespace/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "confine/caps.h"
#include "confine/landlock.h"
#include "confine/seccomp.h"
#include "namespace/cover.h"
#include "namespace/mount.h"
#include "namespace/proc.h"
#include "supervisor/protocol.h"

#define REAP_AT_ONCE 64u
#define ENTER (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

struct guardian {
	int signals;
	int counters; /* /proc/net/dev of the call's network namespace, -EBADF: no wire */
	pid_t command;
	pid_t reaped; /* what reap() told last */
	bool background;
	uint32_t status, signal; /* how the command ended */
};

static uint8_t packet[64];

/* The network namespace first, since entering the user namespace gives up the capability over it. */
int guardian_enter(const struct guardian_setup *s, struct error *e)
{
	if (s->net >= 0 && setns(s->net, CLONE_NEWNET) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NETWORK, "setns", "cannot enter the network namespace");
	if (setns(s->init_pidfd, ENTER) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "setns", "cannot enter the namespaces of the sandbox");
	return 0;
}

/* 0 to 2 = /dev/null of the sandbox, the socket, the ruleset of the call's own layer, the counters of its wire (where
 * there is none of these, /dev/null), the ruleset of what every grant has; everything of the launcher is closed. Nothing
 * is cleaned up on failure: then this process ends. */
static int place_descriptors(const struct guardian_setup *s, int sock, bool *ret_layer, struct error *e)
{
	int counters = s->wired ? open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -EBADF;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int abi = landlock_abi();

	int r = landlock_enter(s->ruleset);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot enter the Landlock domain");
	/* Below ABI 6 there are no scopes; every call is full then, and its pid namespace is the border. Decided once, and
	 * an answer that failed is not one of an old kernel. */
	if (abi < 1 || (abi < LANDLOCK_SCOPE_ABI && !s->full))
		return fail(e, EOPNOTSUPP, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot find what this kernel's Landlock can do");
	*ret_layer = abi >= LANDLOCK_SCOPE_ABI;
	int scope = *ret_layer ? landlock_new_scope() : -EBADF;
	if (scope < 0 && *ret_layer)
		return fail_errno(e, -scope, SANDBOX_STAGE_LANDLOCK, "landlock", "cannot make the call's Landlock ruleset");
	int base = paths_prepare(s->base, s->base_len, e);
	if (base < 0)
		return base;
	/* High first, since any may sit on another's number. */
	int high = fcntl(sock, F_DUPFD_CLOEXEC, 16), high_scope = scope < 0 ? null : fcntl(scope, F_DUPFD_CLOEXEC, 16);
	int high_counters = counters < 0 ? null : fcntl(counters, F_DUPFD_CLOEXEC, 16);
	int high_base = fcntl(base, F_DUPFD_CLOEXEC, 16);
	bool ok = null >= 0 && high >= 0 && high_scope >= 0 && high_counters >= 0 && high_base >= 0;
	for (int fd = 0; fd < 3 && ok; fd++)
		ok = dup3(null, fd, O_CLOEXEC) >= 0;
	ok = ok && dup3(high, GUARDIAN_SOCKET, O_CLOEXEC) >= 0 &&
	     dup3(high_scope, GUARDIAN_RULESET, O_CLOEXEC) >= 0 && dup3(high_counters, GUARDIAN_COUNTERS, O_CLOEXEC) >= 0 &&
	     dup3(high_base, GUARDIAN_BASE, O_CLOEXEC) >= 0 && close_range(GUARDIAN_BASE + 1, ~0u, 0) == 0;
	return ok ? 0 : fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "descriptors", "cannot place the call's descriptors");
}

/*
 * Supplementary groups stay: an unprivileged process cannot drop them (setgroups is denied in its user namespace). The
 * domain before the filter, the filter last; nothing of this can be undone by what is executed later.
 */
static int confine(const struct guardian_setup *s, int sock, bool *ret_layer, struct error *e)
{
	int r = caps_drop_all();
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_CAPABILITIES, "capabilities", "cannot drop all capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_CAPABILITIES, "no_new_privs", "cannot set no_new_privs");
	r = place_descriptors(s, sock, ret_layer, e);
	if (r < 0)
		return r;
	/* The parent-death signal after the last change of credentials, which would clear it. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "prctl", "cannot prepare the guardian of the call");
	umask(022);
	r = seccomp_load(SECCOMP_CALL);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_SECCOMP, "seccomp", "cannot load the system call filter") : 0;
}

/* Else another call could open the terminal of this one by its number, and read what is typed. */
static int own_terminals(struct error *e)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int place = root < 0 ? -errno : open_in(root, "/dev/pts", false);
	_cleanup_close_ int tree = place < 0 ? place : tree_terminals();

	int r = tree < 0 ? tree : tree_attach(tree, place);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_MOUNT, "/dev/pts", "cannot make the call's own /dev/pts") : 0;
}

static int prepare(const struct guardian_setup *s, int sock, bool *ret_layer, struct error *e)
{
	struct guardian_setup own = *s;

	/* The helper of a full call has entered already. */
	int r = s->full ? proc_renew(e) : guardian_enter(s, e);
	/* Before the terminals: they are mounted over what the covers are made of. */
	if (r == 0)
		r = cover_paths(s->covers, s->covers_len, s->store, s->number, &own.ruleset, e);
	if (r == 0 && s->full)
		r = own_terminals(e);
	return r < 0 ? r : confine(&own, sock, ret_layer, e);
}

/* Without its supervisor the guardian has no purpose; the subreaper going ends nothing, so it kills first. */
static _Noreturn void leave(int status)
{
	kill(-1, SIGKILL);
	_exit(status);
}

static void send_packet(int sock, int r, const struct buf *m, const int *fds, size_t n_fds)
{
	if (r < 0 || msg_send(sock, m->data, m->len, fds, n_fds) < 0)
		leave(0);
}

static void send_started(int sock, const struct error *failure, int terminal)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GUARDIAN_STARTED);
	if (r == 0)
		r = wire_put_u8(&m, failure != NULL);
	if (r == 0 && failure)
		r = wire_put_error(&m, failure);
	send_packet(sock, r, &m, &terminal, terminal >= 0);
}

/* Whether a packet ever left the call. If none did, the gateway has nothing to cut. When in doubt, yes. */
static bool has_sent(const struct guardian *g)
{
	char text[2048], *at;
	unsigned long long v = 1;

	if (g->counters < 0)
		return false;
	ssize_t n = pread(g->counters, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return true;
	text[n] = '\0';
	/* Received: bytes packets errs drop fifo frame compressed multicast; sent: bytes packets ... */
	at = strstr(text, "eth0:");
	at = at ? at + 5 : text;
	for (int i = 0; i < 10; i++) {
		char *from = at;
		v = strtoull(from, &at, 10);
		if (at == from)
			return true;
	}
	return v != 0;
}

static void send_exit(const struct guardian *g, bool left)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GUARDIAN_EXIT);
	if (r == 0)
		r = wire_put_u32(&m, g->status);
	if (r == 0)
		r = wire_put_u32(&m, g->signal);
	if (r == 0)
		r = wire_put_u8(&m, left);
	if (r == 0)
		r = wire_put_u8(&m, has_sent(g));
	send_packet(GUARDIAN_SOCKET, r, &m, NULL, 0);
}

static void send_done(void)
{
	_cleanup_buf_ struct buf m = { 0 };

	send_packet(GUARDIAN_SOCKET, wire_put_u32(&m, GUARDIAN_DONE), &m, NULL, 0);
}

static void note_end(struct guardian *g, int status)
{
	if (WIFSIGNALED(status))
		g->signal = (uint32_t)WTERMSIG(status);
	else
		g->status = (uint32_t)WEXITSTATUS(status);
	g->command = 0;
}

/* A child of ours can make us its tracer (PTRACE_TRACEME), and then each signal stops it and is told as if it were its end.
 * As if nobody traced it, the signal takes its course; that of an execution, which only a tracer gets, does not. */
static void let_go(pid_t pid, int status)
{
	const int signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);

	ptrace(PTRACE_DETACH, pid, NULL, (void *)(intptr_t)signal);
}

/* At most so many children that are dead: the command, and orphans that became ours. More than 0 when there may be more
 * of them, 0 when none of those left is dead, less when none is left. */
static void reap(struct guardian *g, int flags, unsigned most)
{
	int status;
	pid_t pid = 1;

	for (; most > 0 && ((pid = waitpid(-1, &status, flags | __WALL)) > 0 || (pid < 0 && errno == EINTR)); most--) {
		if (pid > 0 && WIFSTOPPED(status))
			let_go(pid, status);
		else if (pid > 0 && pid == g->command)
			note_end(g, status);
	}
	g->reaped = pid;
}

/* The kernel takes the list of processes and each fork's signal check under one lock, so one kill misses nobody. */
static void kill_all(struct guardian *g)
{
	kill(-1, SIGKILL);
	do
		reap(g, 0, REAP_AT_ONCE);
	while (g->reaped > 0);
}

/* False at the end of the supervisor. */
static bool take_message(const struct guardian *g)
{
	ssize_t n = msg_recv(GUARDIAN_SOCKET, packet, sizeof(packet), NULL, 0, NULL);
	int signal = n > 0 ? call_signal_parse(packet, (size_t)n) : -EPIPE;

	if (signal < 0)
		return false;
	/* The command is not reaped as long as its number is kept, hence that cannot belong to another process. */
	if (signal == SIGKILL)
		kill(-1, SIGKILL);
	else if (g->command)
		kill(-g->command, signal);
	return true;
}

/* Until the command has ended (for_command) or no child is left; true when some are. */
static bool wait_for_end(struct guardian *g, bool for_command)
{
	struct pollfd p[2] = { { .fd = GUARDIAN_SOCKET, .events = POLLIN }, { .fd = g->signals, .events = POLLIN } };
	struct signalfd_siginfo info;

	while (for_command ? g->command != 0 : g->reaped >= 0) {
		if (poll(p, 2, g->reaped > 0 ? 0 : -1) < 0 && errno != EINTR)
			leave(1);
		/* Between any two batches: a call that forks without end has dead children at all times. */
		if (p[0].revents && !take_message(g)) {
			kill_all(g);
			_exit(0);
		}
		if ((p[1].revents && read(g->signals, &info, sizeof(info)) > 0) || g->reaped > 0)
			reap(g, WNOHANG, REAP_AT_ONCE);
	}
	return g->reaped >= 0;
}

/* Not woken by the start of a command whose end comes at once: a process that wakes slows the command down, and the
 * news of it wakes two more. */
static void wait_for_timer(struct guardian *g, int timer)
{
	struct pollfd p[2] = { { .fd = timer, .events = POLLIN }, { .fd = g->signals, .events = POLLIN } };
	struct signalfd_siginfo info;

	while (g->command && !p[0].revents) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			leave(1);
		if (p[1].revents && read(g->signals, &info, sizeof(info)) > 0)
			reap(g, WNOHANG, REAP_AT_ONCE);
	}
}

/* The command process shares our memory: sleep until it has executed, or ended. Its terminal, or -EBADF. */
static int wait_for_start(struct guardian *g, int notice)
{
	char byte;
	int terminal = -EBADF, fd = -EBADF;
	size_t n_fds = 0;
	ssize_t n;

	while ((n = msg_recv(notice, &byte, 1, &fd, 1, &n_fds)) > 0)
		if (n_fds == 1)
			terminal = fd;
	fd_close(notice);
	/* Nobody knows whether it runs: then it must not, or it would while its start is told to have failed. */
	if (n < 0)
		kill_all(g);
	return terminal;
}

static void run(struct guardian *g, struct command *command, int notice)
{
	g->command = command->pid;
	wait_for_timer(g, command->timer);
	bool told_late = !g->command && command->request.flags & START_ASYNC;
	int terminal = told_late ? -EBADF : wait_for_start(g, notice);
	bool left, started = command->outcome.err == 0;

	if (!started && !command->asked && command->outcome.err == ECANCELED)
		return; /* a pool that is not needed any more */
	if (!started || !told_late)
		send_started(GUARDIAN_SOCKET, started ? NULL : &command->outcome, started ? terminal : -EBADF);
	if (!started)
		return;
	fd_close(terminal);
	g->background = command->request.flags & START_BACKGROUND;
	left = wait_for_end(g, true);
	if (left && !g->background) {
		kill_all(g);
		left = false;
	}
	send_exit(g, left);
	if (left) {
		wait_for_end(g, false);
		send_done();
	}
	/* Until the supervisor has told everybody: our end takes a process and a network namespace apart, and that work
	 * would stand in front of the news on a busy processor. */
	(void)msg_recv(GUARDIAN_SOCKET, packet, sizeof(packet), NULL, 0, NULL);
}

_Noreturn void guardian_main(const struct guardian_setup *setup, int sock)
{
	static struct command command;
	int notice = -EBADF;
	struct guardian g = { .counters = setup->wired ? GUARDIAN_COUNTERS : -EBADF, .reaped = 1 };
	struct error e = { 0 };
	sigset_t child;

	prctl(PR_SET_NAME, "nsbox-guardian");
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	if (prepare(setup, sock, &command.layer, &e) < 0) {
		/* Wherever the socket is by now. */
		send_started(fcntl(sock, F_GETFD) < 0 ? GUARDIAN_SOCKET : sock, &e, -EBADF);
		_exit(0);
	}
	g.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	command.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	command.open_files = setup->open_files;
	if (g.signals < 0 || command.timer < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, "signalfd", "cannot watch the call");
		send_started(GUARDIAN_SOCKET, &e, -EBADF);
		_exit(0);
	}
	if (command_clone(&command, &notice, &e) < 0)
		send_started(GUARDIAN_SOCKET, &e, -EBADF);
	else
		run(&g, &command, notice);
	_exit(0);
}
