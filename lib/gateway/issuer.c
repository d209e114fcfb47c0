/* SPDX-License-Identifier: Apache-2.0 */
/* Who gives values: the helper with the command of one secret (lib/source), its answers, and renewals. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/control.h"
#include "gateway/issue_private.h"

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

void issuer_renewed(struct issue *i, const char *why)
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

/* The helper is gone, and with it every value: it has seen the end of its socket, too. */
void issuer_close(struct issuer *r)
{
	loop_close(&r->source);
	while (r->issues) {
		struct issue *i = r->issues;
		struct holder *h = i->holder;
		issuer_renewed(i, HELPER_GONE);
		issue_ended(i, i->ending ? HELPER_GONE : NULL);
		issue_wake(h);
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
		issue_record(r, NULL, "secret-refresh", e == -EPERM || e == -ENOMEM ? "no memory to keep it in" : HELPER_GONE);
		issuer_close(r);
		return;
	}
	struct issue *i = r->issues;
	while (i && i->number != answer.number)
		i = i->next;
	if (i && answer.ended)
		issue_ended(i, answer.why);
	else if (i)
		issue_answered(i, &answer);
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
	issue_hold(r->first, r->first->expires);
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
		issue_end(r->first);
	for (struct issue *i = r->issues; i; i = i->next) {
		if (!i->holder)
			continue;
		i->renewing = true;
		r->n_renewing++;
		i->outdated = i->asked;
		if (!i->asked)
			issue_ask(i);
		issue_set_timer(i);
	}
	if (r->source.fd < 0)
		fail_renewal(r, HELPER_GONE);
	if (--r->n_renewing == 0)
		tell_renewal(r);
	return true;
}
