/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempt 200: one process against another of the same user: a sibling call, its guardian, the own guardian, init. The
 * target (sibling_target.c) says where everything of it is. With at=process only what has a process number is tried.
 * A row "ok" has worked; whether it had an effect is also seen by the target.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIDFD_INFO_IOCTL _IOWR(0xff, 11, struct pidfd_information)
#define PIDFD_NET_NAMESPACE _IO(0xff, 4)
#define OWNER_PID 1 /* F_OWNER_PID */

struct pidfd_information {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t exit_code;
};

static pid_t pid;

static int read_some(const char *path)
{
	char buf[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, sizeof(buf));
	int saved = errno;
	close(fd);
	errno = saved;
	return n < 0 ? -1 : 0;
}

static void proc_files(void)
{
	static const char *const read[] = { "environ", "maps", "cmdline", "status", "stat", "io", "syscall", "stack", "auxv",
					    "smaps", "mountinfo", "limits", "sched", "timers", "numa_maps", "personality",
					    "cgroup", "comm", "net/tcp", "net/unix" };
	static const char *const dirs[] = { "task", "fd", "fdinfo", "map_files", "ns", "root/tmp", "cwd/." };
	static const char *const links[] = { "root", "cwd", "exe" };
	char dir[64], row[64], link[256], memfd[64];
	struct stat st;

	snprintf(dir, sizeof(dir), "/proc/%d", pid);
	TRY("proc-stat-of-directory", stat(dir, &st));
	TRY("proc-directory", try_open(dir, O_RDONLY | O_DIRECTORY));
	for (size_t i = 0; i < sizeof(read) / sizeof(read[0]); i++) {
		snprintf(row, sizeof(row), "proc-%s", read[i]);
		TRY(row, read_some(in(dir, read[i])));
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(row, sizeof(row), "proc-%s", dirs[i]);
		TRY(row, try_open(in(dir, dirs[i]), O_RDONLY | O_DIRECTORY));
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(row, sizeof(row), "proc-%s-link", links[i]);
		TRY(row, readlink(in(dir, links[i]), link, sizeof(link)));
	}
	TRY("proc-mem", try_open(in(dir, "mem"), O_RDWR));
	TRY("proc-exe", try_open(in(dir, "exe"), O_RDONLY));
	TRY("proc-fd-stdin", try_open(in(dir, "fd/0"), O_RDONLY));
	snprintf(memfd, sizeof(memfd), "fd/%s", fact("memfd") ? fact("memfd") : "3");
	TRY("proc-fd-memfd", try_open(in(dir, memfd), O_RDWR));
	snprintf(memfd, sizeof(memfd), "task/%d/environ", pid);
	TRY("proc-task-environ", read_some(in(dir, memfd)));
	/* to what it is */
	TRY("proc-oom-score-adj", try_open(in(dir, "oom_score_adj"), O_WRONLY));
	TRY("proc-coredump-filter", try_open(in(dir, "coredump_filter"), O_WRONLY));
	TRY("proc-clear-refs", try_open(in(dir, "clear_refs"), O_WRONLY));
	TRY("proc-timerslack", try_open(in(dir, "timerslack_ns"), O_WRONLY));
	TRY("proc-comm-write", try_open(in(dir, "comm"), O_WRONLY));
	TRY("proc-uid-map", try_open(in(dir, "uid_map"), O_WRONLY));
}

static void namespaces(void)
{
	static const struct {
		const char *name;
		int flag;
	} kinds[] = { { "net", CLONE_NEWNET }, { "ipc", CLONE_NEWIPC }, { "pid", CLONE_NEWPID }, { "mnt", CLONE_NEWNS },
		      { "user", CLONE_NEWUSER } };
	char dir[64], row[64];
	int fd;

	snprintf(dir, sizeof(dir), "/proc/%d/ns", pid);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(row, sizeof(row), "ns-open-%s", kinds[i].name);
		fd = open(in(dir, kinds[i].name), O_RDONLY | O_CLOEXEC);
		report(row, fd);
		snprintf(row, sizeof(row), "setns-%s", kinds[i].name);
		if (i < 3) /* the others would change what the rest of the attempt sees */
			TRY(row, setns(fd, kinds[i].flag));
		if (fd >= 0)
			close(fd);
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	TRY("setns-pidfd", setns(fd, CLONE_NEWNET | CLONE_NEWIPC));
	TRY("pidfd-net-namespace", ioctl(fd, PIDFD_NET_NAMESPACE, 0));
	close(fd);
}

