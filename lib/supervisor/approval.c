/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits for a person: calls, requests, connections and commits about which the auditor said `ask`. Each has a ticket, which
 * holds the digest of exactly what was asked; who decides names both, so a yes cannot land on something else. No answer
 * in time is a no.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

#define APPROVAL_US (10u * 60u * 1000000u) /* a ticket's life */
#define MAX_PARKED 256u			   /* in one sandbox */
#define MAX_ALWAYS 256u			   /* remembered answers of it; later ones are for once */
#define MAX_BEFORE 64u			   /* questions remembered to tell what is new */
#define EXPIRED "approval-expired"

struct approval {
	struct approval *next;
	char ticket[64];
	enum auditor_op op;
	struct call *call;  /* NULL: the gateway waits, or the review */
	uint64_t gateway;   /* its ticket */
	char *call_id, *members, *key, *reason;
	uint8_t digest[AUDITOR_DIGEST];
	uint64_t deadline;
};

/* What was allowed last about the same program or host. */
struct before {
	struct before *next;
	enum auditor_op op;
	char *key, *members;
};

struct approvals {
	struct approval *list;
	struct before *before;
	uint32_t n, n_always, last;
	uint8_t always[MAX_ALWAYS][AUDITOR_DIGEST];
};

static void approval_free(struct approval *a)
{
	free(a->call_id);
	free(a->members);
	free(a->key);
	free(a->reason);
	free(a);
}

static void before_free(struct before *e)
{
	free(e->key);
	free(e->members);
	free(e);
}

