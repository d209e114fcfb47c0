/* SPDX-License-Identifier: Apache-2.0 */
/*
 * @leave KIND MARK [N [slowly|stay]]: a command that ends and leaves processes behind which do what they can to live on.
 * MARK is in their command lines, for the host to count.
 */
#include "probe.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFE_SECONDS 30

static void harden(void)
{
	for (int s = 1; s < 65; s++)
		if (s != SIGALRM)
			signal(s, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_DUMPABLE, 0);
	alarm(LIFE_SECONDS);
	signal(SIGALRM, SIG_DFL);
}

static _Noreturn void stay(void)
{
	for (;;)
		pause();
}

/* 0 in a process that is nobody's child and in a session of its own. */
static pid_t daemonise(void)
{
	pid_t pid = fork();

	if (pid) {
		waitpid(pid, NULL, 0);
		return pid;
	}
	setsid();
	if (fork())
		_exit(0);
	harden();
	return 0;
}

static void leave_daemon(void)
{
	if (!daemonise())
		stay();
}

static void leave_stopped(void)
{
	if (!daemonise()) {
		raise(SIGSTOP);
		stay();
	}
}

/* A chain of tracers, each stopped in the hands of the one before; the first is stopped itself. */
static void leave_traced(void)
{
	if (daemonise())
		return;
	for (int i = 0; i < 4; i++) {
		pid_t pid = fork();

		if (!pid) {
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
			raise(SIGSTOP);
			continue;
		}
		waitpid(pid, NULL, __WALL | WUNTRACED);
		ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEEXIT);
		stay();
	}
	raise(SIGSTOP);
	stay();
}

static void leave_nested(void)
{
	struct {
		unsigned long long fs, net, scoped;
	} attr = { .scoped = 3 };

	if (daemonise())
		return;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int i = 0; i < 8; i++) {
		int fd = (int)syscall(444, &attr, sizeof(attr), 0);

		if (fd < 0 || syscall(446, fd, 0))
			break;
		if (!fork())
			stay();
	}
	stay();
}

static _Noreturn void fork_for_ever(bool slowly)
{
	time_t end = time(NULL) + LIFE_SECONDS;

	/* The parent goes, the child goes on: a process number that is only good for a moment. */
	while (time(NULL) < end) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		if (!pid)
			harden();
		if (pid < 0 || slowly)
			usleep(slowly ? 300000 : 1000);
	}
	_exit(0);
}

/* Slowly where nobody may be there to reap that many. */
static void leave_forking(int n, bool slowly)
{
	for (int i = 0; i < n; i++)
		if (!daemonise())
			fork_for_ever(slowly);
	usleep(100000);
}

/* Its orphans are to come to itself, not to the guardian; and to a second one below it. */
static void leave_subreaper(void)
{
	if (daemonise())
		return;
	for (int i = 0; i < 3; i++) {
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		for (int j = 0; j < 4; j++)
			if (!fork()) {
				setsid();
				if (fork())
					_exit(0);
				stay();
			}
		if (fork())
			stay();
	}
	stay();
}

static void *run_on(void *unused)
{
	(void)unused;
	stay();
}

static void leave_headless(void)
{
	pthread_t t;

	if (daemonise())
		return;
	if (!pthread_create(&t, NULL, run_on, NULL))
		syscall(SYS_exit, 0); /* only the first thread: the leader is a zombie, its group lives */
	stay();
}

static void leave_vfork(void)
{
	if (!daemonise() && !vfork())
		stay();
}

/* The command is killed by what it has left. */
static void leave_killer(void)
{
	pid_t leader = getpid();

	if (!daemonise()) {
		usleep(50000);
		kill(leader, SIGKILL);
		stay();
	}
	stay();
}

int tool_leave(int argc, char **argv)
{
	const char *kind = argc >= 2 ? argv[0] : "";
	const char *how = argc >= 4 ? argv[3] : "";
	int n = argc >= 3 ? atoi(argv[2]) : 10;

	if (!strcmp(kind, "daemon") || !strcmp(kind, "all"))
		leave_daemon();
	if (!strcmp(kind, "stopped") || !strcmp(kind, "all"))
		leave_stopped();
	if (!strcmp(kind, "traced") || !strcmp(kind, "all"))
		leave_traced();
	if (!strcmp(kind, "nested") || !strcmp(kind, "all"))
		leave_nested();
	if (!strcmp(kind, "subreaper") || !strcmp(kind, "all"))
		leave_subreaper();
	if (!strcmp(kind, "headless") || !strcmp(kind, "all"))
		leave_headless();
	if (!strcmp(kind, "vfork") || !strcmp(kind, "all"))
		leave_vfork();
	if (!strcmp(kind, "forking"))
		leave_forking(n, !strcmp(how, "slowly"));
	if (!strcmp(kind, "killer"))
		leave_killer();
	if (!strcmp(how, "stay")) {
		harden();
		stay();
	}
	usleep(50000); /* let them get where they want to be */
	return 7;
}
