/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and secrets that are changed while sandboxes run: what clients ask, and what launcher and gateways answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "policy/policy.h"
#include "supervisor_steps.h"

/* Made once: an encoded section [secret KEY] or [secret OTHER], of a variable or a command. */
static const struct buf *secret(bool other, bool command)
{
	static struct buf made[2][2];
	struct buf *b = &made[other][command];
	struct policy *p = NULL;
	struct error e;
	char spec[64];

	snprintf(spec, sizeof(spec), "%s=%s@https://example.org", other ? "OTHER" : "KEY", command ? "exec:true" : "env:X");
	if (!b->len && (policy_new(&p) < 0 || policy_add_secret_spec(p, spec, "/", "test", &e) < 0 ||
			policy_secret_encode(policy_find_secret(p, other ? "OTHER" : "KEY"), b) < 0))
		abort();
	policy_free(p);
	return b;
}

void change_step(struct input *in, struct peer_client *c, const char *id)
{
	static const char *const rules[] = { "https://new.example", "tcp://db.example:5432", "https://example.org",
					     "new.example:8443", "https://", "10.0.0.0/8:22" };
	uint8_t how = take(in), what = take(in);
	const int null = steps_null();
	_cleanup_buf_ struct buf m = { 0 };
	const bool other = what & 1, command = what & 2;

	if (how & 128) {
		fake_send(c->sock, NULL, 0, "uusbss", MSG_RULE, steps_request(in->w, c, MSG_RULE), id, how & 3u,
			  rules[what % ARRAY_LEN(rules)], how & 64 ? "" : "test");
		return;
	}
	unsigned change = how % 3u;
	/* To rotate one of a command needs no value, to rotate another does: now and then it is the other way. */
	size_t n_fds = change == CHANGE_ADD || (change == CHANGE_ROTATE && !(what & 4));
	const struct buf *added = change == CHANGE_ADD ? secret(other, command) : NULL;
	fake_put(&m, "uusbs", MSG_SECRET, steps_request(in->w, c, MSG_SECRET), id, change, what & 8 ? "KEY" : other ? "OTHER" : "KEY");
	if (wire_put_bytes(&m, added ? added->data : NULL, added ? added->len : 0) < 0)
		abort();
	msg_send(c->sock, m.data, m.len, &null, n_fds);
}

void asked_to_listen(struct peers *w, struct peer_box *box, struct fake_packet *p)
{
	uint32_t ticket = wire_get_u32(&p->in), n = wire_get_u32(&p->in);

	for (uint32_t i = 0; i < n && !p->in.bad; i++)
		wire_get_u32(&p->in);
	peers_require(wire_done(&p->in) && n > 0 && n <= 4 && (box || w->overflow), "LAUNCHER_LISTEN");
	if (!box)
		return;
	peers_require(!box->n_listen, "one is added after the other");
	box->listen = ticket;
	box->n_listen = n;
}

bool answer_listen(struct peers *w, struct peer_box *box, bool failed)
{
	const int null = steps_null(), fds[4] = { null, null, null, null };
	uint32_t n = box->n_listen;

	if (!n || box->ended || w->f.launcher < 0)
		return false;
	box->n_listen = 0;
	fake_send(w->f.launcher, fds, failed ? 0 : n, failed ? "uuube" : "uuub", LAUNCHER_LISTENING, box->number, box->listen,
		  (unsigned)failed);
	return true;
}

void asked_to_change(struct peer_gateway *g, struct fake_packet *p)
{
	peers_require(g->ready, "a change for a gateway that is not ready");
	uint32_t ticket = wire_get_u32(&p->in);

	peers_require(!p->in.bad && p->n_fds <= 4, "change of a gateway");
	if (g->n_changes < ARRAY_LEN(g->changes))
		g->changes[g->n_changes++] = ticket;
}

bool answer_change(struct peers *w, size_t gateway, bool failed)
{
	struct peer_gateway *g = &w->gateways[gateway];

	if (!g->n_changes || w->f.gateways[gateway].gone)
		return false;
	uint32_t ticket = g->changes[0];
	memmove(g->changes, g->changes + 1, --g->n_changes * sizeof(*g->changes));
	fake_send(w->f.gateways[gateway].sock, NULL, 0, failed ? "uube" : "uub", GATEWAY_CHANGED, ticket, (unsigned)failed);
	return true;
}
