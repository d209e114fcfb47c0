/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run a command and let one system call of all that it starts fail, once: the N-th of that name that any process below
 * makes. usage: fault_inject [-m] [-e] REPORT NAME[,NAME] ERRNO N COMMAND [ARGUMENTS]
 *
 * N 0: nothing fails, calls are counted. N+: the N-th and all after it fail. -m: only from the first mark on, which is
 * close(MARK); -e: only until the last mark, which is what the canary does first. Exit status: that of COMMAND, or 98
 * (stopped here: no end in time) or 99 (its processes did not end with it). REPORT gets lines:
 *   hit NAME PROCESS ARGUMENTS PATH    (what failed)
 *   count NAME NUMBER
 *
 * By seccomp user notification and not by ptrace: one counter for all processes, nothing else slows down, and the
 * children that share memory and the processes that are not dumpable are seen alike. The filters of the sandbox come on
 * top. An unprivileged user has to set no_new_privs for it, so what a failing no_new_privs does shows as root only.
 * What has the name of the canary is let alone: it is no part of the set-up.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARK 0x6e73626f
#define LAST_MARK (MARK + 1)
#define LIMIT_MS 60000
#define LINGER_MS 10000
#define MAX_NAMES 128
#define CANARY "fault_canary"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "no such architecture"
#endif

#define CALL(name) { #name, SYS_##name }
static const struct call {
	const char *name;
	long number;
} calls[] = {
	CALL(accept4), CALL(bind), CALL(capget), CALL(capset), CALL(chdir), CALL(clone), CALL(clone3),
	CALL(close_range), CALL(connect), CALL(dup3), CALL(epoll_create1), CALL(epoll_ctl), CALL(eventfd2),
	CALL(execve), CALL(execveat), CALL(faccessat), CALL(faccessat2), CALL(fchdir), CALL(fchmod),
	CALL(fchmodat), CALL(fchown), CALL(fcntl), CALL(fdatasync), CALL(flock), CALL(fsconfig), CALL(fsmount),
	CALL(fsopen), CALL(fstat), CALL(fstatfs), CALL(fsync), CALL(ftruncate), CALL(getcwd), CALL(getdents64),
	CALL(getrandom), CALL(getsockname), CALL(getsockopt), CALL(ioctl), CALL(kill), CALL(landlock_add_rule),
	CALL(landlock_create_ruleset), CALL(landlock_restrict_self), CALL(listen), CALL(lseek), CALL(madvise),
	CALL(memfd_create), CALL(mkdirat), CALL(mknodat), CALL(mlock), CALL(mlockall), CALL(mmap),
	CALL(mount_setattr), CALL(move_mount), CALL(mprotect), CALL(newfstatat), CALL(open_tree), CALL(openat),
	CALL(openat2), CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pipe2), CALL(pivot_root), CALL(prctl),
	CALL(pread64), CALL(prlimit64), CALL(read), CALL(readlinkat), CALL(recvfrom), CALL(recvmsg),
	CALL(renameat), CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(seccomp), CALL(sendmsg), CALL(sendto),
	CALL(sethostname), CALL(setns), CALL(setrlimit), CALL(setsid), CALL(setsockopt), CALL(shutdown),
	CALL(signalfd4), CALL(socket), CALL(socketpair), CALL(statx), CALL(symlinkat), CALL(umount2),
	CALL(unlinkat), CALL(unshare), CALL(wait4), CALL(waitid), CALL(write), CALL(writev),
#ifdef __x86_64__
	CALL(access), CALL(dup2), CALL(epoll_wait), CALL(mkdir), CALL(open), CALL(pipe), CALL(poll),
	CALL(readlink), CALL(rename), CALL(stat), CALL(unlink),
#else
	CALL(epoll_pwait), CALL(ppoll),
#endif
};

static const struct {
	const char *name;
	int number;
} errors[] = {
	{ "ENOSYS", ENOSYS }, { "EPERM", EPERM }, { "ENOMEM", ENOMEM }, { "EINTR", EINTR }, { "EMFILE", EMFILE },
	{ "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EACCES", EACCES }, { "EAGAIN", EAGAIN }, { "EINVAL", EINVAL },
};

static struct injection {
	const struct call *call[MAX_NAMES];
	unsigned long seen[MAX_NAMES];
	size_t n_calls;
	int error;
	unsigned long when;
	int marked, done, until_last, from_then_on;
	FILE *report;
} job;

/* Shared with the child, which must make no system call between its filter and its exec. */
static volatile int *taken;

static void die(const char *what)
{
	perror(what);
	_exit(97);
}

static void choose(char *names)
{
	for (char *save = NULL, *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		size_t i = 0;
		while (i < sizeof(calls) / sizeof(*calls) && strcmp(calls[i].name, name) != 0)
			i++;
		if (i == sizeof(calls) / sizeof(*calls) || job.n_calls == MAX_NAMES) {
			fprintf(stderr, "fault_inject: no call %s\n", name);
			_exit(97);
		}
		job.call[job.n_calls++] = &calls[i];
	}
}

static int install_filter(void)
{
	struct sock_filter program[8 + 2 * MAX_NAMES];
	unsigned short n = 0;

	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < job.n_calls; i++) {
		const unsigned number = (unsigned)job.call[i]->number;
		program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
		program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 0, 3);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, 2, 0);
	program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LAST_MARK, 1, 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	const struct sock_fprog filter = { n, program };
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
}

