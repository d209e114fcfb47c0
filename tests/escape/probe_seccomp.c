/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 74, 76-79: clone flags, ioctls, prctl, and stacking more confinement without loosening what is there. */
#include "probe.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void *nothing(void *arg)
{
	return arg;
}

static int vfork_exit(void)
{
	pid_t pid = vfork();
	int status;

	if (!pid)
		_exit(0);
	return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : 0;
}

static int combined(void *flags)
{
	/* all bits in one call, as an exploit would */
	long pid = syscall(SYS_clone, (unsigned long)flags, 0, 0, 0, 0);

	if (!pid)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static void clone_flags(void)
{
	static const unsigned long flags[] = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
					       CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
	struct clone_args args = { .exit_signal = SIGCHLD };
	pthread_t t;
	char row[32];
	long pid;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		snprintf(row, sizeof(row), "clone-%lx", flags[i]);
		errno = in_child(combined, (void *)(flags[i] | SIGCHLD));
		report(row, errno ? -1 : 0);
	}
	errno = in_child(combined, (void *)(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | SIGCHLD));
	report("clone-all", errno ? -1 : 0);
	/* high bits that the kernel's clone() cuts off */
	errno = in_child(combined, (void *)(CLONE_NEWUSER | SIGCHLD | 1UL << 40));
	report("clone-high-bits", errno ? -1 : 0);
	errno = 0;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (!pid)
		_exit(0);
	report("clone3-plain", pid);
	errno = pthread_create(&t, NULL, nothing, NULL);
	report("thread", errno ? -1 : 0);
	if (!errno)
		pthread_join(t, NULL);
	TRY("vfork", vfork_exit());
}

static void ioctls(void)
{
	char c = 'Z', paste[8] = { 99 };
	int fd = open(in(need("work"), "plain"), O_RDWR | O_CLOEXEC), pipes[2], flags = FS_IMMUTABLE_FL;

	if (pipe2(pipes, O_CLOEXEC))
		return;
	/* not a terminal: reachable says ENOTTY */
	TRY("tiocsti", ioctl(pipes[0], TIOCSTI, &c));
	TRY("tiocsti-high-bits", syscall(SYS_ioctl, pipes[0], (unsigned long)TIOCSTI | 1UL << 32, &c));
	TRY("tioclinux", ioctl(pipes[0], TIOCLINUX, paste));
	TRY("immutable", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = 0;
	if (outside())
		ioctl(fd, FS_IOC_SETFLAGS, &flags);
	close(fd);
}

static int allow_everything(void)
{
	struct sock_filter allow = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
	struct sock_fprog prog = { 1, &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

static void prctls(void)
{
	TRY("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
	TRY("keep-caps", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	TRY("securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
	TRY("new-privs", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	TRY("seccomp-off", prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
	TRY("capset", syscall(SYS_capset, &(struct { unsigned v; int pid; }){ 0x20080522, 0 },
			      (unsigned[6]){ 1 << 21, 1 << 21, 0, 0, 0, 0 }));
	TRY("filter", allow_everything());
	TRY("relaxed", unshare(CLONE_NEWUSER | CLONE_NEWNET));
}

/* 78: programs that confine themselves must still be able to. */
static void more_confinement(void)
{
	struct {
		unsigned long long fs, net, scoped;
	} attr = { .fs = 1 << 11 }; /* making block devices: nobody misses it */
	int layers = 0, fd;

	TRY("filter", allow_everything());
	TRY("filter-again", allow_everything());
	while (layers < 20) {
		fd = (int)syscall(444, &attr, 8, 0);
		if (fd < 0 || syscall(446, fd, 0))
			break;
		close(fd);
		layers++;
	}
	result("landlock-layers", layers ? "ok" : errno_name(errno), "%d more", layers);
	TRY("write-after", try_open(in(need("work"), "plain"), O_WRONLY));
}

static int map_then_execute(void *mdwe)
{
	void *p;

	/* the control does without, and so must succeed */
	if (mdwe && !outside() && prctl(65 /* PR_SET_MDWE */, 1, 0, 0, 0)) {
		report("mdwe", -1);
		return 1;
	}
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TRY(mdwe ? "with-mdwe" : "without", mprotect(p, 4096, PROT_READ | PROT_EXEC));
	return 0;
}

static void write_xor_execute(void)
{
	in_child(map_then_execute, NULL);
	in_child(map_then_execute, (void *)1);
}

const struct attempt seccomp_attempts[] = {
	{ 74, "clone-flags", clone_flags },
	{ 76, "ioctls", ioctls },
	{ 77, "prctls", prctls },
	{ 78, "more-confinement", more_confinement },
	{ 79, "write-xor-execute", write_xor_execute },
	{ 0 },
};
