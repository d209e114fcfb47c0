/* SPDX-License-Identifier: Apache-2.0 */
/* Pages for secret values: never swapped out, in no dump, wiped before they are given back. */
#ifndef NSBOX_GATEWAY_LOCKED_H
#define NSBOX_GATEWAY_LOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct locked {
	uint8_t *data; /* NULL: none */
	size_t size;
};

/* At least size bytes, zeroed. -EPERM: they cannot be locked (RLIMIT_MEMLOCK), which is no error with unlocked. */
int locked_new(struct locked *ret, size_t size, bool unlocked);
void locked_free(struct locked *l);

#endif
