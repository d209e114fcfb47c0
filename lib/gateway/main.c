/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-gateway: the only way out of one sandbox.
 *
 * Theory of operation. The process lives in the host's network namespace, but accepts on sockets that the launcher
 * made inside the sandbox's gateway namespace: getpeername() of a connection is the address of a call's veth, which
 * the call cannot change, getsockname() is where it wanted to go. The resolver (dns_server.c) answers every name with
 * an address of its own (names.c), so that the dialled address means a name again when the connection arrives.
 *
 * Order of the start: the supervisor's configuration (control.c), with policy, secrets (secrets.c), trust (trust.c,
 * ca.c) and resolver; then the process gives up files, programs and every other system call that it does not need;
 * only then it reads the first byte from inside. Nothing of it is dumpable.
 *
 * One thread, one epoll (loop.c). A connection (session.c) is looked at by its first bytes: TLS is answered with a
 * leaf of the sandbox's own authority, HTTP/1.1 and HTTP/2 (http2.h) are parsed and written anew request by request
 * (http.c, request.c, codec.c), what a tcp:// rule or passthrough allows is relayed unread (relay.c). Each of these is
 * a state machine over two streams (stream.c) that is simply run again whenever anything happened. Buffers are bounded;
 * what does not fit stays in the kernel, so a slow reader slows its writer and nothing else; and a fast one gets a turn
 * like all others (STREAM_TURN).
 *
 * Decisions: policy_decide() on the name that SNI, Host and the dialled address agree on. With an auditor, what policy
 * and grant allow is asked first (questions.c, request_question.c), and waits for the answer. A record of the decision
 * goes to the supervisor (records.c), and only when it is known to be written anything is sent upstream. Upstream
 * (upstream.c) the name is resolved once, the address checked, dialled and verified before the first byte of the
 * request. Secrets (secrets.c) are put in place of placeholders in the head that is written there, and nowhere else.
 *
 * When the supervisor is gone, so is this process: fd 3 ends, and the kernel's parent-death signal does the same.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/util.h"
#include "confine/landlock.h"
#include "confine/seccomp.h"
#include "gateway/control.h"
#include "gateway/gateway.h"
#include "gateway/http2_pending.h"
#include "gateway/session.h"
#include "gateway/upstream.h"

#define QUIET_US 1000000u
#define MANY_SESSIONS 64u /* below, what they leave is not worth looking for */

/* Nothing of this process is readable by others of the same user, neither live nor as a core. */
static int hide_memory(struct error *e)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_GATEWAY, "gateway", "Cannot close the gateway's memory to others");
	return 0;
}

static int confine(struct error *e)
{
	int abi = landlock_abi();

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECCOMP, "gateway", "Cannot give up new privileges");
	if (abi < 1)
		return fail(e, ENOSYS, SANDBOX_STAGE_LANDLOCK, "gateway",
			    "This kernel has no Landlock, which the gateway needs; see nsbox doctor.");
	/* An empty ruleset: no file at all. */
	_cleanup_close_ int ruleset = landlock_new(abi);
	int r = ruleset < 0 ? ruleset : landlock_enter(ruleset);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_LANDLOCK, "gateway", "Cannot confine the gateway");
	r = seccomp_load(SECCOMP_GATEWAY);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_SECCOMP, "gateway", "Cannot confine the gateway") : 0;
}

static int start(struct gateway *gw, struct error *e)
{
	int r = hide_memory(e);
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		r = fail_errno(e, errno, SANDBOX_STAGE_GATEWAY, "gateway", "Cannot bind the gateway to the supervisor");
	if (r == 0) {
		r = loop_init(&gw->loop);
		if (r < 0)
			fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, "gateway", "Cannot make the event loop");
	}
	if (r == 0)
		r = control_configure(gw, e);
	return r < 0 ? r : confine(e);
}

/* More descriptors than connections can need: two a session, the pools, listeners and the resolver's. */
static void raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < 16384 ? files.rlim_max : 16384;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static bool may_give_back(const struct gateway *gw)
{
	return gw->most_sessions >= MANY_SESSIONS && gw->given_back != gw->loop.busy;
}

/* The allocator keeps what many busy connections needed, in holes between what the idle ones still need. */
static void give_back(struct gateway *gw)
{
	if (!may_give_back(gw) || gw->loop.now - gw->loop.busy < QUIET_US)
		return;
	malloc_trim(0);
	gw->given_back = gw->loop.busy;
	gw->most_sessions = gw->n_sessions + gw->n_lanes;
}

static int run(struct gateway *gw)
{
	bool more = false;

	for (;;) {
		/* A deny that follows from a failed write may itself add records. */
		const struct records *records = &gw->records;
		int lag = records->wanted ? 0 : records->n ? (int)(RECORDS_LAG_US / 1000) : -1;
		if (lag < 0 && may_give_back(gw))
			lag = (int)(QUIET_US / 1000);
		int wait = more ? 0 : resolver_timeout(&gw->resolver, lag);
		int r = loop_round(&gw->loop, wait);
		if (r < 0)
			return r;
		resolver_tick(&gw->resolver);
		more = stream_round();
		more |= http2_round(gw);
		r = records_round(&gw->records, gw->loop.now);
		if (r == 0)
			r = control_watch(gw);
		if (r < 0)
			return r;
		session_free_dead(gw);
		upstream_free_dead(gw);
		dns_free_dead(gw);
		give_back(gw);
	}
}

int main(void)
{
	static struct gateway gw;
	struct error e = { 0 };

	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	records_init(&gw.records, CONTROL_FD);
	int r = start(&gw, &e);
	if (control_ready(&gw, r < 0 ? &e : NULL) < 0)
		return 1;
	if (r < 0) {
		control_drain();
		return 1;
	}
	if (control_start(&gw) < 0)
		return 1;
	/* Nothing is torn down at the end: the kernel does that, and faster. */
	return run(&gw) < 0;
}
