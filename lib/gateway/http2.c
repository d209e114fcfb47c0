/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 connections: frames in, frames out. */
#include "gateway/http2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/http2_head.h"
#include "gateway/http2_memory.h"
#include "gateway/http2_private.h"

/* What may wait for the socket. */
#define OUT_MAX (2 * STREAM_CHUNK)
/* Frames that wait behind it: from a peer that does not read ours we read no more. */
#define QUEUE_MAX 256u
/* Decoded bytes of a head that is refused for its size already, before the connection is given up: HPACK makes much of
 * little. */
#define BOMB_BYTES (8 * HTTP1_HEAD_MAX)

static struct http2_stream *stream_of(struct http2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

static void fail(struct http2 *h, const char *reason, uint32_t code)
{
	if (h->failed)
		return;
	h->failed = true;
	h->ops->violation(h, reason, true);
	nghttp2_session_terminate_session(h->session, code);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
	struct http2 *h = user;

	(void)session;
	h->framed += FRAME_HEAD + hd->length;
	if (http2_limit_frame(&h->limit, *h->now, hd->type, hd->flags, hd->length))
		return 0;
	fail(h, "http2-flood", NGHTTP2_ENHANCE_YOUR_CALM);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http2 *h = user;
	struct http2_stream *st;

	h->opening = frame->hd.stream_id;
	if (h->server && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		st = http2_stream_new(h, frame->hd.stream_id);
		if (!st || nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, st) < 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		st->head.kind = HTTP1_REQUEST;
		return 0;
	}
	st = stream_of(h, frame->hd.stream_id);
	if (!st)
		return 0;
	st->head_bytes = 0;
	st->trailers.kind = HTTP1_TRAILERS;
	if (!h->server && !st->final_head) {
		st->head.kind = HTTP1_RESPONSE;
		st->head.to_head = st->to_head;
	}
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
		     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	struct http2 *h = user;
	struct http2_stream *st = stream_of(h, frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (!st)
		return 0;
	st->head_bytes += name_len + value_len;
	if (st->head_bytes > BOMB_BYTES) {
		fail(h, "http2-header-bomb", NGHTTP2_ENHANCE_YOUR_CALM);
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	bool trailers = h->server ? st->accepted : st->final_head;
	/* What is wrong is kept in the head; the fields behind it still have to pass through HPACK. */
	http2_head_field(trailers ? &st->trailers : &st->head, name, name_len, value, value_len);
	return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
			     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
	(void)session;
	(void)frame;
	(void)name;
	(void)name_len;
	(void)value;
	(void)value_len;
	(void)flags;
	(void)user;
	/* Without this nghttp2 drops the field and goes on. */
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void reset(struct http2_stream *st, uint32_t code)
{
	nghttp2_submit_rst_stream(st->h->session, NGHTTP2_FLAG_NONE, st->id, code);
}

static void request_complete(struct http2_stream *st, bool ended)
{
	http2_head_finish(&st->head, ended);
	if (ended)
		http2_stream_end(st);
	st->accepted = true;
	st->h->ops->request(st->h, st);
	http1_head_reset(&st->head);
	if (!st->io)
		reset(st, NGHTTP2_REFUSED_STREAM);
}

static void answer_complete(struct http2_stream *st, bool ended)
{
	http2_head_finish(&st->head, ended);
	/* A refused head is handed on too: its user tells the client why. */
	bool final = st->head.error || st->head.status >= 200;
	struct http2_received *got = calloc(1, sizeof(*got));
	if (!got || st->n_heads >= HTTP2_HEADS_MAX || !st->io) {
		free(got);
		http1_head_reset(&st->head);
		reset(st, NGHTTP2_ENHANCE_YOUR_CALM);
		return;
	}
	st->final_head = final;
	got->head = st->head;
	st->head = (struct http1_head){ 0 };
	*st->heads_tail = got;
	st->heads_tail = &got->next;
	st->n_heads++;
	if (ended)
		http2_stream_end(st);
	http2_stream_ready(st);
}

static void trailers_complete(struct http2_stream *st, bool ended)
{
	st->have_trailers = http2_head_finish(&st->trailers, ended) == 0;
	if (st->have_trailers) {
		http2_stream_end(st);
		return;
	}
	if (st->io)
		st->io->broken = st->io->eof = true;
	http2_stream_ready(st);
	reset(st, NGHTTP2_PROTOCOL_ERROR);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http2 *h = user;
	bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)session;
	if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS)
		h->opening = 0;
	struct http2_stream *st = stream_of(h, frame->hd.stream_id);
	if (!st)
		return 0;
	if (frame->hd.type == NGHTTP2_DATA) {
		if (ended)
			http2_stream_end(st);
	} else if (h->server ? st->accepted : st->final_head) {
		trailers_complete(st, ended);
	} else if (h->server) {
		request_complete(st, ended);
	} else {
		answer_complete(st, ended);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
	struct http2 *h = user;
	struct http2_stream *st = stream_of(h, id);

	(void)flags;
	/* One stream whose user does not read must not stop the others, so only the windows of streams hold back. */
	nghttp2_session_consume_connection(session, len);
	if (!st || !st->io) {
		nghttp2_session_consume_stream(session, id, len);
		return 0;
	}
	if (iobuf_append(&st->io->in, data, len) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	st->delivered += len;
	http2_stream_ready(st);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct http2 *h = user;
	struct http2_stream *st = stream_of(h, id);

	(void)session;
	if (h->opening == id)
		h->opening = 0;
	if (st)
		http2_stream_closed(st, st->unsent ? NGHTTP2_REFUSED_STREAM : code);
	return 0;
}

/* Resets that a client provokes cost it as much as those that it sends (CVE-2025-8671). */
static void reset_sent(struct http2 *h, const struct http2_stream *st, uint32_t code)
{
	if (code == NGHTTP2_NO_ERROR || code == NGHTTP2_CANCEL || code == NGHTTP2_INTERNAL_ERROR)
		return;
	if (st && !st->accepted)
		h->ops->violation(h, "http2-malformed", false);
	if (!http2_limit_malformed(&h->limit, *h->now))
		fail(h, "http2-flood", NGHTTP2_ENHANCE_YOUR_CALM);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http2 *h = user;
	struct http2_stream *st = stream_of(h, frame->hd.stream_id);

	(void)session;
	if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) {
		http2_limit_sent(&h->limit, frame->hd.length);
		if (st && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
			st->sent_all = true;
			/* Whoever has answered lingers until this. */
			if (h->server && st->io)
				st->io->unwritable = true;
			http2_stream_ready(st);
		}
	} else if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
		fail(h, "http2-error", frame->goaway.error_code);
	} else if (frame->hd.type == NGHTTP2_RST_STREAM && h->server) {
		reset_sent(h, st, frame->rst_stream.error_code);
	}
	return 0;
}

/* A request that cannot be sent any more: the server is going away. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct http2 *h = user;

	(void)session;
	(void)error;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	/* nghttp2 closes the stream right after this, with a code that says less. */
	struct http2_stream *st = stream_of(h, frame->hd.stream_id);
	if (st)
		st->unsent = true;
	return 0;
}

static ssize_t send_bytes(nghttp2_session *session, const uint8_t *data, size_t len, int flags, void *user)
{
	struct http2 *h = user;

	(void)session;
	(void)flags;
	if (iobuf_len(&h->wire->out) >= OUT_MAX)
		return NGHTTP2_ERR_WOULDBLOCK;
	h->wire->out.secret |= h->secret;
	return iobuf_append(&h->wire->out, data, len) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)len;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
		     nghttp2_data_source *source, void *user)
{
	struct http2 *h = user;

	if (iobuf_len(&h->wire->out) >= OUT_MAX)
		return NGHTTP2_ERR_WOULDBLOCK;
	return http2_send_data(session, frame, head, length, source, user);
}

