/* SPDX-License-Identifier: Apache-2.0 */
/* Values of commands for calls: asked for, kept fresh, given up. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/exchange.h"
#include "gateway/issue_private.h"

void issue_record(const struct issuer *r, const struct call *call, const char *reason, const char *why)
{
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "name", r->gw->secrets.v[r->secret].rule->name);
	if (why)
		json_member_string(&members, "why", why);
	records_add(&r->gw->records, "limit.hit", call, reason, &members);
}

static const struct call *call_of(const struct issue *i)
{
	return i->holder ? i->holder->call : NULL;
}

void issue_drop_value(struct issue *i)
{
	locked_free(&i->pages);
	i->len = 0;
	i->expires = i->next_at = 0;
}

void issue_free(struct issue *i)
{
	struct issue **at = &i->issuer->issues;

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	issuer_renewed(i, NULL);
	if (i->holder)
		i->holder->issue = NULL;
	if (i->issuer->first == i)
		i->issuer->first = NULL;
	timer_stop(&i->issuer->gw->loop, &i->timer);
	records_forget(&i->issuer->gw->records, &i->waiter);
	issue_drop_value(i);
	free(i->why);
	free(i);
}

void issue_set_timer(struct issue *i)
{
	struct loop *l = &i->issuer->gw->loop;
	uint64_t at = i->asked ? 0 : i->next_at;

	if (i->expires && (!at || i->expires < at))
		at = i->expires;
	timer_stop(l, &i->timer);
	if (at)
		timer_start(l, &i->timer, at > l->now ? at - l->now : 0);
}

void issue_hold(struct issue *i, uint64_t seconds)
{
	source_times(i->issuer->gw->loop.now, seconds, &i->expires, &i->next_at);
}

void issue_wake(struct holder *h)
{
	struct call *call = h ? h->call : NULL;

	for (struct session *s = call ? call->sessions : NULL; s; s = s->next) {
		if (s->x && s->x->state == EXCHANGE_SECRET && s->x->awaits == h)
			s->x->issued = h;
	}
	/* From the beginning after each, which may end others or wake those of another secret; marked, so that one that waits
	 * again is not met again. */
	for (struct session *s = call ? call->sessions : NULL; s;) {
		bool waits = s->x && s->x->issued == h;
		if (waits) {
			s->x->issued = NULL;
			session_run(s);
		}
		s = waits ? call->sessions : s->next;
	}
}

static void failed(struct issue *i, const char *why)
{
	uint64_t now = i->issuer->gw->loop.now;

	i->again_at = now + SOURCE_AGAIN_US;
	i->next_at = i->expires ? i->again_at : 0;
	free(i->why);
	i->why = strdup(why);
	/* Once, until it works again. */
	if (!i->failing)
		issue_record(i->issuer, call_of(i), "secret-refresh", why);
	i->failing = true;
	i->outdated = false;
	issuer_renewed(i, why);
}

/* The record is written: the command may run. */
static void recorded(struct waiter *w, bool ok)
{
	struct issue *i = (struct issue *)((char *)w - offsetof(struct issue, waiter));
	const struct call *call = call_of(i);

	int r = ok ? source_ask(i->issuer->source.fd, i->number, call && call->about ? call->about : "") : -EIO;
	if (r == 0)
		return;
	i->asked = false;
	failed(i, !ok ? "the audit log cannot be written" : r == -EAGAIN ? "too many wait for its command" : HELPER_GONE);
	issue_set_timer(i);
	issue_wake(i->holder);
}

void issue_ask(struct issue *i)
{
	struct issuer *r = i->issuer;
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "name", r->gw->secrets.v[r->secret].rule->name);
	records_add(&r->gw->records, "secret.ask", call_of(i), i->had_one ? "refresh" : "request", &members);
	i->asked = true;
	i->waiter.done = recorded;
	records_wait(&r->gw->records, &i->waiter);
}

static void fired(struct timer *t)
{
	struct issue *i = (struct issue *)((char *)t - offsetof(struct issue, timer));
	uint64_t now = i->issuer->gw->loop.now;

	if (i->expires && now >= i->expires) {
		issue_drop_value(i);
		issue_record(i->issuer, call_of(i), "secret-expired", NULL);
	}
	if (!i->asked && i->next_at && now >= i->next_at)
		issue_ask(i);
	issue_set_timer(i);
}

struct issue *issue_new(struct issuer *r, struct holder *h)
{
	struct issue *i = r->last < UINT32_MAX ? calloc(1, sizeof(*i)) : NULL;

	if (!i)
		return NULL;
	*i = (struct issue){ .next = r->issues, .issuer = r, .number = ++r->last, .holder = h, .timer.fired = fired };
	r->issues = i;
	return i;
}

/* The one that was given before there was a call, for one that has what was told then. */
static void take_first(struct gateway *gw, struct issuer *r, struct holder *h)
{
	struct issue *i = r->first;

	if (!i || h->call->grant)
		return;
	if (i->expires && gw->loop.now >= i->expires) {
		issue_end(i);
		return;
	}
	r->first = NULL;
	i->holder = h;
	h->issue = i;
	issue_set_timer(i);
}

int issue_value(struct gateway *gw, struct holder *h, struct secret_value *ret)
{
	struct issuer *r = gw->secrets.v[h->placeholder->secret].issuer;

	/* Nobody would answer. */
	if (r->source.fd < 0)
		return -ENOKEY;
	if (!h->issue)
		take_first(gw, r, h);
	if (!h->issue)
		h->issue = issue_new(r, h);
	struct issue *i = h->issue;
	if (!i)
		return -ENOKEY;
	if (i->len) {
		*ret = (struct secret_value){ .data = i->pages.data, .len = i->len };
		return 0;
	}
	if (!i->asked && gw->loop.now >= i->again_at)
		issue_ask(i);
	return i->asked ? -EINPROGRESS : -ENOKEY;
}

bool issue_asked(const struct holder *h)
{
	return h->issue && h->issue->asked && !h->issue->len;
}

const char *issue_failure(const struct gateway *gw, const struct holder *h, const char **ret_why)
{
	const struct issue *i = h->issue;
	bool gone = gw->secrets.v[h->placeholder->secret].issuer->source.fd < 0;

	*ret_why = gone ? HELPER_GONE : i ? i->why : NULL;
	return i && i->had_one ? "secret-expired" : "secret-unavailable";
}

void issue_answered(struct issue *i, struct source_answer *a)
{
	struct gateway *gw = i->issuer->gw;
	struct locked pages;
	struct error e;

	i->asked = false;
	/* Its call has ended meanwhile; the helper revokes it. */
	if (!i->holder && i != i->issuer->first)
		return;
	if (i->outdated) {
		i->outdated = false;
		issue_ask(i);
		return;
	}
	if (a->value && secrets_keep(&gw->secrets, i->issuer->secret, a->value, a->len, &pages, &e) == 0) {
		locked_free(&i->pages);
		i->pages = pages;
		i->len = a->len;
		i->had_one = true;
		i->failing = false;
		issue_hold(i, a->seconds);
		issuer_renewed(i, NULL);
	} else {
		failed(i, a->value ? e.message : a->why);
	}
	issue_set_timer(i);
	issue_wake(i->holder);
}
