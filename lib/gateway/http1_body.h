/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of HTTP/1 messages: finds the payload in the bytes behind a head, in any pieces, in constant memory (trailers
 * are bounded). Sans IO: payload is pointed at, never copied.
 *
 * 	http1_body_init(&body, &head);
 * 	while (!body.done && len) {
 * 		n = http1_body_feed(&body, data, len, &payload);  -- n < 0: refused
 * 		... forward data + payload.off, payload.len bytes ...
 * 		data += n, len -= n;
 * 	}
 * A body without a byte (HTTP1_BODY_NONE, length 0) is done at once.
 */
#ifndef NSBOX_GATEWAY_HTTP1_BODY_H
#define NSBOX_GATEWAY_HTTP1_BODY_H

#include "gateway/http1_message.h"

#define HTTP1_CHUNK_LINE_MAX 256u    /* size and extensions of one chunk */
#define HTTP1_EXTENSIONS_MAX 16384u  /* extensions of a whole body: many tiny chunks must not multiply the limit above */

struct http1_span {
	size_t off, len;
};

struct http1_body {
	enum http1_framing framing;
	bool done;		    /* the last byte has been consumed */
	uint64_t payload;	    /* bytes of payload so far */
	struct http1_head trailers; /* kind HTTP1_TRAILERS; its fields are valid when done and framing is chunked */
	const char *error;	    /* stable token after a failure */

	/* Private. */
	uint64_t left;	     /* of the chunk, or of the whole */
	uint32_t extensions; /* bytes so far */
	uint16_t line;	     /* bytes of the chunk line so far */
	uint8_t state;
	uint8_t digits;
};

/* head must be complete. */
void http1_body_init(struct http1_body *b, const struct http1_head *head);
/*
 * Take bytes; at most one run of payload a call. The number consumed, above 0 unless done or len is 0; ret_payload is
 * where in data the payload lies (len 0: none in these bytes). -EBADMSG: refused (for a request answer 400 if nothing
 * was answered yet; the connection must not be used again), -ENOMEM.
 */
ssize_t http1_body_feed(struct http1_body *b, const void *data, size_t len, struct http1_span *ret_payload);
/* The peer has closed: 0 when that is a proper end (HTTP1_BODY_EOF becomes done), else -EBADMSG: cut off, and whoever
 * receives the copy has to see an error too. */
int http1_body_eof(struct http1_body *b);
void http1_body_reset(struct http1_body *b);

#endif
