/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: descriptors by epoll, deadlines of calls and gateways by the wait time. */
#include <errno.h>

#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

int loop_add(struct supervisor *s, struct source *source, int fd,
	     void (*ready)(struct supervisor *, struct source *, uint32_t))
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

	*source = (struct source){ .fd = fd, .events = EPOLLIN, .ready = ready };
	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct supervisor *s, struct source *source)
{
	if (source->fd >= 0)
		epoll_ctl(s->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	source->fd = -EBADF;
}

static void change(struct supervisor *s, struct source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	/* Hardly ever a change: a call of the kernel for each message would be a tenth of the supervisor's work. */
	if (source->fd >= 0 && source->events != events && epoll_ctl(s->epoll, EPOLL_CTL_MOD, source->fd, &event) == 0)
		source->events = events;
}

void loop_pause(struct supervisor *s, struct source *source, bool paused)
{
	source->paused = paused;
	change(s, source, (source->events & (uint32_t)EPOLLOUT) | (paused ? 0u : (uint32_t)EPOLLIN));
}

void loop_want_write(struct supervisor *s, struct source *source, const struct link *l)
{
	loop_want(s, source, link_waiting(l));
}

void loop_want(struct supervisor *s, struct source *source, bool write)
{
	change(s, source, (source->paused ? 0u : (uint32_t)EPOLLIN) | (write ? (uint32_t)EPOLLOUT : 0u));
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

void loop_deadline(struct supervisor *s, uint64_t at)
{
	s->next_deadline = earliest(s->next_deadline, at);
}

static void gateway_is_late(struct sandbox *b)
{
	struct error e;

	b->gateway_deadline = 0;
	fail(&e, ETIMEDOUT, SANDBOX_STAGE_GATEWAY, b->id,
	     "the gateway was not ready within %u s; does a secret source (exec:) hang?", GATEWAY_READY_US / 1000000u);
	sandbox_start_failed(b, &e);
}

/* One at a time: expiring may remove objects from the lists that are being walked. */
static bool expire_one(struct supervisor *s, uint64_t now)
{
	if (control_expire(s, now) || named_expire(s, now))
		return true;
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (b->gateway_deadline && b->gateway_deadline <= now) {
			gateway_is_late(b);
			return true;
		}
		if (protected_expire(b, now) || pool_expire(b, now) || auditor_link_expire(b, now) ||
		    approval_expire(b, now))
			return true;
		for (struct call *c = b->calls; c; c = c->next) {
			if (c->deadline && c->deadline <= now) {
				call_expire(c);
				return true;
			}
		}
	}
	return false;
}

/* Only when the remembered time has come: walking thousands of objects for each event would cost more than the event. */
static void expire(struct supervisor *s, uint64_t now)
{
	while (expire_one(s, now))
		;
	s->next_deadline = s->control_resumes;
	loop_deadline(s, s->listeners_resume);
	for (const struct sandbox *b = s->sandboxes; b; b = b->next) {
		loop_deadline(s, b->gateway_deadline);
		loop_deadline(s, b->control_rests);
		loop_deadline(s, b->look_due);
		loop_deadline(s, b->pool_deadline);
		loop_deadline(s, b->refill_deadline);
		loop_deadline(s, auditor_link_deadline(b));
		loop_deadline(s, approval_deadline(b));
		for (const struct call *c = b->calls; c; c = c->next)
			loop_deadline(s, c->deadline);
	}
}

/* Until the earliest deadline; -1 for ever. */
static int wait_time(const struct supervisor *s, uint64_t now)
{
	if (!s->next_deadline)
		return -1;
	uint64_t ms = (s->next_deadline - now + 999) / 1000;
	return ms > 1000000 ? 1000000 : (int)ms;
}

int loop_step(struct supervisor *s, bool wait)
{
	uint64_t now = s->next_deadline ? now_us() : 0;
	struct epoll_event event;

	if (s->next_deadline && s->next_deadline <= now) {
		expire(s, now);
	} else {
		/* One event at a time: a handler may free the object that a second event of the same batch points at. */
		int n = epoll_wait(s->epoll, &event, 1, wait ? wait_time(s, now) : 0);
		if (n <= 0)
			return n == 0 || errno == EINTR ? 0 : -errno;
		struct source *source = event.data.ptr;
		source->ready(s, source, event.events);
	}
	children_reap(s);
	clients_reap(s);
	return 1;
}

int loop_run(struct supervisor *s)
{
	int r = 0;

	while (!s->done && r >= 0)
		r = loop_step(s, true);
	return r < 0 ? r : 0;
}
