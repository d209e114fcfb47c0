/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSockets through the gateway.
 *
 * Fragments of messages need not stay as they were (RFC 6455 5.4): what is held back because it may be the beginning of
 * a placeholder or value goes on in a later one. A frame of up to 16 KiB is read as a whole before any of it goes on.
 * A message has to arrive when it has ended, so of what is cut into two of them the beginning has gone on. A placeholder
 * is nothing but text then. A value that the beginning of the next message of the server completes ends the connection
 * before it is complete; other messages between the two, or a byte, and it is not known for one.
 */
#include "gateway/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/gateway.h"
#include "gateway/relay.h"
#include "gateway/scrub_answer.h"
#include "gateway/websocket.h"

struct direction {
	struct websocket_reader reader;
	bool begun; /* a frame of the message has gone on */
	bool form_known;
};

struct tunnel {
	struct direction up, down;
	struct buf held; /* frames with a value in them, until the record of its use is written */
	bool waiting;
	bool ours; /* what is wrong is the client's doing, not the server's */
};

static bool any_secret(const struct session *s)
{
	return s->gw->secrets.table.n > 0;
}

void tunnel_offer(struct session *s)
{
	if (s->x->request.websocket && any_secret(s))
		http1_drop(&s->x->request, "Sec-WebSocket-Extensions");
}

int tunnel_begin(struct session *s)
{
	struct exchange *x = s->x;

	if (!any_secret(s))
		return 0;
	/* None was offered. */
	if (http1_find(&x->answer, "Sec-WebSocket-Extensions", 0) < x->answer.n_fields) {
		x->answer.error = "websocket-extension";
		return -EBADMSG;
	}
	x->tunnel = calloc(1, sizeof(*x->tunnel));
	if (!x->tunnel)
		return -ENOMEM;
	x->tunnel->up.reader.masked = true;
	return 0;
}

/* What has been made of some of a message goes on, in a frame of its own. */
static int put_part(struct direction *d, const struct websocket_part *part, const struct buf *text, struct buf *out)
{
	int r = 0;

	if (text->len || part->last)
		r = websocket_write(out, d->begun ? WEBSOCKET_CONTINUATION : part->opcode, part->last, d->reader.masked,
				    text->data, text->len);
	d->begun = (d->begun || text->len) && !part->last;
	return r;
}

/* Programs put JSON into messages without saying so: what begins like it is escaped like it. */
static void find_form(struct direction *d, const struct websocket_part *part, enum body_form *form)
{
	size_t i = 0;

	while (i < part->len && strchr(" \t\r\n", part->data[i]) && part->data[i])
		i++;
	if (!d->form_known && i < part->len) {
		d->form_known = true;
		*form = memchr("{[\"", part->data[i], 3) ? BODY_JSON : BODY_PLAIN;
	}
	if (part->last)
		d->form_known = false;
}

static int send_up(struct session *s, const struct websocket_part *part)
{
	struct exchange *x = s->x;
	struct tunnel *t = x->tunnel;
	struct buf text = { 0 };
	size_t uses = x->n_uses;
	int r;

	if (websocket_is_control(part->opcode)) {
		r = credentials_check(s, part->data, part->len);
		return r < 0 ? r : websocket_write(&t->held, part->opcode, true, true, part->data, part->len);
	}
	find_form(&t->up, part, &x->message_form);
	r = credentials_message(s, part->data, part->len, part->last, &text);
	if (r == 0)
		r = put_part(&t->up, part, &text, &t->held);
	buf_wipe(&text);
	if (r == 0 && x->n_uses > uses) {
		t->waiting = true;
		session_wait_record(s);
	}
	return r;
}

/* What waited for a record, or for nothing. */
static int release(struct session *s)
{
	struct tunnel *t = s->x->tunnel;

	if (t->waiting && !s->acked)
		return 0;
	if (t->waiting && s->refused)
		return -EIO;
	t->waiting = false;
	s->up->stream.out.secret |= s->x->n_uses > 0;
	int r = t->held.len ? iobuf_append(&s->up->stream.out, t->held.data, t->held.len) : 0;
	buf_wipe(&t->held);
	stream_flush(&s->up->stream);
	return r;
}

static int pump_up(struct session *s, bool *moved)
{
	struct stream *c = &s->client, *u = &s->up->stream;
	struct tunnel *t = s->x->tunnel;
	struct websocket_part part;

	int r = release(s);
	while (r == 0 && !t->waiting && iobuf_len(&u->out) < STREAM_CHUNK) {
		if (!iobuf_len(&c->in))
			stream_fill(c, STREAM_CHUNK);
		if (!iobuf_len(&c->in))
			break;
		ssize_t n = websocket_feed(&t->up.reader, iobuf_head(&c->in), iobuf_len(&c->in), &part);
		if (n < 0) {
			t->ours = true;
			return (int)n;
		}
		if (quota_count_upload(&s->payers, (uint64_t)n).reason)
			return -EDQUOT;
		iobuf_consume(&c->in, (size_t)n);
		s->relay_up += (uint64_t)n;
		*moved = true;
		/* Of a frame that is still to be read as a whole the beginning stays where it is. */
		if (!part.any)
			continue;
		r = send_up(s, &part);
		websocket_release(&t->up.reader);
		if (r == 0)
			r = release(s);
	}
	stream_flush(u);
	return r;
}

