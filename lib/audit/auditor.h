/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the auditor: a separate process that decides before something happens (DESIGN 11, nsbox-auditor(7)). This is
 * the client side of its protocol for one connection. It knows no sandboxes, starts no process and has no thread: an
 * event loop drives it and tells it the time. Everything fails closed: whatever the auditor does or does not do, the
 * only way to AUDITOR_ALLOW is its own answer, in form and in time, or that it said at the start that it does not
 * decide questions of this kind.
 *
 *	auditor_new(fd, &config, now, &a);		watch auditor_fd() for input
 *	r = auditor_ask(a, &question, now, &ticket, &result);
 *	  r = 1: result is there; 0: question.done will be called later, from one of the three below
 *	auditor_readable(a, now)   input, or the end of the connection
 *	auditor_writable(a, now)   output; watch for it while auditor_wants_write()
 *	auditor_expire(a, now)     when now has reached auditor_next_deadline()
 *
 * now is now_us() or any clock of microseconds that does not go back. After each call look again at
 * auditor_wants_write(), auditor_next_deadline() and auditor_state(). done may ask and cancel, but not free.
 */
#ifndef NSBOX_AUDIT_AUDITOR_H
#define NSBOX_AUDIT_AUDITOR_H

#include <stdbool.h>
#include <stdint.h>

#define AUDITOR_VERSION 1
#define AUDITOR_MAX_PACKET 65536u /* bytes, both ways */
#define AUDITOR_MAX_IN_FLIGHT 64u /* sent and not answered, also those that ran out of time */
#define AUDITOR_MAX_WAITING 256u  /* more than these behind them: auditor-overloaded */
#define AUDITOR_HELLO_US 5000000u
#define AUDITOR_DEADLINE_US 250000u	 /* the default of a question */
#define AUDITOR_MAX_REASON 1024u	 /* bytes of an auditor's reason that are kept */
#define AUDITOR_CACHE_ENTRIES 1024u
#define AUDITOR_MAX_CACHE_MS 3600000u	 /* a longer cache_ms counts as this */
#define AUDITOR_DENY_CACHE_US 1000000u	 /* its denials are remembered, so that a loop in a call cannot hammer it */

/* Why there is no answer; stable words for records and events. */
#define AUDITOR_TIMEOUT "auditor-timeout"	/* not within the deadline */
#define AUDITOR_LATE "auditor-late"		/* event only: an answer behind its deadline, not used */
#define AUDITOR_GONE "auditor-gone"		/* the connection ended, now or before */
#define AUDITOR_GARBAGE "auditor-garbage"	/* out of form, or no answer to a question that is open */
#define AUDITOR_OVERSIZE "auditor-oversize"	/* a packet, in either direction, over AUDITOR_MAX_PACKET */
#define AUDITOR_OVERLOADED "auditor-overloaded" /* too many questions wait */
#define AUDITOR_HELLO "auditor-hello"		/* no hello in time, or not one of ours */
#define AUDITOR_FAILED "auditor-failed"		/* out of memory on our side */

enum auditor_op {
	AUDITOR_CALL_START,
	AUDITOR_HTTP_REQUEST,
	AUDITOR_NET_CONNECT,
	AUDITOR_GRANT_RAISE,
	AUDITOR_FS_COMMIT,
	_AUDITOR_OP_MAX
};
#define AUDITOR_OP(op) (1u << (op)) /* for sets of them */
const char *auditor_op_name(enum auditor_op op);

/* What two questions have in common when they have one answer. */
#define AUDITOR_DIGEST 32 /* bytes, SHA-256 */
void auditor_digest(enum auditor_op op, const char *significant, uint8_t ret[AUDITOR_DIGEST]);

enum auditor_decision {
	AUDITOR_DENY = 0,
	AUDITOR_ALLOW,
	AUDITOR_ASK,	/* a person has to decide; the auditor is done with it */
	AUDITOR_NARROW, /* allow with this grant, whose intersection with the one asked for the caller computes */
};

