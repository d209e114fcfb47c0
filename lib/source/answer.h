/* SPDX-License-Identifier: Apache-2.0 */
/* What the command of a secret printed. */
#ifndef NSBOX_SOURCE_ANSWER_H
#define NSBOX_SOURCE_ANSWER_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"

/*
 * A line that does not begin with {, or a JSON object with "value" (text) and perhaps "expires_at": seconds since 1970, or RFC 3339. The value
 * goes to *ret, what is left of its time to *ret_seconds (0: no end). NULL, or why it cannot be used: never a part of it.
 */
const char *answer_parse(const char *text, size_t len, time_t now, struct buf *ret, uint64_t *ret_seconds);

#endif
