/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that name a path (watch_calls.c). */
#ifndef NSBOX_CLI_WATCH_CALLS_H
#define NSBOX_CLI_WATCH_CALLS_H

#include <stddef.h>

#include "watch.h"

/* A jump of a filter is at most 255 instructions. */
#define WATCH_MAX_CALLS 128u

struct watch_call {
	int number;
	signed char name, dir, flags; /* arguments: the path; its directory, or -1; flags of open(2), or -1 */
	enum watch_use use;	      /* with flags: of one that only reads */
};

/* A call that names two paths is in it twice. */
extern const struct watch_call watch_calls[];
extern const size_t watch_n_calls;

#endif
