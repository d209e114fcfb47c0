/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that a program inside has signed for AWS with the placeholders of a key (inject = sigv4): the signature is
 * checked with the placeholder, and made anew with the real key for what is really sent.
 */
#ifndef NSBOX_GATEWAY_SIGNING_H
#define NSBOX_GATEWAY_SIGNING_H

#include "gateway/exchange.h"

/*
 * Bodies up to this size are read before the request is decided, when their hash has to be signed and is not told: the
 * head with the signature goes out before the body, so there is no other way. At once only so much of them is held.
 */
#define SIGNED_BODY (8u << 20)
#define SIGNED_TOGETHER (16u << 20)

struct signing;

/* The head is complete: is this a body that has to be read first? Room is kept for it then, until signing_release(). */
bool signing_wants_body(struct session *s);
void signing_release(struct exchange *x);
/*
 * Before the request is written: *ret is NULL when it is not signed by such a key. 0, -ENOMEM, -EACCES (*ret_secret may
 * not be used here), -ENOKEY (it has expired), -ENOTSUP (x->unsignable says why).
 */
int signing_begin(struct session *s, struct signing **ret, size_t *ret_secret);
/* x->head is what would be sent: signs it. 0, -ENOMEM, -ENOTSUP. */
int signing_end(struct session *s, struct signing *g);
void signing_free(struct signing *g);

#endif
