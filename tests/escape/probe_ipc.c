/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 47-49, 51, 52, 54: ways to talk to processes of the host without packets. */
#include "probe.h"

#include <fcntl.h>
#include <mqueue.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int unix_connect(const char *path, bool abstract, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	memcpy(a.sun_path + abstract, path, n < sizeof(a.sun_path) - 1 ? n : sizeof(a.sun_path) - 2);
	if (connect(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + n))) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static void try_unix(const char *row, const char *path, bool abstract, int type)
{
	int fd;

	errno = 0;
	fd = unix_connect(path, abstract, type);
	report(row, fd);
	if (fd >= 0)
		close(fd);
}

static void abstract_socket(void)
{
	try_unix("stream", need("abstract"), true, SOCK_STREAM);
	try_unix("dgram", need("abstract_dgram"), true, SOCK_DGRAM);
}

static void path_sockets(void)
{
	static const char *const known[] = { "/run/dbus/system_bus_socket", "/run/docker.sock", "/var/run/docker.sock",
					     "/run/containerd/containerd.sock", "/tmp/.X11-unix/X0",
					     "/run/systemd/private", "/run/udev/control", "/run/snapd.socket" };

	try_unix("tmp", need("tmp_socket"), false, SOCK_STREAM);
	try_unix("home", in(need("home"), "agent.sock"), false, SOCK_STREAM);
	if (fact("run_socket"))
		try_unix("run", need("run_socket"), false, SOCK_STREAM);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		try_unix(known[i], known[i], false, SOCK_STREAM);
}

static void sysv(void)
{
	key_t key = (key_t)need_number("ipc_key");
	void *p;
	mqd_t q;
	char name[64];

	TRY("shm", shmget(key, 0, 0));
	TRY("sem", semget(key, 0, 0));
	TRY("msg", msgget(key, 0));
	errno = 0;
	p = shmat((int)need_number("shm_id"), NULL, SHM_RDONLY);
	report("shm-attach", p == (void *)-1 ? -1 : 0);
	TRY("shm-stat", shmctl((int)need_number("shm_id"), IPC_STAT, &(struct shmid_ds){ 0 }));
	snprintf(name, sizeof(name), "/%s", need("mark"));
	errno = 0;
	q = mq_open(name, O_RDONLY);
	report("mqueue", q);
	if (q >= 0)
		mq_close(q);
}

/* Asks the host's listener to believe that somebody else is speaking. */
static void spoof(void)
{
	struct ucred cred = { .pid = outside() ? getppid() : 1, .uid = getuid() ? 0 : 12345, .gid = getgid() };
	union {
		char space[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 'c';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2], fd = unix_connect(in(need("work"), "w.sock"), false, SOCK_STREAM);

	report("connect", fd);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(cred));
	if (in_own_namespaces()) /* only uid 0 is mapped there: pretend to be the process itself made by another gid */
		cred = (struct ucred){ .pid = 1, .uid = 0, .gid = 0 };
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		return;
	TRY("uid", sendmsg(fd >= 0 ? fd : pair[0], &msg, MSG_NOSIGNAL));
	cred = (struct ucred){ .pid = outside() ? getppid() : 1, .uid = getuid(), .gid = getgid() };
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
	TRY("pid", sendmsg(pair[0], &msg, MSG_NOSIGNAL));
}

static void keyring(void)
{
	char mark[64], buf[64];
	long key;

	snprintf(mark, sizeof(mark), "%s", need("mark"));
	errno = 0;
	key = syscall(SYS_request_key, "user", mark, NULL, 0);
	report("request", key);
	TRY("search-session", syscall(SYS_keyctl, 10L, -3L, "user", mark, 0L));
	TRY("search-user", syscall(SYS_keyctl, 10L, -4L, "user", mark, 0L));
	TRY("read", syscall(SYS_keyctl, 11L, outside() ? key : need_number("key_id"), buf, sizeof(buf)));
	TRY("link", syscall(SYS_keyctl, 8L, outside() ? key : need_number("key_id"), -2L));
	TRY("add", syscall(SYS_add_key, "user", "nsbox-escape-added", "x", 1L, -2L));
}

static void shared_memory(void)
{
	char path[128];
	int fd;

	TRY("host-shm", try_open(need("shm_file"), O_RDWR));
	/* a memfd of the host by its owner's number */
	snprintf(path, sizeof(path), "/proc/%s/fd/%s", need("victim"), need("memfd"));
	TRY("host-memfd", try_open(path, O_RDWR));
	TRY("robust-list", syscall(SYS_get_robust_list, target_pid(), &(void *){ NULL }, &(size_t){ 0 }));
	if (outside())
		return;
	fd = memfd_create("own", MFD_CLOEXEC);
	report("own-memfd", fd);
	snprintf(path, sizeof(path), "/dev/shm/%s-inside", need("mark"));
	TRY("own-shm", try_open(path, O_RDWR | O_CREAT));
}

const struct attempt ipc_attempts[] = {
	{ 47, "abstract-socket", abstract_socket },
	{ 48, "path-sockets", path_sockets },
	{ 49, "sysv-ipc", sysv },
	{ 51, "credentials-spoof", spoof },
	{ 52, "keyring", keyring },
	{ 54, "shared-memory", shared_memory },
	{ 0 },
};
