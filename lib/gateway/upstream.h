/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the outside: resolve once, refuse private addresses, dial, verify. Nothing is written before all of
 * that is done; with upstream_proxy it is the proxy that resolves (upstream_proxy.c). Kept-alive ones wait in a pool of
 * the call that opened them and serve no other call. A server that speaks HTTP/2 has one connection for each call
 * (another one when that is full), and what a session owns is a stream of it (upstream_shared.c). Until it is known what
 * a server speaks, others of the call wait for the first to find out.
 */
#ifndef NSBOX_GATEWAY_UPSTREAM_H
#define NSBOX_GATEWAY_UPSTREAM_H

#include "gateway/resolver.h"
#include "gateway/stream.h"
#include "policy/policy.h"

struct gateway;
struct call;
struct session;
struct http1_head;

enum upstream_state {
	UPSTREAM_WAITING, /* for `lead` to know what the server speaks */
	UPSTREAM_RESOLVING,
	UPSTREAM_CONNECTING,
	UPSTREAM_PROXY, /* it is asked to connect */
	UPSTREAM_HANDSHAKE,
	UPSTREAM_READY,
	UPSTREAM_FAILED,
};

/* Where to, as decided. */
struct destination {
	const char *host;     /* name as decided and verified; NULL for a raw address; lives as long as the sandbox */
	struct in6_addr addr; /* raw address */
	uint16_t port;
	enum net_proto proto; /* as decided */
	bool tls;
	bool http1_only; /* no HTTP/2: for a request that upgrades */
	bool allow_private;
};

struct upstream {
	struct stream stream; /* first */
	struct gateway *gw;
	struct call *call;
	struct session *owner;          /* NULL: in the pool, or shared */
	struct upstream *next, **prev;  /* pool, call->shared, or lead's waiting; next also links the dead */
	struct upstream *waiting;       /* for this one */
	struct upstream *lead;          /* of one that waits */
	struct http2 *h2;               /* shared: its streams are other upstreams' */
	struct destination to;
	enum upstream_state state;
	bool private_addr;  /* the address dialled is one that needs allow_private */
	bool reused;        /* came from the pool */
	bool shared;        /* in call->shared */
	bool pinned;        /* connect_to made allow_private true */
	bool proxied;       /* what is dialled is upstream_proxy */
	bool retained;      /* answers so far leave it fit for the pool */
	uint16_t dial_port;
	struct resolution resolution;
	struct dial *dial; /* UPSTREAM_CONNECTING: attempts under way */
	struct http1_head *proxy_answer; /* UPSTREAM_PROXY */
	struct in6_addr addr; /* dialled; unspecified when the proxy knows alone */
	struct timer timer;
	const char *failure; /* stable token */
	char *detail;        /* for people; may be NULL */
};

/* From the pool (fresh false) or newly on its way; owner is run whenever something happens. NULL: no memory. */
struct upstream *upstream_get(struct gateway *gw, struct call *call, struct session *owner,
			      const struct destination *to, bool fresh);
/* The owner has done with it: into the pool when fit and wanted, else closed. */
void upstream_release(struct upstream *u, bool keep);
void upstream_close(struct upstream *u, bool reset);
/* Close everything that the call keeps. */
void upstream_drop_idle(struct call *call);
/* Of those what leads to where no rule does any more. */
void upstream_drop_denied(struct call *call);
/* End of a round. */
void upstream_free_dead(struct gateway *gw);

#endif
