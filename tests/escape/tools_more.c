/* SPDX-License-Identifier: Apache-2.0 */
/* Commands for the tests whose judge is on the host: special_more.py and sibling_end.py. */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* @look PATH KIND: 0 when PATH is what was granted, 1 when it is something else (see swap.c). It comes and goes. */
int tool_look(int argc, char **argv)
{
	char who[16];
	bool tmpfs;

	if (argc < 2)
		return 3;
	tmpfs = !strcmp(argv[1], "tmpfs");
	for (int i = 0; i < 5000; i++) {
		int dir = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0) {
			usleep(20);
			continue;
		}
		int fd = openat(dir, "who", O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, who, sizeof(who));
		bool right = n == 5 && !memcmp(who, "right", 5);
		/* Where it lands is the host's to see. */
		int made = openat(dir, "made", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (tmpfs)
			return fd < 0 && made >= 0 ? 0 : 1;
		if (!right)
			return 1;
		return (made >= 0) == !strcmp(argv[1], "write") ? 0 : 1;
	}
	return 0; /* it was never there: nothing of outside was either */
}

static int unix_at(const char *path, bool listens)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (listens)
		return bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4) ? -1 : fd;
	for (int i = 0; i < 500; i++) {
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
			return fd;
		usleep(10000);
	}
	return -1;
}

#define LENT 3

static int pass(int sock, int *fds, bool sends)
{
	union {
		char space[CMSG_SPACE(LENT * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!sends) {
		if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !(c = CMSG_FIRSTHDR(&msg)))
			return -1;
		memcpy(fds, CMSG_DATA(c), LENT * sizeof(int));
		return 0;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(LENT * sizeof(int));
	memcpy(CMSG_DATA(c), fds, LENT * sizeof(int));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* @lend PATH: makes sockets in the network of this call, passes them to who listens at PATH, and waits. */
int tool_lend(int argc, char **argv)
{
	int fds[LENT], sock = argc < 1 ? -1 : unix_at(argv[0], false);
	char byte;

	for (int i = 0; i < LENT; i++)
		fds[i] = socket(AF_INET, i == 2 ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (sock < 0 || pass(sock, fds, true))
		return 1;
	printf("LENT\n");
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}

static void ask(const char *row, int fd, int port, const char *text, size_t len)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct timeval tv = { .tv_sec = 2 };
	char answer[600];

	inet_pton(AF_INET, port == 53 ? "100.64.0.1" : "192.0.2.1", &a.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	errno = 0;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) || send(fd, text, len, MSG_NOSIGNAL) < 0)
		report(row, -1);
	else if (recv(fd, answer, sizeof(answer), 0) > 0)
		result(row, "ok", "answered");
	else
		result(row, errno ? errno_name(errno) : "closed", "-");
}

/* @borrow PATH PORT: uses what was lent, once now and again after a line on standard input. */
int tool_borrow(int argc, char **argv)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: canary.invalid\r\n\r\n";
	static const char query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\6canary\7invalid\0\0\1\0\1";
	int fds[LENT], listener, sock, port = argc < 2 ? 0 : atoi(argv[1]);
	char byte;

	listener = port ? unix_at(argv[0], true) : -1;
	printf("READY\n");
	fflush(stdout);
	sock = listener < 0 ? -1 : accept(listener, NULL, NULL);
	if (sock < 0 || pass(sock, fds, false))
		return 1;
	ask("alive", fds[0], port, get, sizeof(get) - 1);
	printf("TRIED\n");
	fflush(stdout);
	if (read(0, &byte, 1) < 1)
		return 1;
	ask("kept-connection", fds[0], port, get, sizeof(get) - 1);
	ask("new-connection", fds[1], port, get, sizeof(get) - 1);
	ask("question", fds[2], 53, query, sizeof(query) - 1);
	return 0;
}

/* @sigsys: a filter of its own ends it. */
int tool_sigsys(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	(void)argc;
	(void)argv;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 1;
	syscall(SYS_getppid);
	return 2;
}

/* Sends what is in buf to everything that the call can reach: the gateway on this port and on 53, by both protocols. */
static void throw(const char *buf, size_t len, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };

	inet_pton(AF_INET, "100.64.0.1", &a.sin_addr);
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, i == 2 ? SOCK_DGRAM : SOCK_STREAM, 0);

		a.sin_port = htons((uint16_t)(i == 0 ? port : 53));
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)) && send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			errno = 0;
		shutdown(fd, SHUT_WR);
		close(fd);
	}
}

/* @garbage PORT: malformed, oversize and slow messages; then whether the gateway still answers. */
int tool_garbage(int argc, char **argv)
{
	static char buf[60000];
	int port = argc < 1 ? 443 : atoi(argv[0]), slow[64];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	unsigned seed = 1;

	inet_pton(AF_INET, "100.64.0.1", &a.sin_addr);
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
		slow[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(slow[i], (struct sockaddr *)&a, sizeof(a)) || send(slow[i], "G", 1, MSG_NOSIGNAL) < 0)
			continue;
	}
	for (int round = 0; round < 200; round++) {
		size_t len = round % 10 ? (size_t)(rand_r(&seed) % 600) : sizeof(buf);

		for (size_t i = 0; i < len; i++)
			buf[i] = (char)rand_r(&seed);
		if (round % 3 == 0)
			memcpy(buf, "\x16\x03\x01\xff\xff", 5); /* a TLS record longer than it can be */
		if (round % 7 == 0)
			memset(buf, 'A', sizeof(buf)); /* no end of a line */
		throw(buf, len, port);
	}
	sleep(1); /* the resolver's queue may be full of it */
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	ask("resolver", fd, 53, "\x12\x34\1\0\0\1\0\0\0\0\0\0\6canary\7invalid\0\0\1\0\1", 32);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ask("gateway", fd, port, "GET / HTTP/1.1\r\nHost: canary.invalid\r\n\r\n", 41);
	return 0;
}

/* @stay: for the host to do something meanwhile; ends with standard input. */
int tool_stay(int argc, char **argv)
{
	char byte;

	(void)argc;
	(void)argv;
	printf("STAYING\n");
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}