static void hex_of(const uint8_t digest[AUDITOR_DIGEST], char ret[2 * AUDITOR_DIGEST + 1])
{
	for (size_t i = 0; i < AUDITOR_DIGEST; i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

/* Out of the list; what is about to be told may add and remove others. */
static void take_out(struct sandbox *b, struct approval *a)
{
	for (struct approval **at = &b->approvals->list; *at; at = &(*at)->next) {
		if (*at == a) {
			*at = a->next;
			b->approvals->n--;
			break;
		}
	}
	if (a->call)
		a->call->parked = false;
}

static int record(struct sandbox *b, const struct approval *a, const char *event, const char *reason)
{
	_cleanup_buf_ struct buf m = { 0 };
	char hex[2 * AUDITOR_DIGEST + 1];

	hex_of(a->digest, hex);
	int r = json_member_string(&m, "ticket", a->ticket);
	if (r == 0)
		r = json_member_string(&m, "op", auditor_op_name(a->op));
	if (r == 0)
		r = json_member_string(&m, "digest", hex);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	return members ? record_write(b, event, a->call_id, reason, members) : -ENOMEM;
}

static int copy_park(struct approval *a, const struct park *p)
{
	a->op = p->op;
	a->call = p->call;
	a->gateway = p->gateway;
	a->call_id = strdup(p->call_id);
	a->members = strdup(p->members);
	a->key = strndup(p->key, strcspn(p->key, ","));
	a->reason = strdup(p->reason);
	return a->call_id && a->members && a->key && a->reason ? 0 : -ENOMEM;
}

/* Each commit of a sandbox has a supervisor of its own, which counts from one: a yes to what was listed before may not be
 * one to what comes under the same number. */
static int put_ticket(const struct sandbox *b, struct approval *a)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	int n = snprintf(a->ticket, sizeof(a->ticket), "%s-%u-%08x", b->id, ++b->approvals->last, random);
	return n < (int)sizeof(a->ticket) ? 0 : -ENAMETOOLONG;
}

bool approval_park(struct sandbox *b, const struct park *p)
{
	if (!b->approvals && !(b->approvals = calloc(1, sizeof(*b->approvals))))
		return false;
	struct approval *a = b->approvals->n < MAX_PARKED ? calloc(1, sizeof(*a)) : NULL;
	if (!a)
		return false;
	auditor_digest(p->op, p->significant, a->digest);
	if (put_ticket(b, a) < 0 || copy_park(a, p) < 0 || record(b, a, "approval.asked", a->reason) < 0) {
		approval_free(a);
		return false;
	}
	a->deadline = now_us() + APPROVAL_US;
	loop_deadline(b->supervisor, a->deadline);
	if (a->call)
		a->call->parked = true;
	struct approval **at = &b->approvals->list;
	while (*at)
		at = &(*at)->next;
	*at = a;
	b->approvals->n++;
	return true;
}

bool approval_always(const struct sandbox *b, enum auditor_op op, const char *members)
{
	uint8_t digest[AUDITOR_DIGEST];

	if (!b->approvals || !b->approvals->n_always)
		return false;
	auditor_digest(op, members, digest);
	for (uint32_t i = 0; i < b->approvals->n_always; i++) {
		if (memcmp(b->approvals->always[i], digest, sizeof(digest)) == 0)
			return true;
	}
	return false;
}

/* Commits are about these bytes, once; answers to requests are remembered by the gateway. */
static bool can_last(const struct approvals *all, const struct approval *a)
{
	return a->op != AUDITOR_FS_COMMIT && (!a->call || all->n_always < MAX_ALWAYS);
}

static void remember_always(struct approvals *all, const struct approval *a)
{
	memcpy(all->always[all->n_always++], a->digest, sizeof(a->digest));
}

static void remember_before(struct approvals *all, struct approval *a)
{
	uint32_t n = 0;

	for (struct before **at = &all->before; *at;) {
		struct before *e = *at;
		bool same = e->op == a->op && strcmp(e->key, a->key) == 0;
		if (!same && ++n < MAX_BEFORE) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		before_free(e);
	}
	struct before *e = calloc(1, sizeof(*e));
	if (!e)
		return; /* then it is told as new */
	*e = (struct before){ .next = all->before, .op = a->op, .key = TAKE_PTR(a->key), .members = TAKE_PTR(a->members) };
	all->before = e;
}

static void settle(struct sandbox *b, struct approval *a, bool yes, bool always, const char *by, const char *reason)
{
	take_out(b, a);
	always = always && can_last(b->approvals, a);
	/* A yes that is not in the log is none. */
	if (record(b, a, "approval.decided", yes ? always ? "always" : "yes" : reason) < 0)
		yes = false;
	if (yes && always && a->call)
		remember_always(b->approvals, a);
	struct call *call = a->call;
	uint64_t gateway = a->gateway;
	bool commit = a->op == AUDITOR_FS_COMMIT;
	if (yes)
		remember_before(b->approvals, a);
	approval_free(a);
	if (commit)
		review_decided(b, yes, by, yes ? "" : reason);
	else if (call)
		question_decided(call, yes ? AUDITOR_ALLOW : AUDITOR_DENY, by, yes ? "" : reason, NULL);
	else
		gateway_send_decided(b, gateway, yes, always, yes ? by : reason);
}

int approval_decide(struct sandbox *b, const char *ticket, const char *digest, uint32_t decision, struct error *e)
{
	char hex[2 * AUDITOR_DIGEST + 1];
	struct approval *a = b->approvals ? b->approvals->list : NULL;

	while (a && strcmp(a->ticket, ticket) != 0)
		a = a->next;
	if (!a)
		return fail(e, ENOENT, SANDBOX_STAGE_USAGE, ticket,
			    "nothing waits under the ticket %s (any more); `nsbox approve` lists what does", ticket);
	hex_of(a->digest, hex);
	if (strcmp(hex, digest) != 0)
		return fail(e, ESTALE, SANDBOX_STAGE_USAGE, ticket, "the ticket %s is for something else than what was shown", ticket);
	settle(b, a, decision != APPROVAL_NO, decision == APPROVAL_ALWAYS, "a person", "a person said no");
	return 0;
}

bool approval_expire(struct sandbox *b, uint64_t now)
{
	for (struct approval *a = b->approvals ? b->approvals->list : NULL; a; a = a->next) {
		if (a->deadline > now)
			continue;
		settle(b, a, false, false, "nobody", EXPIRED);
		return true;
	}
	return false;
}

uint64_t approval_deadline(const struct sandbox *b)
{
	uint64_t first = 0;

	for (const struct approval *a = b->approvals ? b->approvals->list : NULL; a; a = a->next)
		first = !first || a->deadline < first ? a->deadline : first;
	return first;
}

static void withdraw(struct sandbox *b, struct approval *a)
{
	take_out(b, a);
	record(b, a, "approval.decided", "withdrawn");
	approval_free(a);
}

void approval_drop_call(struct call *call)
{
	struct sandbox *b = call->sandbox;

	for (struct approval *a = b->approvals ? b->approvals->list : NULL; a; a = a->next) {
		if (a->call == call) {
			withdraw(b, a);
			return;
		}
	}
}

bool approval_drop_gateway(struct sandbox *b, uint64_t ticket)
{
	for (struct approval *a = b->approvals ? b->approvals->list : NULL; a; a = a->next) {
		if (!a->call && (ticket == 0 || a->gateway == ticket)) {
			withdraw(b, a);
			return true;
		}
	}
	return false;
}

void approvals_free(struct sandbox *b)
{
	struct approvals *all = TAKE_PTR(b->approvals);

	while (all && all->list) {
		struct approval *a = all->list;
		all->list = a->next;
		approval_free(a);
	}
	while (all && all->before) {
		struct before *e = all->before;
		all->before = e->next;
		before_free(e);
	}
	free(all);
}

static const char *before_of(const struct approvals *all, const struct approval *a)
{
	for (const struct before *e = all->before; e; e = e->next) {
		if (e->op == a->op && strcmp(e->key, a->key) == 0)
			return e->members;
	}
	return NULL;
}

static int member_object(struct buf *out, const char *key, const char *members)
{
	_cleanup_buf_ struct buf object = { 0 };

	int r = buf_printf(&object, "{%s}", members);
	const char *text = r == 0 ? buf_str(&object) : NULL;
	return text ? json_member_raw(out, key, text) : -ENOMEM;
}

static int put_one(const struct sandbox *b, const struct approval *a, uint64_t now, struct buf *out)
{
	const char *before = before_of(b->approvals, a);
	char hex[2 * AUDITOR_DIGEST + 1];

	hex_of(a->digest, hex);
	int r = buf_puts(out, out->data[out->len - 1] == '[' ? "{" : ",{");
	if (r == 0)
		r = json_member_string(out, "ticket", a->ticket);
	if (r == 0)
		r = json_member_string(out, "sandbox", b->id);
	if (r == 0)
		r = json_member_string(out, "call", a->call_id);
	if (r == 0)
		r = json_member_string(out, "op", auditor_op_name(a->op));
	if (r == 0)
		r = json_member_string(out, "digest", hex);
	if (r == 0)
		r = json_member_string(out, "reason", a->reason);
	if (r == 0)
		r = json_member_int(out, "expires_s", a->deadline > now ? (int64_t)((a->deadline - now) / 1000000u) : 0);
	if (r == 0)
		r = member_object(out, "question", a->members);
	if (r == 0 && before)
		r = member_object(out, "before", before);
	return r < 0 ? r : buf_putc(out, '}');
}

int approvals_list(const struct sandbox *b, struct buf *out)
{
	uint64_t now = now_us();

	int r = buf_putc(out, '[');
	for (const struct approval *a = b->approvals ? b->approvals->list : NULL; a && r == 0; a = a->next)
		r = put_one(b, a, now, out);
	return r < 0 ? r : buf_putc(out, ']');
}
