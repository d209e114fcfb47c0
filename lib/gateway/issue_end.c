/* SPDX-License-Identifier: Apache-2.0 */
/* The end of values of commands: with their call, once the command has revoked them. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/control.h"
#include "gateway/issue_private.h"

#define END_US (5 * SECOND_US)

/* A call that has ended, and whose values have not. */
struct ending {
	struct ending *next;
	struct gateway *gw;
	struct call who; /* for records: its address */
	size_t n;
	struct timer timer;
};

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

void issue_ended(struct issue *i, const char *why)
{
	struct ending *x = i->ending;

	if (why)
		issue_record(i->issuer, x ? &x->who : NULL, "secret-revoke", why);
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
			issue_record(r, &x->who, "secret-revoke", "its command takes longer; the call's end is told before");
		}
	}
	ending_free(x);
}

bool issue_end(struct issue *i)
{
	struct issuer *r = i->issuer;

	if (r->first == i)
		r->first = NULL;
	if (i->holder)
		i->holder->issue = NULL;
	i->holder = NULL;
	issue_drop_value(i);
	timer_stop(&r->gw->loop, &i->timer);
	records_forget(&r->gw->records, &i->waiter);
	issuer_renewed(i, NULL);
	int e = source_end(r->source.fd, i->number);
	if (e < 0)
		issue_record(r, i->ending ? &i->ending->who : NULL, "secret-revoke",
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
		if (issue_end(h->issue) && x)
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
