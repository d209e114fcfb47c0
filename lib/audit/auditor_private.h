/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the auditor's client share. Theory of operation: auditor.c. */
#ifndef NSBOX_AUDIT_AUDITOR_PRIVATE_H
#define NSBOX_AUDIT_AUDITOR_PRIVATE_H

#include <stddef.h>

#include "audit/auditor.h"
#include "base/buf.h"

/* auditor_request.c: packets to the auditor, 0 or -ENOMEM. */
int auditor_put_hello(struct buf *b, unsigned ops, uint64_t deadline_us);
int auditor_put_question(struct buf *b, uint64_t id, enum auditor_op op, uint64_t left_us, const char *members);
/* Of the largest packet with these members. */
size_t auditor_question_len(const char *members);

/* auditor_answer.c: packets from it. */
struct auditor_answer {
	uint64_t id; /* 0: none could be read */
	enum auditor_decision decision;
	char *reason, *grant; /* NULL: none */
	uint64_t cache_ms;
	const char *problem; /* of a packet that is out of form, a constant */
};
/* 0, or -EBADMSG with problem, then id tells which question it was meant for; -ENOMEM. Clear it after all of them. */
int auditor_answer_parse(const void *data, size_t len, struct auditor_answer *ret);
void auditor_answer_clear(struct auditor_answer *answer);
/* ret_ops: those of ours that the auditor decides. 0, -EBADMSG with ret_problem, -ENOMEM. */
int auditor_hello_parse(const void *data, size_t len, unsigned *ret_ops, const char **ret_problem);

/* auditor_cache.c: decisions by digest, for a time. */
struct auditor_cache;
struct auditor_cache *auditor_cache_new(void);
void auditor_cache_free(struct auditor_cache *cache);
/* NULL: not there. The reason, maybe "", and the decision. */
const char *auditor_cache_get(struct auditor_cache *cache, const uint8_t digest[AUDITOR_DIGEST], uint64_t now,
			      enum auditor_decision *ret);
void auditor_cache_put(struct auditor_cache *cache, const uint8_t digest[AUDITOR_DIGEST],
		       enum auditor_decision decision, const char *reason, uint64_t now, uint64_t until);

struct question {
	struct question *next; /* in the queue */
	uint64_t id, asked, deadline;
	enum auditor_op op;
	bool late;	/* its deadline has passed, it was denied */
	bool cancelled; /* nobody waits */
	bool has_digest;
	uint8_t digest[AUDITOR_DIGEST];
	char *members; /* until it is sent */
	void (*done)(void *context, uint64_t ticket, const struct auditor_result *result);
	void *context;
};

struct auditor {
	int fd;
	struct auditor_config config;
	enum auditor_state state;
	const char *failure; /* BROKEN: the reason of the questions that it ended */
	unsigned ops;	     /* what the auditor decides */
	uint64_t hello_deadline, last_id;
	struct question *sent[AUDITOR_MAX_IN_FLIGHT];
	size_t n_sent;
	struct question *waiting, **waiting_tail;
	size_t n_waiting;
	bool hello_waits, blocked; /* the socket did not take our hello, a question */
	bool overload_told;
	struct auditor_cache *cache; /* NULL until something is remembered */
	struct buf out;
	char *last_reason; /* of a result that was returned */
	uint8_t *in;	   /* one packet */
};

/* auditor.c */
void auditor_question_free(struct question *q);
/* q may be NULL, unanswered 0. */
void auditor_tell(struct auditor *a, const char *reason, const struct question *q, const char *detail, size_t unanswered);
/* The connection is over; auditor_settle() denies what is open. */
void auditor_break(struct auditor *a, const char *reason, const char *detail);
void auditor_settle(struct auditor *a, uint64_t now);
/* Send what may be sent. */
void auditor_push(struct auditor *a, uint64_t now);
/* Out of the queue, out of those in flight. */
void auditor_unqueue(struct auditor *a, struct question **at);
struct question *auditor_take_sent(struct auditor *a, size_t i);
/* Only for a question that is out of the lists, or marked late. */
void auditor_call_done(struct question *q, uint64_t now, struct auditor_result *result);
void auditor_deny(struct question *q, const char *reason, uint64_t now);

#endif
