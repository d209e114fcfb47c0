/* SPDX-License-Identifier: Apache-2.0 */
/* Secret values out of answers. */
#include "gateway/scrub_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/gateway.h"
#include "gateway/http1_private.h"
#include "gateway/inflate.h"
#include "gateway/scrub.h"

enum where { IN_HEADER = 1, IN_BODY = 2, IN_TRAILER = 4, IN_MESSAGE = 8 };

struct answer_scrub {
	bool body, coded; /* x->answer's body goes through here; it is compressed */
	enum where where; /* what is being looked at */
	uint8_t *recorded; /* of each of so many secrets: bits of enum where */
	size_t n_recorded;
	struct scrub scrub;
	struct placeholder_table made; /* the signature of a request that was signed anew, */
	struct placeholder *claimed;   /* the client's, which takes its place, */
	struct scrub signature;	       /* and what finds it; NULL above: none was made */
	struct inflater inflater;
};

/* Answers from here are searched for it. */
static bool searched_for(const struct session *s, size_t secret)
{
	const struct policy_secret *rule = s->gw->secrets.v[secret].rule;

	return rule->scrub && secret_reaches(rule, &s->x->target);
}

static const struct placeholder *own_placeholder(const struct session *s, size_t secret)
{
	if (!searched_for(s, secret))
		return NULL;
	for (const struct holder *h = s->call->holders; h; h = h->next) {
		if (h->placeholder->secret == secret)
			return h->placeholder;
	}
	return NULL;
}

bool answer_needs_scrub(const struct session *s)
{
	for (const struct holder *h = s->call->holders; h; h = h->next) {
		if (searched_for(s, h->placeholder->secret))
			return true;
	}
	return false;
}

static const char *where_name(enum where where)
{
	switch (where) {
	case IN_HEADER:
		return "header";
	case IN_BODY:
		return "body";
	case IN_TRAILER:
		return "trailer";
	case IN_MESSAGE:
		break;
	}
	return "message";
}

static void record(struct session *s, size_t secret)
{
	struct answer_scrub *a = s->x->scrub;
	_cleanup_buf_ struct buf members = { 0 };

	/* One that was added since is no secret of this call. */
	if (secret >= a->n_recorded || a->recorded[secret] & a->where)
		return;
	a->recorded[secret] |= (uint8_t)a->where;
	json_member_string(&members, "name", s->gw->secrets.v[secret].rule->name);
	session_members(s, &members);
	json_member_string(&members, "where", where_name(a->where));
	records_add(&s->gw->records, "secret.scrub", s->call, "answer", &members);
}

/* Asked for each value found, and again for its replacement. */
static const struct placeholder *stand_in(void *data, size_t secret)
{
	struct session *s = data;
	const struct placeholder *p = own_placeholder(s, secret);

	if (p)
		record(s, secret);
	return p;
}

static const struct placeholder *claimed(void *data, size_t secret)
{
	struct session *s = data;

	record(s, secret);
	return s->x->scrub->claimed;
}

/* Whoever has it can send that request, without the sandbox and after its end, for as long as it is good. */
static int expect_signature(struct session *s)
{
	const struct resigned *signed_anew = &s->x->resigned;
	struct answer_scrub *a = s->x->scrub;
	const size_t len = sizeof(signed_anew->was);

	if (!signed_anew->made || !s->gw->secrets.v[signed_anew->secret].rule->scrub)
		return 0;
	a->claimed = calloc(1, sizeof(*a->claimed) + len + 1);
	if (!a->claimed)
		return -ENOMEM;
	memcpy(a->claimed->text, signed_anew->was, len);
	a->claimed->len = len;
	a->made.texts = true;
	a->signature = (struct scrub){ .values = &a->made, .stand_in = claimed, .data = s };
	return placeholder_add_text(&a->made, signed_anew->is, len, signed_anew->secret);
}

