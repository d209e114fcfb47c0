/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's parts of the sibling tests. @target is a process worth attacking: it prints where everything of it is,
 * waits until its standard input ends, and then says what was done to it. @pair makes a target and attacks it from
 * the same place (the positive control: inside one call, on the host, or below a user namespace of its own).
 */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TCP, UDP, ANY_TCP, GATEWAY_PORT, STREAM, DGRAM, PATH, LISTENERS };
static const char *const listener_names[LISTENERS] = { "tcp",	   "udp",      "any-tcp",	 "gateway-port",
							"abstract", "abstract-dgram", "path" };

struct target {
	char mark[64], eth[INET_ADDRSTRLEN], path[128], tmp[128], shm_file[128], mq_name[96], pts[64];
	int listeners[LISTENERS], ports[4], memfd, shm, sem, msg, terminal, side;
	key_t key;
	mqd_t mq;
	char *page, *segment;
};

static volatile sig_atomic_t signals[65];

static void note_signal(int s)
{
	signals[s] = 1;
}

static int bind_ip(int type, uint32_t address, int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address),
				 .sin_port = htons((uint16_t)*ret_port) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) || (type == SOCK_STREAM && listen(fd, 16)) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		return -1;
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int bind_unix(int type, const char *name, bool abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path + abstract, sizeof(a.sun_path) - 1, "%s", name);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + strlen(name))) ||
	    (type == SOCK_STREAM && listen(fd, 16)))
		return -1;
	return fd;
}

static void own_address(char *buf, size_t size)
{
	struct ifaddrs *all = NULL;

	snprintf(buf, size, "none");
	if (getifaddrs(&all))
		return;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !strcmp(i->ifa_name, "eth0"))
			inet_ntop(AF_INET, &((const struct sockaddr_in *)i->ifa_addr)->sin_addr, buf, (socklen_t)size);
	freeifaddrs(all);
}

static int make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 && write(fd, "canary", 6) == 6 ? fd : -1;
}

static void open_all(struct target *t, const char *mark)
{
	char name[128];

	snprintf(t->mark, sizeof(t->mark), "%s", mark);
	own_address(t->eth, sizeof(t->eth));
	snprintf(t->path, sizeof(t->path), "/tmp/%s.sock", mark);
	snprintf(t->tmp, sizeof(t->tmp), "/tmp/%s", mark);
	snprintf(t->shm_file, sizeof(t->shm_file), "/dev/shm/%s", mark);
	snprintf(t->mq_name, sizeof(t->mq_name), "/%s", mark);
	t->listeners[TCP] = bind_ip(SOCK_STREAM, INADDR_LOOPBACK, &t->ports[0]);
	t->listeners[UDP] = bind_ip(SOCK_DGRAM, INADDR_ANY, &t->ports[1]);
	t->listeners[ANY_TCP] = bind_ip(SOCK_STREAM, INADDR_ANY, &t->ports[2]);
	t->ports[3] = 8443; /* where the gateway of the sandbox listens too */
	t->listeners[GATEWAY_PORT] = bind_ip(SOCK_STREAM, INADDR_ANY, &t->ports[3]);
	t->listeners[STREAM] = bind_unix(SOCK_STREAM, mark, true);
	snprintf(name, sizeof(name), "%s-d", mark);
	t->listeners[DGRAM] = bind_unix(SOCK_DGRAM, name, true);
	t->listeners[PATH] = bind_unix(SOCK_STREAM, t->path, false);
	close(make_file(t->tmp));
	close(make_file(t->shm_file));
	t->memfd = memfd_create("target", MFD_CLOEXEC);
	t->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(t->page, "canary");
	t->key = (key_t)(getpid() + (int)(time(NULL) % 100000) * 8192);
	t->shm = shmget(t->key, 4096, IPC_CREAT | IPC_EXCL | 0600);
	t->segment = t->shm < 0 ? NULL : shmat(t->shm, NULL, 0);
	if (t->segment && t->segment != (void *)-1)
		strcpy(t->segment, "canary");
	t->sem = semget(t->key, 1, IPC_CREAT | IPC_EXCL | 0600);
	t->msg = msgget(t->key, IPC_CREAT | IPC_EXCL | 0600);
	msgsnd(t->msg, &(struct { long type; char text[8]; }){ 1, "canary" }, 8, IPC_NOWAIT);
	t->mq = mq_open(t->mq_name, O_CREAT | O_RDWR | O_NONBLOCK, 0600,
			&(struct mq_attr){ .mq_maxmsg = 4, .mq_msgsize = 64 });
	mq_send(t->mq, "canary", 7, 0);
	t->terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->terminal < 0 || unlockpt(t->terminal) || ptsname_r(t->terminal, t->pts, sizeof(t->pts)))
		snprintf(t->pts, sizeof(t->pts), "none");
	t->side = open(t->pts, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
}

