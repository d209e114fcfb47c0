/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections from inside. */
#include "gateway/listener.h"

#include "gateway/control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "gateway/gateway.h"
#include "gateway/session.h"

/* Connections taken per listener and round: the others get their turn too. */
#define BURST 64
#define PAUSE_US 500000u

bool listeners_has_port(const struct listeners *l, uint16_t port)
{
	return l->port_bits[port / 8] >> (port % 8) & 1;
}

static void refuse(struct gateway *gw, int fd, struct call *call, uint32_t dst, uint16_t port, const char *reason)
{
	struct linger linger = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	attempts_record(gw, call, dst, port, "tcp", reason);
	fd_close(fd);
}

/* True when the socket was IPv4 and both ends are known. */
static bool ends(int fd, uint32_t *ret_src, uint32_t *ret_dst, uint16_t *ret_port)
{
	struct sockaddr_in peer, local;
	socklen_t len = sizeof(peer), local_len = sizeof(local);

	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 || peer.sin_family != AF_INET ||
	    local.sin_family != AF_INET)
		return false;
	*ret_src = ntohl(peer.sin_addr.s_addr);
	*ret_dst = ntohl(local.sin_addr.s_addr);
	*ret_port = ntohs(local.sin_port);
	return true;
}

static void take(struct listener *l, int accepted)
{
	_cleanup_close_ int fd = accepted;
	struct gateway *gw = l->gw;
	uint32_t src, dst;
	uint16_t port;
	int one = 1;

	if (!ends(fd, &src, &dst, &port))
		return;
	struct call *call = calls_by_addr(&gw->calls, src);
	if (!call) {
		refuse(gw, TAKE_FD(fd), NULL, dst, port, "unknown-call");
		return;
	}
	call->used = true;
	if (call->n_sessions >= CALL_MAX_CONNECTIONS || gw->n_sessions >= MAX_SESSIONS) {
		refuse(gw, TAKE_FD(fd), call, dst, port, "too-many-connections");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (l->dns)
		dns_tcp_start(gw, call, TAKE_FD(fd));
	else
		session_start(gw, call, TAKE_FD(fd), dst, port);
}

static void pause_all(struct gateway *gw)
{
	struct listeners *ls = &gw->listeners;

	if (ls->paused)
		return;
	ls->paused = true;
	for (size_t i = 0; i < ls->n; i++)
		loop_change(&gw->loop, &ls->v[i].source, 0);
	timer_start(&gw->loop, &ls->resume, PAUSE_US);
}

static void listeners_resume(struct gateway *gw)
{
	struct listeners *ls = &gw->listeners;

	if (!ls->paused)
		return;
	ls->paused = false;
	timer_stop(&gw->loop, &ls->resume);
	for (size_t i = 0; i < ls->n; i++)
		loop_change(&gw->loop, &ls->v[i].source, EPOLLIN);
}

static void resume_fired(struct timer *t)
{
	struct listeners *ls = (struct listeners *)((char *)t - offsetof(struct listeners, resume));

	if (!records_congested(&ls->gw->records)) {
		listeners_resume(ls->gw);
	} else {
		timer_start(&ls->gw->loop, t, PAUSE_US);
	}
}

static void listener_ready(struct source *source, uint32_t events)
{
	struct listener *l = (struct listener *)source;

	(void)events;
	/* What is not accepted waits in the kernel's queue, which is bounded: back-pressure, nothing lost. */
	if (records_congested(&l->gw->records)) {
		pause_all(l->gw);
		return;
	}
	for (int i = 0; i < BURST; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			/* The grant of a call is sent before its command runs: after its connection is there, so is its grant. */
			control_take(l->gw);
			take(l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			pause_all(l->gw);
			return;
		}
		if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

int listeners_add(struct gateway *gw, int fd, uint16_t port, bool dns)
{
	struct listeners *ls = &gw->listeners;

	if (ls->n >= ARRAY_LEN(ls->v)) {
		fd_close(fd);
		return -E2BIG;
	}
	ls->gw = gw;
	ls->resume.fired = resume_fired;
	struct listener *l = &ls->v[ls->n++];
	*l = (struct listener){ .source = { .fd = fd, .ready = listener_ready }, .gw = gw, .port = port, .dns = dns };
	ls->port_bits[port / 8] |= (uint8_t)(1u << (port % 8));
	return loop_add(&gw->loop, &l->source, EPOLLIN);
}
