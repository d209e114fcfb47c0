/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a WebSocket (RFC 6455), without extensions: read as messages whatever their fragments, and written
 * anew. Sans IO.
 */
#ifndef NSBOX_GATEWAY_WEBSOCKET_H
#define NSBOX_GATEWAY_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

/* A frame up to this size is handed over as a whole, a longer one as it comes. */
#define WEBSOCKET_WHOLE (16u * 1024u)
#define WEBSOCKET_CONTROL_MAX 125u

/* 7.4.1 */
enum websocket_code { WEBSOCKET_PROTOCOL_ERROR = 1002, WEBSOCKET_POLICY_VIOLATION = 1008 };

static inline bool websocket_is_control(enum websocket_opcode opcode)
{
	return opcode >= WEBSOCKET_CLOSE;
}

/* Some of a message, or a control frame. */
struct websocket_part {
	bool any;
	enum websocket_opcode opcode; /* never CONTINUATION: what the message is that this belongs to */
	const uint8_t *data;	      /* unmasked; until the next call for its reader */
	size_t len;
	bool last; /* of the message */
};

/* Zero-initialised but for the first part. */
struct websocket_reader {
	bool masked; /* a client sends: everything has to be masked; else nothing may be */

	/* Private. */
	uint8_t head[14], head_len;
	uint64_t left; /* of the frame's payload */
	enum websocket_opcode message; /* CONTINUATION: none is under way */
	bool in_payload, whole, closed;
	uint8_t mask_at;
	struct buf payload;
};

/*
 * Take bytes, up to the end of at most one part. The number consumed (0 only for len 0), -EBADMSG (not a frame that may
 * come here: nothing more can be read), -ENOMEM.
 */
ssize_t websocket_feed(struct websocket_reader *r, const void *data, size_t len, struct websocket_part *ret);
/* The part was dealt with. */
void websocket_release(struct websocket_reader *r);
void websocket_reset(struct websocket_reader *r);

/* Append a frame; masked with a key from the kernel when a client sends it. 0, -ENOMEM or an error of getrandom(). */
int websocket_write(struct buf *out, enum websocket_opcode opcode, bool fin, bool masked, const void *data, size_t len);

#endif
