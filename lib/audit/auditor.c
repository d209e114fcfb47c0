/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to an auditor.
 *
 * Theory of operation. A question gets the next number and goes to the end of the queue; from there it is sent as soon
 * as the hello has come, the socket takes it, and fewer than AUDITOR_MAX_IN_FLIGHT are out. It is open until its done
 * was called, which happens once: by its answer, by its deadline, or by the end of the connection.
 *
 * What was sent keeps its place among those in flight until it is answered, also when its deadline has passed or nobody
 * waits any more: so an auditor is never sent more than it promised to hold, a slow one is not buried, and an answer
 * that comes late is known as such. An answer to anything else, a second one for instance, means that one side
 * has lost count. Then no answer can be trusted to be meant for what it is read as, so the connection is over, and with
 * it every open question.
 *
 * Callbacks run with the object in order: what they are about has left the lists before.
 */
#include "audit/auditor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "audit/auditor_private.h"
#include "base/json.h"
#include "base/util.h"
#include "base/wire.h"

void auditor_question_free(struct question *q)
{
	free(q->members);
	free(q);
}

void auditor_tell(struct auditor *a, const char *reason, const struct question *q, const char *detail, size_t unanswered)
{
	_cleanup_buf_ struct buf m = { 0 };

	if (!a->config.error)
		return;
	int r = json_member_string(&m, "detail", detail);
	if (r == 0 && q)
		r = json_member_string(&m, "op", auditor_op_name(q->op));
	if (r == 0 && q && q->id)
		r = json_member_int(&m, "id", (int64_t)q->id);
	if (r == 0 && unanswered)
		r = json_member_int(&m, "unanswered", (int64_t)unanswered);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	a->config.error(a->config.context, reason, members ? members : "");
}

/* The connection is over; auditor_settle() denies what is open. */
void auditor_break(struct auditor *a, const char *reason, const char *detail)
{
	size_t open = a->n_waiting;

	if (a->state == AUDITOR_BROKEN)
		return;
	for (size_t i = 0; i < a->n_sent; i++)
		open += !a->sent[i]->late && !a->sent[i]->cancelled;
	a->state = AUDITOR_BROKEN;
	a->failure = reason;
	a->blocked = a->hello_waits = false;
	/* A crash is a denial: what it allowed before counts no more. */
	auditor_cache_free(TAKE_PTR(a->cache));
	/* The descriptor stays, the caller watches it. The auditor learns that nobody listens. */
	shutdown(a->fd, SHUT_RDWR);
	auditor_tell(a, reason, NULL, detail, open);
}

static struct question *take_waiting(struct auditor *a)
{
	struct question *q = a->waiting;

	if (!q)
		return NULL;
	a->waiting = q->next;
	if (!a->waiting)
		a->waiting_tail = &a->waiting;
	q->next = NULL;
	if (--a->n_waiting <= AUDITOR_MAX_WAITING / 2)
		a->overload_told = false;
	return q;
}

void auditor_unqueue(struct auditor *a, struct question **at)
{
	struct question *q = *at;

	*at = q->next;
	if (!q->next)
		a->waiting_tail = at;
	q->next = NULL;
	if (--a->n_waiting <= AUDITOR_MAX_WAITING / 2)
		a->overload_told = false;
}

struct question *auditor_take_sent(struct auditor *a, size_t i)
{
	struct question *q = a->sent[i];

	a->sent[i] = a->sent[--a->n_sent];
	return q;
}

void auditor_call_done(struct question *q, uint64_t now, struct auditor_result *result)
{
	result->us = now > q->asked ? now - q->asked : 0;
	if (q->done)
		q->done(q->context, q->id, result);
}

void auditor_deny(struct question *q, const char *reason, uint64_t now)
{
	struct auditor_result result = { .decision = AUDITOR_DENY, .source = AUDITOR_ERROR, .reason = reason };

	auditor_call_done(q, now, &result);
}

void auditor_settle(struct auditor *a, uint64_t now)
{
	struct question *q;

	while (a->state == AUDITOR_BROKEN && (q = a->n_sent ? auditor_take_sent(a, a->n_sent - 1) : take_waiting(a))) {
		if (!q->late && !q->cancelled)
			auditor_deny(q, a->failure, now);
		auditor_question_free(q);
	}
}

static int send_packet(struct auditor *a)
{
	int r = msg_send(a->fd, a->out.data, a->out.len, NULL, 0);

	if (r < 0 && r != -EAGAIN)
		auditor_break(a, AUDITOR_GONE, r == -EMSGSIZE ? "the send buffer of the socket is too small for a packet" :
							    "cannot send: the auditor has closed the connection");
	return r;
}

