/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's parts of the escape tests that need C: a caller with everything wrong (@caller), a closed world with its
 * own "internet" (@world), and small things to look at or to be attacked.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* One descriptor of the i-th kind, without close-on-exec, as a careless host program leaves them. */
static int leak(int i)
{
	static int listener = -1;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	sigset_t set;
	int pair[2], fd;

	switch (i % 20) {
	case 0: return open("/", O_RDONLY | O_DIRECTORY);
	case 1: return open("/", O_PATH);
	case 2: return memfd_create("leak", 0);
	case 3: return eventfd(0, 0);
	case 4: return epoll_create1(0);
	case 5: return (int)syscall(SYS_pidfd_open, getppid(), 0);
	case 6: return open("/proc/self/ns/net", O_RDONLY);
	case 7: return open("/proc/self/ns/user", O_RDONLY);
	case 8: return open("/proc/self/ns/mnt", O_RDONLY);
	case 9:
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(fd, (struct sockaddr *)&a, len) || listen(fd, 4))
			return fd;
		return listener = fd;
	case 10:
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (listener >= 0 && !getsockname(listener, (struct sockaddr *)&a, &len) &&
		    connect(fd, (struct sockaddr *)&a, len))
			return fd;
		return fd;
	case 11: return socket(AF_NETLINK, SOCK_RAW, 0);
	case 12:
		fd = socket(AF_PACKET, SOCK_RAW, 0);
		return fd >= 0 ? fd : open("/dev/zero", O_RDONLY);
	case 13: return socket(AF_UNIX, SOCK_DGRAM, 0);
	case 14: return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -1 : pair[0];
	case 15: return timerfd_create(CLOCK_MONOTONIC, 0);
	case 16: return inotify_init1(0);
	case 17: return sigemptyset(&set) ? -1 : signalfd(-1, &set, 0);
	case 18: return pipe(pair) ? -1 : pair[1];
	default: return open("/proc/self/mem", O_RDWR);
	}
}

static const char *const leak_names[20] = { [9] = "listening", [10] = "connected", [11] = "netlink", [12] = "packet",
					    [13] = "unix", [14] = "pair" };

/* @caller COMMAND...: becomes COMMAND with 200 leaked descriptors and every inherited attribute unusual. The numbers
 * of the leaked sockets are added to the command as fd_KIND=N. */
static int caller(int argc, char **argv)
{
	char **command = calloc((size_t)argc + 32, sizeof(*command)), *added;
	struct itimerval timer = { .it_value.tv_sec = 300 };
	sigset_t set;
	int extra = argc;

	for (int i = 0; i < argc; i++)
		command[i] = argv[i];
	for (int i = 0; i < 200; i++) {
		int fd = leak(i);

		if (fd < 0)
			dprintf(2, "probe: leak %d: %s\n", i % 20, errno_name(errno));
		else if (i < 20 && leak_names[i] && asprintf(&added, "fd_%s=%d", leak_names[i], fd) > 0)
			command[extra++] = added;
	}
	sigfillset(&set);
	sigdelset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	for (int s = 1; s < 64; s++)
		if (s != SIGALRM && s != SIGCHLD)
			signal(s, SIG_IGN);
	umask(0);
	setitimer(ITIMER_REAL, &timer, NULL);
	setpriority(PRIO_PROCESS, 0, 3);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 1 << 20, 1 << 20 });
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1 << 30, 1 << 30 });
	execv(command[0], command);
	dprintf(2, "probe: %s: %s\n", command[0], errno_name(errno));
	return 127;
}

static void add_address(int fd, int n, const char *text)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in *a = (struct sockaddr_in *)&ifr.ifr_addr;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo:%d", n);
	a->sin_family = AF_INET;
	inet_pton(AF_INET, text, &a->sin_addr);
	if (ioctl(fd, SIOCSIFADDR, &ifr))
		dprintf(2, "probe: address %s: %s\n", text, errno_name(errno));
	inet_pton(AF_INET, "255.255.255.255", &a->sin_addr);
	ioctl(fd, SIOCSIFNETMASK, &ifr);
}

/* Answers "canary" to everything and writes one line for each contact to log. */
static void serve_world(int log)
{
	static const int tcp[] = { 80, 443, 8080, 53 }, udp[] = { 53, 443, 8080, 5353, 5355 };
	struct pollfd p[16] = { 0 };
	int n = 0, n_tcp = 0, on = 1;
	char buf[2048];

	for (size_t i = 0; i < 9; i++) {
		bool stream = i < 4;
		struct sockaddr_in a = { .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)(stream ? tcp[i] : udp[i - 4])) };

		p[n].fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
		p[n].events = POLLIN;
		setsockopt(p[n].fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(p[n].fd, (struct sockaddr *)&a, sizeof(a)) || (stream && listen(p[n].fd, 64)))
			_exit(1);
		n++;
		n_tcp += stream;
	}
	for (;;) {
		poll(p, (nfds_t)n, -1);
		for (int i = 0; i < n; i++) {
			struct sockaddr_in from;
			socklen_t len = sizeof(from);

			if (!(p[i].revents & POLLIN))
				continue;
			if (i < n_tcp) {
				int c = accept(p[i].fd, NULL, NULL);

				dprintf(log, "tcp %d\n", tcp[i]);
				if (c >= 0 && write(c, "canary\n", 7) == 7)
					shutdown(c, SHUT_WR);
				close(c);
			} else {
				ssize_t got = recvfrom(p[i].fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

				dprintf(log, "udp %d %zd\n", udp[i - n_tcp], got);
				sendto(p[i].fd, "canary\n", 7, 0, (struct sockaddr *)&from, len);
			}
		}
	}
}

