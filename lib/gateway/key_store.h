/* SPDX-License-Identifier: Apache-2.0 */
/* The list of authorities that Java believes: a key store in the form "JKS", which the host's tools make. */
#ifndef NSBOX_GATEWAY_KEY_STORE_H
#define NSBOX_GATEWAY_KEY_STORE_H

#include <stdint.h>

#include "base/buf.h"

/* Appended to out: host with one more authority (DER), under the usual password. -EBADMSG: host is no key store. */
int key_store_add(const struct buf *host, const uint8_t *der, size_t len, struct buf *out);

#endif
