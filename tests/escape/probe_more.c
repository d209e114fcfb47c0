/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 50, 59 and 80: descriptors in flight, terminals, and what language runtimes ask of the kernel. */
#include "probe.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 250

/* Puts descriptors into sockets that nobody reads, until the kernel has enough. */
static void flood(void)
{
	union {
		char space[CMSG_SPACE(BATCH * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct rlimit files;
	int pair[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[BATCH], sent = 0;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (int i = 0; i < BATCH; i++)
		fds[i] = fd;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	while (sent < 40000) {
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
			break;
		for (int i = 0; i < 8; i++) {
			if (sendmsg(pair[0], &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
				if (errno == EAGAIN)
					break;
				report("in-flight", -1);
				result("count", sent <= 8192 ? "bounded" : "ok", "%d", sent);
				goto hold;
			}
			sent += BATCH;
		}
	}
	result("in-flight", "ok", "%d", sent);
	result("count", "ok", "%d", sent);
hold:
	if (fact("hold"))
		meet_host(need("work"));
}

/* Terminals from several processes, since one may have only so many descriptors. */
static void terminals(void)
{
	int go[2], counts[2], n, total = 0, last = 0;

	if (in_own_namespaces()) {
		TRY("prepare", mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666"));
		TRY("prepare", mount("/dev/pts/ptmx", "/dev/ptmx", NULL, MS_BIND, NULL));
	}
	if (pipe2(go, O_CLOEXEC) || pipe2(counts, O_CLOEXEC))
		return;
	for (int i = 0; i < 6; i++) {
		if (fork())
			continue;
		int report_to[2] = { 0, 0 };
		char byte;

		while (report_to[0] < 500 && open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) >= 0)
			report_to[0]++;
		report_to[1] = report_to[0] < 500 ? errno : 0;
		if (write(counts[1], report_to, sizeof(report_to)) < 0)
			_exit(1);
		close(go[1]);
		_exit(read(go[0], &byte, 1) < 0);
	}
	for (int i = 0; i < 6; i++) {
		int got[2];

		if (read(counts[0], got, sizeof(got)) != sizeof(got))
			break;
		total += got[0];
		if (got[1])
			last = got[1];
	}
	n = total > 1024;
	result("more-than-1024", n ? "ok" : errno_name(last), "%d", total);
	if (fact("hold"))
		meet_host(need("work"));
	close(go[1]);
	while (wait(NULL) > 0)
		;
}

static int own_vsyscall(void *unused)
{
	long (*time_at)(long *) = (long (*)(long *))0xffffffffff600400UL;

	(void)unused;
	return time_at(NULL) < 0;
}

/* A row each; the control says what this kernel and processor have. */
static void features(void)
{
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };
	char path[64];
	int fd, key, waits = 0;

	TRY("membarrier-query", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));
	TRY("membarrier-register", syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	TRY("membarrier", syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	/* libc has registered: again is EINVAL, EBUSY or EPERM of the call itself, never ENOSYS */
	errno = 0;
	syscall(SYS_rseq, NULL, 32, 0, 0);
	result("rseq", errno == ENOSYS ? "ENOSYS" : "ok", "%s", errno_name(errno));
	key = (int)syscall(SYS_pkey_alloc, 0, 0);
	result("pkey", key >= 0 || errno == ENOSPC || errno == EINVAL ? "ok" : errno_name(errno), "%d", key);
#ifdef __x86_64__
	int r = in_child(own_vsyscall, NULL);
	result("vsyscall", r == 0 ? "ok" : r > 1000 ? "SIGNAL" : "EXIT", "%d", r);
#else
	(void)own_vsyscall;
#endif
	TRY("sigaltstack", sigaltstack(&stack, NULL));
	TRY("eventfd", eventfd(0, EFD_CLOEXEC));
	TRY("futex-wake", syscall(SYS_futex, &waits, 1, 1, NULL, NULL, 0));
	TRY("get-random", syscall(SYS_getrandom, path, 8, 0));
	fd = memfd_create("code", MFD_CLOEXEC);
	report("memfd", fd);
	TRY("memfd-map-execute", mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TRY("write-then-execute", mprotect(p, 4096, PROT_READ | PROT_EXEC));
	TRY("huge-advice", madvise(p, 4096, MADV_HUGEPAGE) && errno != EINVAL ? -1 : 0);
	TRY("dont-need", madvise(p, 4096, MADV_DONTNEED));
}

const struct attempt more_attempts[] = {
	{ 50, "descriptor-flood", flood },
	{ 59, "terminals", terminals },
	{ 80, "runtime-features", features },
	{ 0 },
};
