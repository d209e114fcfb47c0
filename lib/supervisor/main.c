/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-supervisor: owns sandboxes on behalf of one client.
 *
 * Theory of operation. The client library starts this program with an empty environment, descriptor 3 = SEQPACKET
 * connection to the client and 4 = directory of the helper programs. Before the first byte of the client is read, the
 * launcher is cloned into a user and pid namespace of its own, so it carries nothing of anybody. Then one loop:
 *
 *   client ──CREATE, START, SIGNAL, DESTROY──> supervisor ──> launcher (namespaces, mounts, processes)
 *                                                   └──────> gateway, one process a sandbox (network, secrets)
 *
 * A sandbox is ready when its launcher part and its gateway both are. A call starts in three steps: the gateway makes
 * its placeholders, the record call.start is written, the launcher starts it. It ends in three: the launcher has seen
 * every process of it die, the gateway has cut its connections, the record call.exit is written; only then the client
 * hears of it. The supervisor writes the audit log for all parts and answers the gateway when a record is on disk.
 *
 * It never sees a secret value: it passes descriptors on unread. When the client goes (end of file, also after
 * kill -9) it writes the last records, kills the launcher, which is pid 1 of the namespace that all sandboxes live in,
 * and leaves. When it is killed itself, launcher and gateways die with it by parent-death signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/util.h"
#include "namespace/launcher.h"
#include "supervisor/supervisor.h"

#define CLIENT_FD 3
#define HELPER_DIR_FD 4

/* Tell the client why, in the place of the answer to its first request. */
static int give_up(const struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (wire_put_u32(&b, MSG_REPLY) == 0 && wire_put_u32(&b, 0) == 0 && wire_put_u8(&b, 1) == 0 &&
	    wire_put_error(&b, e) == 0)
		msg_send(CLIENT_FD, b.data, b.len, NULL, 0);
	return 1;
}

int main(void)
{
	struct supervisor s = { .helper_dir = HELPER_DIR_FD, .next_address = CALL_ADDR_FIRST,
				.spare_sock = -EBADF, .spare_pidfd = -EBADF };
	struct error e = { 0 };
	int sock, pidfd;

	/* The client started us with every signal at its default. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is then an error of write(), which makes the log refuse */
	/* No terminal signal of the host's session may reach us; the client usually did this already. */
	setsid();
	if (chdir("/") < 0)
		return 1;
	fcntl(CLIENT_FD, F_SETFD, FD_CLOEXEC);
	fcntl(HELPER_DIR_FD, F_SETFD, FD_CLOEXEC);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });

	int init_fd = openat(s.helper_dir, "nsbox-init", O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (init_fd < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_HELPER, "nsbox-init", "cannot open the helper nsbox-init");
		return give_up(&e);
	}
	if (launcher_start(init_fd, &sock, &pidfd, &e) < 0)
		return give_up(&e);
	fd_close(init_fd);
	/* After the launcher: it has to write its own id maps, which a non-dumpable process may not. */
	prctl(PR_SET_DUMPABLE, 0);

	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s.epoll < 0 || launcher_link_start(&s, sock, pidfd) < 0 || client_link_start(&s, CLIENT_FD) < 0)
		return 1;
	int r = loop_run(&s);
	sandbox_abandon_all(&s, "supervisor ends");
	if (!s.launcher_dead)
		pidfd_send_signal(s.launcher_pidfd, SIGKILL, NULL, 0);
	return r < 0 ? 1 : 0;
}
