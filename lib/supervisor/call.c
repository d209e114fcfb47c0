/* SPDX-License-Identifier: Apache-2.0 */
/* Start of a call: prepared before (pool.c), record, command. Its end: call_end.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/addresses.h"
#include "base/json.h"
#include "base/util.h"
#include "overlay/scratch.h"
#include "overlay/writers.h"
#include "policy/grant.h"
#include "supervisor/decided.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

/* What of argv and cwd goes into the log; a record has to stay readable and bounded. */
#define RECORD_ARGS 64u
#define RECORD_ARG_BYTES 4096u

struct call *call_by_number(struct sandbox *b, uint32_t number)
{
	struct call *c = b->calls;
	while (c && c->number != number)
		c = c->next;
	return c;
}

struct call *call_by_address(struct sandbox *b, uint32_t address)
{
	struct call *c = address ? b->calls : NULL;
	while (c && c->address != address)
		c = c->next;
	return c;
}

struct call *call_by_id(struct supervisor *s, const char *id)
{
	for (struct sandbox *b = *id ? s->sandboxes : NULL; b; b = b->next) {
		for (struct call *c = b->calls; c; c = c->next) {
			if (strcmp(c->id, id) == 0)
				return c;
		}
	}
	return NULL;
}

bool call_is_running(const struct call *call)
{
	return call->state == CALL_STARTING || call->state == CALL_RUNNING || call->state == CALL_LEFT;
}

struct call *call_new(struct sandbox *b, bool full)
{
	/* Addresses are not used twice in the life of a sandbox, so a late packet can not meet a wrong call. */
	bool wired = b->gateway != GATEWAY_NONE;
	struct call *call = wired && b->next_address > CALL_ADDR_LAST ? NULL : calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->sandbox = b;
	call->full = full;
	call->number = ++b->supervisor->last_number;
	call->address = wired ? b->next_address++ : 0;
	call->guardian.fd = call->guardian_source.fd = call->scratch = -EBADF;
	for (size_t i = 0; i < ARRAY_LEN(call->captures); i++)
		call->captures[i] = (struct capture){ .source.fd = -EBADF, .call = call, .stream = (uint8_t)(i + 1) };
	/* At the end: the oldest is used first. */
	struct call **at = &b->calls;
	while (*at)
		at = &(*at)->next;
	*at = call;
	return call;
}

void call_answer(struct call *call, const struct error *failure, int terminal)
{
	struct start *start = call->start;

	if (!start->answered)
		client_reply(start->client, start->asked, failure, failure ? "" : call->id, &terminal, terminal >= 0);
	start->answered = true;
}

static void start_failed(struct call *call, const struct error *failure)
{
	call_answer(call, failure, -EBADF);
	/* What never ran has no end that a client, or START_REMOVES, could wait for. */
	start_free(TAKE_PTR(call->start));
	call_drop(call);
}

/* What it is: for the records of its start, or of that it was not let. */
static int put_command(const struct call *call, struct buf *m)
{
	char **argv = call->start->argv;
	char *shown[RECORD_ARGS + 1] = { 0 };
	size_t bytes = 0, n = 0;

	while (n < RECORD_ARGS && argv[n] && bytes + strlen(argv[n]) <= RECORD_ARG_BYTES) {
		bytes += strlen(argv[n]);
		shown[n] = argv[n];
		n++;
	}
	int r = json_member_strv(m, "argv", shown);
	if (r == 0 && argv[n])
		r = json_member_int(m, "argv_left_out", (int64_t)(strv_len(argv) - n));
	if (r == 0)
		r = json_member_bytes(m, "cwd", call->start->cwd, strnlen(call->start->cwd, RECORD_ARG_BYTES));
	if (r == 0 && call->shown && call->shown->read)
		r = question_program_members(call->shown, m);
	return r;
}

static int record_start(struct call *call)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = put_command(call, &m);
	if (r == 0)
		r = json_member_string(&m, "isolation", call->full ? "full" : "light");
	if (r == 0 && call->start->decided_by)
		r = json_member_string(&m, "decided_by", call->start->decided_by);
	if (r == 0 && call->start->grant)
		r = decided_members(call->start, &m);
	if (r == 0)
		r = child_member(call, &m);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	return members ? record_write(call->sandbox, "call.start", call->id, NULL, members) : -ENOMEM;
}

static void never_ran(struct call *call, const char *event, const struct error *failure, const char *reason)
{
	_cleanup_buf_ struct buf m = { 0 };
	const char *members = put_command(call, &m) == 0 ? buf_str(&m) : NULL;

	record_write(call->sandbox, event, call->id, reason, members ? members : "");
	start_failed(call, failure);
}