static void say_where(const struct target *t, pid_t guardian)
{
	printf("TARGET pid=%d guardian=%d memfd=%d page=%lu tcp=%d udp=%d any_tcp=%d eth=%s abstract=%s abstract_dgram=%s-d "
	       "path=%s tmp=%s shm_file=%s key=%d shm=%d sem=%d msg=%d mq=%s pts=%s\n",
	       getpid(), guardian, t->memfd, (unsigned long)t->page, t->ports[0], t->ports[1], t->ports[2], t->eth, t->mark,
	       t->mark, t->path, t->tmp, t->shm_file, t->key, t->shm, t->sem, t->msg, t->mq_name, t->pts);
	fflush(stdout);
}

static long status_number(const char *key, int base)
{
	char text[8192];
	const char *p;

	if (!slurp("/proc/self/status", text, sizeof(text), NULL) || !(p = strstr(text, key)))
		return -1;
	return strtol(p + strlen(key) + 1, NULL, base);
}

/* What others can set of a process, in one line. */
static void look(char *buf, size_t size)
{
	struct rlimit files = { 0 };
	cpu_set_t cpus;
	char oom[16] = "", timer[24] = "";

	CPU_ZERO(&cpus);
	getrlimit(RLIMIT_NOFILE, &files);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	slurp("/proc/self/oom_score_adj", oom, sizeof(oom), NULL);
	slurp("/proc/self/timerslack_ns", timer, sizeof(timer), NULL);
	oom[strcspn(oom, "\n")] = timer[strcspn(timer, "\n")] = '\0';
	snprintf(buf, size, "nice=%d,cpus=%d,files=%lu,policy=%d,ioprio=%ld,oom=%s,slack=%s,tracer=%ld,pgrp=%d",
		 getpriority(PRIO_PROCESS, 0), CPU_COUNT(&cpus), (unsigned long)files.rlim_cur, sched_getscheduler(0),
		 syscall(SYS_ioprio_get, 1, 0), oom, timer, status_number("TracerPid", 10), getpgrp());
}

static bool file_same(const char *path)
{
	char buf[16];

	return slurp(path, buf, sizeof(buf), NULL) && !strcmp(buf, "canary");
}

/* One line "SEEN what,what,...": everything that somebody else did. */
static void say_seen(const struct target *t, const char *before)
{
	struct mq_attr attr = { 0 };
	struct msqid_ds ds = { 0 };
	char after[256], c;

	printf("SEEN ");
	for (int s = 1; s < 65; s++)
		if (signals[s])
			printf("signal-%d,", s);
	for (int i = 0; i < LISTENERS; i++)
		if (t->listeners[i] >= 0 && poll(&(struct pollfd){ t->listeners[i], POLLIN, 0 }, 1, 0) > 0)
			printf("contact-%s,", listener_names[i]);
	if (strcmp(t->page, "canary"))
		printf("memory,");
	if (t->segment && t->segment != (void *)-1 && strcmp(t->segment, "canary"))
		printf("sysv-shm,");
	if (t->sem >= 0 && semctl(t->sem, 0, GETVAL) != 0)
		printf("sysv-sem,");
	if (t->msg >= 0 && (msgctl(t->msg, IPC_STAT, &ds) || ds.msg_qnum != 1))
		printf("sysv-msg,");
	if (t->mq >= 0 && (mq_getattr(t->mq, &attr) || attr.mq_curmsgs != 1))
		printf("mqueue,");
	if (!file_same(t->tmp))
		printf("tmp-file,");
	if (!file_same(t->shm_file))
		printf("shm-file,");
	if (lseek(t->memfd, 0, SEEK_END) != 0)
		printf("memfd,");
	if (t->terminal >= 0 && poll(&(struct pollfd){ t->terminal, POLLIN, 0 }, 1, 0) > 0 && read(t->terminal, &c, 1) == 1)
		printf("terminal,");
	look(after, sizeof(after));
	if (strcmp(before, after))
		printf("changed:%s->%s,", before, after);
	printf("end\n");
	fflush(stdout);
}

