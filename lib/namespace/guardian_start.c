/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a guardian. For a light call the launcher forks it into the pid namespace of the sandbox. For a full one
 * there is a step between: a helper that shares the launcher's memory for a moment enters the sandbox, where it has the
 * capability to make pid, mount and ipc namespaces, and clones the guardian as pid 1 of it and as the launcher's child.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace/aside.h"
#include "namespace/cover.h"
#include "namespace/guardian.h"
#include "namespace/launcher_state.h"
#include "namespace/view.h"
#include "policy/policy.h"

struct job {
	struct guardian_setup *setup;
	int sock, pidfd;
	struct error *e;
};

/* A copy of this process's memory, which guardian_main() never leaves. */
static int fork_guardian(struct job *job, uint64_t flags)
{
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&job->pidfd,
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD, /* CLONE_PARENT: that of the helper */
	};

	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		guardian_main(job->setup, job->sock);
	if (pid < 0)
		return fail_errno(job->e, errno, SANDBOX_STAGE_NAMESPACE, "clone3",
				  "cannot make a process in the sandbox");
	return 0;
}

static int full_helper(void *arg)
{
	struct job *job = arg;

	int r = guardian_enter(job->setup, job->e);
	if (r == 0 && job->setup->store >= 0)
		r = view_take(job->setup->store, job->setup->init_pidfd, &job->setup->store, job->e);
	if (r == 0 && unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) < 0)
		r = fail_errno(job->e, errno, SANDBOX_STAGE_NAMESPACE, "unshare",
			       "cannot make pid, mount and ipc namespaces for the call");
	return r < 0 ? r : fork_guardian(job, CLONE_PARENT);
}

static int start(struct job *job)
{
	/* Its children's pid namespace, for the moment of one clone. */
	_cleanup_close_ int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(job->setup->init_pidfd, CLONE_NEWPID) < 0)
		return fail_errno(job->e, errno, SANDBOX_STAGE_NAMESPACE, "setns",
				  "cannot enter the pid namespace of the sandbox");
	int r = job->setup->full ? aside(full_helper, job) : fork_guardian(job, 0);
	if (setns(own, CLONE_NEWPID) < 0)
		/* The next child would belong to this sandbox. */
		launcher_give_up(SUPERVISOR_FD, SANDBOX_STAGE_NAMESPACE, "setns", "the launcher cannot leave a pid namespace");
	if (r < 0 && job->e->err == 0) /* of aside itself */
		fail_errno(job->e, -r, SANDBOX_STAGE_NAMESPACE, "clone", "cannot make a process in the sandbox");
	return r;
}

int guardian_start(const struct sandbox *s, struct slot *slot, int *ret_sock, struct error *e)
{
	struct guardian_setup setup = { .init_pidfd = s->init.pidfd, .net = slot->net, .ruleset = s->ruleset,
					.open_files = s->open_files, .number = slot->number, .full = slot->full, .wired = s->net_mode == NET_GATEWAY,
					.covers = slot->covers.data, .covers_len = slot->covers.len,
					.store = covers_have_view(slot->covers.data, slot->covers.len) ? s->store : -EBADF,
					.base = s->base.data, .base_len = s->base.len };
	struct job job = { .setup = &setup, .pidfd = -EBADF, .e = e };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "socketpair", "cannot make a socket for the call");
	job.sock = pair[1];
	memset(e, 0, sizeof(*e));
	int r = start(&job);
	fd_close(pair[1]);
	/* The helper shares our descriptors. */
	if (setup.store >= 0 && setup.store != s->store)
		fd_close(setup.store);
	if (r < 0) {
		/* The helper can be killed, when init dies, after it has made a guardian. Nobody else would reap that, and the
		 * end of init waits for every process of its pid namespace to be reaped. Not open: there is none. */
		if (job.pidfd >= 0) {
			syscall(SYS_pidfd_send_signal, job.pidfd, SIGKILL, NULL, 0);
			guardian_reap(job.pidfd);
			fd_close(job.pidfd);
		}
		fd_close(pair[0]);
		return r;
	}
	slot->pidfd = job.pidfd;
	fd_close(TAKE_FD(slot->net));
	buf_free(&slot->covers);
	*ret_sock = pair[0];
	return 0;
}

/* By pidfd: the number of a full guardian was given in another pid namespace. */
bool guardian_reap(int pidfd)
{
	siginfo_t info = { 0 };

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL) < 0 && errno == EINTR)
		;
	return info.si_code == CLD_EXITED && info.si_status == 0;
}
