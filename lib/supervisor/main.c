/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-supervisor: owns sandboxes on behalf of its clients.
 *
 * Theory of operation. The client library starts this program with an empty environment, descriptor 3 = SEQPACKET
 * connection to the client and 4 = directory of the helper programs. Before the first byte of the client is read, the
 * launcher is cloned into a user and pid namespace of its own, so it carries nothing of anybody. Then one loop:
 *
 *   client ──CREATE, START, SIGNAL, DESTROY──> supervisor ──> launcher (namespaces, mounts, processes)
 *                                                   ├──────> gateway, one process a sandbox (network, secrets)
 *                                                   └──────> guardian, one process a call
 *
 * A sandbox is ready when its launcher part and its gateway both are. Calls are prepared ahead (pool.c): the launcher
 * makes network namespace and guardian, the gateway makes placeholders. A call starts in two steps: the record
 * call.start is written, its guardian is told. It ends in three: the guardian has seen every process of it die, the
 * gateway has cut its connections, the record call.exit is written; only then the client hears of it. The supervisor
 * writes the audit log for all parts and answers the gateway when a record is on disk.
 *
 * Calls are clients too: over the control socket of their sandbox they ask for calls that may less (control_link.c,
 * child.c). What comes from there is closed by a thread of its own (closer.c), the only one beside the loop.
 *
 * The first client comes with descriptor 3. A named sandbox listens for more, and then its supervisor lives as long
 * as it. Otherwise the end of the one client is the end of all.
 *
 * It never sees a secret value: it passes descriptors on unread. At its end (also when the client was killed) it writes the last records, kills the launcher, which is pid 1 of the namespace that all sandboxes live in,
 * and leaves. When it is killed itself, launcher and gateways die with it by parent-death signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "confine/landlock.h"
#include "namespace/launcher.h"
#include "supervisor/supervisor.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define CLIENT_FD 3
#define HELPER_DIR_FD 4
#define GIVE_UP_MS 2000
#define LAUNCHER_DEAD_MS 1000

/* Tell the client why, in the place of the answer to its first request. */
static int give_up(const struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (wire_put_u32(&b, MSG_REPLY) == 0 && wire_put_u32(&b, 0) == 0 && wire_put_u8(&b, 1) == 0 &&
	    wire_put_error(&b, e) == 0)
		msg_send(CLIENT_FD, b.data, b.len, NULL, 0);
	/* Until it has read that and hung up: requests left unread at our end would turn it into a reset. */
	struct pollfd p = { .fd = CLIENT_FD, .events = POLLIN };
	char rest;
	while (poll(&p, 1, GIVE_UP_MS) > 0 && recv(CLIENT_FD, &rest, 1, 0) > 0)
		;
	return 1;
}

/* A sandbox has a few descriptors here and in the launcher; the soft limit is often 1024. */
static uint64_t raise_open_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 0;
	const rlim_t soft = files.rlim_cur;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? soft : files.rlim_max;
}

/* 0: this kernel has none. */
static int own_net_cookie(uint64_t *ret)
{
	socklen_t len = sizeof(*ret);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = 0;
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len) == 0)
		return 0;
	return fd >= 0 && errno == ENOPROTOOPT ? 0 : -errno;
}

/* What keeps others out of this process, and its own descriptors out of the programs that it starts. */
static int close_up(struct error *e)
{
	/* No cores, for all of our calls too. With 0 a crash still starts the host's handler, as its root and on bytes that the
	 * sandbox chose, where core_pattern is a pipe; with 1 it does not (core(5)). A hard limit of 0 stays. */
	struct rlimit cores = { 0 };
	bool failed = getrlimit(RLIMIT_CORE, &cores) < 0;

	cores.rlim_cur = cores.rlim_max = cores.rlim_max != 0;
	if (failed || fcntl(CLIENT_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(HELPER_DIR_FD, F_SETFD, FD_CLOEXEC) < 0 ||
	    setrlimit(RLIMIT_CORE, &cores) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_HELPER, "nsbox-supervisor", "the supervisor cannot close itself up");
	return 0;
}

static int start_rest(struct supervisor *s, int sock, int pidfd, struct error *e)
{
	int r = own_net_cookie(&s->net_cookie);

	if (r == 0 && (s->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		r = -errno;
	if (r == 0)
		r = launcher_link_start(s, sock, pidfd);
	if (r == 0)
		r = client_add(s, CLIENT_FD);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_HELPER, "nsbox-supervisor", "the supervisor cannot start") : 0;
}

/* And with it everything in the sandboxes. Where something still runs, what it leaves is looked at when it is dead. */
static void end_launcher(const struct supervisor *s)
{
	struct pollfd dead = { .fd = s->launcher_pidfd, .events = POLLIN };
	bool running = false;

	pidfd_send_signal(s->launcher_pidfd, SIGKILL, NULL, 0);
	for (const struct sandbox *b = s->sandboxes; b; b = b->next) {
		for (const struct call *c = b->calls; c; c = c->next)
			running |= b->watch && call_is_running(c);
	}
	if (running)
		poll(&dead, 1, LAUNCHER_DEAD_MS);
}

int main(void)
{
	struct supervisor s = { .helper_dir = HELPER_DIR_FD, .spare_sock = -EBADF, .spare_pidfd = -EBADF };
	struct error e = { 0 };
	int sock, pidfd;

	/* The client started us with every signal at its default. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is then an error of write(), which makes the log refuse */
	/* No terminal signal of the host's session may reach us; the client usually did this already. */
	setsid();
	if (chdir("/") < 0)
		return 1;
	if (close_up(&e) < 0)
		return give_up(&e);
	s.open_files = raise_open_files();

	int init_fd = openat(s.helper_dir, "nsbox-init", O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (init_fd < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_HELPER, "nsbox-init", "cannot open the helper nsbox-init");
		return give_up(&e);
	}
	if (launcher_start(init_fd, &sock, &pidfd, &e) < 0)
		return give_up(&e);
	fd_close(init_fd);
	/* After the launcher: it has to write its own id maps, which a non-dumpable process may not. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_HELPER, "nsbox-supervisor", "the supervisor cannot close itself up");
		return give_up(&e);
	}

	/* When the answer fails, every call is full, which needs no scopes. */
	s.scopes = landlock_abi() >= LANDLOCK_SCOPE_ABI;
	if (start_rest(&s, sock, pidfd, &e) < 0)
		return give_up(&e);
	int r = loop_run(&s);
	if (!s.launcher_dead)
		end_launcher(&s);
	sandbox_abandon_all(&s, "supervisor ends");
	return r < 0 ? 1 : 0;
}
