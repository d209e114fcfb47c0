/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody allowed around a supervisor, and that nothing else happens. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "audit/auditor_private.h"
#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor_peers.h"

struct peer_permit *permit(struct peers *w, int auditor, uint32_t key)
{
	for (size_t i = 0; i < w->n_permits; i++) {
		if (w->permits[i].auditor == auditor && w->permits[i].key == key)
			return &w->permits[i];
	}
	if (w->n_permits == MAX_PERMITS) {
		w->overflow = true;
		return NULL;
	}
	struct peer_permit *p = &w->permits[w->n_permits++];
	*p = (struct peer_permit){ .auditor = auditor, .key = key };
	return p;
}

void use_permit(struct peers *w, int auditor, uint32_t key)
{
	struct peer_auditor *a = &w->auditors[auditor];

	while (read_auditor(w, a)) /* also a deaf one's: which question it was that was answered */
		;
	struct peer_permit *p = permit(w, auditor, key);
	if (!p || w->overflow)
		return;
	p->used++;
	peers_require(p->lasting || p->used <= p->allowed, "something happened that nobody allowed");
	peers_require(!p->ended, "something started that was given up or revoked");
}

void told_to_run(struct peers *w, struct peer_slot *slot)
{
	struct peer_box *box = slot->box;
	const struct peer_auditor *a = box->auditor >= 0 ? &w->auditors[box->auditor] : NULL;

	peers_require(!slot->told, "a command was run twice");
	slot->told = true;
	box->n_told++;
	if (box->log >= 0) {
		_cleanup_free_ char *text = fake_log_text(w->logs[box->log]);
		peers_require(peers_count(text, "\"event\":\"call.start\"") >= box->n_told,
			      "a call was started before its record");
	}
	peers_require(!a || a->greeted, "a call was started before the auditor's hello");
	if (a && a->ops & AUDITOR_OP(AUDITOR_CALL_START)) {
		peers_require(slot->flags & (START_SHOW | START_EXPECT), "a program was run that nobody has seen");
		use_permit(w, box->auditor, slot->key);
	} else {
		peers_require(!(slot->flags & (START_SHOW | START_EXPECT)), "a program was shown that nobody asks about");
	}
}

static int auditor_by_box(const struct peers *w, const char *id)
{
	int found = review_auditor(w, id);

	for (size_t i = 0; i < w->n_boxes; i++) {
		if (strcmp(w->boxes[i].id, id) == 0)
			found = w->boxes[i].auditor;
	}
	return found;
}

void got_decided(struct peers *w, size_t gateway, struct fake_packet *p)
{
	struct peer_gateway *g = &w->gateways[gateway];
	uint64_t ticket = wire_get_u64(&p->in);
	bool allowed = wire_get_u8(&p->in);

	wire_get_u8(&p->in);
	free(wire_get_str(&p->in));
	peers_require(wire_done(&p->in) && p->n_fds == 0, "GATEWAY_DECIDED");
	if (g->confused)
		return;
	peers_require(ticket > 0 && ticket <= g->n_tickets, "a decision about nothing");
	peers_require(!g->tickets[ticket - 1].decided, "a question of the gateway was decided twice");
	peers_require(!g->tickets[ticket - 1].settled, "a decision that nobody waits for");
	g->tickets[ticket - 1].decided = true;
	int auditor = auditor_by_box(w, g->box);
	if (allowed && auditor >= 0 && w->auditors[auditor].ops & AUDITOR_OP(g->tickets[ticket - 1].op))
		use_permit(w, auditor, KEY_TICKET + (uint32_t)ticket);
}

static struct peer_parked *parked(struct peers *w, const char *ticket)
{
	for (size_t i = 0; i < w->n_parked; i++) {
		if (strcmp(w->parked[i].ticket, ticket) == 0)
			return &w->parked[i];
	}
	return NULL;
}

void got_approvals(struct peers *w, struct fake_packet *p)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_t *list, *one;
	size_t i;

	peers_require(p->n_fds == 1 && memfd_read_sealed(p->fds[0], 1u << 24, &b) == 0, "MSG_APPROVALS");
	list = json_loads(buf_str(&b), JSON_REJECT_DUPLICATES, NULL);
	peers_require(json_is_array(list), "the list of what waits");
	json_array_foreach(list, i, one) {
		const char *ticket = json_string_value(json_object_get(one, "ticket"));
		const char *digest = json_string_value(json_object_get(one, "digest"));
		const char *box = json_string_value(json_object_get(one, "sandbox"));
		char *question = json_dumps(json_object_get(one, "question"), 0);
		peers_require(ticket && digest && box && question && strlen(digest) == 64, "one of what waits");
		struct peer_parked *had = parked(w, ticket);
		peers_require(!had || (!had->decided && strcmp(had->digest, digest) == 0), "a ticket waits again");
		if (!had && w->n_parked < MAX_PARKED_SEEN) {
			had = &w->parked[w->n_parked++];
			*had = (struct peer_parked){ .key = key_of(question), .auditor = auditor_by_box(w, box) };
			snprintf(had->box, sizeof(had->box), "%s", box);
			snprintf(had->ticket, sizeof(had->ticket), "%s", ticket);
			snprintf(had->digest, sizeof(had->digest), "%s", digest);
		}
		free(question);
	}
	json_decref(list);
}

