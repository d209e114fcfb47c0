/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The auditor of a sandbox: reached when the sandbox starts, asked by question.c, gone with the sandbox. The sandbox is
 * not ready before the auditor has said what it decides, so a slip in its command is an error of the start and not a
 * denial of everything later. When it ends afterwards, everything that it would be asked about is denied from then on.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/auditor_process.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

#define ASKED (AUDITOR_OP(AUDITOR_CALL_START) | AUDITOR_OP(AUDITOR_HTTP_REQUEST) | AUDITOR_OP(AUDITOR_NET_CONNECT) | \
	       AUDITOR_OP(AUDITOR_GRANT_RAISE))

static void on_error(void *context, const char *reason, const char *members)
{
	struct sandbox *b = context;

	record_write(b, "auditor.error", NULL, reason, members);
	if (!b->auditor_failure)
		b->auditor_failure = strdup(reason);
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

int auditor_link_start(struct sandbox *b, struct error *e)
{
	const struct policy_auditor *p = policy_auditor(b->policy);
	const struct auditor_config config = { .deadline_us = p->deadline_us, .ops = ASKED, .error = on_error, .context = b };
	int sock = -EBADF;

	if (!p->spec)
		return 0;
	int r = auditor_reach(p->spec, policy_home(b->policy), &sock, &b->auditor_pidfd, e);
	if (r < 0)
		return r;
	r = auditor_new(sock, &config, now_us(), &b->auditor);
	if (r < 0)
		fd_close(sock);
	else
		r = loop_add(b->supervisor, &b->auditor_source, sock, auditor_ready);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, p->spec, "cannot talk to the auditor");
	loop_want(b->supervisor, &b->auditor_source, auditor_wants_write(b->auditor));
	loop_deadline(b->supervisor, auditor_next_deadline(b->auditor));
	return 0;
}

bool auditor_link_pending(const struct sandbox *b)
{
	return b->auditor && auditor_state(b->auditor) == AUDITOR_STARTING;
}

bool auditor_link_decides(const struct sandbox *b, enum auditor_op op)
{
	/* One that has ended decides as before: with no. */
	return b->auditor && auditor_ops(b->auditor) & AUDITOR_OP(op);
}

bool auditor_link_expire(struct sandbox *b, uint64_t now)
{
	uint64_t at = b->auditor ? auditor_next_deadline(b->auditor) : 0;

	if (!at || at > now)
		return false;
	auditor_expire(b->auditor, now);
	auditor_settled(b);
	return true;
}

void auditor_link_stop(struct sandbox *b)
{
	loop_remove(b->supervisor, &b->auditor_source);
	auditor_free(TAKE_PTR(b->auditor));
	auditor_kill(TAKE_FD(b->auditor_pidfd));
	free(TAKE_PTR(b->auditor_failure));
}