/* A shared mount at share=, and a second one below it when the command in the sandbox is ready. */
static void shared_mounts(const char *share, const char *work)
{
	if (mount("tmpfs", share, "tmpfs", 0, NULL) || mount(NULL, share, NULL, MS_SHARED, NULL) ||
	    mkdir(in(share, "late"), 0777) || chmod(share, 0777) || !in(share, "early") ||
	    close(open(in(share, "early"), O_CREAT | O_WRONLY, 0644))) {
		dprintf(2, "probe: shared mount: %s\n", errno_name(errno));
		_exit(125);
	}
	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < 4000 && access(in(work, "ready"), F_OK); i++)
		usleep(5000);
	if (!mount("tmpfs", in(share, "late"), "tmpfs", 0, NULL))
		close(open(in(share, "late/file"), O_CREAT | O_WRONLY, 0644));
	close(open(in(work, "go"), O_CREAT | O_WRONLY, 0644));
	_exit(0);
}

/* @world LOG SHARE WORK COMMAND...: COMMAND in a network namespace whose loopback has well-known addresses with
 * listeners, and in a mount namespace of its own. Anybody can make it: it is below a new user namespace. */
static int world(int argc, char **argv)
{
	static const char *const hosts[] = { "169.254.169.254", "10.1.2.3", "192.168.77.1", "192.0.2.1",
					     "198.51.100.7", "203.0.113.9", "172.16.5.5" };
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();
	pid_t server, child;
	int log, fd, status;

	if (argc < 4)
		return 2;
	if (unshare((uid ? CLONE_NEWUSER : 0) | CLONE_NEWNET | CLONE_NEWNS))
		return 125;
	if (uid) {
		try_write_file("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "%u %u 1", uid, uid);
		if (try_write_file("/proc/self/uid_map", map))
			return 125;
		snprintf(map, sizeof(map), "%u %u 1", gid, gid);
		if (try_write_file("/proc/self/gid_map", map))
			return 125;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || loopback_up())
		return 125;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		add_address(fd, (int)i, hosts[i]);
	close(fd);
	log = open(argv[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	shared_mounts(argv[1], argv[2]);
	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_world(log);
	}
	usleep(50000);
	child = fork();
	if (!child) {
		execv(argv[3], argv + 3);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* @ipc make KEY NAME | @ipc remove KEY NAME: System V and POSIX objects of the host; prints the segment's id. */
static int ipc(int argc, char **argv)
{
	key_t key = argc >= 3 ? (key_t)strtol(argv[1], NULL, 10) : 0;
	int shm, sem, msg;
	mqd_t q;

	if (argc < 3)
		return 2;
	shm = shmget(key, 4096, IPC_CREAT | 0600);
	sem = semget(key, 1, IPC_CREAT | 0600);
	msg = msgget(key, IPC_CREAT | 0600);
	if (!strcmp(argv[0], "remove")) {
		shmctl(shm, IPC_RMID, NULL);
		semctl(sem, 0, IPC_RMID);
		msgctl(msg, IPC_RMID, NULL);
		mq_unlink(argv[2]);
		return 0;
	}
	q = mq_open(argv[2], O_CREAT | O_RDWR, 0600, NULL);
	printf("%d\n", shm);
	return shm < 0 || sem < 0 || msg < 0 || q < 0;
}

/* @victim MARK: a process of the host with a secret in its environment and memory, and an open memfd: prints that. */
static int victim(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("%d\n", memfd_create("victim", MFD_CLOEXEC));
	fflush(stdout);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	while (pause())
		;
	return 0;
}

/* @euid: 1 when the effective user is not the real one. */
static int euid(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return geteuid() != getuid() || getegid() != getgid();
}

/* @meet DIR: for the driver to look at the processes of a running sandbox. */
static int meet(int argc, char **argv)
{
	if (argc < 1)
		return 2;
	meet_host(argv[0]);
	return 0;
}

const struct tool tools[] = {
	{ "caller", caller }, { "world", world }, { "ipc", ipc }, { "victim", victim },
	{ "euid", euid },	  { "meet", meet },	  { "target", tool_target }, { "pair", tool_pair },
	{ "wait", tool_wait },	  { "leave", tool_leave }, { "look", tool_look },
	{ "lend", tool_lend },	  { "borrow", tool_borrow }, { "sigsys", tool_sigsys }, { "garbage", tool_garbage },
	{ "stay", tool_stay },	  { NULL, NULL },
};
