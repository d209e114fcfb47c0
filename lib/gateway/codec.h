/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of an exchange, each in the protocol that its connection speaks. What an exchange is about (heads as
 * struct http1_head, payload, trailers) is the same for both; here, and nowhere above, it becomes chunks and lines or
 * frames. All return 0 or a negative errno unless said otherwise.
 */
#ifndef NSBOX_GATEWAY_CODEC_H
#define NSBOX_GATEWAY_CODEC_H

#include "gateway/exchange.h"

/* x->request is complete: how its body will come. */
void client_body_begin(struct session *s);
/* The body that HTTP/2 carries has ended behind what was taken: trailers go to x->upload. */
int client_body_end(struct session *s);
/* x->answer, interim or final. ends: nothing follows it. */
int client_send_head(struct session *s, bool ends);
int client_send_payload(struct session *s, const uint8_t *data, size_t len);
/* The body is complete; the trailers of x->download go with it where they can. */
int client_send_end(struct session *s);
/* x->problem. */
int client_send_problem(struct session *s);

/* x->head. -EPIPE: this connection takes no requests any more, and nobody has seen this one. */
int upstream_send_request(struct session *s);
int upstream_send_payload(struct session *s, const uint8_t *data, size_t len);
int upstream_send_end(struct session *s);
/* The next head of the answer into x->answer, and with a final one the framing of x->download: 1, 0 not yet. */
int upstream_read_head(struct session *s);

#endif