/* As scrub_text(), for what has just been found no secret in, or has been appended to out without. */
static int scrub_signature(struct session *s, const char *text, size_t len, size_t before, bool appended, struct buf *out)
{
	struct answer_scrub *a = s->x->scrub;
	_cleanup_buf_ struct buf plain = { 0 };

	if (!appended)
		return scrub_text(&a->made, claimed, s, text, len, out);
	int r = scrub_text(&a->made, claimed, s, out->data + before, out->len - before, &plain);
	if (r <= 0)
		return r < 0 ? r : 1;
	out->len = before;
	r = buf_append(out, plain.data, plain.len);
	return r < 0 ? r : 1;
}

static int scrub_whole(struct session *s, const struct http1_head *h, struct http1_slice slice, struct buf *out)
{
	const char *text = http1_text(h, slice);
	size_t before = out->len;

	int r = scrub_text(&s->gw->secrets.values, stand_in, s, text, slice.len, out);
	return r < 0 || !s->x->scrub->claimed ? r : scrub_signature(s, text, slice.len, before, r > 0, out);
}

/* As scrub_take(). */
static int scrub_piece(struct answer_scrub *a, const void *data, size_t len, bool last, struct buf *out)
{
	_cleanup_buf_ struct buf plain = { 0 };

	if (!a->claimed)
		return scrub_take(&a->scrub, data, len, last, out);
	int r = scrub_feed(&a->scrub, data, len, last, &plain);
	return r < 0 ? r : scrub_feed(&a->signature, plain.data, plain.len, last, out);
}

int answer_scrub_value(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	return scrub_whole(data, h, h->fields[i].value, out);
}

static int fail_answer(struct session *s, const char *error)
{
	s->x->answer.error = error;
	return -EBADMSG;
}

static int begin(struct session *s)
{
	struct exchange *x = s->x;

	x->scrub = calloc(1, sizeof(*x->scrub));
	if (!x->scrub)
		return -ENOMEM;
	x->scrub->where = IN_HEADER;
	x->scrub->n_recorded = s->gw->secrets.n;
	x->scrub->recorded = calloc(x->scrub->n_recorded, 1);
	x->scrub->scrub = (struct scrub){ .values = &s->gw->secrets.values, .stand_in = stand_in, .data = s,
					  .same_length = true };
	for (const struct holder *h = s->call->holders; h; h = h->next) {
		const struct secret *secret = &s->gw->secrets.v[h->placeholder->secret];
		const bool same = !secret->issuer && !secret->resizes && secret->usual == h->placeholder->len;
		if (!same && searched_for(s, h->placeholder->secret))
			x->scrub->scrub.same_length = false;
	}
	return x->scrub->recorded ? expect_signature(s) : -ENOMEM;
}

/* What stands where no value has to: names cannot be replaced, and a reason phrase is for nobody. */
static int check_names(struct session *s)
{
	struct http1_head *h = &s->x->answer;
	_cleanup_buf_ struct buf none = { 0 };

	int r = scrub_whole(s, h, h->reason, &none);
	if (r > 0)
		h->reason.len = 0;
	for (size_t i = 0; i < h->n_fields && r >= 0; i++) {
		r = scrub_whole(s, h, h->fields[i].name, &none);
		if (r > 0)
			return fail_answer(s, "secret-in-name");
	}
	return r < 0 ? r : 0;
}

