/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor of a sandbox: reached when the sandbox starts, asked by question.c, gone with the sandbox. The sandbox is
 * not ready before the auditor has said what it decides, so a slip in its command is an error of the start and not a
 * denial of everything later. When it ends afterwards, everything that it would be asked about is denied until it is
 * there again: connected to, or its program started, anew, after a second at first and a minute at most. What it decided
 * before it has to decide then as well; a hello that leaves something out is none, and one that names more is asked more.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/auditor_process.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

#define ASKED (AUDITOR_OP(AUDITOR_CALL_START) | AUDITOR_OP(AUDITOR_HTTP_REQUEST) | AUDITOR_OP(AUDITOR_NET_CONNECT) | \
	       AUDITOR_OP(AUDITOR_GRANT_RAISE) | AUDITOR_OP(AUDITOR_FS_COMMIT))

#define AGAIN_FIRST_US 1000000u
#define AGAIN_MOST_US 60000000u

static void on_error(void *context, const char *reason, const char *members)
{
	struct sandbox *b = context;

	record_write(b, "auditor.error", NULL, reason, members);
	if (!b->auditor_failure)
		b->auditor_failure = strdup(reason);
}

/* Once nothing is open any more with the one that has ended. */
static void try_again_later(struct sandbox *b)
{
	if (b->state != SANDBOX_READY || b->auditor_again)
		return;
	b->auditor_again = now_us() + b->auditor_pause;
	loop_deadline(b->supervisor, b->auditor_again);
	b->auditor_pause = b->auditor_pause > AGAIN_MOST_US / 2 ? AGAIN_MOST_US : 2 * b->auditor_pause;
}

/* The gateway hears of the first ones when the sandbox is ready, and of more that one has which came back. */
static void take_ops(struct sandbox *b)
{
	unsigned ops = auditor_ops(b->auditor);

	if (ops == b->auditor_ops)
		return;
	b->auditor_ops = ops;
	if (b->state == SANDBOX_READY && b->gateway == GATEWAY_UP)
		gateway_send_audit(b); /* a failure shows as the gateway's end */
}

/* After every call into it. */
void auditor_settled(struct sandbox *b)
{
	struct supervisor *s = b->supervisor;
	enum auditor_state state = auditor_state(b->auditor);

	if (state == AUDITOR_BROKEN)
		loop_remove(s, &b->auditor_source);
	else
		loop_want(s, &b->auditor_source, auditor_wants_write(b->auditor));
	loop_deadline(s, auditor_next_deadline(b->auditor));
	if (state == AUDITOR_READY) {
		b->auditor_pause = AGAIN_FIRST_US;
		take_ops(b);
	}
	if (b->review) {
		review_progress(b);
		return;
	}
	if (b->auditor_told && state == AUDITOR_BROKEN)
		try_again_later(b);
	if (b->auditor_told || state == AUDITOR_STARTING)
		return;
	b->auditor_told = true;
	if (state == AUDITOR_READY) {
		sandbox_progress(b);
		return;
	}
	if (b->state == SANDBOX_STARTING) {
		struct error e;
		const char *spec = policy_auditor(b->policy)->spec;
		fail(&e, ECONNREFUSED, SANDBOX_STAGE_AUDITOR, spec,
		     "the auditor %s did not say hello as nsbox-auditor(7) has it (%s); without it nothing runs", spec,
		     b->auditor_failure ? b->auditor_failure : AUDITOR_GONE);
		sandbox_start_failed(b, &e);
	}
}

static void auditor_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	struct sandbox *b = SOURCE_OWNER(source, struct sandbox, auditor_source);

	(void)s;
	if (events & EPOLLOUT)
		auditor_writable(b->auditor, now_us());
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		auditor_readable(b->auditor, now_us());
	auditor_settled(b);
}

/* A new connection; one that has ended is in its place until then, and denies. */
static int reach(struct sandbox *b, struct error *e)
{
	const struct policy_auditor *p = policy_auditor(b->policy);
	const struct auditor_config config = { .deadline_us = p->deadline_us, .ops = ASKED, .required = b->auditor_ops,
					       .error = on_error, .context = b };
	struct auditor *auditor = NULL;
	int sock = -EBADF;

	int r = auditor_reach(p->spec, policy_home(b->policy), &sock, &b->auditor_pidfd, e);
	if (r < 0)
		return r;
	r = auditor_new(sock, &config, now_us(), &auditor);
	if (r < 0)
		fd_close(sock);
	else
		r = loop_add(b->supervisor, &b->auditor_source, sock, auditor_ready);
	if (r < 0) {
		auditor_free(auditor);
		return fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, p->spec, "cannot talk to the auditor");
	}
	auditor_free(b->auditor);
	b->auditor = auditor;
	loop_want(b->supervisor, &b->auditor_source, auditor_wants_write(b->auditor));
	loop_deadline(b->supervisor, auditor_next_deadline(b->auditor));
	return 0;
}

int auditor_link_start(struct sandbox *b, struct error *e)
{
	b->auditor_pause = AGAIN_FIRST_US;
	return policy_auditor(b->policy)->spec ? reach(b, e) : 0;
}

bool auditor_link_pending(const struct sandbox *b)
{
	return b->auditor && auditor_state(b->auditor) == AUDITOR_STARTING;
}

bool auditor_link_decides(const struct sandbox *b, enum auditor_op op)
{
	/* One that has ended decides as before: with no. */
	return b->auditor && b->auditor_ops & AUDITOR_OP(op);
}

uint64_t auditor_link_deadline(const struct sandbox *b)
{
	uint64_t at = b->auditor ? auditor_next_deadline(b->auditor) : 0;

	return at ? at : b->auditor_again;
}

bool auditor_link_expire(struct sandbox *b, uint64_t now)
{
	uint64_t at = auditor_link_deadline(b);
	struct error e;

	if (!at || at > now)
		return false;
	if (auditor_next_deadline(b->auditor)) {
		auditor_expire(b->auditor, now);
		auditor_settled(b);
		return true;
	}
	b->auditor_again = 0;
	if (b->state != SANDBOX_READY)
		return true; /* it has begun to end meanwhile: nothing is started for it any more */
	auditor_kill(TAKE_FD(b->auditor_pidfd));
	if (reach(b, &e) < 0)
		try_again_later(b);
	return true;
}

void auditor_link_stop(struct sandbox *b)
{
	loop_remove(b->supervisor, &b->auditor_source);
	b->auditor_again = 0;
	auditor_free(TAKE_PTR(b->auditor));
	auditor_kill(TAKE_FD(b->auditor_pidfd));
	free(TAKE_PTR(b->auditor_failure));
}
