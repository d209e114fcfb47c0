/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a call: processes dead, connections cut, record, news to its client; then what was made for it is dropped. */
#include <errno.h>
#include <signal.h>

#include "base/json.h"
#include "base/util.h"
#include "overlay/scratch.h"
#include "overlay/writers.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

/* Nobody decides about it any more. */
static void stop_asking(struct call *call)
{
	if (call->question)
		auditor_cancel(call->sandbox->auditor, call->question);
	call->question = 0;
	if (call->parked)
		approval_drop_call(call);
}

/* Nothing that is written from now on is of this call. */
static void stop_noting(struct call *call)
{
	if (call->noted)
		writers_note(call->sandbox->layer, call->turn, false);
	call->noted = false;
}

/* The lock last: until then nobody else works on it. */
static void scratch_give_back(struct call *call)
{
	int layer = call->sandbox->layer;

	if (call->scratched && call->scratch >= 0)
		scratch_end(layer, call->turn);
	else if (call->scratched)
		scratch_drop(layer, call->number);
	call->scratched = false;
	fd_close(TAKE_FD(call->scratch));
}

void call_free(struct call *call)
{
	for (struct call **at = &call->sandbox->calls; *at; at = &(*at)->next) {
		if (*at == call) {
			*at = call->next;
			break;
		}
	}
	stop_asking(call);
	stop_noting(call);
	scratch_give_back(call);
	child_gone(call);
	guardian_close(call);
	output_close(call);
	call_revoked(call);
	if (call->promised)
		call->promised->own = NULL;
	start_free(call->start);
	shown_free(call->shown);
	strv_free(call->placeholders);
	free(call);
}

void call_drop(struct call *call)
{
	stop_asking(call);
	children_end(call);
	call->id[0] = '\0';
	call->held = false;
	guardian_close(call); /* which makes a guardian leave */
	call->state = CALL_CUTTING;
	call->cut_asked = true;
	if (!call->address || call->sandbox->gateway != GATEWAY_UP || gateway_send_call_end(call) < 0)
		call_free(call);
}

void call_forget(struct call *call)
{
	if (call->address && !call->cut_asked && call->sandbox->gateway == GATEWAY_UP)
		gateway_send_call_end(call); /* a failure shows as the gateway's end */
	call_free(call);
}

/* The record, then the news of it. */
static void tell_exit(struct call *call, bool left)
{
	_cleanup_buf_ struct buf m = { 0 };
	const char *reason = call->revoked	 ? "revoked" :
			     call->expired	 ? "expired" :
			     call->timed_out	 ? "timeout" :
			     call->killed	 ? call->sandbox->collapsed ? "lost" : "killed" :
			     call->exit_signal ? "signal" :
						 "exit";

	int r = json_member_int(&m, "exit", call->exit_status);
	if (r == 0)
		r = json_member_int(&m, "signal", call->exit_signal);
	if (r == 0 && left)
		r = json_member_string(&m, "background", "goes on");
	const char *members = r == 0 ? buf_str(&m) : NULL;
	int written = record_write(call->sandbox, "call.exit", call->id, reason, members ? members : "");
	client_call_exit(call, written < 0 ? "unrecorded" : reason);
}

void call_exited(struct call *call, uint32_t status, uint32_t signal, bool left)
{
	call->exit_status = status;
	call->exit_signal = signal;
	call->deadline = 0;
	if (left) {
		call->state = CALL_LEFT;
		call->deadline = call->ttl_at;
		loop_deadline(call->sandbox->supervisor, call->deadline);
		protected_check_end(call);
		tell_exit(call, true);
	} else {
		call_done(call);
	}
}

void call_done(struct call *call)
{
	bool was_left = call->state == CALL_LEFT;

	output_close(call);
	children_end(call);
	call->state = CALL_CUTTING;
	if (was_left) {
		record_write(call->sandbox, "call.exit", call->id, call->revoked ? "revoked" : "background-ended", "");
		call->id[0] = '\0'; /* nobody waits for more */
	}
	bool up = call->address && call->sandbox->gateway == GATEWAY_UP;
	if (up && call->sent) {
		call->cut_asked = gateway_send_call_end(call) == 0;
	} else if (up && !call->revoked) {
		/* There is no connection to wait for, and a socket that it gave away comes too late, but for one that connects in
		 * this very moment: call_forget() says it again. */
		gateway_send_quiet_end(call);
	}
	if (!call->cut_asked)
		call_cut(call);
}

/* The client hears of it now, and the rest has time (pool.c). */
static void over(struct call *call)
{
	tell_exit(call, false);
	call_revoked(call);
	child_gone(call);
	call->parent_number = 0; /* who asked for it need not wait for more */
	call->id[0] = '\0';
	call->state = CALL_OVER;
}

void call_cut(struct call *call)
{
	struct sandbox *b = call->sandbox;
	bool removes = call->start && call->start->flags & START_REMOVES;
	bool drops = removes && call->start->flags & START_DROPS;

	if (children_left(call)) {
		call->awaits_children = true; /* children_reap() comes back here */
		return;
	}
	protected_check_end(call);
	stop_noting(call);
	/* Before it is told: who hears of the end may go on with what the call wrote. */
	scratch_give_back(call);
	if (call->id[0])
		over(call);
	else
		call_forget(call);
	b->drops_layer |= drops;
	if (removes && b->state == SANDBOX_READY)
		sandbox_end(b, NULL, 0);
	else
		pool_ended(b);
}

void call_lost(struct call *call)
{
	struct error e;

	if (call->state == CALL_STARTING || call->state == CALL_ASKING) {
		fail(&e, ECANCELED, SANDBOX_STAGE_EXEC, call->id, "the sandbox ended while the call was started");
		record_write(call->sandbox, call->state == CALL_ASKING ? "call.denied" : "call.exit", call->id, e.message, "");
		call_answer(call, &e, -EBADF);
	} else if (call->state == CALL_RUNNING) {
		call->exit_status = 0;
		call->exit_signal = SIGKILL;
		call->killed = true;
		output_close(call);
		tell_exit(call, false);
	} else if (call->state == CALL_CUTTING && call->id[0]) {
		tell_exit(call, false);
	}
	call_free(call);
}
