/* SPDX-License-Identifier: Apache-2.0 */
/* Values of commands for calls: asked for, kept fresh, ended. */
#include "gateway/issue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/control.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/secret_source.h"

#define SECOND_US 1000000ull
/* So long before the end of one the next is asked for, in time for a slow command and a second try. */
#define EARLY_US (60 * SECOND_US)
#define AGAIN_US (5 * SECOND_US) /* after a failure */
/* Longer is as good as for ever, and fits a clock of microseconds. */
#define SECONDS_MAX (100ull * 365 * 86400)
#define END_US (5 * SECOND_US)
#define HELPER_GONE "its helper is gone"

struct issue {
	struct issue *next;
	struct issuer *issuer;
	uint32_t number;
	struct holder *holder; /* NULL: nobody's yet, or not any more */
	struct ending *ending; /* of its call */
	struct locked pages;   /* NULL: there is no value */
	size_t len;
	uint64_t expires, next_at; /* 0: never */
	uint64_t again_at;	   /* after a failure: not before */
	struct timer timer;
	struct waiter waiter; /* for the record of the question */
	bool asked, failing, had_one, renewing;
	bool outdated; /* what is being asked for was, before it was to be renewed */
	char *why; /* of the last failure */
};

struct issuer {
	struct source source; /* first; as long as the gateway */
	struct gateway *gw;
	size_t secret;
	struct issue *issues, *first; /* first: is among them */
	uint32_t last;
	uint32_t renewal; /* the ticket of whoever waits */
	size_t n_renewing;
	struct error renewal_failed;
};

/* A call that has ended, and whose values have not. */
struct ending {
	struct ending *next;
	struct gateway *gw;
	struct call who; /* for records: its address */
	size_t n;
	struct timer timer;
};

static void record(const struct issuer *r, const struct call *call, const char *reason, const char *why)
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

static void drop_value(struct issue *i)
{
	locked_free(&i->pages);
	i->len = 0;
	i->expires = i->next_at = 0;
}

static void tell_renewal(struct issuer *r)
{
	/* The supervisor is gone. */
	if (control_changed(r->gw, r->renewal, r->renewal_failed.err ? &r->renewal_failed : NULL) < 0)
		_exit(0);
}

static void fail_renewal(struct issuer *r, const char *why)
{
	const char *name = r->gw->secrets.v[r->secret].rule->name;

	fail(&r->renewal_failed, ENOKEY, SANDBOX_STAGE_SECRET, name, "Secret %s was not given by its command: %s.", name, why);
}

static void finish_renewal(struct issue *i, const char *why)
{
	struct issuer *r = i->issuer;

	if (!i->renewing)
		return;
	i->renewing = false;
	if (why)
		fail_renewal(r, why);
	if (--r->n_renewing == 0)
		tell_renewal(r);
}

static void issue_free(struct issue *i)
{
	struct issue **at = &i->issuer->issues;

	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	finish_renewal(i, NULL);
	if (i->holder)
		i->holder->issue = NULL;
	if (i->issuer->first == i)
		i->issuer->first = NULL;
	timer_stop(&i->issuer->gw->loop, &i->timer);
	records_forget(&i->issuer->gw->records, &i->waiter);
	drop_value(i);
	free(i->why);
	free(i);
}

static void ending_free(struct ending *x)
{
	struct ending **at = &x->gw->endings;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	timer_stop(&x->gw->loop, &x->timer);
	if (control_ended(x->gw, x->who.addr) < 0)
		_exit(0);
	free(x);
}

/* Its value is revoked, or will not be. */
static void ended(struct issue *i, const char *why)
{
	struct ending *x = i->ending;

	if (why)
		record(i->issuer, x ? &x->who : NULL, "secret-revoke", why);
	issue_free(i);
	if (x && --x->n == 0)
		ending_free(x);
}

static void end_too_late(struct timer *t)
{
	struct ending *x = (struct ending *)((char *)t - offsetof(struct ending, timer));

	for (size_t s = 0; s < x->gw->secrets.n; s++) {
		struct issuer *r = x->gw->secrets.v[s].issuer;
		for (struct issue *i = r ? r->issues : NULL; i; i = i->next) {
			if (i->ending != x)
				continue;
			i->ending = NULL;
			record(r, &x->who, "secret-revoke", "its command takes longer; the call's end is told before");
		}
	}
	ending_free(x);
}