/* Nothing may start any more, whatever was allowed. */
static void end_key(struct peers *w, int auditor, uint32_t key)
{
	struct peer_permit *p = key >= KEY_START && key < KEY_TICKET ? permit(w, auditor, key) : NULL;

	if (p)
		p->ended = true;
}

void got_answer_of(struct peers *w, struct peer_request *q)
{
	if (q->failed)
		return;
	if (q->type == MSG_DECIDE && q->decides) {
		peers_require(q->right, "a person decided about something else");
		peers_require(!q->decides->decided, "a ticket was decided twice");
		q->decides->decided = true;
	}
	for (size_t i = 0; i < w->n_auditors; i++) {
		if (q->type == MSG_CANCEL)
			end_key(w, (int)i, KEY_START + q->cancels);
		for (size_t k = 0; q->type == MSG_REVOKE && k < w->auditors[i].n_questions; k++) {
			if (w->auditors[i].questions[k].start && strcmp(w->auditors[i].questions[k].call, q->call) == 0)
				end_key(w, (int)i, w->auditors[i].questions[k].key);
		}
	}
}

static void check_parked(const struct sandbox *b)
{
	_cleanup_buf_ struct buf text = { 0 };
	size_t calls = 0, listed = 0, i;
	json_t *list, *one;

	for (const struct call *c = b->calls; c; c = c->next)
		calls += c->parked;
	peers_require(approvals_list(b, &text) == 0, "the list of what waits");
	list = json_loads(buf_str(&text), 0, NULL);
	json_array_foreach(list, i, one) {
		const char *op = json_string_value(json_object_get(one, "op"));
		const struct call *c = call_by_id(b->supervisor, json_string_value(json_object_get(one, "call")));
		bool start = strcmp(op, "call.start") == 0;
		listed += start;
		peers_require(!start || (c && c->parked && c->state == CALL_ASKING), "somebody is asked about a call that is gone");
		peers_require(start || b->review || b->gateway == GATEWAY_UP, "somebody is asked for a gateway that is gone");
	}
	json_decref(list);
	peers_require(list && listed == calls, "a call waits for nobody");
}

void check_questions(const struct sandbox *b)
{
	const struct auditor *a = b->auditor;
	size_t open = 0, of_calls = 0;

	for (const struct call *c = b->calls; c; c = c->next) {
		peers_require(!(c->question || c->parked) || (a && c->state == CALL_ASKING && c->shown && c->shown->read),
			      "a question about a call that does not wait for it");
		peers_require(!c->question || !c->parked, "two are asked about one call");
		of_calls += c->question != 0;
	}
	const struct question *waiting = a ? a->waiting : NULL;
	for (size_t i = 0; a && (i < a->n_sent || waiting); i++) {
		const struct question *q = i < a->n_sent ? a->sent[i] : waiting;
		if (i >= a->n_sent)
			waiting = waiting->next;
		if (q->late || q->cancelled)
			continue;
		open++;
		const struct call *c = b->calls;
		while (q->op == AUDITOR_CALL_START && c && c->question != q->id)
			c = c->next;
		peers_require(c || q->op != AUDITOR_CALL_START, "a question whose call is gone");
	}
	if (b->review)
		peers_require(open <= 1 && !of_calls, "two questions about one commit at once");
	else
		peers_require(open >= of_calls && (open > of_calls) == (b->asked != NULL), "a question that nobody waits for");
	if (b->approvals)
		check_parked(b);
}

void check_tickets(const struct peers *w)
{
	for (size_t i = 0; i < w->f.n_gateways; i++) {
		const struct peer_gateway *g = &w->gateways[i];
		/* One that was started ahead is not heard yet. */
		bool heard = g->config && !g->confused && !w->f.gateways[i].gone;
		for (size_t k = 0; k < g->n_tickets && heard; k++)
			peers_require(g->tickets[k].decided || g->tickets[k].given_up,
				      "a question of the gateway has no answer");
	}
}
