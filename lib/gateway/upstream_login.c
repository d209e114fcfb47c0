/* SPDX-License-Identifier: Apache-2.0 */
/* The login at the proxy: loaded, and kept fresh. */
#include "gateway/upstream_login.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/gateway.h"
#include "gateway/secret_source.h"

#define LOGIN_MAX 1024u
#define NUMBER 1u /* of the value, at the helper: there is never another */

static int refuse(struct error *e, const char *why)
{
	return fail(e, EINVAL, SANDBOX_STAGE_SECRET, "upstream_proxy", "The password of upstream_proxy %s.", why);
}

static int no_pages(struct error *e, int r)
{
	return refuse(e, r == -EPERM ? "cannot be kept in locked memory (RLIMIT_MEMLOCK)" : "cannot be kept: no memory");
}

/* In the place of the one before. */
static int take(struct upstream_login *l, const uint8_t *value, size_t len, bool unlocked, struct error *e)
{
	struct locked pages;

	if (len > LOGIN_MAX)
		return refuse(e, "is longer than 1024 bytes");
	for (size_t i = 0; i < len; i++) {
		if (value[i] < ' ' || value[i] == 0x7f)
			return refuse(e, "contains control bytes");
	}
	if (!len || !memchr(value, ':', len))
		return refuse(e, "is not of the form USER:PASSWORD");
	int r = locked_new(&pages, len, unlocked);
	if (r < 0)
		return no_pages(e, r);
	memcpy(pages.data, value, len);
	locked_free(&l->value);
	l->value = pages;
	l->len = len;
	return 0;
}

static int read_whole(struct upstream_login *l, int fd, bool unlocked, struct error *e)
{
	struct locked pages;
	size_t len = 0;
	ssize_t n;

	/* And a newline, and a byte too many. */
	int r = locked_new(&pages, LOGIN_MAX + 2, unlocked);
	if (r < 0)
		return no_pages(e, r);
	do {
		n = read(fd, pages.data + len, LOGIN_MAX + 2 - len);
		len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && len < LOGIN_MAX + 2) || (n < 0 && errno == EINTR));
	if (len && pages.data[len - 1] == '\n')
		len--;
	r = n < 0 ? refuse(e, "cannot be read") : take(l, pages.data, len, unlocked, e);
	locked_free(&pages);
	return r;
}

static int ask_first(struct upstream_login *l, int fd, int parent_fd, bool unlocked, struct error *e)
{
	struct source_answer a = { 0 };

	int r = source_ask(fd, NUMBER, "");
	if (r == 0)
		r = source_wait(fd, parent_fd);
	if (r == 0)
		r = source_read(fd, unlocked, &a);
	if (r == -EPERM || r == -ENOMEM)
		return no_pages(e, r);
	if (r < 0 || !a.value || a.number != NUMBER)
		r = fail(e, ENOKEY, SANDBOX_STAGE_SECRET, "upstream_proxy",
			 "The password of upstream_proxy was not given by its command: %s.", r == 0 && a.why ? a.why : HELPER_GONE);
	else
		r = take(l, a.value, a.len, unlocked, e);
	l->seconds = a.seconds;
	source_answer_free(&a);
	return r;
}

int upstream_login_init(struct upstream_login *l, const struct policy *policy, int *fd, int parent_fd, bool unlocked,
			struct error *e)
{
	const struct policy_upstream_proxy *proxy = policy_upstream_proxy(policy);

	l->source.fd = -EBADF;
	if (!proxy || !proxy->source_arg)
		return 0;
	if (proxy->source != SOURCE_EXEC)
		return read_whole(l, *fd, unlocked, e);
	int r = ask_first(l, *fd, parent_fd, unlocked, e);
	if (r == 0)
		l->source.fd = TAKE_FD(*fd);
	return r;
}

static void record(struct upstream_login *l, const char *event, const char *reason, const char *why)
{
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "name", "upstream_proxy");
	if (why)
		json_member_string(&members, "why", why);
	records_add(&l->gw->records, event, NULL, reason, &members);
}

static void set_timer(struct upstream_login *l)
{
	struct loop *loop = &l->gw->loop;
	uint64_t at = l->asked ? 0 : l->next_at;

	if (l->expires && (!at || l->expires < at))
		at = l->expires;
	timer_stop(loop, &l->timer);
	if (at)
		timer_start(loop, &l->timer, at > loop->now ? at - loop->now : 0);
}

static void failed(struct upstream_login *l, const char *why)
{
	l->again_at = l->gw->loop.now + SOURCE_AGAIN_US;
	l->next_at = l->expires && l->source.fd >= 0 ? l->again_at : 0;
	/* Once, until it works again. */
	if (!l->failing)
		record(l, "limit.hit", "secret-refresh", why);
	l->failing = true;
}

/* The record is written: the command may run. */
static void recorded(struct waiter *w, bool ok)
{
	struct upstream_login *l = (struct upstream_login *)((char *)w - offsetof(struct upstream_login, waiter));

	if (l->source.fd >= 0 && ok && source_ask(l->source.fd, NUMBER, "") == 0)
		return;
	l->asked = false;
	failed(l, ok ? HELPER_GONE : "the audit log cannot be written");
	set_timer(l);
}

static void ask(struct upstream_login *l)
{
	record(l, "secret.ask", "refresh", NULL);
	l->asked = true;
	l->waiter.done = recorded;
	records_wait(&l->gw->records, &l->waiter);
}

static void fired(struct timer *t)
{
	struct upstream_login *l = (struct upstream_login *)((char *)t - offsetof(struct upstream_login, timer));
	uint64_t now = l->gw->loop.now;

	if (l->expires && now >= l->expires) {
		locked_free(&l->value);
		l->len = 0;
		l->expires = 0;
		record(l, "limit.hit", "secret-expired", NULL);
	}
	if (!l->asked && l->next_at && now >= l->next_at)
		ask(l);
	set_timer(l);
}

static void ready(struct source *source, uint32_t events)
{
	struct upstream_login *l = (struct upstream_login *)((char *)source - offsetof(struct upstream_login, source));
	struct source_answer a;
	struct error e;

	(void)events;
	int r = source_read(source->fd, l->gw->secrets.unlocked, &a);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		loop_close(source);
		l->asked = false;
		failed(l, r == -EPERM || r == -ENOMEM ? "no memory to keep it in" : HELPER_GONE);
		set_timer(l);
		return;
	}
	if (a.number == NUMBER && !a.ended && l->asked) {
		l->asked = false;
		r = a.value ? take(l, a.value, a.len, l->gw->secrets.unlocked, &e) : -ENOKEY;
		l->failing = r < 0 && l->failing;
		if (r == 0)
			source_times(l->gw->loop.now, a.seconds, &l->expires, &l->next_at);
		else
			failed(l, a.value ? e.message : a.why);
		set_timer(l);
	}
	source_answer_free(&a);
}

int upstream_login_start(struct gateway *gw)
{
	struct upstream_login *l = &gw->login;

	if (l->source.fd < 0)
		return 0;
	l->gw = gw;
	l->source.ready = ready;
	l->timer.fired = fired;
	source_times(gw->loop.now, l->seconds, &l->expires, &l->next_at);
	set_timer(l);
	if (fcntl(l->source.fd, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return loop_add(&gw->loop, &l->source, EPOLLIN | EPOLLRDHUP);
}

bool upstream_login_there(struct gateway *gw)
{
	struct upstream_login *l = &gw->login;

	if (l->len || !l->gw)
		return true;
	if (!l->asked && l->source.fd >= 0 && gw->loop.now >= l->again_at)
		ask(l);
	return false;
}