static nghttp2_session_callbacks *callbacks(void)
{
	static nghttp2_session_callbacks *c; /* the same for all connections */

	if (c || nghttp2_session_callbacks_new(&c) < 0)
		return c;
	nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
	nghttp2_session_callbacks_set_send_callback(c, send_bytes);
	nghttp2_session_callbacks_set_send_data_callback(c, send_data);
	return c;
}

static nghttp2_option *options(void)
{
	static nghttp2_option *o;

	if (o || nghttp2_option_new(&o) < 0)
		return o;
	/* A window opens when its payload has gone on, not when it came. */
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_max_reserved_remote_streams(o, 0);
	return o;
}

static int start(struct http2 *h)
{
	static const nghttp2_settings_entry server[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_SERVER_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP1_HEAD_MAX },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};
	static const nghttp2_settings_entry client[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_CLIENT_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP1_HEAD_MAX },
	};
	nghttp2_session_callbacks *c = callbacks();
	nghttp2_option *o = options();

	if (!c || !o)
		return -ENOMEM;
	if (h->server)
		return nghttp2_session_server_new2(&h->session, c, h, o) < 0 ||
				       nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, server, ARRAY_LEN(server)) < 0 ?
			       -ENOMEM : 0;
	return nghttp2_session_client_new3(&h->session, c, h, o, http2_memory()) < 0 ||
			       nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, client, ARRAY_LEN(client)) < 0 ||
			       nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
								     HTTP2_CLIENT_CONNECTION_WINDOW) < 0 ?
		       -ENOMEM : 0;
}

