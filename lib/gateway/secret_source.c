/* SPDX-License-Identifier: Apache-2.0 */
/* Asking again for secrets. */
#include "gateway/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/util.h"
#include "base/wire.h"
#include "gateway/gateway.h"
#include "source/protocol.h"

#define SECOND_US 1000000ull
/* So long before the end of one the next is asked for, in time for a slow command and a second try. */
#define EARLY_US (60 * SECOND_US)
#define AGAIN_US (5 * SECOND_US)
#define AGAIN_EXPIRED_US (30 * SECOND_US)
/* Longer is as good as for ever, and fits a clock of microseconds. */
#define SECONDS_MAX (100ull * 365 * 86400)

struct renewal {
	struct source source; /* first */
	struct timer timer;
	struct gateway *gw;
	size_t secret;
	uint64_t expires, next; /* 0: never */
	bool asked, failing;
};

int source_ask(int fd)
{
	_cleanup_buf_ struct buf m = { 0 };
	int r = wire_put_u32(&m, SOURCE_ASK);

	return r < 0 ? r : msg_send(fd, m.data, m.len, NULL, 0);
}

int source_read(int fd, bool unlocked, struct source_answer *ret)
{
	uint8_t probe;
	ssize_t n = recv(fd, &probe, 1, MSG_PEEK | MSG_TRUNC);

	*ret = (struct source_answer){ 0 };
	if (n <= 0)
		return n == 0 ? -EPIPE : errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
	if (n > (ssize_t)SOURCE_OUTPUT_MAX + 64)
		return -EPROTO;
	int r = locked_new(&ret->pages, (size_t)n, unlocked);
	if (r < 0)
		return r;
	n = recv(fd, ret->pages.data, (size_t)n, 0);
	struct wire_reader in = wire_reader(ret->pages.data, n > 0 ? (size_t)n : 0);
	uint32_t type = wire_get_u32(&in);
	if (type == SOURCE_VALUE_IS) {
		ret->seconds = wire_get_u64(&in);
		ret->value = wire_get_bytes(&in, &ret->len);
	} else if (type == SOURCE_FAILED) {
		ret->why = wire_get_str(&in);
	}
	if (wire_done(&in) && (ret->value || ret->why))
		return 0;
	source_answer_free(ret);
	return -EPROTO;
}

void source_answer_free(struct source_answer *a)
{
	locked_free(&a->pages);
	free(a->why);
	*a = (struct source_answer){ 0 };
}

static void record(struct renewal *x, const char *reason, const char *why)
{
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "name", x->gw->secrets.v[x->secret].rule->name);
	if (why)
		json_member_string(&members, "why", why);
	records_add(&x->gw->records, "limit.hit", NULL, reason, &members);
}

/* What has to be done next has a time. */
static void set_timer(struct renewal *x)
{
	uint64_t now = x->gw->loop.now, at = x->asked || x->source.fd < 0 ? 0 : x->next;

	if (x->expires && (!at || x->expires < at))
		at = x->expires;
	timer_stop(&x->gw->loop, &x->timer);
	if (at)
		timer_start(&x->gw->loop, &x->timer, at > now ? at - now : 0);
}

static void hold_until(struct renewal *x, uint64_t seconds)
{
	uint64_t time = (seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * SECOND_US;

	x->expires = seconds ? x->gw->loop.now + time : 0;
	x->next = seconds ? x->expires - (time > 5 * EARLY_US ? EARLY_US : time / 5) : 0;
}

static void failed(struct renewal *x, const char *why)
{
	x->next = x->gw->loop.now + (x->expires ? AGAIN_US : AGAIN_EXPIRED_US);
	/* Once, until it works again. */
	if (!x->failing)
		record(x, "secret-refresh", why);
	x->failing = true;
}

static void fired(struct timer *t)
{
	struct renewal *x = (struct renewal *)((char *)t - offsetof(struct renewal, timer));
	uint64_t now = x->gw->loop.now;

	if (x->expires && now >= x->expires) {
		x->expires = 0;
		secrets_expire(&x->gw->secrets, x->secret);
		record(x, "secret-expired", NULL);
	}
	if (!x->asked && x->source.fd >= 0 && x->next && now >= x->next) {
		x->asked = source_ask(x->source.fd) == 0;
		if (!x->asked)
			failed(x, "its helper is gone");
	}
	set_timer(x);
}

static void ready(struct source *source, uint32_t events)
{
	struct renewal *x = (struct renewal *)source;
	struct source_answer answer;
	struct error e;

	(void)events;
	int r = source_read(source->fd, x->gw->secrets.unlocked, &answer);
	if (r == -EAGAIN)
		return;
	x->asked = false;
	if (r == 0 && answer.value && secrets_set(&x->gw->secrets, x->secret, answer.value, answer.len, &e) == 0) {
		hold_until(x, answer.seconds);
		x->failing = false;
	} else {
		failed(x, r < 0 ? "its helper is gone" : answer.why ? answer.why : e.message);
	}
	if (r == 0)
		source_answer_free(&answer);
	if (r == -EPIPE || r == -EPROTO)
		loop_close(source);
	set_timer(x);
}

static int start(struct gateway *gw, size_t secret)
{
	struct renewal *x = calloc(1, sizeof(*x)); /* as long as the gateway */

	if (!x)
		return -ENOMEM;
	*x = (struct renewal){ .source = { .fd = TAKE_FD(gw->secrets.v[secret].source), .ready = ready }, .gw = gw,
				     .timer.fired = fired, .secret = secret };
	hold_until(x, gw->secrets.v[secret].seconds);
	set_timer(x);
	if (fcntl(x->source.fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return loop_add(&gw->loop, &x->source, EPOLLIN | EPOLLRDHUP);
}

int secret_sources_start(struct gateway *gw)
{
	int r = 0;

	for (size_t i = 0; i < gw->secrets.n && r == 0; i++)
		r = gw->secrets.v[i].source >= 0 ? start(gw, i) : 0;
	return r;
}