/* True: i->ending hears of it. */
static bool end_issue(struct issue *i)
{
	struct issuer *r = i->issuer;

	if (r->first == i)
		r->first = NULL;
	if (i->holder)
		i->holder->issue = NULL;
	i->holder = NULL;
	drop_value(i);
	timer_stop(&r->gw->loop, &i->timer);
	records_forget(&r->gw->records, &i->waiter);
	finish_renewal(i, NULL);
	int e = source_end(r->source.fd, i->number);
	if (e < 0)
		record(r, i->ending ? &i->ending->who : NULL, "secret-revoke",
		       e == -EAGAIN ? "its helper is busy; it is revoked when the sandbox ends" : HELPER_GONE);
	if (e == 0 && r->gw->secrets.v[r->secret].rule->revoke)
		return true;
	i->ending = NULL;
	issue_free(i);
	return false;
}

bool issues_end(struct gateway *gw, struct call *call)
{
	struct ending *x = NULL;

	for (struct holder *h = call->holders; h; h = h->next) {
		if (!h->issue)
			continue;
		if (!x && (x = calloc(1, sizeof(*x))))
			*x = (struct ending){ .gw = gw, .who.addr = call->addr, .timer.fired = end_too_late };
		h->issue->ending = x;
		if (end_issue(h->issue) && x)
			x->n++;
	}
	if (!x || !x->n) {
		free(x);
		return false;
	}
	x->next = gw->endings;
	gw->endings = x;
	timer_start(&gw->loop, &x->timer, END_US);
	return true;
}

bool issues_ending(const struct gateway *gw, uint32_t addr)
{
	const struct ending *x = gw->endings;

	while (x && x->who.addr != addr)
		x = x->next;
	return x;
}

/* What has to be done next has a time. */
static void set_timer(struct issue *i)
{
	struct loop *l = &i->issuer->gw->loop;
	uint64_t at = i->asked ? 0 : i->next_at;

	if (i->expires && (!at || i->expires < at))
		at = i->expires;
	timer_stop(l, &i->timer);
	if (at)
		timer_start(l, &i->timer, at > l->now ? at - l->now : 0);
}

static void hold_until(struct issue *i, uint64_t seconds)
{
	uint64_t time = (seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * SECOND_US;

	i->expires = seconds ? i->issuer->gw->loop.now + time : 0;
	i->next_at = seconds ? i->expires - (time > 5 * EARLY_US ? EARLY_US : time / 5) : 0;
}

/* The requests that wait for it: each goes on, or is refused, so that none is met twice. h: NULL for nobody's. */
static void wake(struct holder *h)
{
	struct call *call = h ? h->call : NULL;

	for (struct session *s = call ? call->sessions : NULL; s;) {
		bool waits = s->x && s->x->state == EXCHANGE_SECRET && s->x->awaits == h;
		if (waits)
			session_run(s);
		s = waits ? call->sessions : s->next;
	}
}

static void failed(struct issue *i, const char *why)
{
	uint64_t now = i->issuer->gw->loop.now;

	i->again_at = now + AGAIN_US;
	i->next_at = i->expires ? i->again_at : 0;
	free(i->why);
	i->why = strdup(why);
	/* Once, until it works again. */
	if (!i->failing)
		record(i->issuer, call_of(i), "secret-refresh", why);
	i->failing = true;
	i->outdated = false;
	finish_renewal(i, why);
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
	set_timer(i);
	wake(i->holder);
}

static void ask(struct issue *i)
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
		drop_value(i);
		record(i->issuer, call_of(i), "secret-expired", NULL);
	}
	if (!i->asked && i->next_at && now >= i->next_at)
		ask(i);
	set_timer(i);
}

static struct issue *issue_new(struct issuer *r, struct holder *h)
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
		end_issue(i);
		return;
	}
	r->first = NULL;
	i->holder = h;
	h->issue = i;
	set_timer(i);
}

int issue_value(struct gateway *gw, struct holder *h, struct secret_value *ret)
{
	struct issuer *r = gw->secrets.v[h->placeholder->secret].issuer;

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
		ask(i);
	return i->asked ? -EINPROGRESS : -ENOKEY;
}

