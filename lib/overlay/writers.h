/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wrote what is in a layer: the calls that ran when it was written.
 *
 * Theory of operation. Whatever a call does to a file stamps its ctime, which nothing in a sandbox can set. So it is
 * enough to know when each call began and ended, two lines a call in the layer, and nothing is looked at while calls
 * run: the calls that may have changed a path last are those that ran at its ctime. The clocks are chosen so that the
 * right one is never missing: file systems stamp with a coarse clock, so a call begins on that one and ends on the
 * exact one. Where several ran at the time all of them are named.
 */
#ifndef NSBOX_OVERLAY_WRITERS_H
#define NSBOX_OVERLAY_WRITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "overlay/layer.h"

#define WRITERS_SHOWN 4u
/* Of the file: past it calls are not noted any more. */
#define WRITERS_BYTES_MAX (16u << 20)

struct writer {
	uint32_t number; /* of the call, in its id */
	struct timespec start, end;
};

struct writers {
	struct writer *v; /* by start */
	struct timespec *latest; /* end of the latest that started as early as this one or before */
	size_t n;
};

#define _cleanup_writers_ __attribute__((cleanup(writers_free)))

/* A call begins, or nothing of it is left. What cannot be written is not known later. */
void writers_note(int layer, uint32_t number, bool begins);
/* 0 also when nothing is known, or -ENOMEM. */
int writers_read(const struct layer *l, struct writers *ret);
void writers_free(struct writers *w);
/* Those that ran at some time between the two, the latest first; *ret_more: there are, or may be, others. */
unsigned writers_between(const struct writers *w, const struct timespec *from, const struct timespec *to,
			 uint32_t ret[WRITERS_SHOWN], bool *ret_more);

#endif
