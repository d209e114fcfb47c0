/* SPDX-License-Identifier: Apache-2.0 */
/* Names of upstream hosts to addresses: /etc/hosts as it was at the start, then DNS through c-ares. */
#ifndef NSBOX_GATEWAY_RESOLVER_H
#define NSBOX_GATEWAY_RESOLVER_H

#include <ares.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "base/error.h"
#include "gateway/loop.h"

#define RESOLVE_MAX_ADDRS 8
#define RESOLVER_SOCKETS 64

struct host_entry {
	char *name; /* canonical */
	struct in6_addr addr;
};

struct resolver_socket {
	struct source source; /* first */
	struct resolver *resolver;
	bool in_use;
};

struct resolver {
	struct resolution_query *due; /* answered in part, and not waiting much longer */
	ares_channel channel;
	struct loop *loop;
	struct host_entry *hosts;
	size_t n_hosts;
	size_t active;
	struct resolver_socket sockets[RESOLVER_SOCKETS];
};

/* One question; embedded in its asker. */
struct resolution {
	void (*done)(struct resolution *r); /* never called from within resolver_ask */
	struct resolution_query *query;     /* NULL when nothing is pending */
	struct in6_addr addrs[RESOLVE_MAX_ADDRS]; /* IPv4 as mapped */
	size_t n_addrs;
	const char *failure; /* stable token when n_addrs is 0: "no-such-host", "resolver-timeout", "resolver-error" */
};

/* Addresses by family, IPv6 first, and the order in which they are dialled (RFC 8305): the families take turns, so that
 * one that leads nowhere costs one attempt; within a family in the order of the answer. */
struct found {
	struct in6_addr addrs[2][RESOLVE_MAX_ADDRS];
	size_t n[2];
};
void found_add(struct found *f, const struct in6_addr *addr);
void found_interleave(const struct found *f, struct resolution *q);

/* Reads /etc/hosts and /etc/resolv.conf: before the process gives up file access. */
int resolver_init(struct resolver *r, struct loop *l, struct error *e);
/* 1: answered already (a literal or a name of /etc/hosts), 0: done() will be called, -errno. */
int resolver_ask(struct resolver *r, struct resolution *q, const char *host);
void resolver_forget(struct resolution *q);
/* Milliseconds until resolver_tick has to be called, at most max (-1: none). */
int resolver_timeout(struct resolver *r, int max);
void resolver_tick(struct resolver *r);
/* The address belongs to this machine: a name of somebody else must not lead there. */
bool addr_is_own(const struct in6_addr *addr);

#endif
