/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of deadlines, in the hand of a test that is linked with --wrap=clock_gettime. */
#include "fake_clock.h"

#include <stdint.h>
#include <time.h>

/* It stands still: on a loaded machine what is due would depend on when a test gets to run. */
static uint64_t clock_us = 1000000000u;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ret);
	*ret = (struct timespec){ .tv_sec = (time_t)(clock_us / 1000000u), .tv_nsec = (long)(clock_us % 1000000u) * 1000 };
	return 0;
}

void fake_clock_move(unsigned us)
{
	clock_us += us;
}