static int send_down(struct session *s, const struct websocket_part *part)
{
	struct tunnel *t = s->x->tunnel;
	struct buf text = { 0 }, frame = { 0 };
	int r = 0;

	if (s->x->scrub)
		r = answer_scrub_message(s, part, &text);
	else
		r = buf_append(&text, part->data, part->len);
	if (r == 0 && websocket_is_control(part->opcode))
		r = text.len > WEBSOCKET_CONTROL_MAX ? -EBADMSG :
						       websocket_write(&frame, part->opcode, true, false, text.data, text.len);
	else if (r == 0)
		r = put_part(&t->down, part, &text, &frame);
	if (r == 0 && frame.len)
		r = iobuf_append(&s->client.out, frame.data, frame.len);
	buf_free(&text);
	buf_free(&frame);
	return r;
}

static int pump_down(struct session *s, bool *moved)
{
	struct stream *c = &s->client, *u = &s->up->stream;
	struct tunnel *t = s->x->tunnel;
	struct websocket_part part;
	int r = 0;

	stream_flush(c);
	while (r == 0 && iobuf_len(&c->out) < STREAM_CHUNK) {
		if (!iobuf_len(&u->in))
			stream_fill(u, STREAM_CHUNK);
		if (!iobuf_len(&u->in))
			break;
		ssize_t n = websocket_feed(&t->down.reader, iobuf_head(&u->in), iobuf_len(&u->in), &part);
		if (n < 0)
			return (int)n;
		iobuf_consume(&u->in, (size_t)n);
		s->relay_down += (uint64_t)n;
		*moved = true;
		if (part.any) {
			r = send_down(s, &part);
			websocket_release(&t->down.reader);
		}
		if (iobuf_len(&c->out) >= STREAM_CHUNK / 2)
			stream_flush(c);
	}
	stream_flush(c);
	return r;
}

/* The client is told why; the server has seen nothing of what was wrong, and sees the connection end. */
static void refuse(struct session *s, int error)
{
	struct exchange *x = s->x;
	const char *reason = error == -EACCES ? "secret-misuse" : error == -ENOKEY ? "secret-expired" : error == -EXDEV ? "secret-cut" :
			     error == -ENOMEM ? "no-memory" : x->tunnel->ours ? "client-frame" : "bad-frame";
	uint16_t code = error == -EBADMSG ? WEBSOCKET_PROTOCOL_ERROR : WEBSOCKET_POLICY_VIOLATION;
	_cleanup_buf_ struct buf body = { 0 }, frame = { 0 };

	int r = buf_append(&body, (const uint8_t[]){ (uint8_t)(code >> 8), (uint8_t)code }, 2);
	if (r == 0)
		r = buf_printf(&body, "nsbox: %s", reason);
	if (r == 0)
		r = websocket_write(&frame, WEBSOCKET_CLOSE, true, false, body.data, body.len);
	if (r == 0)
		r = iobuf_append(&s->client.out, frame.data, frame.len);
	request_record(s, "http.request", reason, true);
	if (r < 0) {
		x->state = EXCHANGE_HEAD; /* recorded */
		session_abort(s);
		return;
	}
	upstream_close(TAKE_PTR(s->up), true);
	exchange_free(TAKE_PTR(s->x));
	session_finish(s);
}

/* As relay_bytes(), but RELAY_QUOTA and the like; or an error that refuse() is for. */
static int relay_messages(struct session *s, enum relay_result *ret)
{
	bool moved = false;
	int r = pump_up(s, &moved);

	if (r == 0)
		r = pump_down(s, &moved);
	if (r == -EDQUOT || r == -EIO) {
		*ret = r == -EIO ? RELAY_GONE : RELAY_QUOTA;
		return 0;
	}
	if (r == 0)
		*ret = s->x->tunnel->waiting ? RELAY_NOTHING : relay_ends(s, moved);
	return r;
}

bool tunnel_run(struct session *s)
{
	struct exchange *x = s->x;
	enum relay_result result = RELAY_NOTHING;
	struct over_quota over;
	int r = 0;

	if (x->tunnel)
		r = relay_messages(s, &result);
	else
		result = relay_bytes(s);
	x->upload.payload = s->relay_up;
	x->download.payload = s->relay_down;
	if (r < 0) {
		refuse(s, r);
		return true;
	}
	switch (result) {
	case RELAY_NOTHING:
		return false;
	case RELAY_MOVED:
		session_timeout(s, RELAY_IDLE_US);
		return false;
	case RELAY_ENDED:
		request_record(s, "http.request", "", true);
		x->state = EXCHANGE_HEAD; /* recorded */
		session_close(s);
		return true;
	case RELAY_QUOTA:
		over = quota_count_upload(&s->payers, 0);
		s->quota = over.quota;
		request_record(s, "limit.hit", over.reason, false);
		break;
	case RELAY_GONE:
		break;
	}
	session_abort(s);
	return true;
}

void tunnel_free(struct tunnel *t)
{
	if (!t)
		return;
	websocket_reset(&t->up.reader);
	websocket_reset(&t->down.reader);
	buf_wipe(&t->held);
	free(t);
}
