/* SPDX-License-Identifier: Apache-2.0 */
/* Event loop. */
#include "gateway/loop.h"

#include <errno.h>

#include "base/util.h"

#define BATCH 128

int loop_init(struct loop *l)
{
	*l = (struct loop){ .epoll = epoll_create1(EPOLL_CLOEXEC), .now = now_us() };
	if (l->epoll < 0)
		return -errno;
	l->tick = l->now / LOOP_TICK_US;
	return 0;
}

static int control(struct loop *l, int op, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };
	return epoll_ctl(l->epoll, op, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, struct source *s, uint32_t events)
{
	return control(l, EPOLL_CTL_ADD, s, events);
}

int loop_change(struct loop *l, struct source *s, uint32_t events)
{
	return control(l, EPOLL_CTL_MOD, s, events);
}

int loop_release(struct loop *l, struct source *s)
{
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	return TAKE_FD(s->fd);
}

void loop_close(struct source *s)
{
	fd_close(TAKE_FD(s->fd));
}

void timer_stop(struct loop *l, struct timer *t)
{
	if (!t->prev)
		return;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	t->prev = NULL;
	t->next = NULL;
	l->n_timers--;
}

void timer_start(struct loop *l, struct timer *t, uint64_t delay_us)
{
	timer_stop(l, t);
	t->at = l->now + delay_us;
	/* Round up, or it would fire early; a delay beyond the wheel goes around and is looked at again. */
	struct timer **slot = &l->wheel[(t->at / LOOP_TICK_US + 1) % LOOP_SLOTS];
	t->next = *slot;
	if (t->next)
		t->next->prev = &t->next;
	t->prev = slot;
	*slot = t;
	l->n_timers++;
}

static void run_slot(struct loop *l, struct timer **slot)
{
	struct timer *due = *slot;

	/* Detached first: a handler may start timers in this very slot, or stop others of the list. */
	*slot = NULL;
	if (due)
		due->prev = &due;
	while (due) {
		struct timer *t = due;
		uint64_t at = t->at;
		timer_stop(l, t);
		if (at > l->now)
			timer_start(l, t, at - l->now);
		else
			t->fired(t);
	}
}

static void run_timers(struct loop *l)
{
	uint64_t tick = l->now / LOOP_TICK_US;

	/* After a long stop of the machine one turn of the wheel sees everything. */
	if (tick > l->tick + LOOP_SLOTS)
		l->tick = tick - LOOP_SLOTS;
	while (l->tick < tick) {
		l->tick++;
		run_slot(l, &l->wheel[l->tick % LOOP_SLOTS]);
	}
}

int loop_round(struct loop *l, int max_ms)
{
	struct epoll_event ev[BATCH];
	int wait = l->n_timers ? (int)(LOOP_TICK_US / 1000) : -1;

	if (max_ms >= 0 && (wait < 0 || max_ms < wait))
		wait = max_ms;
	int n = epoll_wait(l->epoll, ev, BATCH, wait);
	if (n < 0 && errno != EINTR)
		return -errno;
	l->now = now_us();
	if (n > 0)
		l->busy = l->now;
	for (int i = 0; i < n; i++) {
		struct source *s = ev[i].data.ptr;
		if (s->fd >= 0)
			s->ready(s, ev[i].events);
	}
	run_timers(l);
	return 0;
}
