/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of WebSockets. */
#include "gateway/websocket.h"

#include <errno.h>
#include <sys/random.h>

#define FIN 0x80
#define RESERVED 0x70 /* for extensions, and none is ever agreed to */
#define OPCODE 0x0f
#define MASKED 0x80
#define LENGTH 0x7f
#define LENGTH_16 126
#define LENGTH_64 127
#define MASK_LEN 4u

static size_t length_bytes(uint8_t second)
{
	return (second & LENGTH) == LENGTH_64 ? 8 : (second & LENGTH) == LENGTH_16 ? 2 : 0;
}

/* How long the head is, as far as its beginning tells. */
static size_t head_size(const struct websocket_reader *r)
{
	return r->head_len < 2 ? 2 : 2 + length_bytes(r->head[1]) + (r->masked ? MASK_LEN : 0);
}

static uint64_t payload_length(const struct websocket_reader *r)
{
	size_t n = length_bytes(r->head[1]);
	uint64_t length = n ? 0 : r->head[1] & LENGTH;

	for (size_t i = 0; i < n; i++)
		length = length << 8 | r->head[2 + i];
	return length;
}

/* The head is complete. */
static int check_head(struct websocket_reader *r)
{
	enum websocket_opcode opcode = r->head[0] & OPCODE;
	bool fin = r->head[0] & FIN;
	uint64_t length = payload_length(r);
	size_t n = length_bytes(r->head[1]);

	if (r->head[0] & RESERVED || r->closed)
		return -EBADMSG;
	/* The shortest form only (5.2): two that read a length in two ways disagree about where frames are. */
	if ((n == 2 && length < LENGTH_16) || (n == 8 && length <= UINT16_MAX) || length > INT64_MAX)
		return -EBADMSG;
	if (websocket_is_control(opcode)) {
		if (opcode > WEBSOCKET_PONG || !fin || length > WEBSOCKET_CONTROL_MAX ||
		    (opcode == WEBSOCKET_CLOSE && length == 1))
			return -EBADMSG;
		r->closed = opcode == WEBSOCKET_CLOSE;
	} else {
		if (opcode > WEBSOCKET_BINARY || (opcode == WEBSOCKET_CONTINUATION) == (r->message == WEBSOCKET_CONTINUATION))
			return -EBADMSG;
		if (opcode != WEBSOCKET_CONTINUATION)
			r->message = opcode;
	}
	r->left = length;
	r->whole = length <= WEBSOCKET_WHOLE;
	r->in_payload = true;
	r->mask_at = 0;
	return 0;
}

static ssize_t take_head(struct websocket_reader *r, const uint8_t *data, size_t len)
{
	size_t n = 0;

	while (n < len && r->head_len < head_size(r)) {
		r->head[r->head_len++] = data[n++];
		/* Before anything else is believed: without the key bytes would be taken for another length. */
		if (r->head_len == 2 && !(r->head[1] & MASKED) == r->masked)
			return -EBADMSG;
	}
	if (r->head_len < head_size(r))
		return (ssize_t)n;
	int e = check_head(r);
	return e < 0 ? e : (ssize_t)n;
}

static ssize_t take_payload(struct websocket_reader *r, const uint8_t *data, size_t len)
{
	size_t n = len < WEBSOCKET_WHOLE ? len : WEBSOCKET_WHOLE, at = r->payload.len;

	n = n < r->left ? n : (size_t)r->left;
	int e = buf_append(&r->payload, data, n);
	if (e < 0)
		return e;
	if (r->masked) {
		const uint8_t *key = r->head + r->head_len - MASK_LEN;
		for (size_t i = 0; i < n; i++)
			r->payload.data[at + i] ^= key[(r->mask_at + i) % MASK_LEN];
		r->mask_at = (uint8_t)((r->mask_at + n) % MASK_LEN);
	}
	r->left -= n;
	return (ssize_t)n;
}

ssize_t websocket_feed(struct websocket_reader *r, const void *data, size_t len, struct websocket_part *ret)
{
	const uint8_t *p = data;
	ssize_t n = 0, more = 0;

	*ret = (struct websocket_part){ 0 };
	if (!r->in_payload) {
		n = take_head(r, p, len);
		if (n < 0 || !r->in_payload)
			return n;
	}
	if (r->left && (size_t)n < len) {
		more = take_payload(r, p + n, len - (size_t)n);
		if (more < 0)
			return more;
	}
	if (r->left && (r->whole || !more))
		return n + more;
	enum websocket_opcode opcode = r->head[0] & OPCODE;
	bool ends = !r->left && r->head[0] & FIN;
	*ret = (struct websocket_part){ .any = true, .opcode = websocket_is_control(opcode) ? opcode : r->message,
					.data = r->payload.data, .len = r->payload.len, .last = ends };
	if (!r->left) {
		r->in_payload = false;
		r->head_len = 0;
		if (ends && !websocket_is_control(opcode))
			r->message = WEBSOCKET_CONTINUATION;
	}
	return n + more;
}

void websocket_release(struct websocket_reader *r)
{
	/* What a server says may hold a secret; and an idle connection keeps no buffers. */
	buf_wipe(&r->payload);
}

void websocket_reset(struct websocket_reader *r)
{
	buf_wipe(&r->payload);
	*r = (struct websocket_reader){ .masked = r->masked };
}

static size_t put_head(uint8_t head[14], enum websocket_opcode opcode, bool fin, bool masked, uint64_t len)
{
	size_t n = len > UINT16_MAX ? 8 : len >= LENGTH_16 ? 2 : 0;

	head[0] = (uint8_t)((fin ? FIN : 0) | (unsigned)opcode);
	head[1] = (uint8_t)((masked ? MASKED : 0) | (n == 8 ? LENGTH_64 : n == 2 ? LENGTH_16 : (unsigned)len));
	for (size_t i = 0; i < n; i++)
		head[2 + i] = (uint8_t)(len >> 8 * (n - 1 - i));
	return 2 + n;
}

int websocket_write(struct buf *out, enum websocket_opcode opcode, bool fin, bool masked, const void *data, size_t len)
{
	uint8_t head[14], *key;
	size_t n = put_head(head, opcode, fin, masked, len), before = out->len;

	key = head + n;
	if (masked) {
		ssize_t got = getrandom(key, MASK_LEN, 0);
		if (got != MASK_LEN)
			return got < 0 ? -errno : -EIO;
		n += MASK_LEN;
	}
	int r = buf_reserve(out, n + len);
	if (r < 0)
		return r;
	buf_append(out, head, n);
	r = len ? buf_append(out, data, len) : 0;
	for (size_t i = 0; masked && i < len; i++)
		out->data[before + n + i] ^= key[i % MASK_LEN];
	return r;
}
