/* SPDX-License-Identifier: Apache-2.0 */
/* A child for the time of one function, cheap because nothing is copied. */
#include "base/util.h"
#include "namespace/aside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (256u * 1024u)

struct job {
	int (*work)(void *arg);
	void *arg;
	int result;
};

static int child_main(void *p)
{
	struct job *job = p;

	job->result = job->work(job->arg);
	_exit(0);
}

int aside(int (*work)(void *arg), void *arg)
{
	static char stack[STACK_SIZE] __attribute__((aligned(64)));
	struct job job = { .work = work, .arg = arg, .result = -ECHILD };

	STACK_REUSE(stack, sizeof(stack));
	pid_t pid = clone(child_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &job);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return job.result;
}