static void memory(void)
{
	char byte = 'c';
	unsigned long page = fact("page") ? strtoul(fact("page"), NULL, 10) : 0x1000;
	struct iovec local = { &byte, 1 }, remote = { (void *)page, 1 };
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	long rc;

	/* EFAULT: access was granted, to a page that is not there */
	errno = 0;
	rc = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	report("vm-readv", rc < 0 && errno == EFAULT ? 0 : rc);
	rc = process_vm_writev(pid, &local, 1, &remote, 1, 0);
	report("vm-writev", rc < 0 && errno == EFAULT ? 0 : rc);
	report("pidfd-open", fd);
	TRY("pidfd-getfd", syscall(SYS_pidfd_getfd, fd, 0, 0));
	struct pidfd_information info = { .mask = 1 };
	TRY("pidfd-info", ioctl(fd, PIDFD_INFO_IOCTL, &info));
	TRY("process-madvise", syscall(SYS_process_madvise, fd, &remote, 1, 21, 0) < 0 && errno != EFAULT ? -1 : 0);
	TRY("process-mrelease", syscall(SYS_process_mrelease, fd, 0) < 0 && errno != EINVAL ? -1 : 0);
	if (fd >= 0)
		close(fd);
	TRY("kcmp", syscall(SYS_kcmp, getpid(), pid, 0, 0, 0));
	TRY("robust-list", syscall(SYS_get_robust_list, pid, &(void *){ NULL }, &(size_t){ 0 }));
	TRY("move-pages", syscall(SYS_move_pages, pid, 1UL, &(void *){ (void *)page }, NULL, &status, 0));
	TRY("migrate-pages", syscall(SYS_migrate_pages, pid, 8UL, &(unsigned long){ 1 }, &(unsigned long){ 1 }));
	errno = 0;
	rc = ptrace(PTRACE_SEIZE, pid, NULL, NULL);
	report("ptrace-seize", rc);
	if (!rc) {
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	errno = 0;
	rc = ptrace(PTRACE_ATTACH, pid, NULL, NULL);
	report("ptrace-attach", rc);
	if (!rc) {
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
}

/* A signal that the kernel sends because of a descriptor: F_SETOWN names somebody else as the receiver. */
static int signal_by_descriptor(int extended)
{
	struct {
		int type, pid;
	} owner = { OWNER_PID, pid };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	int r = extended ? fcntl(pair[0], 15 /* F_SETOWN_EX */, &owner) : fcntl(pair[0], F_SETOWN, pid);
	if (r == 0)
		r = fcntl(pair[0], F_SETSIG, SIGIO) || fcntl(pair[0], F_SETFL, O_ASYNC | O_NONBLOCK);
	if (r == 0)
		r = write(pair[1], "x", 1) == 1 ? 0 : -1;
	int saved = errno;
	close(pair[0]);
	close(pair[1]);
	errno = saved;
	return r;
}

static void send_signals(void)
{
	siginfo_t info = { .si_signo = SIGRTMIN, .si_code = SI_QUEUE };
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	TRY("kill-0", kill(pid, 0));
	TRY("kill-usr1", kill(pid, SIGUSR1));
	TRY("kill-cont", kill(pid, SIGCONT));
	TRY("tgkill", syscall(SYS_tgkill, pid, pid, SIGUSR1));
	TRY("tkill", syscall(SYS_tkill, pid, SIGUSR1));
	info.si_pid = getpid();
	TRY("sigqueue", syscall(SYS_rt_sigqueueinfo, pid, SIGRTMIN, &info));
	TRY("tgsigqueue", syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGRTMIN, &info));
	TRY("pidfd-signal", syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 0));
	TRY("pidfd-signal-group", syscall(SYS_pidfd_send_signal, fd, SIGUSR2, NULL, 4));
	if (fd >= 0)
		close(fd);
	if (pid != 1) /* -1 would be everybody */
		TRY("kill-group", kill(-pid, SIGUSR1));
	TRY("stop", kill(pid, SIGSTOP) || kill(pid, SIGCONT) ? -1 : 0);
	/* Naming another one is allowed; the kernel checks when it sends. So only the target knows: see SEEN. */
	TRY("owner-of-descriptor", signal_by_descriptor(0));
	TRY("owner-of-descriptor-ex", signal_by_descriptor(1));
}

