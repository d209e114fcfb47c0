/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 messages: the verdict does not depend on how they are cut; what was accepted and written anew is accepted
 * again, means the same, ends where it ends, and written once more is the same text.
 */
#include "../unit/http1_feed.h"
#include "gateway/http1_write.h"
#include "gateway/range.h"
#include "fuzz.h"

static void run(struct message *m, enum http1_kind kind, bool to_head, const char *text, size_t len, size_t step)
{
	*m = (struct message){ .head = { .kind = kind, .to_head = to_head } };
	for (size_t at = 0; at < len; at += step)
		message_feed(m, text + at, len - at < step ? len - at : step);
}

static void same_verdict(const struct message *a, const struct message *b)
{
	CHECK(!a->error == !b->error && (!a->error || strcmp(a->error, b->error) == 0));
	CHECK(a->started_body == b->started_body && a->head.complete == b->head.complete);
	CHECK(a->payload.len == b->payload.len);
	CHECK(!a->payload.len || memcmp(a->payload.data, b->payload.data, a->payload.len) == 0);
	CHECK(a->error || (a->consumed == b->consumed && a->body.done == b->body.done));
}

static void same_text(const struct http1_head *a, struct http1_slice s, const struct http1_head *b, struct http1_slice t)
{
	CHECK(s.len == t.len && (!s.len || memcmp(http1_text(a, s), http1_text(b, t), s.len) == 0));
}

static void write_message(const struct message *m, struct buf *out)
{
	const struct http1_head *h = &m->head;
	enum http1_framing framing = h->framing;
	char chunk[HTTP1_CHUNK_HEAD_MAX];

	if (h->kind == HTTP1_REQUEST) {
		struct http1_request_out how = { .host = "a.example", .port = 8443 };
		CHECK(http1_write_request(out, h, &how) == 0);
	} else {
		struct http1_response_out how = { .keep_alive = true };
		CHECK(http1_write_response(out, h, &how) == 0);
		framing = http1_response_framing(h, &how);
	}
	if (framing == HTTP1_BODY_CHUNKED && m->payload.len) {
		CHECK(buf_append(out, chunk, http1_chunk_head(chunk, m->payload.len)) == 0);
		CHECK(buf_append(out, m->payload.data, m->payload.len) == 0 && buf_puts(out, "\r\n") == 0);
	} else {
		CHECK(buf_append(out, m->payload.data, m->payload.len) == 0);
	}
	if (framing == HTTP1_BODY_CHUNKED)
		CHECK(http1_write_last_chunk(out, &m->body.trailers) == 0);
}

/* m was accepted to its end. */
static void written_anew(struct message *m)
{
	struct buf once = { 0 }, twice = { 0 };
	struct message again;

	write_message(m, &once);
	/* The longest heads can grow past a limit by the fields that are written anew. */
	if (m->head.bytes.len < HTTP1_HEAD_MAX - 512 && m->head.n_fields < HTTP1_FIELDS_MAX - 4) {
		run(&again, m->head.kind, m->head.to_head, (char *)once.data, once.len, once.len);
		CHECK(!again.error && again.started_body && again.body.done && again.consumed == once.len);
		same_text(&m->head, m->head.method, &again.head, again.head.method);
		same_text(&m->head, m->head.path, &again.head, again.head.path);
		same_text(&m->head, m->head.query, &again.head, again.head.query);
		CHECK(m->head.has_query == again.head.has_query && m->head.status == again.head.status);
		CHECK(m->payload.len == again.payload.len);
		CHECK(!m->payload.len || memcmp(m->payload.data, again.payload.data, m->payload.len) == 0);
		CHECK(again.head.framing != HTTP1_BODY_EOF);
		CHECK(http1_find(&again.head, "Upgrade", 0) == again.head.n_fields);
		write_message(&again, &twice);
		CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
		message_free(&again);
	}
	buf_free(&once);
	buf_free(&twice);
}

/* Of any part that a server may claim only what lies in it goes on, and never more than was asked for. */
static void ranges(const char *ask, size_t ask_len, const char *answer, size_t len)
{
	struct range r = { 0 };
	struct range_part part;
	struct range_cut cut;
	char text[RANGE_TEXT_MAX];

	if (!range_parse(ask, ask_len, &r) || range_part_parse(answer, len, &part) < 0)
		return;
	r.margin = 100;
	range_widened(&r, text);
	if (range_cut(&r, &part, &cut) < 0)
		return;
	CHECK(cut.left && cut.skip <= part.last - part.first && cut.left <= part.last - part.first + 1 - cut.skip);
	CHECK(r.form != RANGE_BETWEEN || cut.left <= r.last - r.first + 1);
	CHECK(r.form != RANGE_LAST || cut.left <= r.last);
	CHECK(range_part_parse(cut.content_range, strlen(cut.content_range), &part) == 0);
}

static void ranges_of(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);

	if (end)
		ranges(text, (size_t)(end - text), end + 1, len - (size_t)(end + 1 - text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message whole, cut;

	if (size < 2)
		return 0;
	enum http1_kind kind = data[0] & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST;
	bool to_head = data[0] & 2;
	size_t step = data[1] % 64 + 1;
	const char *text = (const char *)data + 2;
	size -= 2;

	ranges_of(text, size);
	run(&whole, kind, to_head, text, size, size);
	run(&cut, kind, to_head, text, size, step);
	same_verdict(&whole, &cut);
	if (!whole.error && whole.started_body)
		(void)http1_body_eof(&whole.body);
	if (!whole.error && whole.started_body && whole.body.done)
		written_anew(&whole);
	message_free(&whole);
	message_free(&cut);
	return 0;
}
