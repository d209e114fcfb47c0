/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of a host that a secret of the call is for: the value, wherever it stands in them, becomes its placeholder
 * before the sandbox sees it. All other answers cost one look at the call's secrets.
 */
#ifndef NSBOX_GATEWAY_SCRUB_ANSWER_H
#define NSBOX_GATEWAY_SCRUB_ANSWER_H

#include "gateway/exchange.h"
#include "gateway/websocket.h"

/* Can an answer to this request hold a value that the call must not see? */
bool answer_needs_scrub(const struct session *s);
/* As far from the end of a value, in any of its forms, its beginning may be. */
uint64_t answer_margin(const struct session *s);
/*
 * x->answer is complete (also an interim one): makes its fields, framing and coding those of what goes on.
 * x->download has to know the original. 0, -EBADMSG (x->answer.error says why), -ENOMEM.
 */
int answer_scrub_head(struct session *s);
/* http1_value_fn for its fields; data is the session. */
int answer_scrub_value(void *data, const struct http1_head *h, size_t i, struct buf *out);
/* Payload as it came: what may go on now is appended to out. 0; 1 when that is data itself, which was not appended;
 * -EBADMSG, -ENOMEM. */
int answer_scrub_body(struct session *s, const uint8_t *data, size_t len, struct buf *out);
/* More of what was given can be had by answer_scrub_body() with len 0. */
bool answer_scrub_waiting(const struct exchange *x);
/* The body is complete: the rest of it, and the trailers. */
int answer_scrub_end(struct session *s, struct buf *out);
/* Some of a message of a WebSocket; x->scrub has to be there. As answer_scrub_body(), but for the 1. */
int answer_scrub_message(struct session *s, const struct websocket_part *part, struct buf *out);
void answer_scrub_free(struct answer_scrub *a);

#endif
