/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-init: pid 1 of a sandbox.
 *
 * Theory of operation. The launcher clones it into new namespaces and executes it by descriptor, so it holds nothing
 * of anybody's memory or environment; the capabilities it needs over its own namespaces come along as ambient ones. It
 * mounts what every sandbox has, receives one root plan on descriptor 3 and mounts the rest (root.c and its neighbours),
 * all by descriptor, while nothing untrusted runs. It answers with the Landlock ruleset of the session, gives up every
 * capability, limits itself to a handful of system calls, and from then on only reaps.
 * Calls are not its children: each has a guardian, which the launcher makes and which enters these namespaces. When the launcher dies, so does
 * init (its pid namespace is below the launcher's); when the socket closes, it leaves, and the kernel ends the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "confine/caps.h"
#include "confine/seccomp.h"
#include "namespace/init_protocol.h"
#include "namespace/pid_ceiling.h"
#include "namespace/root.h"
#include "policy/policy.h"

static uint8_t packet[WIRE_MAX_PACKET];

/* All that is the same for every plan: done while the plan is still on its way. */
static int prepare(struct root *root, int *ret_control, struct error *e)
{
	root->inside = root_open_inside();
	if (sethostname("nsbox", 5) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_NAMESPACE, "hostname", "cannot set the host name");
	int r = root_make(root, e);
	if (r == 0)
		r = root_add_system(root, e);
	if (r == 0)
		r = root_add_dev(root, e);
	if (r == 0)
		r = root_add_proc(root, e);
	if (r == 0)
		r = root_add_private(root, e);
	if (r == 0)
		r = root_add_control(root, ret_control, e);
	return r < 0 ? r : root_prepare_etc(root, e);
}

static int build(struct root *root, const struct plan *plan, int *ret_ruleset, int *ret_trust, int *ret_store,
		 int *ret_working, struct error *e)
{
	int r = root_add_etc(root, plan->net, ret_trust, e);
	if (r == 0)
		r = root_apply(root, plan, e);
	if (r == 0 && root->layer >= 0)
		r = root_store(root, plan, ret_store, ret_working, e);
	if (r == 0)
		r = root_enter(root, e);
	return r < 0 ? r : root_ruleset(plan, ret_ruleset, e);
}

static int receive_plan(struct plan *ret, uint32_t *ret_pids, int *ret_layer, struct error *e)
{
	size_t n_fds = 0;

	ssize_t n = msg_recv(INIT_SOCKET, packet, sizeof(packet), ret_layer, 1, &n_fds);
	if (n <= 0) /* the launcher had no use for this one */
		_exit(0);
	struct wire_reader r = wire_reader(packet, (size_t)n);
	size_t len = 0;
	uint32_t type = wire_get_u32(&r);
	*ret_pids = wire_get_u32(&r);
	const void *data = wire_get_bytes(&r, &len);
	if (type != INIT_ROOT || !data || !wire_done(&r) || plan_decode(data, len, ret) < 0)
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, "root plan", "the root plan is broken");
	return 0;
}

static int answer(const struct error *failure, const int *fds, size_t n_fds)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, INIT_READY);
	if (r == 0)
		r = wire_put_u8(&b, failure != NULL);
	if (r == 0 && failure)
		r = wire_put_error(&b, failure);
	return r < 0 ? r : msg_send(INIT_SOCKET, b.data, b.len, fds, n_fds);
}

static int confine(void)
{
	int r = caps_drop_all();
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0))
		r = -errno;
	return r < 0 ? r : seccomp_load(SECCOMP_INIT);
}

/* Reap orphans of the guardians themselves; leave when the launcher closes the socket, and the kernel ends the rest. */
static int serve(int signals)
{
	struct pollfd p[2] = { { .fd = INIT_SOCKET, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents && read(signals, &info, sizeof(info)) > 0)
			while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
				;
		if (p[0].revents)
			return 0;
	}
}

int main(void)
{
	struct root root = { .fd = -EBADF, .store = -EBADF, .empty_file = -EBADF, .empty_dir = -EBADF,
			     .pid_max = -EBADF, .layer = -EBADF, .inside = -ENOENT };
	struct plan plan = { 0 };
	struct error e = { 0 };
	_cleanup_close_ int control = -EBADF;
	int trust[INIT_TRUST] = { -EBADF, -EBADF };
	int ruleset = -EBADF, store = -EBADF, working = -EBADF;
	uint32_t pids = 0;
	sigset_t all;

	prctl(PR_SET_NAME, "nsbox-init");
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	umask(0);
	int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0) {
		fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, "signalfd", "nsbox-init cannot watch its children");
		answer(&e, NULL, 0);
		return 1;
	}
	int r = caps_use(CAP_DAC_OVERRIDE, false);
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_CAPABILITIES, "nsbox-init", "cannot set the capabilities of nsbox-init");
	else
		r = prepare(&root, &control, &e);
	int received = receive_plan(&plan, &pids, &root.layer, r < 0 ? NULL : &e);
	if (r == 0)
		r = received;
	if (r == 0)
		r = pid_ceiling_set(root.pid_max, pids, &e);
	fd_close(root.pid_max);
	if (r == 0)
		r = build(&root, &plan, &ruleset, trust, &store, &working, &e);
	fd_close(root.layer);
	if (r < 0) {
		answer(&e, NULL, 0);
		return 1;
	}
	/* Answered before the last step, so that a call can start meanwhile. It cannot reach us: it is in a Landlock
	 * domain and init is not. If the step fails, we end and the sandbox with us. */
	int fds[INIT_MAX_FDS] = { ruleset, control, trust[INIT_BUNDLE], trust[INIT_KEY_STORE], store, working };
	size_t n_fds = plan.net == NET_HOST ? 1 : plan.net == NET_NONE ? 2 : 2 + INIT_TRUST;
	if (store >= 0) {
		fds[n_fds++] = store;
		fds[n_fds++] = working;
	}
	if (answer(NULL, fds, n_fds) < 0 || confine() < 0)
		return 1;
	fd_close(ruleset);
	fd_close(trust[INIT_BUNDLE]);
	fd_close(trust[INIT_KEY_STORE]);
	fd_close(store);
	fd_close(working);
	fd_close(TAKE_FD(control));
	return serve(signals);
}