enum auditor_source {
	AUDITOR_ERROR = 0, /* no usable answer: always AUDITOR_DENY */
	AUDITOR_ANSWER,
	AUDITOR_CACHED,	   /* an answer to the same question before */
	AUDITOR_UNDECIDED, /* the auditor's hello does not list this op: always AUDITOR_ALLOW, policy alone decides */
};

/* Its strings live until the next call of a function of this auditor. */
struct auditor_result {
	enum auditor_decision decision;
	enum auditor_source source;
	const char *reason; /* the auditor's text, may be "" (UTF-8, may hold control bytes: escape it); for
			     * AUDITOR_ERROR one of the words above */
	const char *grant;  /* AUDITOR_NARROW: a JSON object of [a-z_]+ keys with strings or arrays of strings, all
			     * without control bytes; NULL else. Whether the keys exist is the caller's to check. */
	uint64_t us;	    /* from asking to the result */
};

struct auditor_question {
	enum auditor_op op;
	/* More members of the packet, written with json_member_*(), without braces and leading comma, not `id`, `op`
	 * or `deadline_ms`; copied. Names and digests only, never a secret value. */
	const char *members;
	/* What of it decides, for the cache: equal op and text get the same answer as long as the auditor allowed.
	 * NULL: never answered from the cache. Has to hold all that an answer may depend on. */
	const char *significant;
	uint64_t deadline_us; /* from now; 0: that of the config */
	void (*done)(void *context, uint64_t ticket, const struct auditor_result *result);
	void *context;
};

struct auditor_config {
	uint64_t deadline_us; /* 0: AUDITOR_DEADLINE_US */
	unsigned ops;	      /* AUDITOR_OP() of what may be asked; said in our hello */
	unsigned required;    /* of these the ones that the auditor must decide, else AUDITOR_HELLO */
	/* Something went wrong, once for each incident: a record auditor.error with this reason and these members
	 * ("detail", and "op" and "id" of the question or "unanswered", the number of questions that it ends). Called
	 * from any function below; must not call one. */
	void (*error)(void *context, const char *reason, const char *members);
	void *context;
};

enum auditor_state { AUDITOR_STARTING, AUDITOR_READY, AUDITOR_BROKEN };

struct auditor;

/* fd: a connected SOCK_SEQPACKET socket, taken over on success and made non-blocking. 0, -EPROTOTYPE, -ENOMEM, -errno. */
int auditor_new(int fd, const struct auditor_config *config, uint64_t now, struct auditor **ret);
/* Open questions are dropped: their done is not called. NULL is allowed. */
void auditor_free(struct auditor *a);
int auditor_fd(const struct auditor *a);
/* READY after the auditor's hello. BROKEN is for good (stop watching the descriptor, its end stays readable): every
 * open question was denied, or is in the next auditor_expire(), every later one is denied at once. */
enum auditor_state auditor_state(const struct auditor *a);
/* AUDITOR_OP() of what it decides, once READY. */
unsigned auditor_ops(const struct auditor *a);
/* While STARTING questions wait for the hello, within their deadlines.
 * ret_ticket (for auditor_cancel()) is set when 0 is returned, ret_result when 1 is. */
int auditor_ask(struct auditor *a, const struct auditor_question *question, uint64_t now, uint64_t *ret_ticket,
		struct auditor_result *ret_result);
/* Nobody waits any more: done will not be called. A ticket that is not open is ignored. */
void auditor_cancel(struct auditor *a, uint64_t ticket);
void auditor_readable(struct auditor *a, uint64_t now);
void auditor_writable(struct auditor *a, uint64_t now);
void auditor_expire(struct auditor *a, uint64_t now);
bool auditor_wants_write(const struct auditor *a);
/* 0: none. A question is denied when now >= its deadline, not earlier; an answer read then is late. */
uint64_t auditor_next_deadline(const struct auditor *a);

#endif
