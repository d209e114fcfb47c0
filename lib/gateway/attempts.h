/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts that no listener takes (other TCP ports, UDP, ICMP), seen on a packet socket in the gateway namespace. The
 * kernel refuses them by itself; here they only become records, each kind once, and never faster than a limit.
 */
#ifndef NSBOX_GATEWAY_ATTEMPTS_H
#define NSBOX_GATEWAY_ATTEMPTS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/loop.h"

#define ATTEMPTS_SEEN 1024u

struct gateway;
struct call;

struct attempt_key {
	uint32_t src, dst;
	uint16_t port;
	uint8_t proto;
	const char *reason; /* a literal: compared as a pointer */
	uint64_t at; /* when it was recorded; 0: empty */
};

struct attempts {
	struct source source; /* first */
	struct gateway *gw;
	struct attempt_key seen[ATTEMPTS_SEEN];
	uint64_t window; /* second of the limit */
	unsigned in_window;
};

/* Takes the packet socket over. */
int attempts_init(struct gateway *gw, int fd);
/* net.deny for a connection or packet that was refused without a look at its contents. Deduplicated and limited. */
void attempts_record(struct gateway *gw, struct call *call, uint32_t dst, uint16_t port, const char *proto,
		     const char *reason);

#endif