static void attributes(void)
{
	struct sched_param normal = { 0 };
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t times[3];
	} attr = { .size = 48, .nice = 5 };
	struct rlimit rl = { 0 };
	cpu_set_t cpus;
	struct timespec ts;

	TRY("prlimit-get", prlimit(pid, RLIMIT_NOFILE, NULL, &rl));
	if (!rl.rlim_max)
		rl = (struct rlimit){ 100, 1024 };
	rl.rlim_cur--;
	TRY("prlimit-set", prlimit(pid, RLIMIT_NOFILE, &rl, NULL));
	TRY("setpriority", setpriority(PRIO_PROCESS, (id_t)pid, 5));
	TRY("setpriority-group", setpriority(PRIO_PGRP, (id_t)pid, 5));
	TRY("ioprio-set", syscall(SYS_ioprio_set, 1, pid, 3 << 13));
	TRY("ioprio-set-group", syscall(SYS_ioprio_set, 2, pid, 3 << 13));
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	TRY("sched-setscheduler", sched_setscheduler(pid, SCHED_BATCH, &normal));
	TRY("sched-setparam", sched_setparam(pid, &normal));
	TRY("sched-setattr", syscall(SYS_sched_setattr, pid, &attr, 0));
	/* what is told of others: no effect, no content */
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, (id_t)pid);
	report("getpriority", nice == -1 && errno ? -1 : 0);
	TRY("ioprio-get", syscall(SYS_ioprio_get, 1, pid));
	TRY("sched-getaffinity", sched_getaffinity(pid, sizeof(cpus), &cpus));
	TRY("sched-getscheduler", sched_getscheduler(pid));
	TRY("sched-getattr", syscall(SYS_sched_getattr, pid, &attr, 48, 0));
	TRY("getpgid", getpgid(pid));
	TRY("getsid", getsid(pid));
	TRY("cpu-clock", clock_gettime((clockid_t)((~(unsigned)pid << 3) | 2), &ts));
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	TRY("sched-setaffinity", sched_setaffinity(pid, sizeof(cpus), &cpus));
}

/* Pids that answer and are none of ours: by signal 0 (everything of our own domain answers "ok"). */
static void guess(void)
{
	char text[32] = "";
	int max = slurp("/proc/sys/kernel/pid_max", text, sizeof(text), NULL) ? atoi(text) : 32768, named = 0, reached = 0;

	for (pid_t p = 2; p <= max; p++) {
		if (kill(p, 0) == 0 && p == pid)
			reached++;
		else if (errno == EPERM && kill(p, 0))
			named++;
	}
	result("all-pids-reach", reached ? "ok" : "none", "%d of %d", reached, max);
	/* A refused signal says that the number is in use. */
	result("all-pids-exist", named ? "ok" : "none", "%d of %d", named, max);
}

static int connect_unix(const char *path, bool abstract, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	snprintf(a.sun_path + abstract, sizeof(a.sun_path) - 1, "%s", path);
	size_t len = offsetof(struct sockaddr_un, sun_path) + abstract + strlen(path);
	int r = connect(fd, (struct sockaddr *)&a, (socklen_t)len);
	if (r == 0 && type == SOCK_DGRAM)
		r = send(fd, "x", 1, MSG_NOSIGNAL) < 0 ? -1 : 0;
	int saved = errno;
	close(fd);
	errno = saved;
	return r;
}

static int connect_ip(const char *address, int port, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	/* A refusal comes at once, on a loaded machine after seconds. */
	struct timeval answer = { .tv_sec = 1 }, refusal = { .tv_sec = 20 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	char c;

	inet_pton(AF_INET, address, &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &refusal, sizeof(refusal));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &answer, sizeof(answer));
	int r = connect(fd, (struct sockaddr *)&a, sizeof(a));
	/* For UDP the refusal comes with the next call. Nobody answers, so in the control this is a time-out. */
	if (r == 0 && type == SOCK_DGRAM)
		r = send(fd, "x", 1, 0) < 0 || (recv(fd, &c, 1, 0) < 0 && errno != EAGAIN) ? -1 : 0;
	int saved = errno;
	close(fd);
	errno = saved == EINPROGRESS ? ETIMEDOUT : saved;
	return r;
}

