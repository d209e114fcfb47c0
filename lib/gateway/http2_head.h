/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/2 messages: field by field, as HPACK gives them, into the same struct and past the same checks as a
 * head of HTTP/1 (http1_message.h). No text is made of them and parsed again: what a rule is matched against are the
 * bytes of the field. Sans IO.
 *
 * 	struct http1_head head = { .kind = HTTP1_REQUEST };
 * 	r = http2_head_field(&head, name, name_len, value, value_len);  -- for each
 * 	r = http2_head_finish(&head, end_stream);
 */
#ifndef NSBOX_GATEWAY_HTTP2_HEAD_H
#define NSBOX_GATEWAY_HTTP2_HEAD_H

#include "gateway/http1_message.h"

/*
 * 0, -EBADMSG (refused, as http1_head_feed; the head stays failed, later fields are ignored) or -ENOMEM. Each field
 * counts with its name, its value and 32 bytes (RFC 9113 6.5.2) against HTTP1_HEAD_MAX, or HTTP1_TRAILERS_MAX.
 */
int http2_head_field(struct http1_head *h, const void *name, size_t name_len, const void *value, size_t value_len);
/*
 * No more fields. ended: no body follows (END_STREAM). The framing becomes what it would be over HTTP/1: a body of
 * unknown length is HTTP1_BODY_CHUNKED. A response that ended has HTTP1_BODY_LENGTH 0 without has_content_length.
 */
int http2_head_finish(struct http1_head *h, bool ended);

#endif
