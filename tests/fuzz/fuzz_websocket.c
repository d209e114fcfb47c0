/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of WebSockets: whatever the cuts, the same messages and control frames are read up to the same error, and what
 * was read and is written anew is read as the same again. The first byte says who sends and how the rest is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/websocket.h"
#include "fuzz.h"

/* What was read: of each message and control frame opcode, content and end. */
struct reading {
	struct buf messages, controls, again;
	bool begun, failed;
	size_t taken;
};

static void note(struct reading *r, bool masked, const struct websocket_part *part)
{
	bool control = websocket_is_control(part->opcode);
	struct buf *to = control ? &r->controls : &r->messages;
	const uint8_t opcode = (uint8_t)part->opcode;

	CHECK(part->opcode != WEBSOCKET_CONTINUATION && part->len <= WEBSOCKET_WHOLE);
	CHECK(!control || (part->last && part->len <= WEBSOCKET_CONTROL_MAX));
	CHECK(websocket_write(&r->again, r->begun && !control ? WEBSOCKET_CONTINUATION : part->opcode, part->last, masked,
			      part->data, part->len) == 0);
	if (control || !r->begun)
		CHECK(buf_append(to, &opcode, 1) == 0);
	CHECK(buf_append(to, part->data, part->len) == 0);
	if (part->last)
		CHECK(buf_puts(to, "\n") == 0);
	if (!control)
		r->begun = !part->last;
}

static struct reading read_all(const uint8_t *data, size_t size, bool masked, size_t cut)
{
	struct websocket_reader reader = { .masked = masked };
	struct reading r = { 0 };

	while (r.taken < size && !r.failed) {
		struct websocket_part part;
		size_t n = cut && cut < size - r.taken ? cut : size - r.taken;
		uint8_t *piece = malloc(n);
		CHECK(piece);
		memcpy(piece, data + r.taken, n);
		ssize_t got = websocket_feed(&reader, piece, n, &part);
		free(piece);
		CHECK(got != 0 && got <= (ssize_t)n);
		r.failed = got < 0;
		if (got > 0)
			r.taken += (size_t)got;
		if (got > 0 && part.any) {
			note(&r, masked, &part);
			websocket_release(&reader);
		}
	}
	websocket_reset(&reader);
	return r;
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

static void forget(struct reading *r)
{
	buf_free(&r->messages);
	buf_free(&r->controls);
	buf_free(&r->again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	bool masked = data[0] & 1;
	size_t cut = data[0] >> 1;
	struct reading whole = read_all(data + 1, size - 1, masked, 0), cuts = read_all(data + 1, size - 1, masked, cut + 1);

	CHECK(whole.failed == cuts.failed && same(&whole.messages, &cuts.messages) && same(&whole.controls, &cuts.controls));
	struct reading again = read_all(whole.again.data, whole.again.len, masked, cut + 1);
	CHECK(!again.failed && same(&whole.messages, &again.messages) && same(&whole.controls, &again.controls));
	forget(&whole);
	forget(&cuts);
	forget(&again);
	return 0;
}
