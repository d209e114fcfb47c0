/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from the auditor: its hello, then answers. */
#include <errno.h>

#include "audit/auditor_private.h"
#include "base/wire.h"

/* Packets read before the loop gets its turn again. */
#define PACKETS_A_ROUND 128u

static void remember(struct auditor *a, const struct question *q, const struct auditor_answer *answer, uint64_t now)
{
	uint64_t ms = answer->cache_ms < AUDITOR_MAX_CACHE_MS ? answer->cache_ms : AUDITOR_MAX_CACHE_MS;
	uint64_t for_us = answer->decision == AUDITOR_ALLOW ? ms * 1000 :
			  answer->decision == AUDITOR_DENY  ? AUDITOR_DENY_CACHE_US :
							      0;

	if (!q->has_digest || !for_us)
		return;
	if (!a->cache)
		a->cache = auditor_cache_new();
	if (a->cache)
		auditor_cache_put(a->cache, q->digest, answer->decision, answer->reason, now, now + for_us);
}

/* Only a grant can be narrowed. */
static bool fits(const struct question *q, enum auditor_decision decision)
{
	return decision != AUDITOR_NARROW || q->op == AUDITOR_CALL_START || q->op == AUDITOR_GRANT_RAISE;
}

/* q has left the lists. */
static void answered(struct auditor *a, struct question *q, const struct auditor_answer *answer, uint64_t now)
{
	const char *problem = answer->problem;

	if (!problem && !fits(q, answer->decision))
		problem = "narrow where there is no grant";
	if (q->late) {
		auditor_tell(a, AUDITOR_LATE, q, "the answer came behind its deadline and was not used", 0);
	} else if (problem) {
		auditor_tell(a, AUDITOR_GARBAGE, q, problem, 0);
		if (!q->cancelled)
			auditor_deny(q, AUDITOR_GARBAGE, now);
	} else if (!q->cancelled) {
		struct auditor_result result = {
			.decision = answer->decision,
			.source = AUDITOR_ANSWER,
			.reason = answer->reason ? answer->reason : "",
			.grant = answer->grant,
		};
		remember(a, q, answer, now);
		auditor_call_done(q, now, &result);
	}
}

static void take_answer(struct auditor *a, size_t len, uint64_t now)
{
	struct auditor_answer answer;
	size_t i = 0;

	int r = auditor_answer_parse(a->in, len, &answer);
	while (i < a->n_sent && a->sent[i]->id != answer.id)
		i++;
	if (r == -ENOMEM) {
		auditor_break(a, AUDITOR_FAILED, "out of memory");
	} else if (!answer.id) {
		auditor_break(a, AUDITOR_GARBAGE, answer.problem);
	} else if (i == a->n_sent) {
		auditor_break(a, AUDITOR_GARBAGE, "an answer to a question that is not open");
	} else {
		struct question *q = auditor_take_sent(a, i);
		auditor_push(a, now);
		answered(a, q, &answer, now);
		auditor_question_free(q);
	}
	auditor_answer_clear(&answer);
}

/* What waited for the hello and is of no interest to the auditor. */
static void pass_undecided(struct auditor *a, uint64_t now)
{
	for (;;) {
		struct question **at = &a->waiting;
		while (*at && (a->ops & AUDITOR_OP((*at)->op)))
			at = &(*at)->next;
		struct question *q = *at;
		if (!q)
			return;
		auditor_unqueue(a, at);
		struct auditor_result result = { .decision = AUDITOR_ALLOW, .source = AUDITOR_UNDECIDED, .reason = "" };
		auditor_call_done(q, now, &result);
		auditor_question_free(q);
	}
}

static void take_hello(struct auditor *a, size_t len, uint64_t now)
{
	const char *problem = NULL;
	unsigned ops;

	int r = auditor_hello_parse(a->in, len, &ops, &problem);
	if (r == -ENOMEM) {
		auditor_break(a, AUDITOR_FAILED, "out of memory");
	} else if (r < 0) {
		auditor_break(a, AUDITOR_HELLO, problem);
	} else if (!(ops & a->config.ops)) {
		/* An auditor that decides nothing would be no control, and look like one. */
		auditor_break(a, AUDITOR_HELLO, "its hello lists nothing that it could be asked");
	} else if (a->config.required & ~ops) {
		auditor_break(a, AUDITOR_HELLO, "its hello lacks an op that it has to decide");
	} else {
		a->ops = ops;
		a->state = AUDITOR_READY;
		/* Nothing is sent in between, when a callback asks more. */
		a->blocked = true;
		pass_undecided(a, now);
		auditor_push(a, now);
	}
}

void auditor_readable(struct auditor *a, uint64_t now)
{
	/* First, so that an answer which lay in the socket for too long is as late as one that was not there. */
	auditor_expire(a, now);
	for (unsigned i = 0; i < PACKETS_A_ROUND && a->state != AUDITOR_BROKEN; i++) {
		ssize_t n = msg_recv(a->fd, a->in, AUDITOR_MAX_PACKET, NULL, 0, NULL);
		if (n == -EAGAIN)
			break;
		if (n == -EMSGSIZE)
			auditor_break(a, AUDITOR_OVERSIZE, "a packet of the auditor is too large");
		else if (n == -EPROTO)
			auditor_break(a, AUDITOR_GARBAGE, "a packet of the auditor carries descriptors");
		else if (n <= 0)
			auditor_break(a, AUDITOR_GONE, "the auditor has closed the connection");
		else if (a->state == AUDITOR_STARTING)
			take_hello(a, (size_t)n, now);
		else
			take_answer(a, (size_t)n, now);
		/* More would answer nothing: seen when the loop comes again, and not a call of the kernel for each answer. */
		if (a->state == AUDITOR_READY && !a->n_sent)
			break;
	}
	auditor_settle(a, now);
}
