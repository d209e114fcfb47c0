/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 91, 95, 97, 98: using up what the host has, and refusing to end. */
#include "probe.h"

#include <fcntl.h>
#include <pthread.h>
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

static void *wait_forever(void *arg)
{
	pause();
	return arg;
}

/* Up to bomb= processes that stay; the row is "ok" when all of them could be made. */
static void fork_bomb(void)
{
	int wanted = (int)need_number("bomb"), made = 0, threads = 0;
	pid_t *pids = calloc((size_t)wanted, sizeof(*pids));
	struct rlimit rl = { RLIM_INFINITY, RLIM_INFINITY };
	pthread_t t;

	setrlimit(RLIMIT_NPROC, &rl);
	getrlimit(RLIMIT_NPROC, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NPROC, &rl);
	for (; made < wanted; made++) {
		pids[made] = fork();
		if (!pids[made]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pause();
			_exit(0);
		}
		if (pids[made] < 0)
			break;
	}
	if (made < wanted)
		result("processes", errno_name(errno), "%d made", made);
	else
		result("processes", "ok", "%d made", made);
	while (threads < wanted && !pthread_create(&t, NULL, wait_forever, NULL))
		threads++;
	result("threads", threads < wanted ? "EAGAIN" : "ok", "%d made beside %d processes", threads, made);
	for (int i = 0; i < made; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < made; i++)
		waitpid(pids[i], NULL, 0);
	free(pids);
}

static void descriptors(void)
{
	int wanted = (int)need_number("descriptors"), made = 0, fd;
	struct rlimit rl = { (rlim_t)wanted + 100, (rlim_t)wanted + 100 };

	TRY("raise-hard", setrlimit(RLIMIT_NOFILE, &rl));
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	while (made < wanted && (fd = open("/dev/null", O_RDONLY)) >= 0)
		made++;
	result("open", made < wanted ? errno_name(errno) : "ok", "%d opened", made);
}

static void priorities(void)
{
	struct sched_param fifo = { .sched_priority = 1 };

	TRY("nice", setpriority(PRIO_PROCESS, 0, -20));
	TRY("fifo", sched_setscheduler(0, SCHED_FIFO, &fifo));
	TRY("round-robin", sched_setscheduler(0, SCHED_RR, &fifo));
	TRY("io-realtime", syscall(SYS_ioprio_set, 1, 0, 1 << 13));
	TRY("rtprio-limit", setrlimit(RLIMIT_RTPRIO, &(struct rlimit){ 99, 99 }));
	TRY("nice-limit", setrlimit(RLIMIT_NICE, &(struct rlimit){ 40, 40 }));
	TRY("deadline", syscall(SYS_sched_setattr, 0,
				&(struct { unsigned size, policy; unsigned long flags; int nice, prio;
					   unsigned long runtime, deadline, period; }){
					48, 6, 0, 0, 0, 1000000, 10000000, 10000000 }, 0));
	if (!fact("burn"))
		return;
	for (int i = 0; i < 3; i++)
		if (!fork())
			for (;;)
				;
	for (;;)
		;
}

/* A tree in which nobody ends by being asked: ignored signals, sessions of their own, stopped, a blocked vfork. */
static void stubborn_tree(void)
{
	alarm(0);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_IGN);
	for (int i = 0; i < 4; i++) {
		pid_t pid = fork();

		if (pid)
			continue;
		if (i == 0) {
			setsid();
			if (fork())
				_exit(0);
		}
		if (i == 1)
			raise(SIGSTOP);
		if (i == 2 && !vfork())
			for (;;)
				pause();
		for (;;)
			pause();
	}
	result("started", "ok", "-");
	for (;;)
		pause();
}

const struct attempt rs_attempts[] = {
	{ 91, "fork-bomb", fork_bomb },
	{ 95, "descriptor-exhaustion", descriptors },
	{ 97, "priorities", priorities },
	{ 98, "stubborn-tree", stubborn_tree },
	{ 0 },
};
