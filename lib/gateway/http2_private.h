/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two halves of HTTP/2: the connection (http2.c) and what users of its streams see (http2_stream.c). */
#ifndef NSBOX_GATEWAY_HTTP2_PRIVATE_H
#define NSBOX_GATEWAY_HTTP2_PRIVATE_H

#include "gateway/http2.h"

#define FRAME_HEAD 9u

struct http2_stream *http2_stream_new(struct http2 *h, int32_t id);
void http2_stream_free(struct http2_stream *st);
/* Its user is to be woken. */
void http2_stream_ready(struct http2_stream *st);
void http2_stream_unready(struct http2_stream *st);
/* nghttp2 has forgotten the stream. */
void http2_stream_closed(struct http2_stream *st, uint32_t code);
/* The peer's side ended. */
void http2_stream_end(struct http2_stream *st);
void http2_want_run(struct http2 *h);
/* DATA frames of this stream. */
int http2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
		    nghttp2_data_source *source, void *user);

#endif
