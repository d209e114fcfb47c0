/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the addresses of a server to one connected socket (RFC 8305, "happy eyeballs"): they are tried one after the
 * other, the next when one has failed or has not answered for a while; the first that connects wins, and the others are
 * closed. What is dialled is the very address that was checked, so a name that changes its answer gains nothing.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/gateway.h"
#include "gateway/upstream_private.h"

/* What RFC 8305 recommends; the timer is coarse and may take twice that, which is within its bounds too. */
#define ATTEMPT_DELAY_US (250u * 1000u)
/* After the last attempt has begun. */
#define CONNECT_US (10u * 1000000u)

struct attempt {
	struct source source; /* first */
	struct upstream *u;
	struct in6_addr addr;
	bool private_addr;
};

struct dial {
	size_t next_addr; /* of the resolution */
	bool exhausted;   /* none is left to be tried */
	size_t n, running;
	int error;           /* of the last attempt that failed */
	const char *refused; /* why the last address that may not be dialled is none of them */
	struct dial *next;   /* of the dead */
	struct attempt attempt[RESOLVE_MAX_ADDRS];
};

static void try_more(struct upstream *u);

void dial_stop(struct upstream *u)
{
	struct dial *d = TAKE_PTR(u->dial);

	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++)
		loop_close(&d->attempt[i].source);
	/* Events of this round may still name them. */
	d->next = u->gw->dead_dials;
	u->gw->dead_dials = d;
}

void dial_free_dead(struct gateway *gw)
{
	while (gw->dead_dials) {
		struct dial *d = gw->dead_dials;
		gw->dead_dials = d->next;
		free(d);
	}
}

static void won(struct attempt *a)
{
	struct upstream *u = a->u;

	if (!u->proxied)
		u->addr = a->addr;
	u->private_addr = a->private_addr;
	timer_stop(&u->gw->loop, &u->timer);
	int r = stream_take(&u->stream, &u->gw->loop, &a->source, upstream_wake);
	dial_stop(u);
	if (r < 0)
		upstream_fail(u, "no-memory", NULL);
	else
		upstream_connected(u);
}

static void attempt_ready(struct source *source, uint32_t events)
{
	struct attempt *a = (struct attempt *)source;
	struct upstream *u = a->u;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error && !(events & EPOLLOUT))
		return;
	if (error) {
		loop_close(source);
		u->dial->running--;
		u->dial->error = error;
		try_more(u);
	} else {
		won(a);
	}
	upstream_wake(&u->stream);
}

/* 0: on its way, else -errno. */
static int start(struct upstream *u, struct attempt *a)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = a->addr, .sin6_port = htons(u->dial_port) };
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(u->dial_port) };
	bool v4 = IN6_IS_ADDR_V4MAPPED(&a->addr);
	int one = 1;

	memcpy(&to4.sin_addr, &a->addr.s6_addr[12], 4);
	_cleanup_close_ int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, v4 ? (struct sockaddr *)&to4 : (struct sockaddr *)&to, v4 ? sizeof(to4) : sizeof(to)) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	a->source = (struct source){ .fd = fd, .ready = attempt_ready };
	int r = loop_add(&u->gw->loop, &a->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (r < 0)
		a->source.fd = -EBADF;
	else
		TAKE_FD(fd);
	return r;
}

/* A private address is passed over unless the rule allows it. The proxy's is the policy's own choice. */
static const char *refusal(struct upstream *u, const struct attempt *a)
{
	if (u->proxied)
		return NULL;
	if (a->private_addr && !u->to.allow_private)
		return "private-address";
	/* The rule that allowed the name says nothing of the address; one that denies the address does. */
	if (u->to.host && authority_addr_denied(u->gw, u->call, u->to.proto, &a->addr, u->to.port))
		return "denied-address";
	return NULL;
}

/* The next address that may be dialled is, unless there is none left. */
static void try_more(struct upstream *u)
{
	struct dial *d = u->dial;

	while (d->next_addr < u->resolution.n_addrs) {
		struct attempt *a = &d->attempt[d->n];
		*a = (struct attempt){ .source.fd = -EBADF, .u = u, .addr = u->resolution.addrs[d->next_addr++] };
		a->private_addr = !u->proxied && (addr_is_private(&a->addr) || addr_is_own(&a->addr));
		const char *refused = refusal(u, a);
		if (refused) {
			d->refused = refused;
			continue;
		}
		if (!u->proxied)
			u->addr = a->addr;
		int r = start(u, a);
		if (r < 0) {
			d->error = -r;
			continue;
		}
		d->n++;
		d->running++;
		d->exhausted = d->next_addr == u->resolution.n_addrs;
		timer_start(&u->gw->loop, &u->timer, d->exhausted ? CONNECT_US : ATTEMPT_DELAY_US);
		return;
	}
	if (d->running) {
		/* Those have the rest of their time, which a failure of one does not prolong. */
		if (!d->exhausted)
			timer_start(&u->gw->loop, &u->timer, CONNECT_US);
		d->exhausted = true;
		return;
	}
	if (d->error)
		upstream_fail(u, d->error == ETIMEDOUT ? "connect-timeout" : "connect-failed", strerror(d->error));
	else
		upstream_fail(u, d->refused ? d->refused : "connect-failed", NULL);
}

void dial_begin(struct upstream *u)
{
	u->dial = calloc(1, sizeof(*u->dial));
	if (!u->dial) {
		upstream_fail(u, "no-memory", NULL);
		return;
	}
	u->state = UPSTREAM_CONNECTING;
	try_more(u);
}

void dial_timeout(struct upstream *u)
{
	if (u->dial->exhausted)
		upstream_fail(u, "connect-timeout", NULL);
	else
		try_more(u);
}