void call_denied(struct call *call, const struct error *failure, const char *reason)
{
	never_ran(call, "call.denied", failure, reason);
}

void call_not_shown(struct call *call, const struct error *failure)
{
	never_ran(call, "call.exit", failure, failure->message);
}

/* Of secrets that the call was not granted it gets no placeholder either. */
static void drop_ungranted(struct call *call)
{
	char **to = call->placeholders;

	for (char **from = call->placeholders; from && *from; from++) {
		_cleanup_free_ char *name = strndup(*from, strcspn(*from, "="));
		if (name && grant_has_secret(call->start->grant, name))
			*to++ = *from;
		else
			free(*from);
	}
	if (to)
		*to = NULL;
}

/* NAME=placeholder, which only this call has. */
static int add_placeholders(struct call *call)
{
	struct start *start = call->start;

	if (start->grant)
		drop_ungranted(call);
	size_t have = start->n_env = strv_len(start->env), more = strv_len(call->placeholders);
	char **all = more ? reallocarray(start->env, have + more + 1, sizeof(*all)) : start->env;

	if (!all)
		return -ENOMEM;
	if (more)
		memcpy(all + have, call->placeholders, (more + 1) * sizeof(*all));
	free(TAKE_PTR(call->placeholders));
	start->env = all;
	return 0;
}

static void execute(struct call *call)
{
	const struct start *start = call->start;
	struct error e = { 0 };

	int r = start->flags & START_SHOW ? guardian_send_go(call) : guardian_send_exec(call, &e);
	/* The message holds them. With START_EXPECT there may be another one (start_again()). */
	if (r == 0 && !(start->flags & START_EXPECT))
		start_close_stdio(call->start);
	if (r < 0 && start->flags & START_SHOW)
		fail_errno(&e, -r, SANDBOX_STAGE_PROTOCOL, call->id, "cannot reach the guardian of the call");
	if (r < 0)
		call_started(call, &e, -EBADF);
}

/* The record is on disk before the guardian is told: a call that ran is in the log. */
void call_go(struct call *call)
{
	struct error e = { 0 };

	if (record_start(call) < 0) {
		fail(&e, EIO, SANDBOX_STAGE_AUDIT, call->sandbox->id,
		     "cannot write the audit log; without it nothing runs");
		start_failed(call, &e);
		return;
	}
	call->state = CALL_STARTING;
	/* What it writes into a layer of its own is not in that of all. */
	call->noted = call->sandbox->layer >= 0 && !call->scratched;
	if (call->noted)
		writers_note(call->sandbox->layer, call->turn, true);
	int r = call_bind(call, &e);
	if (r < 0) {
		call_started(call, &e, -EBADF);
		return;
	}
	/* Behind others that the gateway does not take: nothing of it may run before. */
	call->held = call->address && call->sandbox->gateway_link.queued > 0;
	if (!call->held)
		execute(call);
}

void calls_release(struct sandbox *b)
{
	struct error gone, taken_back;

	fail(&gone, ECONNRESET, SANDBOX_STAGE_GATEWAY, b->id, "the gateway of this sandbox has ended");
	fail(&taken_back, ECANCELED, SANDBOX_STAGE_USAGE, b->id, "the call was taken back before it started");
	for (struct call *c = b->calls, *next; c; c = next) {
		next = c->next;
		if (!c->held)
			continue;
		c->held = false;
		if (b->gateway != GATEWAY_UP || c->killed)
			call_started(c, c->killed ? &taken_back : &gone, -EBADF);
		else
			execute(c);
	}
}

void call_take(struct call *call, struct start *start)
{
	struct error e = { 0 };
	struct timespec now;

	call->start = start;
	call->promised = NULL;
	start->own = NULL;
	child_taken(call);
	/* Who answered knows the call by its number. */
	call->turn = start->turn ? start->turn : ++call->sandbox->n_started;
	start->turn = 0;
	snprintf(call->id, sizeof(call->id), "%s.%u", call->sandbox->id, call->turn);
	clock_gettime(CLOCK_REALTIME, &now);
	call->started_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
	if (add_placeholders(call) < 0 || (start->flags & START_LOG && output_open(call) < 0)) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, call->id, "no memory or descriptors left");
		start_failed(call, &e);
		return;
	}
	if (!auditor_link_decides(call->sandbox, AUDITOR_CALL_START)) {
		call_go(call);
		return;
	}
	call->state = CALL_ASKING;
	start->flags |= START_EXPECT;
	if (program_expected(call))
		return;
	start->flags = (start->flags & ~(uint32_t)START_EXPECT) | START_SHOW;
	if (guardian_send_exec(call, &e) < 0)
		call_not_shown(call, &e);
}