static _Noreturn void child(char **argv)
{
	/* Root shows what happens without it. */
	if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(97);
	int listener = install_filter();
	taken[0] = listener >= 0 ? listener : -errno;
	while (!taken[1])
		__asm__ volatile("" ::: "memory");
	execve(argv[0], argv, environ);
	_exit(97);
}

static int take_listener(int pidfd)
{
	const struct timespec pause = { .tv_nsec = 100000 };

	while (taken[0] == 0)
		nanosleep(&pause, NULL);
	if (taken[0] < 0) {
		errno = -taken[0];
		die("seccomp");
	}
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, taken[0], 0);
	if (fd < 0)
		die("pidfd_getfd");
	taken[1] = 1;
	return fd;
}

static void read_name(unsigned pid, char *name, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, name, size - 1);
	name[n > 0 ? n - 1 : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The path that it was about, where that can be read and makes sense. */
static void print_path(const struct seccomp_notif *n, const char *call)
{
	static const char *const first[] = { "open", "access", "stat", "readlink", "mkdir", "unlink", "chdir", NULL };
	char path[64], text[200] = "";
	int which = strstr(call, "at") || strstr(call, "open_tree") || strstr(call, "move_mount");

	for (const char *const *f = first; *f; f++)
		which = strcmp(call, *f) == 0 ? 0 : which;
	snprintf(path, sizeof(path), "/proc/%u/mem", n->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && pread(fd, text, sizeof(text) - 1, (off_t)n->data.args[which]) > 0)
		for (char *c = text; *c; c++)
			*c = *c > ' ' && *c < 127 ? *c : '?';
	if (fd >= 0)
		close(fd);
	fprintf(job.report, " %s\n", text[0] ? text : "-");
}

/* Whether this one is to fail. */
static int decide(const struct seccomp_notif *n)
{
	char name[32];
	size_t i = 0;

	while (i < job.n_calls && job.call[i]->number != n->data.nr)
		i++;
	if (i == job.n_calls) {
		if (n->data.args[0] == MARK)
			job.marked = 1;
		else
			job.done |= job.until_last;
		return 0;
	}
	if (!job.marked || job.done)
		return 0;
	read_name(n->pid, name, sizeof(name));
	if (strcmp(name, CANARY) == 0)
		return 0;
	job.seen[i]++;
	if (job.when == 0 || (job.from_then_on ? job.seen[i] < job.when : job.seen[i] != job.when))
		return 0;
	job.done = !job.from_then_on;
	fprintf(job.report, "hit %s %s %lld %lld %lld", job.call[i]->name, name, (long long)n->data.args[0],
		(long long)n->data.args[1], (long long)n->data.args[2]);
	print_path(n, job.call[i]->name);
	return 1;
}

static void serve(int listener)
{
	struct seccomp_notif n;
	struct seccomp_notif_resp answer = { 0 };

	memset(&n, 0, sizeof(n));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
		return; /* it was killed meanwhile */
	answer.id = n.id;
	if (decide(&n))
		answer.error = -job.error;
	else
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until no process with the filter is left. The exit status. */
static int supervise(int listener, int pidfd, pid_t pid)
{
	long end = now_ms() + LIMIT_MS;
	int status = -1, verdict = 0;

	for (;;) {
		struct pollfd p[2] = { { .fd = listener, .events = POLLIN },
				       { .fd = status < 0 ? pidfd : -1, .events = POLLIN } };
		long left = end - now_ms();
		if (left <= 0 && verdict == 0) {
			verdict = status < 0 ? 98 : 99;
			if (status < 0)
				kill(pid, SIGKILL);
			end = now_ms() + LINGER_MS;
			left = LINGER_MS;
		} else if (left <= 0) {
			break;
		}
		poll(p, 2, (int)left);
		if (p[0].revents & POLLIN)
			serve(listener);
		if (p[1].revents && waitpid(pid, &status, 0) == pid)
			end = now_ms() + LINGER_MS;
		if (p[0].revents & POLLHUP)
			break;
	}
	if (status < 0)
		waitpid(pid, &status, 0);
	return verdict ? verdict : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	int marks = 0;

	for (argv++, argc--; argc > 0 && argv[0][0] == '-'; argv++, argc--) {
		marks |= strcmp(argv[0], "-m") == 0;
		job.until_last |= strcmp(argv[0], "-e") == 0;
	}
	if (argc < 5)
		return 97;
	job.report = fopen(argv[0], "we");
	if (!job.report)
		die(argv[0]);
	choose(argv[1]);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(errors[i].name, argv[2]) == 0)
			job.error = errors[i].number;
	job.when = strtoul(argv[3], NULL, 10);
	job.from_then_on = strchr(argv[3], '+') != NULL;
	job.marked = !marks;
	taken = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job.error == 0 || taken == MAP_FAILED)
		return 97;
	/* Before the first instruction of the command there is one exec, its own, which is no part of it. */
	for (size_t i = 0; i < job.n_calls; i++)
		if (job.call[i]->number == SYS_execve && job.when)
			job.when++;
	pid_t pid = fork();
	if (pid == 0)
		child(argv + 4);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int listener = pid < 0 || pidfd < 0 ? -1 : take_listener(pidfd);
	if (listener < 0)
		die("start");
	int status = supervise(listener, pidfd, pid);
	for (size_t i = 0; i < job.n_calls; i++)
		fprintf(job.report, "count %s %lu\n", job.call[i]->name,
			job.seen[i] - (job.call[i]->number == SYS_execve && job.seen[i] && !marks));
	return fclose(job.report) == 0 ? status : 97;
}