static void sockets(void)
{
	const char *eth = need("eth");

	TRY("abstract-stream", connect_unix(need("abstract"), true, SOCK_STREAM));
	TRY("abstract-dgram", connect_unix(need("abstract_dgram"), true, SOCK_DGRAM));
	TRY("loopback-tcp", connect_ip("127.0.0.1", (int)need_number("tcp"), SOCK_STREAM));
	TRY("loopback-udp", connect_ip("127.0.0.1", (int)need_number("udp"), SOCK_DGRAM));
	TRY("any-tcp-by-loopback", connect_ip("127.0.0.1", (int)need_number("any_tcp"), SOCK_STREAM));
	if (isdigit((unsigned char)eth[0])) {
		TRY("address-tcp", connect_ip(eth, (int)need_number("any_tcp"), SOCK_STREAM));
		/* The gateway answers in its place: see SEEN. */
		TRY("address-gateway-port", connect_ip(eth, 8443, SOCK_STREAM));
		TRY("address-udp", connect_ip(eth, (int)need_number("udp"), SOCK_DGRAM));
	}
	TRY("path-socket", connect_unix(need("path"), false, SOCK_STREAM));
}

static int append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, "x", 1);

	if (fd >= 0)
		close(fd);
	return n == 1 ? 0 : -1;
}

static int into_segment(void)
{
	char *p = shmat((int)need_number("shm"), NULL, 0);

	if (p == (void *)-1)
		return -1;
	p[0] = 'X';
	return shmdt(p);
}

static void shared_objects(void)
{
	key_t key = (key_t)need_number("key");
	struct sembuf up = { .sem_op = 1, .sem_flg = IPC_NOWAIT };
	char buf[64], pts[64];
	mqd_t q;

	TRY("sysv-shm-key", shmget(key, 0, 0));
	TRY("sysv-shm", into_segment());
	TRY("sysv-sem", semop((int)need_number("sem"), &up, 1));
	TRY("sysv-msg", msgrcv((int)need_number("msg"), buf, 8, 0, IPC_NOWAIT | MSG_NOERROR));
	q = mq_open(need("mq"), O_RDWR | O_NONBLOCK);
	report("mqueue-open", q);
	TRY("mqueue-receive", mq_receive(q, buf, sizeof(buf), NULL));
	if (q >= 0)
		mq_close(q);
	TRY("tmp-file", append(need("tmp")));
	TRY("dev-shm-file", append(need("shm_file")));
	snprintf(pts, sizeof(pts), "%s", need("pts"));
	int tty = open(pts, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	report("terminal-open", tty);
	TRY("terminal-write", write(tty, "x", 1));
	if (tty >= 0)
		close(tty);
}

static void attack(void)
{
	/* nsbox-written processes are attacked like others, but a success would end the test: harmless signals only */
	bool process = fact("at") != NULL;

	proc_files();
	memory();
	send_signals();
	attributes();
	namespaces();
	if (process)
		return;
	sockets();
	shared_objects();
	guess();
	/* Last: everybody that may be signalled. On the host that would be all of them. */
	if (!on_host())
		TRY("kill-all", kill(-1, SIGRTMIN + 1));
}

/* What a call left behind while it lasts: no parent, no session, no group in common with its command. */
static void as_daemon(void)
{
	int done[2];
	char byte;

	if (pipe2(done, O_CLOEXEC))
		return;
	if (!fork()) {
		setsid();
		if (fork())
			_exit(0);
		close(done[0]);
		attack();
		_exit(0);
	}
	close(done[1]);
	if (read(done[0], &byte, 1) < 0)
		report("prepare", -1);
}

/* The parent of the command, which is our parent. */
static pid_t own_guardian(void)
{
	char path[64], text[512] = "";
	int parent = 1;

	snprintf(path, sizeof(path), "/proc/%d/stat", getppid());
	if (!slurp(path, text, sizeof(text), NULL) || !strrchr(text, ')') ||
	    sscanf(strrchr(text, ')') + 1, " %*c %d", &parent) != 1)
		report("setup", -1);
	return parent;
}

/* @wait: attacks what a line on standard input describes. So that the attacker can be older than its target. */
int tool_wait(int argc, char **argv)
{
	static char line[2048], *facts[80];
	int n = 0;

	for (; n < argc && n < 16; n++)
		facts[n] = argv[n];
	printf("WAITING\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 2;
	for (char *save = NULL, *w = strtok_r(line, " \n", &save); w && n < 79; w = strtok_r(NULL, " \n", &save))
		if (strchr(w, '='))
			facts[n++] = w;
	set_facts(facts);
	signal(SIGRTMIN + 1, SIG_IGN);
	run_attempt(200);
	return 0;
}

static void sibling(void)
{
	pid = strcmp(need("pid"), "guardian") ? (pid_t)need_number("pid") : own_guardian();
	if (fact("daemon"))
		as_daemon();
	else
		attack();
}

const struct attempt sibling_attempts[] = {
	{ 200, "sibling", sibling },
	{ 0 },
};