/* 1: it is one that can be undone, 0: there is none. */
static int known_coding(const struct http1_head *h, struct http1_slice name, enum inflate_coding *ret)
{
	static const struct {
		const char *name;
		enum inflate_coding coding;
	} known[] = { { "gzip", INFLATE_GZIP }, { "x-gzip", INFLATE_GZIP }, { "deflate", INFLATE_GZIP },
		      { "br", INFLATE_BROTLI }, { "zstd", INFLATE_ZSTD } };

	if (http1_slice_is_nocase(h, name, "identity"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (http1_slice_is_nocase(h, name, known[i].name)) {
			*ret = known[i].coding;
			return 1;
		}
	}
	return -ENOTSUP;
}

/* 1: compressed in a way that can be undone, 0: not at all. */
static int coding(struct session *s, enum inflate_coding *ret)
{
	const struct http1_head *h = &s->x->answer;
	struct http1_slice item;
	int n = 0;

	for (size_t i = http1_find(h, "Content-Encoding", 0); i < h->n_fields; i = http1_find(h, "Content-Encoding", i + 1)) {
		uint32_t at = h->fields[i].value.off;
		while (http1_list_next(h, h->fields[i].value, &at, &item)) {
			int known = known_coding(h, item, ret);
			if (known < 0)
				return fail_answer(s, "content-encoding");
			n += known;
		}
	}
	for (size_t i = 0; i < h->n_fields; i++) {
		const struct http1_field *f = &h->fields[i];
		/* Inside the body, message by message. Deltas and the like (RFC 3229) come with a name of their own. */
		bool messages = http1_slice_is_nocase(h, f->name, "Grpc-Encoding") ||
				http1_slice_is_nocase(h, f->name, "Connect-Content-Encoding");
		if ((messages && !http1_slice_is_nocase(h, f->value, "identity")) || http1_slice_is_nocase(h, f->name, "IM"))
			return fail_answer(s, "content-encoding");
	}
	return n > 1 ? fail_answer(s, "content-encoding") : n;
}

uint64_t answer_margin(const struct session *s)
{
	/* Of a signature in base64 or of a value, with \u0061 for each byte. */
	const uint64_t value = s->gw->secrets.values.longest, signature = 90;

	return 6 * (value > signature ? value : signature) + 16;
}

/* S3 and its like: ?partNumber=2 */
static bool asks_by_number(const struct http1_head *request)
{
	static const char name[] = "partNumber=";
	const char *at = http1_text(request, request->query), *end = at + request->query.len;

	while (request->has_query && (size_t)(end - at) > strlen(name)) {
		const char *next = memchr(at, '&', (size_t)(end - at));
		if (memcmp(at, name, strlen(name)) == 0)
			return true;
		if (!next)
			break;
		at = next + 1;
	}
	return false;
}

/* The fields and the framing of what goes on of a part. */
static int cut_part(struct session *s, size_t i, const struct range_part *part)
{
	struct exchange *x = s->x;
	struct http1_head *h = &x->answer;

	/* A longer value may have come since. */
	if (x->range.margin < answer_margin(s))
		return fail_answer(s, "partial");
	int r = range_cut(&x->range, part, &x->cut);
	if (r < 0)
		return fail_answer(s, r == -ERANGE ? "range" : "partial");
	x->is_cut = true;
	h->fields[i].value = (struct http1_slice){ (uint32_t)h->bytes.len, (uint32_t)strlen(x->cut.content_range) };
	r = buf_puts(&h->bytes, x->cut.content_range);
	h->framing = HTTP1_BODY_LENGTH;
	h->has_content_length = true;
	h->content_length = x->cut.left;
	/* It was promised where each byte stands. */
	x->scrub->scrub.same_length = true;
	return r;
}

/* With the rest of a value in another one, or compressed without its beginning, nothing could be found. */
static int begin_part(struct session *s, bool coded)
{
	struct exchange *x = s->x;
	const struct http1_head *h = &x->answer;
	size_t i = http1_find(h, "Content-Range", 0);
	struct range_part part;

	if (i == h->n_fields || http1_find(h, "Content-Range", i + 1) < h->n_fields || coded ||
	    range_part_parse(http1_text(h, h->fields[i].value), h->fields[i].value.len, &part) < 0)
		return fail_answer(s, "partial");
	uint64_t n = part.last - part.first + 1;
	if (h->framing == HTTP1_BODY_LENGTH && h->content_length != n)
		return fail_answer(s, "partial");
	x->part = n;
	if (x->range.form)
		return cut_part(s, i, &part);
	bool numbered = asks_by_number(&x->request) && http1_find(h, "x-amz-mp-parts-count", 0) < h->n_fields;
	return range_part_is_sound(&part, numbered) ? 0 : fail_answer(s, "partial");
}

static int begin_body(struct session *s)
{
	struct exchange *x = s->x;
	struct answer_scrub *a = x->scrub;
	enum inflate_coding which = INFLATE_GZIP;

	int r = coding(s, &which);
	if (r < 0)
		return r;
	int part = x->answer.status == 206 ? begin_part(s, r > 0) : 0;
	if (part < 0)
		return part;
	a->body = true;
	if (r > 0) {
		r = inflater_init(&a->inflater, which);
		if (r < 0)
			return r == -EBUSY ? fail_answer(s, "decoders") : r;
		a->coded = true;
		http1_drop(&x->answer, "Content-Encoding");
		/* Nobody knows how long it will be. */
		a->scrub.same_length = false;
	}
	a->signature.same_length = a->scrub.same_length;
	if (!a->scrub.same_length && x->answer.framing == HTTP1_BODY_LENGTH) {
		x->answer.framing = HTTP1_BODY_CHUNKED;
		x->answer.has_content_length = false;
	}
	return 0;
}

int answer_scrub_head(struct session *s)
{
	struct exchange *x = s->x;

	if (!x->scrub) {
		if (!answer_needs_scrub(s))
			return 0;
		int r = begin(s);
		if (r < 0)
			return r;
	}
	int r = check_names(s);
	return r == 0 && x->answer.status >= 200 && !x->download.done ? begin_body(s) : r;
}

bool answer_scrub_waiting(const struct exchange *x)
{
	return x->scrub && x->scrub->coded && inflater_waiting(&x->scrub->inflater);
}

int answer_scrub_body(struct session *s, const uint8_t *data, size_t len, struct buf *out)
{
	struct answer_scrub *a = s->x->scrub;
	_cleanup_buf_ struct buf plain = { 0 };

	a->where = IN_BODY;
	if (!a->coded)
		return scrub_piece(a, data, len, false, out);
	int r = inflater_give(&a->inflater, data, len);
	if (r == 0)
		r = inflater_step(&a->inflater, &plain);
	if (r == 0)
		r = scrub_piece(a, plain.data, plain.len, false, out);
	return r > 0 ? buf_append(out, plain.data, plain.len) : r;
}

int answer_scrub_end(struct session *s, struct buf *out)
{
	struct answer_scrub *a = s->x->scrub;
	struct http1_head *t = &s->x->download.trailers;
	_cleanup_buf_ struct buf none = { 0 };

	int r = a->coded ? inflater_end(&a->inflater) : 0;
	if (r == 0 && a->body)
		r = scrub_piece(a, NULL, 0, true, out);
	if (r > 0)
		r = 0;
	a->where = IN_TRAILER;
	size_t n = t->n_fields;
	for (size_t i = 0; i < n && r >= 0 && t->n_fields; i++) {
		r = scrub_whole(s, t, t->fields[i].name, &none);
		if (r == 0)
			r = scrub_whole(s, t, t->fields[i].value, &none);
		/* Trailers are optional: with one that holds a value all are left out. */
		if (r > 0)
			t->n_fields = 0;
	}
	return r < 0 ? r : 0;
}

int answer_scrub_message(struct session *s, const struct websocket_part *part, struct buf *out)
{
	struct answer_scrub *a = s->x->scrub;
	size_t code = part->opcode == WEBSOCKET_CLOSE && part->len >= 2 ? 2 : 0;

	a->where = IN_MESSAGE;
	a->scrub.same_length = false;
	a->scrub.texts = true;
	if (!websocket_is_control(part->opcode)) {
		int r = scrub_feed(&a->scrub, part->data, part->len, part->last, out);
		if (part->last)
			scrub_next(&a->scrub);
		return r;
	}
	/* A control frame may come between the fragments of a message. */
	int r = buf_append(out, part->data, code);
	if (r == 0)
		r = scrub_text(&s->gw->secrets.values, stand_in, s, part->data + code, part->len - code, out);
	return r == 0 ? buf_append(out, part->data + code, part->len - code) : r < 0 ? r : 0;
}

void answer_scrub_free(struct answer_scrub *a)
{
	if (!a)
		return;
	scrub_reset(&a->scrub);
	scrub_reset(&a->signature);
	placeholder_table_free(&a->made);
	free(a->claimed);
	inflater_free(&a->inflater);
	free(a->recorded);
	free(a);
}
