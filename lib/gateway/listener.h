/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners that were made inside the gateway namespace: who connects, and where it meant to go. */
#ifndef NSBOX_GATEWAY_LISTENER_H
#define NSBOX_GATEWAY_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/loop.h"

#define MAX_PORTS 128u
#define MAX_SESSIONS 4096u

struct gateway;

struct listener {
	struct source source; /* first */
	struct gateway *gw;
	uint16_t port;
	bool dns;
};

struct listeners {
	struct listener v[MAX_PORTS + 1]; /* one a port, and TCP 53 */
	size_t n;
	bool paused;
	struct timer resume;
	struct gateway *gw;
	uint8_t port_bits[65536 / 8]; /* listened TCP ports */
};

/* Takes the listening socket over. */
int listeners_add(struct gateway *gw, int fd, uint16_t port, bool dns);
bool listeners_has_port(const struct listeners *l, uint16_t port);

#endif
