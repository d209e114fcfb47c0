/* SPDX-License-Identifier: Apache-2.0 */
/* What the path of a request and the path of a rule have in common. */
#ifndef NSBOX_POLICY_PATH_CANONICAL_H
#define NSBOX_POLICY_PATH_CANONICAL_H

#include <stdbool.h>
#include <stddef.h>

/* "%XX" at s to its value, or -1. */
int percent_decode(const char *s, size_t len);
/* Bytes that may not stand in a path as the result of decoding: separators of either kind and control bytes. */
bool path_byte_refused(unsigned char c);

#endif
