/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that are the same in every run. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

#include "base/util.h"

static uint64_t seed = 0x5eed5eed5eed5eedu;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

/* As many as there is time for: sanitizers take ten times as long. */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS(n) ((n) / 10)
#else
#define ROUNDS(n) (n)
#endif

#define PICK(a) ((a)[below(ARRAY_LEN(a))])

#endif