bool issue_asked(const struct holder *h)
{
	return h->issue && h->issue->asked && !h->issue->len;
}

const char *issue_failure(const struct holder *h, const char **ret_why)
{
	const struct issue *i = h->issue;

	*ret_why = i ? i->why : NULL;
	return i && i->had_one ? "secret-expired" : "secret-unavailable";
}

static void answered(struct issue *i, struct source_answer *a)
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
		ask(i);
		return;
	}
	if (a->value && secrets_keep(&gw->secrets, i->issuer->secret, a->value, a->len, &pages, &e) == 0) {
		locked_free(&i->pages);
		i->pages = pages;
		i->len = a->len;
		i->had_one = true;
		i->failing = false;
		hold_until(i, a->seconds);
		finish_renewal(i, NULL);
	} else {
		failed(i, a->value ? e.message : a->why);
	}
	set_timer(i);
	wake(i->holder);
}

/* The helper is gone, and with it every value: it has seen the end of its socket, too. */
void issuer_close(struct issuer *r)
{
	loop_close(&r->source);
	while (r->issues) {
		struct issue *i = r->issues;
		struct holder *h = i->holder;
		finish_renewal(i, HELPER_GONE);
		ended(i, i->ending ? HELPER_GONE : NULL);
		wake(h);
	}
}

static void ready(struct source *source, uint32_t events)
{
	struct issuer *r = (struct issuer *)source;
	struct source_answer answer;

	(void)events;
	int e = source_read(source->fd, r->gw->secrets.unlocked, &answer);
	if (e == -EAGAIN)
		return;
	if (e < 0) {
		record(r, NULL, "secret-refresh", e == -EPERM || e == -ENOMEM ? "no memory to keep it in" : HELPER_GONE);
		issuer_close(r);
		return;
	}
	struct issue *i = r->issues;
	while (i && i->number != answer.number)
		i = i->next;
	if (i && answer.ended)
		ended(i, answer.why);
	else if (i)
		answered(i, &answer);
	source_answer_free(&answer);
}

int issuer_new(struct secrets *s, size_t secret, int fd, const struct source_answer *first, struct error *e)
{
	const char *name = s->v[secret].rule->name;
	struct issuer *r = calloc(1, sizeof(*r));
	struct issue *i = r ? issue_new(r, NULL) : NULL;
	struct locked pages;

	if (!i) {
		free(r);
		return fail(e, ENOMEM, SANDBOX_STAGE_SECRET, name, "No memory for secret %s.", name);
	}
	int k = secrets_keep(s, secret, first->value, first->len, &pages, e);
	if (k < 0) {
		free(i);
		free(r);
		return k;
	}
	i->pages = pages;
	i->len = first->len;
	i->had_one = true;
	/* Until issuer_start(). */
	i->expires = first->seconds;
	r->first = i;
	r->secret = secret;
	r->source = (struct source){ .fd = fd, .ready = ready };
	s->v[secret].issuer = r;
	return 0;
}

int issuer_start(struct gateway *gw, struct issuer *r)
{
	r->gw = gw;
	hold_until(r->first, r->first->expires);
	if (fcntl(r->source.fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return loop_add(&gw->loop, &r->source, EPOLLIN | EPOLLRDHUP);
}

bool issuer_holds(const struct issuer *r, const void *text, size_t len)
{
	for (const struct issue *i = r->issues; i; i = i->next) {
		if (i->len == len && memcmp(i->pages.data, text, len) == 0)
			return true;
	}
	return false;
}

bool issuer_renew(struct issuer *r, uint32_t ticket)
{
	if (r->n_renewing)
		return false;
	r->renewal = ticket;
	r->renewal_failed = (struct error){ 0 };
	r->n_renewing = 1; /* ours, so that it is not over before all are asked */
	if (r->first)
		end_issue(r->first);
	for (struct issue *i = r->issues; i; i = i->next) {
		if (!i->holder)
			continue;
		i->renewing = true;
		r->n_renewing++;
		i->outdated = i->asked;
		if (!i->asked)
			ask(i);
		set_timer(i);
	}
	if (r->source.fd < 0)
		fail_renewal(r, HELPER_GONE);
	if (--r->n_renewing == 0)
		tell_renewal(r);
	return true;
}
