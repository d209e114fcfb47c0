/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spawning of helpers.
 *
 * exec() resets the exit signal of a process to SIGCHLD, so a program that is our own child would always tell the host
 * application of its end. Therefore two steps: an intermediate with exit signal 0 (invisible to wait() without __WALL,
 * reaped here with __WCLONE) makes the program as its own child and leaves, and init or the nearest subreaper adopts
 * it. Both are CLONE_VM | CLONE_VFORK: they borrow our memory while we stand still, so a host with a heap of gigabytes
 * pays nothing and no copy of it survives. CLONE_FILES in the first step makes the pidfd land in our own table.
 *
 * Between clone and exec only system calls: the memory and the thread-local storage are the host's.
 */
#include "client/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/util.h"

#define STACK_SIZE (64u * 1024u)

struct job {
	const struct helper *helper;
	int fds[HELPER_MAX_FDS]; /* copies above the range that is filled */
	int dir_fd, null;
	char *stack;
	sigset_t mask;
	int pidfd, failed;
};

static int program_main(void *arg)
{
	struct job *job = arg;
	const struct helper *h = job->helper;

	/* Ignored signals stay ignored through exec; caught ones must not run the host's handlers here: all signals are
	 * blocked until the handlers are gone. */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	setsid();
	/* Ours stays where it is: the clone shares memory, not that. */
	if (h->at_root && chdir("/") < 0) {
		job->failed = errno;
		_exit(127);
	}
	for (size_t i = 0; i < h->n_fds; i++) {
		if (dup2(job->fds[i], (int)i) < 0) {
			job->failed = errno;
			_exit(127);
		}
	}
	/* dir_fd and everything of the host: close-on-exec or not, nothing passes. */
	if (syscall(SYS_close_range, (unsigned)h->n_fds, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) < 0) {
		job->failed = errno;
		_exit(127);
	}
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_execveat, job->dir_fd, h->program, h->argv, h->env, 0);
	job->failed = errno;
	_exit(127);
}

static int intermediate_main(void *arg)
{
	struct job *job = arg;

	/* The upper half of the stack is ours, the lower half the program's. */
	if (clone(program_main, job->stack + STACK_SIZE / 2, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, job,
		  &job->pidfd) < 0)
		job->failed = errno;
	_exit(0);
}

/* Above the range that is filled. EINVAL: the limit of open files is below that. */
static int copy_fd(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 16);
	return copy < 0 ? (errno == EINVAL ? -EMFILE : -errno) : copy;
}

static int copy_fds(struct job *job)
{
	const struct helper *h = job->helper;

	for (size_t i = 0; i < h->n_fds; i++) {
		job->fds[i] = copy_fd(h->fds[i] >= 0 ? h->fds[i] : job->null);
		if (job->fds[i] < 0)
			return job->fds[i];
	}
	if (h->dir_fd >= 0) {
		job->dir_fd = copy_fd(h->dir_fd);
		if (job->dir_fd < 0)
			return job->dir_fd;
	}
	return 0;
}

static int run(struct job *job)
{
	sigset_t all;
	int r = 0, status;

	sigfillset(&all);
	/* A handler of the host that ran in the child would change the host's memory. */
	pthread_sigmask(SIG_SETMASK, &all, &job->mask);
	int cancel;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pid_t pid = clone(intermediate_main, job->stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_FILES | 0, job);
	if (pid < 0)
		r = -errno;
	else
		while (waitpid(pid, &status, __WCLONE) < 0 && errno == EINTR)
			;
	pthread_setcancelstate(cancel, NULL);
	pthread_sigmask(SIG_SETMASK, &job->mask, NULL);
	return r < 0 ? r : -job->failed;
}

int helper_spawn(const struct helper *helper, int *ret_pidfd)
{
	struct job job = { .helper = helper, .dir_fd = helper->dir_fd, .null = -EBADF, .pidfd = -EBADF };

	if (helper->n_fds > HELPER_MAX_FDS)
		return -EINVAL;
	for (size_t i = 0; i < HELPER_MAX_FDS; i++)
		job.fds[i] = -EBADF;
	job.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	job.stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int r = job.null < 0 ? -errno : job.stack == MAP_FAILED ? -ENOMEM : copy_fds(&job);
	if (r == 0)
		r = run(&job);
	if (r < 0)
		fd_close(job.pidfd);
	else
		*ret_pidfd = job.pidfd;
	for (size_t i = 0; i < helper->n_fds; i++)
		fd_close(job.fds[i]);
	if (helper->dir_fd >= 0)
		fd_close(job.dir_fd);
	fd_close(job.null);
	if (job.stack != MAP_FAILED)
		munmap(job.stack, STACK_SIZE);
	return r;
}
