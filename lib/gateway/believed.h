/* SPDX-License-Identifier: Apache-2.0 */
/* What programs inside will believe: the sandbox's authority and the host's. */
#ifndef NSBOX_GATEWAY_BELIEVED_H
#define NSBOX_GATEWAY_BELIEVED_H

#include "base/buf.h"
#include "base/error.h"
#include "gateway/ca.h"

/* host: the host's bundle (PEM). bundle, key_store: where to write, the second for Java. */
int believed_write(const struct ca *ca, const struct buf *host, int bundle, int key_store, struct error *e);

#endif