static int send_hello(struct auditor *a)
{
	a->out.len = 0;
	int r = auditor_put_hello(&a->out, a->config.ops, a->config.deadline_us);
	if (r < 0)
		return r;
	r = send_packet(a);
	a->hello_waits = r == -EAGAIN;
	return 0;
}

/* Send what may be sent. */
void auditor_push(struct auditor *a, uint64_t now)
{
	a->blocked = false;
	if (a->hello_waits && send_hello(a) < 0)
		auditor_break(a, AUDITOR_FAILED, "out of memory");
	while (a->state == AUDITOR_READY && !a->hello_waits && a->waiting && a->n_sent < AUDITOR_MAX_IN_FLIGHT) {
		struct question *q = a->waiting;
		/* Too late to be of use: auditor_expire() is about to deny it. */
		if (q->deadline <= now)
			return;
		a->out.len = 0;
		if (auditor_put_question(&a->out, q->id, q->op, q->deadline - now, q->members) < 0) {
			auditor_break(a, AUDITOR_FAILED, "out of memory");
			return;
		}
		int r = send_packet(a);
		if (r < 0) {
			a->blocked = r == -EAGAIN;
			return;
		}
		take_waiting(a);
		free(TAKE_PTR(q->members));
		a->sent[a->n_sent++] = q;
	}
}

int auditor_new(int fd, const struct auditor_config *config, uint64_t now, struct auditor **ret)
{
	int type = 0, flags = fcntl(fd, F_GETFL);
	socklen_t len = sizeof(type);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	if (type != SOCK_SEQPACKET)
		return -EPROTOTYPE;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;

	struct auditor *a = calloc(1, sizeof(*a));
	/* Not within the object: of an idle auditor's it stays untouched memory. */
	if (!a || !(a->in = malloc(AUDITOR_MAX_PACKET))) {
		free(a);
		return -ENOMEM;
	}
	a->config = *config;
	if (!a->config.deadline_us)
		a->config.deadline_us = AUDITOR_DEADLINE_US;
	a->hello_deadline = now + AUDITOR_HELLO_US;
	a->waiting_tail = &a->waiting;
	a->fd = fd;
	if (send_hello(a) < 0) {
		a->fd = -EBADF; /* still the caller's */
		auditor_free(a);
		return -ENOMEM;
	}
	*ret = a;
	return 0;
}

void auditor_free(struct auditor *a)
{
	struct question *q;

	if (!a)
		return;
	while ((q = a->n_sent ? auditor_take_sent(a, a->n_sent - 1) : take_waiting(a)))
		auditor_question_free(q);
	auditor_cache_free(a->cache);
	buf_free(&a->out);
	fd_close(a->fd);
	free(a->last_reason);
	free(a->in);
	free(a);
}

int auditor_fd(const struct auditor *a)
{
	return a->fd;
}

enum auditor_state auditor_state(const struct auditor *a)
{
	return a->state;
}

unsigned auditor_ops(const struct auditor *a)
{
	return a->ops;
}

bool auditor_wants_write(const struct auditor *a)
{
	return a->blocked || a->hello_waits;
}

/* A result at once. */
static int at_once(struct auditor_result *ret, const char *error)
{
	*ret = (struct auditor_result){ .decision = AUDITOR_DENY, .source = AUDITOR_ERROR, .reason = error };
	return 1;
}

static bool from_cache(struct auditor *a, const struct question *q, uint64_t now, struct auditor_result *ret)
{
	enum auditor_decision decision = AUDITOR_DENY;
	const char *reason;

	if (!a->cache || !q->has_digest || !(reason = auditor_cache_get(a->cache, q->digest, now, &decision)))
		return false;
	/* A copy: a later question may take the place of this one in the cache. */
	free(a->last_reason);
	a->last_reason = strdup(reason);
	*ret = (struct auditor_result){ .decision = decision,
					.source = AUDITOR_CACHED,
					.reason = a->last_reason ? a->last_reason : "" };
	return true;
}

int auditor_ask(struct auditor *a, const struct auditor_question *question, uint64_t now, uint64_t *ret_ticket,
		struct auditor_result *ret_result)
{
	struct question found = { .op = question->op };

