/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: edge-triggered epoll, coarse timers on a wheel, and work put off to the end of a round. */
#ifndef NSBOX_GATEWAY_LOOP_H
#define NSBOX_GATEWAY_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/*
 * Anything with a descriptor. A source may be closed by the handler of another one in the same round: fd is then
 * negative and its pending event is dropped, so its memory has to stay valid until the end of the round.
 */
struct source {
	int fd;
	void (*ready)(struct source *s, uint32_t events);
};

/* Coarse: fires up to one tick (250 ms) late. Zero-initialised is stopped. */
struct timer {
	struct timer *next, **prev;
	uint64_t at;
	void (*fired)(struct timer *t);
};

#define LOOP_SLOTS 512u
#define LOOP_TICK_US 250000u

struct loop {
	int epoll;
	uint64_t now; /* of this round, CLOCK_MONOTONIC in microseconds */
	uint64_t busy; /* of the last round that had events */
	uint64_t tick;
	size_t n_timers;
	struct timer *wheel[LOOP_SLOTS];
};

int loop_init(struct loop *l);
int loop_add(struct loop *l, struct source *s, uint32_t events);
int loop_change(struct loop *l, struct source *s, uint32_t events);
/* The descriptor is the caller's again. */
int loop_release(struct loop *l, struct source *s);
/* Closes the descriptor too. */
void loop_close(struct source *s);
/* Wait at most max_ms (-1: for ever) and run what is ready. 0 or -errno. */
int loop_round(struct loop *l, int max_ms);

void timer_start(struct loop *l, struct timer *t, uint64_t delay_us);
void timer_stop(struct loop *l, struct timer *t);

#endif
