/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the auditor, before something is done. The supervisor holds the connection to it (or asks a person), so
 * a question goes there and its answer comes back with the ticket, after microseconds or minutes.
 *
 * Fail closed: whoever asks goes on only with question.allowed, which nothing but an answer sets. A ticket is used
 * once. An answer may cross the message that its question was given up, so that ticket stays known until the
 * supervisor has acknowledged a later message; any other answer to no question is a protocol error, which ends the
 * gateway.
 */
#ifndef NSBOX_GATEWAY_QUESTIONS_H
#define NSBOX_GATEWAY_QUESTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/auditor.h"
#include "base/buf.h"

#define QUESTIONS_MAX 1024u /* open, or given up and not acknowledged; more are denied */
/* Of members. With what others add (id, op, sandbox, call) the auditor's packet stays under AUDITOR_MAX_PACKET. */
#define QUESTION_BYTES_MAX 60000u
/* Of a list in it: what an auditor, or a person, can be expected to look at. */
#define QUESTION_NAMES_MAX 256u
#define QUESTIONS_REMEMBERED_MAX 256u /* answers that hold for a call's equal questions; more are asked again */
#define QUESTION_BUCKETS 256u
#define QUESTION_DIGEST_LEN 32u

struct call;
struct gateway;
struct pending;

/* Embedded in who asks. Zero-initialised is none. */
struct question {
	struct call *call;
	struct pending *pending; /* while it is open */
	uint8_t digest[QUESTION_DIGEST_LEN]; /* of op and members */
	bool answered, allowed;
	char *reason; /* the auditor's, "" or NULL without one */
	/* Not called for what was answered before; look at answered after asking. */
	void (*decided)(struct question *q);
};

/* An answer that holds for all equal questions of a call. */
struct remembered {
	uint8_t digest[QUESTION_DIGEST_LEN];
	bool allowed;
	char *reason;
};

struct questions {
	uint32_t ops; /* AUDITOR_OP() bits of what is asked about */
	uint64_t last_ticket;
	size_t n;
	struct pending *buckets[QUESTION_BUCKETS];
};

/* GATEWAY_AUDIT, again when there is more to ask about: 0 or -EPROTO. */
int questions_configure(struct questions *qs, uint32_t ops);
bool questions_wanted(const struct gateway *gw, enum auditor_op op);
/*
 * Ask; members as in struct auditor_question. 0: q->answered already, or q->decided will be called. Otherwise the
 * answer is no: -EBUSY (too many wait), -EMSGSIZE, -EIO (the log cannot be written), -ENOMEM, or the supervisor is
 * gone.
 */
int question_ask(struct gateway *gw, struct question *q, struct call *call, enum auditor_op op,
		 const struct buf *members);
/* Nobody waits for it any more, or its answer was used. A question that was never asked is accepted. */
void question_end(struct gateway *gw, struct question *q);
/* The reason word of a question that could not be asked. */
const char *question_failure(int error);
/* As a member of a record. */
void question_record(const char *reason, struct buf *members);
/* What a grant.raise asks for: {"KEY":["RULE"]}. */
int question_grant(struct buf *members, const char *key, const char *rule);
/* GATEWAY_DECIDED: 0 or -EPROTO. */
int questions_decided(struct gateway *gw, uint64_t ticket, bool allowed, bool equal, const char *reason);
/* The call ends. */
void questions_forget(struct call *call);

#endif
