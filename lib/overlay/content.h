/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of files. */
#ifndef NSBOX_OVERLAY_CONTENT_H
#define NSBOX_OVERLAY_CONTENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

/* True when both could be read and are equal. */
bool content_equal(int a, int b);
/* All of it, of at most max bytes (-E2BIG). */
int content_read(int fd, size_t max, struct buf *out);
/* Into an empty file; holes stay holes. 0 or -errno. */
int content_copy(int from, int to, off_t size);

#endif