	*ret_ticket = 0;
	if (a->state == AUDITOR_BROKEN)
		return at_once(ret_result, AUDITOR_GONE);
	if (a->state == AUDITOR_READY && !(a->ops & AUDITOR_OP(question->op))) {
		*ret_result = (struct auditor_result){ .decision = AUDITOR_ALLOW, .source = AUDITOR_UNDECIDED, .reason = "" };
		return 1;
	}
	if (question->significant) {
		auditor_digest(question->op, question->significant, found.digest);
		found.has_digest = true;
		if (from_cache(a, &found, now, ret_result))
			return 1;
	}
	if (auditor_question_len(question->members) > AUDITOR_MAX_PACKET) {
		auditor_tell(a, AUDITOR_OVERSIZE, &found, "the question does not fit a packet", 0);
		return at_once(ret_result, AUDITOR_OVERSIZE);
	}
	if (a->n_waiting >= AUDITOR_MAX_WAITING) {
		if (!a->overload_told)
			auditor_tell(a, AUDITOR_OVERLOADED, &found, "too many questions wait for answers", a->n_waiting + a->n_sent);
		a->overload_told = true;
		return at_once(ret_result, AUDITOR_OVERLOADED);
	}
	struct question *q = malloc(sizeof(*q));
	if (!q || !(found.members = strdup(question->members))) {
		free(q);
		return at_once(ret_result, AUDITOR_FAILED);
	}
	*q = found;
	q->id = ++a->last_id;
	q->asked = now;
	q->deadline = now + (question->deadline_us ? question->deadline_us : a->config.deadline_us);
	q->done = question->done;
	q->context = question->context;
	*a->waiting_tail = q;
	a->waiting_tail = &q->next;
	a->n_waiting++;
	*ret_ticket = q->id;
	/* Should the connection break here, the next auditor_expire(), due at once, denies it. */
	if (!a->blocked)
		auditor_push(a, now);
	return 0;
}

void auditor_cancel(struct auditor *a, uint64_t ticket)
{
	for (struct question **at = &a->waiting; *at; at = &(*at)->next) {
		struct question *q = *at;
		if (q->id == ticket) {
			auditor_unqueue(a, at);
			auditor_question_free(q);
			return;
		}
	}
	for (size_t i = 0; i < a->n_sent; i++) {
		if (a->sent[i]->id == ticket)
			a->sent[i]->cancelled = true;
	}
}

void auditor_writable(struct auditor *a, uint64_t now)
{
	auditor_push(a, now);
	auditor_settle(a, now);
}

/* A question whose time is up, still in flight or taken from the queue; NULL: none. */
static struct question *take_due(struct auditor *a, uint64_t now, bool *ret_in_flight)
{
	*ret_in_flight = true;
	for (size_t i = 0; i < a->n_sent; i++) {
		struct question *q = a->sent[i];
		if (!q->late && !q->cancelled && q->deadline <= now) {
			q->late = true;
			return q;
		}
	}
	*ret_in_flight = false;
	for (struct question **at = &a->waiting; *at; at = &(*at)->next) {
		struct question *q = *at;
		if (q->deadline <= now) {
			auditor_unqueue(a, at);
			return q;
		}
	}
	return NULL;
}

void auditor_expire(struct auditor *a, uint64_t now)
{
	struct question *q;
	bool in_flight;

	if (a->state == AUDITOR_STARTING && a->hello_deadline <= now)
		auditor_break(a, AUDITOR_HELLO, "no hello of the auditor in its time");
	auditor_settle(a, now);
	while ((q = take_due(a, now, &in_flight))) {
		auditor_tell(a, AUDITOR_TIMEOUT, q, in_flight ? "no answer before the deadline" : "not sent before the deadline", 0);
		auditor_deny(q, AUDITOR_TIMEOUT, now);
		if (!in_flight)
			auditor_question_free(q);
	}
	/* auditor_push() stops in front of one whose time is up. */
	if (a->state == AUDITOR_READY && !a->blocked)
		auditor_push(a, now);
	auditor_settle(a, now);
}

uint64_t auditor_next_deadline(const struct auditor *a)
{
	uint64_t first = a->state == AUDITOR_STARTING ? a->hello_deadline : 0;

	/* Something is left to deny: at once. */
	if (a->state == AUDITOR_BROKEN)
		return a->n_sent || a->n_waiting ? 1 : 0;
	for (size_t i = 0; i < a->n_sent; i++) {
		const struct question *q = a->sent[i];
		if (!q->late && !q->cancelled && (!first || q->deadline < first))
			first = q->deadline;
	}
	for (const struct question *q = a->waiting; q; q = q->next) {
		if (!first || q->deadline < first)
			first = q->deadline;
	}
	return first;
}