static void remove_all(const struct target *t)
{
	shmctl(t->shm, IPC_RMID, NULL);
	semctl(t->sem, 0, IPC_RMID);
	msgctl(t->msg, IPC_RMID, NULL);
	mq_unlink(t->mq_name);
	unlink(t->path);
	unlink(t->tmp);
	unlink(t->shm_file);
}

/* Numbers that an attacker in a pid namespace of its own does not have itself. */
#define NUMBERS_BURNT 100

static int be_target(const char *mark, pid_t guardian)
{
	static struct target t;
	struct sigaction sa = { .sa_handler = note_signal, .sa_flags = SA_RESTART };
	char before[256], byte;

	for (int s = 1; s < 65; s++)
		if (s != SIGKILL && s != SIGSTOP && s != SIGSEGV && s != SIGCHLD)
			sigaction(s, &sa, NULL);
	/* As open to tracing as a process can be. */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(0x59616d61 /* PR_SET_PTRACER */, -1L, 0, 0, 0);
	open_all(&t, mark);
	look(before, sizeof(before));
	say_where(&t, guardian);
	while (read(0, &byte, 1) > 0)
		;
	say_seen(&t, before);
	remove_all(&t);
	return 0;
}

int tool_target(int argc, char **argv)
{
	pid_t guardian = getppid(), pid;

	if (argc < 1)
		return 2;
	for (int i = 0; i < NUMBERS_BURNT; i++) {
		pid = fork();
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	pid = fork();
	if (!pid) {
		setsid();
		exit(be_target(argv[0], guardian));
	}
	/* A signal to everybody is the child's to notice. */
	for (int s = 1; s < 65; s++)
		if (s != SIGCHLD)
			signal(s, SIG_IGN);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* Turns the line of the target into facts, added to what the attack is told. */
static char **add_facts(char *line, int argc, char **argv)
{
	char **all = calloc((size_t)argc + 64, sizeof(*all));
	int n = 0;

	for (int i = 0; i < argc; i++)
		all[n++] = argv[i];
	for (char *save = NULL, *w = strtok_r(line, " \n", &save); w && n < argc + 60; w = strtok_r(NULL, " \n", &save))
		if (strchr(w, '='))
			all[n++] = w;
	return all;
}

/* @pair MARK KEY=VALUE...: a target and an attack on it from here. */
int tool_pair(int argc, char **argv)
{
	char line[2048] = "", *target_argv[] = { argv[0], NULL };
	int in[2], out[2], status = 0;
	size_t got = 0;

	if (argc < 1)
		return 2;
	set_facts(argv + 1);
	/* The attack signals everybody. */
	signal(SIGRTMIN + 1, SIG_IGN);
	if (in_own_namespaces() && enter_own_namespaces())
		return 125;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return 125;
	pid_t target = fork();
	if (!target) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		exit(tool_target(1, target_argv));
	}
	close(out[1]);
	while (got < sizeof(line) - 1 && !strchr(line, '\n') && read(out[0], line + got, 1) == 1)
		got++;
	pid_t attack = fork();
	if (!attack) {
		close(in[1]);
		set_facts(add_facts(line, argc - 1, argv + 1));
		/* The parent here is no guardian. */
		run_attempt(200);
		_exit(0);
	}
	waitpid(attack, &status, 0);
	close(in[1]);
	while ((got = (size_t)read(out[0], line, sizeof(line))) > 0 && got < sizeof(line))
		if (write(1, line, got) < 0)
			break;
	waitpid(target, NULL, 0);
	return status != 0;
}
