/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a call: placeholders, record, start; then processes dead, connections cut, record, answer. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/addresses.h"
#include "base/json.h"
#include "base/util.h"
#include "supervisor/supervisor.h"

/* What of argv goes into the log; a record has to stay readable and bounded. */
#define RECORD_ARGS 64u
#define RECORD_ARG_BYTES 4096u

struct call *call_by_number(struct supervisor *s, uint32_t number)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		for (struct call *c = b->calls; c; c = c->next) {
			if (c->number == number)
				return c;
		}
	}
	return NULL;
}

struct call *call_by_id(struct supervisor *s, const char *id)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		for (struct call *c = b->calls; c; c = c->next) {
			if (strcmp(c->id, id) == 0)
				return c;
		}
	}
	return NULL;
}

void call_free(struct call *call)
{
	struct call **at = call->sandbox ? &call->sandbox->calls : NULL;

	for (; at && *at; at = &(*at)->next) {
		if (*at == call) {
			*at = call->next;
			call->sandbox->n_calls--;
			break;
		}
	}
	for (size_t i = 0; i < 3; i++)
		fd_close(call->stdio[i]);
	strv_free(call->argv);
	strv_free(call->env);
	free(call->cwd);
	free(call->id);
	free(call);
}

static void start_failed(struct call *call, const struct error *failure)
{
	client_reply(call->sandbox->supervisor, call->request, failure, NULL, 0);
	if (call->sandbox->gateway == GATEWAY_UP)
		gateway_send_call_end(call);
	call_free(call);
}

static int record_start(struct call *call)
{
	_cleanup_buf_ struct buf m = { 0 };
	char *shown[RECORD_ARGS + 1] = { 0 };
	size_t bytes = 0, n = 0;

	while (n < RECORD_ARGS && call->argv[n] && bytes + strlen(call->argv[n]) <= RECORD_ARG_BYTES) {
		bytes += strlen(call->argv[n]);
		shown[n] = call->argv[n];
		n++;
	}
	int r = json_member_strv(&m, "argv", shown);
	if (r == 0 && call->argv[n])
		r = json_member_int(&m, "argv_left_out", (int64_t)(strv_len(call->argv) - n));
	if (r == 0)
		r = json_member_string(&m, "cwd", call->cwd);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	return members ? record_write(call->sandbox, "call.start", call->id, NULL, members) : -ENOMEM;
}

/* The record is on disk before the launcher is asked: a call that ran is in the log. */
static void launch(struct call *call)
{
	struct error e = { 0 };

	if (record_start(call) < 0) {
		fail(&e, EIO, SANDBOX_STAGE_AUDIT, call->sandbox->id,
		     "cannot write the audit log; without it nothing runs");
		start_failed(call, &e);
		return;
	}
	call->state = CALL_WAITS_LAUNCHER;
	if (launcher_send_call(call, &e) < 0)
		call_started(call, &e, -EBADF);
}

void call_start(struct call *call)
{
	struct sandbox *b = call->sandbox;
	struct supervisor *s = b->supervisor;
	struct error e = { 0 };

	call->number = ++s->last_number;
	call->next = b->calls;
	b->calls = call;
	b->n_calls++;
	if (b->gateway == GATEWAY_NONE) {
		launch(call);
		return;
	}

	/* Addresses are not used twice in the life of a supervisor, so a late packet can not meet a wrong call. */
	if (s->next_address > CALL_ADDR_LAST) {
		fail(&e, ENOSPC, SANDBOX_STAGE_NETWORK, b->id, "all 4 million call addresses are used; use a new runtime");
		start_failed(call, &e);
		return;
	}
	call->address = s->next_address++;
	call->state = CALL_WAITS_GATEWAY;
	if (b->gateway != GATEWAY_UP)
		fail(&e, ECONNRESET, SANDBOX_STAGE_GATEWAY, b->id, "the gateway of this sandbox has ended");
	else if (gateway_send_call(call, &e) == 0)
		return;
	start_failed(call, &e);
}

void call_gateway_ready(struct call *call, char **env)
{
	size_t have = strv_len(call->env), more = strv_len(env);
	struct error e;

	char **all = reallocarray(call->env, have + more + 1, sizeof(*all));
	if (!all) {
		strv_free(env);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, call->id, "out of memory");
		start_failed(call, &e);
		return;
	}
	memcpy(all + have, env, (more + 1) * sizeof(*all));
	free(env);
	call->env = all;
	launch(call);
}

void call_started(struct call *call, const struct error *failure, int terminal_fd)
{
	if (failure) {
		if (call->state == CALL_WAITS_LAUNCHER)
			record_write(call->sandbox, "call.exit", call->id, failure->message, "");
		start_failed(call, failure);
		return;
	}
	/* The call has its own copies now; ours would keep a pipe's other end from seeing its end. */
	for (size_t i = 0; i < 3; i++)
		fd_close(TAKE_FD(call->stdio[i]));
	call->state = CALL_RUNNING;
	uint64_t timeout = policy_limits(call->sandbox->policy)->timeout_us;
	call->deadline = timeout ? now_us() + timeout : 0;
	client_reply(call->sandbox->supervisor, call->request, NULL, &terminal_fd, terminal_fd >= 0 ? 1 : 0);
	call->request = 0;
}

void call_expire(struct call *call)
{
	if (!call->timed_out) {
		record_write(call->sandbox, "limit.hit", call->id, "timeout", "");
		call->timed_out = true;
		call->deadline = now_us() + KILL_AFTER_US;
		launcher_send_signal(call, SIGTERM);
	} else {
		call->deadline = 0;
		launcher_send_signal(call, SIGKILL);
	}
}

void call_exited(struct call *call, uint32_t status, uint32_t signal)
{
	call->exit_status = status;
	call->exit_signal = signal;
	call->deadline = 0;
	call->state = CALL_WAITS_CUT;
	if (call->sandbox->gateway != GATEWAY_UP || gateway_send_call_end(call) < 0)
		call_cut(call);
}

void call_cut(struct call *call)
{
	_cleanup_buf_ struct buf m = { 0 };
	const char *reason = call->timed_out	 ? "timeout" :
			     call->killed	 ? "killed" :
			     call->exit_signal ? "signal" :
						 "exit";

	int r = json_member_int(&m, "exit", call->exit_status);
	if (r == 0)
		r = json_member_int(&m, "signal", call->exit_signal);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	record_write(call->sandbox, "call.exit", call->id, reason, members ? members : "");
	client_call_exit(call->sandbox->supervisor, call, reason);
	call_free(call);
}