static void set_deadline(struct call *call)
{
	uint64_t limit = policy_limits(call->sandbox->policy)->timeout_us, own = call->start->timeout_us;
	uint64_t timeout = own && (!limit || own < limit) ? own : limit;

	call->deadline = timeout ? now_us() + timeout : 0;
	call->ttl_at = call->start->ttl_us ? now_us() + call->start->ttl_us : 0;
	if (call->ttl_at && (!call->deadline || call->ttl_at < call->deadline))
		call->deadline = call->ttl_at;
	loop_deadline(call->sandbox->supervisor, call->deadline);
}

/* Its start in another prepared call, where its program is shown. */
static void take_another(struct call *call)
{
	struct sandbox *b = call->sandbox;
	struct start *start = call->start;

	call->start = NULL;
	/* What was of the call that is no more: placeholders, and the pipes to us. */
	for (size_t i = start->n_env; start->env[i]; i++)
		free(TAKE_PTR(start->env[i]));
	for (size_t i = 1; start->flags & START_LOG && i < ARRAY_LEN(start->stdio); i++)
		fd_close(TAKE_FD(start->stdio[i]));
	start->flags &= ~(uint32_t)(START_EXPECT | START_SHOW);
	start->shows = true;
	call_drop(call);
	call_ask(b, start);
}

void call_move(struct call *call)
{
	call->start->agreed = TAKE_PTR(call->shown);
	call->start->turn = call->turn;
	take_another(call);
}

/* The program is not the one that was decided about: that is decided about once more. */
static void start_again(struct call *call)
{
	program_changed(call);
	free(TAKE_PTR(call->start->decided_by));
	take_another(call);
}

/* Not for somebody who has taken it back meanwhile, and not where nothing is prepared any more. */
static bool starts_again(const struct call *call, const struct error *failure)
{
	return call->start->flags & START_EXPECT && failure->err == ESTALE && !call->killed && !call->pending_signal &&
	       call->sandbox->gateway != GATEWAY_DEAD;
}

void call_started(struct call *call, const struct error *failure, int terminal_fd)
{
	/* What fails because the sandbox is being taken apart is told as that: call_lost(). */
	if (failure && call->sandbox->state == SANDBOX_ENDING)
		return;
	if (failure) {
		record_write(call->sandbox, "call.exit", call->id, failure->message, "");
		if (starts_again(call, failure))
			start_again(call);
		else
			start_failed(call, failure);
		return;
	}
	call_answer(call, NULL, terminal_fd);
	call_runs(call);
}

void call_runs(struct call *call)
{
	start_close_stdio(call->start); /* the call has its own copies now */
	call->state = CALL_RUNNING;
	set_deadline(call);
	/* Its guardian has made it by now. */
	if (call->scratched && (call->scratch = scratch_take(call->sandbox->layer, call->number, call->turn)) < 0)
		call->killed = true; /* what it wrote could not be kept */
	if (call->killed)
		guardian_send_signal(call, SIGKILL);
	else if (call->pending_signal)
		guardian_send_signal(call, call->pending_signal);
}

bool call_starts_async(const struct call *call)
{
	return call->state == CALL_STARTING && call->start->flags & START_ASYNC;
}

/* Nobody waits any more for what may start it. */
static void give_up(struct call *call)
{
	struct error e;

	fail(&e, ECANCELED, SANDBOX_STAGE_USAGE, call->start->argv[0], "%s was cancelled before it started", call->start->argv[0]);
	call_not_shown(call, &e);
}

void call_signal(struct call *call, uint32_t signal)
{
	if (signal == SIGKILL && call_is_running(call))
		call->killed = true;
	if (call->state == CALL_RUNNING || call->state == CALL_LEFT)
		guardian_send_signal(call, signal);
	else if (call->state == CALL_ASKING && signal == SIGKILL)
		give_up(call);
	else if (call->state == CALL_STARTING)
		call->pending_signal = signal; /* the command is not there yet; the last one counts */
}

void call_expire(struct call *call)
{
	/* A grant that has run out is over at once, a command that has is asked to end first. */
	if (call->ttl_at && call->ttl_at <= now_us()) {
		record_write(call->sandbox, "limit.hit", call->id, "ttl", "");
		call->expired = true;
		call->deadline = 0;
		guardian_send_signal(call, SIGKILL);
	} else if (!call->timed_out) {
		record_write(call->sandbox, "limit.hit", call->id, "timeout", "");
		call->timed_out = true;
		call->deadline = now_us() + KILL_AFTER_US;
		if (call->ttl_at && call->ttl_at < call->deadline)
			call->deadline = call->ttl_at;
		loop_deadline(call->sandbox->supervisor, call->deadline);
		guardian_send_signal(call, SIGTERM);
	} else {
		call->deadline = 0;
		guardian_send_signal(call, SIGKILL);
	}
}
