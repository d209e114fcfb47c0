/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A commit of what a sandbox wrote, decided about before anything of it is written.
 *
 * Theory of operation. The sandbox has ended; a supervisor was started for this alone, and the object is a sandbox with
 * nothing but an auditor, the audit log, which it goes on in, and a socket, over which a person decides (approval.c). The
 * client has made the questions, several where the list is too long for one packet: the auditor is asked one after the
 * other, and has to allow each. Where it leaves one to a person, that person decides about the whole, which all of them
 * name by its digest; but first the auditor has seen all. Nothing but that leads to a yes, and the answer is the end of the
 * object. The client then commits what has the digest, or nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

#define MAX_QUESTIONS (64u << 20) /* of one commit, in bytes */
#define AUDITOR "the auditor"

enum verdict { REVIEW_OPEN, REVIEW_PARKED, REVIEW_UNDECIDED, REVIEW_ALLOWED, REVIEW_DENIED };

struct review {
	struct buf questions; /* each with its NUL */
	const char *at;	      /* the next one */
	const char *asked;    /* the first that is a person's; NULL: none is */
	uint64_t question;    /* 0: none is open */
	enum verdict verdict;
	const char *by;
	char *reason; /* the auditor's last one, or of a person */
};

void review_free(struct sandbox *b)
{
	struct review *v = TAKE_PTR(b->review);

	if (!v)
		return;
	buf_free(&v->questions);
	free(v->reason);
	free(v);
}

static void give_verdict(struct review *v, enum verdict verdict, const char *by, const char *reason)
{
	char *copy = strdup(reason);

	free(v->reason);
	v->reason = copy;
	v->by = by;
	v->verdict = copy ? verdict : REVIEW_DENIED;
}

/* The sandbox is freed, and the client told. */
static void end(struct sandbox *b, const struct error *failure, const char *text)
{
	struct client *client = b->client;
	uint32_t request = b->request;

	while (approval_drop_gateway(b, 0))
		;
	sandbox_free(b);
	client_reply(client, request, failure, text, NULL, 0);
}

static int put_decided(struct buf *m, const struct review *v, bool reason)
{
	int r = json_member_string(m, "decided_by", v->by);
	return r < 0 || !reason || !*v->reason ? r : json_member_string(m, "reason", v->reason);
}

static void end_denied(struct sandbox *b)
{
	const struct review *v = b->review;
	const char *reason = v->reason ? v->reason : AUDITOR_FAILED;
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;

	const char *members = put_decided(&m, v, false) == 0 ? buf_str(&m) : NULL;
	record_write(b, "commit.denied", NULL, reason, members ? members : "");
	fail(&e, EACCES, SANDBOX_STAGE_AUDITOR, b->id, "nothing was committed: %s denied it%s%s", v->by, *reason ? ": " : "",
	     reason);
	end(b, &e, "");
}

static void end_allowed(struct sandbox *b)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;

	const char *members = put_decided(&m, b->review, true) == 0 ? buf_str(&m) : NULL;
	if (!members)
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "nothing was committed: out of memory");
	end(b, members ? NULL : &e, members ? members : "");
}

static void answered(void *context, uint64_t ticket, const struct auditor_result *result)
{
	struct sandbox *b = context;
	struct review *v = b->review;

	(void)ticket;
	v->question = 0;
	if (result->source == AUDITOR_UNDECIDED) {
		give_verdict(v, REVIEW_UNDECIDED, "", "");
	} else if (result->decision == AUDITOR_ASK || result->decision == AUDITOR_ALLOW) {
		/* What was left to a person keeps the reason of that. */
		if (!v->asked)
			give_verdict(v, REVIEW_OPEN, AUDITOR, result->reason);
		if (result->decision == AUDITOR_ASK && !v->asked)
			v->asked = v->at;
		v->at += strlen(v->at) + 1;
	} else {
		give_verdict(v, REVIEW_DENIED, AUDITOR, result->reason);
	}
}

static void ask(struct sandbox *b)
{
	struct review *v = b->review;
	_cleanup_buf_ struct buf m = { 0 };
	struct auditor_result result;

	int r = json_member_string(&m, "sandbox", b->id);
	if (r == 0)
		r = buf_putc(&m, ',');
	if (r == 0)
		r = buf_puts(&m, v->at);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	if (!members) {
		give_verdict(v, REVIEW_DENIED, AUDITOR, AUDITOR_FAILED);
		return;
	}
	/* Never from memory: it is about these bytes, now. */
	const struct auditor_question q = { .op = AUDITOR_FS_COMMIT, .members = members, .done = answered, .context = b };
	if (auditor_ask(b->auditor, &q, now_us(), &v->question, &result) == 1)
		answered(b, 0, &result);
}