struct http2 *http2_new(bool server, struct stream *wire, const struct http2_ops *ops, void *owner, const uint64_t *now)
{
	struct http2 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	*h = (struct http2){ .server = server, .wire = wire, .ops = ops, .owner = owner, .now = now };
	http2_limit_init(&h->limit, *now);
	h->framed = server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
	if (start(h) < 0) {
		http2_free(h);
		return NULL;
	}
	return h;
}

void http2_free(struct http2 *h)
{
	while (h->streams) {
		struct http2_stream *st = h->streams;
		if (st->io) {
			st->io->lane = NULL;
			st->io->eof = st->io->broken = true;
		}
		http2_stream_free(st);
	}
	nghttp2_session_del(h->session);
	free(h);
}

/* nghttp2 says nothing about frames that it passes over, but what is no part of others was one. */
static bool count_ignored(struct http2 *h, size_t n)
{
	h->bytes += n;
	if (h->bytes <= h->framed)
		return true;
	size_t ignored = (size_t)(h->bytes - h->framed);
	h->framed = h->bytes;
	return http2_limit_ignored(&h->limit, *h->now, ignored);
}

static bool receive(struct http2 *h)
{
	struct iobuf *in = &h->wire->in;

	if (h->failed || (iobuf_len(&h->wire->out) >= OUT_MAX &&
			  nghttp2_session_get_outbound_queue_size(h->session) > QUEUE_MAX))
		return false;
	if (!iobuf_len(in))
		stream_fill(h->wire, STREAM_CHUNK);
	if (!iobuf_len(in))
		return false;
	ssize_t n = nghttp2_session_mem_recv(h->session, iobuf_head(in), iobuf_len(in));
	if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		fail(h, "http2-error", NGHTTP2_PROTOCOL_ERROR);
	else if (n < 0 && n != NGHTTP2_ERR_NOMEM)
		/* Its own limits of the same kind: too many settings, acknowledgements or continuations. */
		fail(h, "http2-flood", NGHTTP2_ENHANCE_YOUR_CALM);
	else if (n < 0)
		fail(h, "no-memory", NGHTTP2_INTERNAL_ERROR);
	else if (!count_ignored(h, (size_t)n))
		fail(h, "http2-flood", NGHTTP2_ENHANCE_YOUR_CALM);
	iobuf_consume(in, n < 0 ? iobuf_len(in) : (size_t)n);
	return true;
}

static bool wake_ready(struct http2 *h)
{
	bool moved = false;

	while (h->ready) {
		struct http2_stream *st = h->ready;
		http2_stream_unready(st);
		if (!st->io)
			continue;
		moved = true;
		st->io->wake(st->io);
	}
	return moved;
}

static bool transmit(struct http2 *h)
{
	size_t before = iobuf_len(&h->wire->out);

	if (nghttp2_session_send(h->session) < 0)
		h->failed = h->terminated = true;
	bool moved = iobuf_len(&h->wire->out) > before;
	return stream_flush(h->wire) || moved;
}

bool http2_run(struct http2 *h)
{
	bool moved = false, step = true;

	if (h->running)
		return false;
	h->running = true;
	while (step) {
		step = receive(h);
		step |= wake_ready(h);
		step |= transmit(h);
		moved |= step;
	}
	h->running = false;
	return moved;
}

bool http2_finished(const struct http2 *h)
{
	const struct stream *w = h->wire;

	if (stream_gone(w) || h->terminated)
		return true;
	if (w->eof && !iobuf_len(&w->in))
		return true;
	bool done = (h->failed || !nghttp2_session_want_read(h->session)) && !nghttp2_session_want_write(h->session);
	return done && !iobuf_len(&w->out);
}

void http2_terminate(struct http2 *h, uint32_t code)
{
	nghttp2_session_terminate_session(h->session, code);
	http2_want_run(h);
}

void http2_break_streams(struct http2 *h)
{
	for (struct http2_stream *st = h->streams; st; st = st->next) {
		if (!st->io)
			continue;
		st->io->eof = st->io->broken = true;
		http2_stream_ready(st);
	}
	wake_ready(h);
}
