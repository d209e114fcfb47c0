/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as placeholders meet it: Basic credentials, and their own text inside somebody's encoding. */
#ifndef NSBOX_GATEWAY_PLACEHOLDER_BASE64_H
#define NSBOX_GATEWAY_PLACEHOLDER_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends the encoding of data; url: alphabet of RFC 4648 5. 0 or -ENOMEM. */
int base64_encode(struct buf *out, const void *data, size_t len, bool url, bool padded);
/* Appends the bytes. Either alphabet (not both), padded or not. 0, -EINVAL (out as before), -ENOMEM. */
int base64_decode(struct buf *out, const char *text, size_t len);

#endif
