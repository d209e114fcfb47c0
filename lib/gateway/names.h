/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and their synthetic addresses (198.18.0.0/15). An address belongs to one name for the life of the sandbox and
 * is never given to another: an address that a program remembers can never come to mean a different host.
 */
#ifndef NSBOX_GATEWAY_NAMES_H
#define NSBOX_GATEWAY_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_BUCKETS 4096u

struct name {
	struct name *chain;
	bool http1;     /* a server of this name spoke no HTTP/2 when last asked */
	uint32_t index; /* address = SYNTHETIC_FIRST + index */
	char text[];    /* canonical */
};

struct names {
	struct name *buckets[NAME_BUCKETS];
	struct name **by_index;
	size_t n, cap;
};

/* The name, made when it is new; NULL when all addresses are taken or memory is out. */
const struct name *names_assign(struct names *n, const char *canonical);
/* The one that exists already, or NULL. */
const struct name *names_find(const struct names *n, const char *canonical);
/* By address (host byte order); NULL when it was never given out. */
const struct name *names_by_addr(const struct names *n, uint32_t addr);
uint32_t name_addr(const struct name *name);

#endif
