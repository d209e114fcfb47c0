/* SPDX-License-Identifier: Apache-2.0 */
/* Who decides before something happens: the auditor of a sandbox, what it is asked, and what waits for a person. */
#ifndef NSBOX_SUPERVISOR_QUESTION_H
#define NSBOX_SUPERVISOR_QUESTION_H

#include "supervisor/supervisor.h"

/* auditor_link.c */
int auditor_link_start(struct sandbox *sandbox, struct error *e);
/* Its hello has not come yet. */
bool auditor_link_pending(const struct sandbox *sandbox);
bool auditor_link_decides(const struct sandbox *sandbox, enum auditor_op op);
bool auditor_link_expire(struct sandbox *sandbox, uint64_t now);
uint64_t auditor_link_deadline(const struct sandbox *sandbox);
void auditor_link_stop(struct sandbox *sandbox);
/* After every call into the auditor. */
void auditor_settled(struct sandbox *sandbox);

/* program.c: the guardian has shown it (taken over); ends in question_call() or call_denied(). */
int program_shown(struct call *call, struct shown *shown);
void shown_free(struct shown *shown);
/* What this command led to before in the sandbox, decided about without having it shown again: true, and the question is
 * asked. The guardian then checks that it is the same (START_EXPECT). */
bool program_expected(struct call *call);
/* The grant of the call does not let it execute the program that was shown: then it is told so. */
bool program_denied(struct call *call);
/* It was another one. */
void program_changed(struct call *call);
void programs_free(struct sandbox *sandbox);

/* question.c: ask the auditor whether the shown call may start; leads to question_decided(). */
void question_call(struct call *call);
/* by: who, for the record and the error. grant: of AUDITOR_NARROW. */
void question_decided(struct call *call, enum auditor_decision decision, const char *by, const char *reason,
		      const char *grant);
/* GATEWAY_ASK: -EPROTO when it is out of form. Answered by gateway_send_decided(). */
int question_gateway(struct sandbox *sandbox, uint64_t ticket, uint32_t op, const struct call *call, const char *members);
void question_gateway_cancel(struct sandbox *sandbox, uint64_t ticket);
void questions_drop(struct sandbox *sandbox);
/* Members exe, exe_sha256, interpreter. */
int question_program_members(const struct shown *shown, struct buf *members);

/* review.c: a commit of a sandbox that has ended, decided about before anything is written (MSG_REVIEW). */
struct review_request {
	struct client *client;
	uint32_t request;
	const char *id;
	struct named *named; /* taken over */
	int policy_fd, log_fd, list_fd; /* borrowed */
};
void review_start(struct supervisor *s, const struct review_request *q);
/* After every call into the auditor. May free the sandbox, as the next two do. */
void review_progress(struct sandbox *sandbox);
/* A person decided, or nobody in time. */
void review_decided(struct sandbox *sandbox, bool yes, const char *by, const char *reason);
/* Nobody waits for it any more, or somebody ended it: nothing is committed. */
void review_drop(struct sandbox *sandbox, const char *reason);
void review_free(struct sandbox *sandbox);

/* approval.c */
struct park {
	enum auditor_op op;
	struct call *call; /* NULL: the gateway waits under this ticket, or with AUDITOR_FS_COMMIT the review */
	uint64_t gateway;
	const char *call_id, *members, *reason;
	const char *significant; /* what its digest is of: what members have in common with those of an equal question */
	const char *key;	 /* what two questions are compared by, up to a comma */
};
/* False: too many wait, or no memory; then it is a denial. */
bool approval_park(struct sandbox *sandbox, const struct park *park);
/* A person said so of an equal call. */
bool approval_always(const struct sandbox *sandbox, enum auditor_op op, const char *members);
int approval_decide(struct sandbox *sandbox, const char *ticket, const char *digest, uint32_t decision, struct error *e);
bool approval_expire(struct sandbox *sandbox, uint64_t now);
uint64_t approval_deadline(const struct sandbox *sandbox);
/* Nobody waits any more. ticket 0: all of the gateway's, one at a time. */
void approval_drop_call(struct call *call);
bool approval_drop_gateway(struct sandbox *sandbox, uint64_t ticket);
/* A JSON array of what waits. */
int approvals_list(const struct sandbox *sandbox, struct buf *out);
void approvals_free(struct sandbox *sandbox);

#endif
