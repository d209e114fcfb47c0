/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by connections to the outside (upstream.c), the dialling of them (upstream_dial.c) and those of them that carry
 * many requests (upstream_shared.c). */
#ifndef NSBOX_GATEWAY_UPSTREAM_PRIVATE_H
#define NSBOX_GATEWAY_UPSTREAM_PRIVATE_H

#include "gateway/upstream.h"

/* upstream.c */
struct upstream *upstream_new(struct gateway *gw, struct call *call, struct session *owner,
			      const struct destination *to);
void upstream_start(struct upstream *u);
void upstream_fail(struct upstream *u, const char *token, const char *detail);
/* The same name or address, port and protocol. */
bool upstream_same(const struct upstream *u, const struct destination *to);
bool upstream_serves(const struct upstream *u, const struct destination *to);
void upstream_unlink(struct upstream *u);
/* Something happened on the socket, or to the stream of a shared one. */
void upstream_wake(struct stream *stream);

/* Its stream has a socket that is connected. */
void upstream_connected(struct upstream *u);

/* upstream_dial.c */
/* To the addresses of u->resolution. */
void dial_begin(struct upstream *u);
void dial_timeout(struct upstream *u);
/* No attempt is under way any more. */
void dial_stop(struct upstream *u);
/* End of a round. */
void dial_free_dead(struct gateway *gw);

/* The name that is verified: the host, or the raw address as text in to. */
const char *upstream_name(const struct destination *to, char text[INET6_ADDRSTRLEN]);
/* The bytes of its stream come from the server from here on. */
void upstream_reached(struct upstream *u);

/* upstream_proxy.c */
/* Ask the proxy that the stream leads to for the server. */
void proxy_begin(struct upstream *u);
/* Go on with that. */
void proxy_run(struct upstream *u);
void proxy_stop(struct upstream *u);

/* upstream_shared.c */
/* A stream of a connection of this call, or a place in the queue for one; NULL: none fits, or no memory. */
struct upstream *shared_get(struct call *call, struct session *owner, const struct destination *to);
/* A new connection may become a shared one. */
void shared_offer(struct upstream *u);
/* It is connected: shared or not, those who wait for it find out. */
void shared_settle(struct upstream *u);
/* It has failed: so have those who wait. */
void shared_failed(struct upstream *u);
/* Its owner has gone before it was connected: true when somebody who waits takes its place. */
bool shared_pass_on(struct upstream *u);
/* Events of a connection with HTTP/2. */
void shared_run(struct upstream *u);
void shared_timeout(struct upstream *u);
/* Before its socket is closed. */
void shared_close(struct upstream *u);

#endif
