/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver of the sandbox: answers from the table of synthetic addresses, over UDP and TCP, and asks nobody. */
#ifndef NSBOX_GATEWAY_DNS_SERVER_H
#define NSBOX_GATEWAY_DNS_SERVER_H

#include "gateway/loop.h"

struct gateway;
struct call;
struct dns_connection;

#define DNS_MAX_CONNECTIONS 256u

struct dns_server {
	struct source source; /* first; UDP */
	struct gateway *gw;
	struct dns_connection *connections, *dead;
	size_t n_connections;
};

/* Takes the UDP socket over. */
int dns_init(struct gateway *gw, int fd);
/* A connection to TCP port 53; the socket is taken over. */
void dns_tcp_start(struct gateway *gw, struct call *call, int fd);
/* The call has ended. */
void dns_drop_call(struct gateway *gw, const struct call *call);
void dns_free_dead(struct gateway *gw);

#endif