static void park(struct sandbox *b)
{
	struct review *v = b->review;
	const struct park park = { .op = AUDITOR_FS_COMMIT, .call_id = "", .members = v->asked, .significant = v->asked, .key = "commit",
				   .reason = v->reason };

	/* A person is shown one packet, and would decide about what is in none. */
	if (strlen(v->questions.data ? (const char *)v->questions.data : "") + 1 < v->questions.len) {
		give_verdict(v, REVIEW_DENIED, AUDITOR, "too much to be shown to a person at once: commit it in parts (PATH...)");
		return;
	}
	v->verdict = REVIEW_PARKED;
	if (!approval_park(b, &park))
		give_verdict(v, REVIEW_DENIED, AUDITOR, AUDITOR_OVERLOADED);
}

/* What is next while nothing is decided; true: the auditor was asked something. */
static bool go_on(struct sandbox *b)
{
	struct review *v = b->review;
	bool all = v->at == (const char *)v->questions.data + v->questions.len;

	if (v->verdict != REVIEW_OPEN || v->question || (!all && auditor_state(b->auditor) == AUDITOR_STARTING))
		return false;
	if (!all && auditor_state(b->auditor) == AUDITOR_BROKEN) {
		give_verdict(v, REVIEW_DENIED, AUDITOR, b->auditor_failure ? b->auditor_failure : AUDITOR_GONE);
	} else if (!all) {
		ask(b);
		return true;
	} else if (v->asked) {
		park(b);
	} else {
		v->verdict = REVIEW_ALLOWED;
	}
	return false;
}

void review_progress(struct sandbox *b)
{
	if (go_on(b)) {
		auditor_settled(b); /* and here again */
		return;
	}
	if (b->review->verdict == REVIEW_DENIED)
		end_denied(b);
	else if (b->review->verdict == REVIEW_ALLOWED)
		end_allowed(b);
	else if (b->review->verdict == REVIEW_UNDECIDED)
		end(b, NULL, "");
}

void review_decided(struct sandbox *b, bool yes, const char *by, const char *reason)
{
	give_verdict(b->review, yes ? REVIEW_ALLOWED : REVIEW_DENIED, by, reason);
	review_progress(b);
}

void review_drop(struct sandbox *b, const char *reason)
{
	give_verdict(b->review, REVIEW_DENIED, "nobody", reason);
	end_denied(b);
}

/* Members of ours in it would be there twice. */
static bool is_question(const char *members)
{
	static const char *const ours[] = { "id", "op", "deadline_ms", "sandbox", "call" };
	_cleanup_buf_ struct buf b = { 0 };

	const char *text = buf_printf(&b, "{%s}", members) == 0 ? buf_str(&b) : NULL;
	json_t *object = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	bool good = json_object_size(object) > 0;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		good &= !json_object_get(object, ours[i]);
	json_decref(object);
	return good;
}

static int take_questions(struct sandbox *b, int fd, struct error *e)
{
	struct review *v = b->review;

	int r = memfd_read_sealed(fd, MAX_QUESTIONS, &v->questions);
	if (r == -EFBIG)
		return fail(e, E2BIG, SANDBOX_STAGE_AUDITOR, b->id,
			    "nothing was committed: too many changes to ask the auditor about at once (%u MiB of them); commit a part "
			    "of them (nsbox commit %s PATH...)", MAX_QUESTIONS >> 20, b->id);
	const char *end = (const char *)v->questions.data + v->questions.len;
	bool good = r == 0 && v->questions.len > 0 && end[-1] == '\0';
	v->at = (const char *)v->questions.data;
	for (const char *at = v->at; good && at < end; at += strlen(at) + 1)
		good = is_question(at);
	return good ? 0 : fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, b->id, "the questions that the client sent are out of form");
}

static int start(struct sandbox *b, const struct review_request *q, struct error *e)
{
	int r = sandbox_load(b, q->policy_fd, q->log_fd, true, e);

	if (r == 0 && (b->policy_fd = fcntl(q->policy_fd, F_DUPFD_CLOEXEC, 3)) < 0)
		r = fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, b->id, "cannot keep the policy");
	if (r == 0)
		r = take_questions(b, q->list_fd, e);
	if (r == 0 && !policy_auditor(b->policy)->spec)
		r = fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, b->id, "the client sent no auditor to ask");
	if (r < 0)
		return r;
	if (named_listen(b) < 0)
		return fail(e, EIO, SANDBOX_STAGE_INTERNAL, b->id, "cannot listen on the socket of the commit");
	r = auditor_link_start(b, e);
	if (r < 0)
		record_write(b, "auditor.error", NULL, e->message, "");
	return r;
}

void review_start(struct supervisor *s, const struct review_request *q)
{
	const struct create_request create = { .client = q->client, .request = q->request, .id = q->id, .named = q->named };
	struct sandbox *b = sandbox_new(s, &create);
	struct error e = { 0 };

	if (!b) {
		named_free(s, q->named);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, q->id, "out of memory");
		client_reply(q->client, q->request, &e, "", NULL, 0);
		return;
	}
	b->state = SANDBOX_REVIEWED;
	b->exit_recorded = true;
	b->review = calloc(1, sizeof(*b->review));
	int r = b->review ? start(b, q, &e) : fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, q->id, "out of memory");
	if (r < 0)
		end(b, &e, "");
}
