/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: descriptors by epoll, deadlines of calls and gateways by the wait time. */
#include <errno.h>

#include "base/util.h"
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

void loop_want_write(struct supervisor *s, struct source *source, const struct link *l)
{
	struct epoll_event event = {
		.events = EPOLLIN | (link_waiting(l) ? (uint32_t)EPOLLOUT : 0u),
		.data.ptr = source,
	};
	/* Hardly ever a change: a call of the kernel for each message would be a tenth of the supervisor's work. */
	if (source->fd >= 0 && source->events != event.events &&
	    epoll_ctl(s->epoll, EPOLL_CTL_MOD, source->fd, &event) == 0)
		source->events = event.events;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a == 0 ? b : b == 0 || a < b ? a : b;
}

static uint64_t next_deadline(const struct supervisor *s)
{
	uint64_t at = 0;
	for (const struct sandbox *b = s->sandboxes; b; b = b->next) {
		at = earliest(at, b->gateway_deadline);
		for (const struct call *c = b->calls; c; c = c->next)
			at = earliest(at, c->deadline);
	}
	return at;
}

/* One at a time: expiring may remove objects from the lists that are being walked. */
static bool expire_one(struct supervisor *s, uint64_t now)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (b->gateway_deadline && b->gateway_deadline <= now) {
			struct error e;
			b->gateway_deadline = 0;
			fail(&e, ETIMEDOUT, SANDBOX_STAGE_GATEWAY, b->id,
			     "the gateway was not ready within %u s; does a secret source (exec:) hang?",
			     GATEWAY_READY_US / 1000000u);
			sandbox_start_failed(b, &e);
			return true;
		}
		for (struct call *c = b->calls; c; c = c->next) {
			if (c->deadline && c->deadline <= now) {
				call_expire(c);
				return true;
			}
		}
	}
	return false;
}

int loop_run(struct supervisor *s)
{
	while (!s->done) {
		struct epoll_event event;
		uint64_t at = next_deadline(s), now = now_us();
		int wait_ms = -1;

		if (at) {
			if (at <= now) {
				expire_one(s, now);
				continue;
			}
			uint64_t ms = (at - now + 999) / 1000;
			wait_ms = ms > 1000000 ? 1000000 : (int)ms;
		}
		/* One event at a time: a handler may free the object that a second event of the same batch points at. */
		int n = epoll_wait(s->epoll, &event, 1, wait_ms);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 1) {
			struct source *source = event.data.ptr;
			source->ready(s, source, event.events);
		}
	}
	return 0;
}
