/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership helpers shared by every folder: scope-bound cleanup and transfer of descriptors and pointers. */
#ifndef NSBOX_BASE_UTIL_H
#define NSBOX_BASE_UTIL_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_free_ _cleanup_(freep)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Hand a descriptor or a pointer to a new owner; the old variable no longer cleans it up. */
#define TAKE_FD(fd)                   \
	__extension__({               \
		int *taken_ = &(fd);  \
		int value_ = *taken_; \
		*taken_ = -EBADF;     \
		value_;               \
	})
#define TAKE_PTR(p)                               \
	__extension__({                           \
		__typeof__(p) *taken_ = &(p);     \
		__typeof__(p) value_ = *taken_;   \
		*taken_ = NULL;                   \
		value_;                           \
	})

/* close() keeping errno; Linux frees the descriptor even on EINTR, so it is never retried. */
static inline void fd_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
}

static inline void closep(int *fd)
{
	fd_close(*fd);
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

/* Before a child runs on a borrowed stack in our memory (CLONE_VM): one that execs never takes back what AddressSanitizer
 * marked for its frames, and the next child on the same stack would be reported for it. */
#if defined(__SANITIZE_ADDRESS__)
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
#define STACK_REUSE(stack, size) __asan_unpoison_memory_region(stack, size)
#else
#define STACK_REUSE(stack, size) ((void)0)
#endif

/* Microseconds of a clock that never jumps: for deadlines and durations. */
static inline uint64_t now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

#endif
