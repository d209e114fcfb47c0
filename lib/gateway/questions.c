/* SPDX-License-Identifier: Apache-2.0 */
/* Table of questions by ticket. */
#include "gateway/questions.h"

#include <endian.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "base/wire.h"
#include "gateway/gateway.h"
#include "supervisor/protocol.h"

/* What this process does; the others are asked elsewhere. */
#define KNOWN_OPS (AUDITOR_OP(_AUDITOR_OP_MAX) - 1)

/* A ticket that is out. */
struct pending {
	struct pending *chain;
	struct gateway *gw;
	uint64_t ticket;
	struct question *question; /* NULL: given up */
	struct waiter waiter; /* given up: until the supervisor is known to have read that */
};

int questions_configure(struct questions *qs, uint32_t ops)
{
	/* A kind of question that is not known here could not be asked: refused, not ignored. One that was asked is asked for
	 * good: an auditor that comes back may decide more, never less. */
	if ((ops & ~KNOWN_OPS) || (qs->ops & ~ops))
		return -EPROTO;
	qs->ops = ops;
	return 0;
}

bool questions_wanted(const struct gateway *gw, enum auditor_op op)
{
	return gw->questions.ops & AUDITOR_OP(op);
}

static struct pending **find(struct questions *qs, uint64_t ticket)
{
	struct pending **p = &qs->buckets[ticket % QUESTION_BUCKETS];
	while (*p && (*p)->ticket != ticket)
		p = &(*p)->chain;
	return p;
}

static void drop(struct pending *pending)
{
	struct questions *qs = &pending->gw->questions;
	struct pending **p = find(qs, pending->ticket);

	*p = pending->chain;
	qs->n--;
	records_forget(&pending->gw->records, &pending->waiter);
	free(pending);
}

static void acknowledged(struct waiter *w, bool written)
{
	/* Without the log nobody acknowledges any more; nothing is asked then either, so the table grows no more. */
	if (written)
		drop((struct pending *)((char *)w - offsetof(struct pending, waiter)));
}

static int send_ask(struct gateway *gw, uint64_t ticket, enum auditor_op op, const struct call *call,
		    const struct buf *members)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_ASK);
	if (r == 0)
		r = wire_put_u64(&m, ticket);
	if (r == 0)
		r = wire_put_u32(&m, op);
	if (r == 0)
		r = wire_put_u32(&m, call->addr);
	if (r == 0)
		r = wire_put_bytes(&m, members->data, members->len);
	return r < 0 ? r : records_send(&gw->records, &m);
}

static void digest(enum auditor_op op, const struct buf *members, uint8_t ret[QUESTION_DIGEST_LEN])
{
	uint32_t kind = htole32(op);
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, &kind, sizeof(kind));
	SHA256_Update(&ctx, members->data, members->len);
	SHA256_Final(ret, &ctx);
}

static bool answered_before(struct question *q)
{
	const struct call *call = q->call;

	for (size_t i = 0; i < call->n_remembered; i++) {
		const struct remembered *known = &call->remembered[i];
		if (memcmp(known->digest, q->digest, sizeof(q->digest)) != 0)
			continue;
		q->answered = true;
		q->allowed = known->allowed;
		q->reason = known->reason ? strdup(known->reason) : NULL;
		return true;
	}
	return false;
}

/* Best effort: what does not fit is asked again. */
static void remember(const struct question *q)
{
	struct call *call = q->call;

	if (call->n_remembered == QUESTIONS_REMEMBERED_MAX)
		return;
	struct remembered *p = reallocarray(call->remembered, call->n_remembered + 1, sizeof(*p));
	if (!p)
		return;
	call->remembered = p;
	p += call->n_remembered++;
	memcpy(p->digest, q->digest, sizeof(p->digest));
	p->allowed = q->allowed;
	p->reason = q->reason ? strdup(q->reason) : NULL;
}

void questions_forget(struct call *call)
{
	for (size_t i = 0; i < call->n_remembered; i++)
		free(call->remembered[i].reason);
	free(TAKE_PTR(call->remembered));
	call->n_remembered = 0;
}

int question_ask(struct gateway *gw, struct question *q, struct call *call, enum auditor_op op,
		 const struct buf *members)
{
	struct questions *qs = &gw->questions;

	question_end(gw, q);
	q->call = call;
	if (members->len > QUESTION_BYTES_MAX)
		return -EMSGSIZE;
	if (gw->records.failed)
		return -EIO;
	digest(op, members, q->digest);
	if (answered_before(q))
		return 0;
	/* What waits for a supervisor that is slow to read counts too, and it may be large. */
	if (qs->n >= QUESTIONS_MAX || records_congested(&gw->records))
		return -EBUSY;
	struct pending *pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	*pending = (struct pending){ .gw = gw, .ticket = ++qs->last_ticket, .question = q };
	*find(qs, pending->ticket) = pending;
	qs->n++;
	q->pending = pending;
	int r = send_ask(gw, pending->ticket, op, call, members);
	if (r < 0)
		drop(TAKE_PTR(q->pending));
	return r;
}

void question_end(struct gateway *gw, struct question *q)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct pending *pending = TAKE_PTR(q->pending);

	free(TAKE_PTR(q->reason));
	q->answered = q->allowed = false;
	if (!pending)
		return;
	pending->question = NULL;
	int r = wire_put_u32(&m, GATEWAY_ASK_CANCEL);
	if (r == 0)
		r = wire_put_u64(&m, pending->ticket);
	if (r == 0)
		r = records_send(&gw->records, &m);
	/* Not sent: its answer may still come, so it stays known. */
	if (r < 0)
		return;
	pending->waiter.done = acknowledged;
	records_wait(&gw->records, &pending->waiter);
}

const char *question_failure(int error)
{
	switch (error) {
	case -EBUSY:
		return AUDITOR_OVERLOADED;
	case -EMSGSIZE:
		return AUDITOR_OVERSIZE;
	case -EILSEQ:
		return "auditor-encoding";
	case -EIO:
		return "audit-log";
	default:
		return "no-memory";
	}
}

void question_record(const char *reason, struct buf *members)
{
	if (reason && *reason)
		json_member_bytes(members, "auditor", reason, strnlen(reason, AUDITOR_MAX_REASON));
}

int question_grant(struct buf *members, const char *key, const char *rule)
{
	_cleanup_buf_ struct buf grant = { 0 };
	char *const rules[] = { (char *)(uintptr_t)rule, NULL };

	int r = buf_putc(&grant, '{');
	if (r == 0)
		r = json_member_strv(&grant, key, rules);
	if (r == 0)
		r = buf_putc(&grant, '}');
	const char *text = r < 0 ? NULL : buf_str(&grant);
	return text ? json_member_raw(members, "grant", text) : -ENOMEM;
}

int questions_decided(struct gateway *gw, uint64_t ticket, bool allowed, bool equal, const char *reason)
{
	struct pending *pending = *find(&gw->questions, ticket);

	if (!pending)
		return -EPROTO;
	struct question *q = pending->question;
	drop(pending);
	if (!q)
		return 0;
	q->pending = NULL;
	q->answered = true;
	q->allowed = allowed;
	q->reason = *reason ? strdup(reason) : NULL;
	if (equal)
		remember(q);
	q->decided(q);
	return 0;
}
