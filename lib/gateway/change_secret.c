/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that are given, changed and taken away while the sandbox runs. A value comes through a pipe of its own, which
 * nobody else reads and nothing here waits for, or from the helper of its command; the supervisor is told when it is in
 * use, or why it is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/util.h"
#include "gateway/change.h"
#include "gateway/control.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"
#include "gateway/secret_source.h"

#define VALUE_US (60u * 1000000u)

struct incoming {
	struct source source; /* first */
	struct timer timer;
	struct incoming *next; /* of those that are over: the loop may still look at them in this round */
	struct gateway *gw;
	uint32_t ticket;
	size_t secret;		     /* to be changed, or */
	struct policy_secret *added; /* to be there */
	struct locked pages;
	size_t len;
};

static struct incoming *over;

/* Of calls whose command does not run yet: its environment is still to come. */
static int open_for_prepared(struct gateway *gw, size_t secret)
{
	int r = 0;

	for (size_t i = 0; i < CALL_BUCKETS; i++) {
		for (struct call *call = gw->calls.buckets[i]; call && r == 0; call = call->chain) {
			char *env[2] = { NULL, NULL };
			if (call->bound || call->used)
				continue;
			r = secrets_open_one(&gw->secrets, secret, call, &env[0]);
			if (r == 0)
				r = control_placeholders(gw, call, env);
			free(env[0]);
		}
	}
	return r;
}

static void use_added(struct incoming *x)
{
	x->added = NULL;
	/* Half of the calls with it and half without is nothing to go on with. */
	if (open_for_prepared(x->gw, x->gw->secrets.n - 1) < 0)
		_exit(1);
}

static int use(struct incoming *x, struct error *e)
{
	struct secrets *s = &x->gw->secrets;
	size_t len = x->len > 0 && x->pages.data[x->len - 1] == '\n' ? x->len - 1 : x->len;

	if (!x->added)
		return secrets_set(s, x->secret, x->pages.data, len, e);
	int r = secrets_add(s, x->added, x->pages.data, len, e);
	if (r == 0)
		use_added(x);
	return r;
}

static void finish(struct incoming *x, int r, struct error *e)
{
	loop_close(&x->source);
	timer_stop(&x->gw->loop, &x->timer);
	locked_free(&x->pages);
	policy_secret_free(x->added);
	x->next = over;
	over = x;
	/* The supervisor is gone. */
	if (control_changed(x->gw, x->ticket, r < 0 ? e : NULL) < 0)
		_exit(0);
}

static const char *name_of(const struct incoming *x)
{
	return x->added ? x->added->name : x->gw->secrets.v[x->secret].rule->name;
}

static void ready(struct source *source, uint32_t events)
{
	struct incoming *x = (struct incoming *)source;
	struct error e = { 0 };

	(void)events;
	for (;;) {
		/* One byte more than the longest and its newline tells that it is too long. */
		ssize_t n = x->len < x->pages.size ? read(source->fd, x->pages.data + x->len, x->pages.size - x->len) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		int r = n < 0 ? -errno : 0;
		if (r < 0)
			fail_errno(&e, -r, SANDBOX_STAGE_SECRET, name_of(x), "Secret %s could not be read", name_of(x));
		if (n <= 0) {
			finish(x, r == 0 ? use(x, &e) : r, &e);
			return;
		}
		x->len += (size_t)n;
	}
}

/* The first answer of a command. */
static void answered(struct source *source, uint32_t events)
{
	struct incoming *x = (struct incoming *)source;
	struct secrets *s = &x->gw->secrets;
	struct source_answer answer;
	struct error e = { 0 };

	(void)events;
	int r = source_read(source->fd, s->unlocked, &answer);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		fail(&e, -r, SANDBOX_STAGE_SECRET, name_of(x), "Secret %s was not given by its command: %s.", name_of(x),
		     r == -EPERM || r == -ENOMEM ? "no memory to keep it in" : "its helper is gone");
		finish(x, r, &e);
		return;
	}
	int fd = loop_release(&x->gw->loop, source);
	r = secrets_add_command(s, x->added, fd, &answer, &e);
	source_answer_free(&answer);
	if (r < 0) {
		fd_close(fd);
	} else if (issuer_start(x->gw, s->v[s->n - 1].issuer) < 0) {
		_exit(1); /* it would be one that nobody reads */
	} else {
		use_added(x);
	}
	finish(x, r, &e);
}

static void fired(struct timer *t)
{
	struct incoming *x = (struct incoming *)((char *)t - offsetof(struct incoming, timer));
	struct error e;

	int r = fail(&e, ETIMEDOUT, SANDBOX_STAGE_SECRET, name_of(x), "The value of secret %s did not come within a minute.",
		     name_of(x));
	finish(x, r, &e);
}

static bool uses_secret(const struct session *s, size_t secret)
{
	for (size_t i = 0; s->x && s->x->state != EXCHANGE_REFUSED && i < s->x->n_uses; i++) {
		if (s->x->uses[i].secret == secret)
			return true;
	}
	return false;
}

int change_revoke_secret(struct gateway *gw, const char *name)
{
	ssize_t secret = secrets_find(&gw->secrets, name);

	if (secret < 0)
		return -EPROTO;
	secrets_revoke(&gw->secrets, (size_t)secret);
	for (size_t i = 0; i < CALL_BUCKETS; i++) {
		for (struct call *call = gw->calls.buckets[i]; call; call = call->chain) {
			for (struct session *s = call->sessions; s;) {
				bool cut = uses_secret(s, (size_t)secret);
				if (cut)
					session_abort(s);
				s = cut ? call->sessions : s->next;
			}
		}
	}
	return 0;
}

int change_renew_secret(struct gateway *gw, uint32_t ticket, const char *name, struct error *e)
{
	ssize_t secret = secrets_find(&gw->secrets, name);
	struct issuer *issuer = secret < 0 ? NULL : gw->secrets.v[secret].issuer;

	if (!issuer)
		return -EPROTO;
	return issuer_renew(issuer, ticket) ? 0 : fail(e, EBUSY, SANDBOX_STAGE_SECRET, name,
						       "The command of secret %s is being asked anew already.", name);
}

int change_secret(struct gateway *gw, uint32_t ticket, const char *name, struct policy_secret *added, int fd)
{
	ssize_t secret = added ? 0 : secrets_find(&gw->secrets, name);
	struct incoming *x = calloc(1, sizeof(*x));

	while (over) {
		struct incoming *next = over->next;
		free(over);
		over = next;
	}
	if (!x || secret < 0) {
		free(x);
		return x ? -EPROTO : -ENOMEM;
	}
	*x = (struct incoming){ .source = { .fd = -1, .ready = ready }, .timer.fired = fired, .gw = gw, .ticket = ticket,
				.secret = (size_t)secret };
	bool command = added && added->source == SOURCE_EXEC;
	int r = command ? source_ask(fd, 1, "") : locked_new(&x->pages, SECRET_MAX + 2, gw->secrets.unlocked);
	if (command)
		x->source.ready = answered;
	if (r == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0) {
		locked_free(&x->pages);
		free(x);
		return r;
	}
	x->added = added;
	x->source.fd = fd;
	r = loop_add(&gw->loop, &x->source, EPOLLIN | (command ? EPOLLRDHUP : 0));
	timer_start(&gw->loop, &x->timer, VALUE_US);
	/* A file is all there already, and cannot be waited for. */
	if (r < 0)
		x->source.ready(&x->source, 0);
	return 0;
}
