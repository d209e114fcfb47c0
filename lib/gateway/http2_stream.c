/* SPDX-License-Identifier: Apache-2.0 */
/* The streams of an HTTP/2 connection, as their users see them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/http2_private.h"

/* Streams with a large window, of all connections: what they may hold together is bounded. */
static size_t n_wide;

struct http2_stream *http2_stream_new(struct http2 *h, int32_t id)
{
	struct http2_stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	*st = (struct http2_stream){ .h = h, .id = id, .next = h->streams, .prev = &h->streams };
	st->heads_tail = &st->heads;
	if (st->next)
		st->next->prev = &st->next;
	h->streams = st;
	h->n_streams++;
	return st;
}

void http2_stream_free(struct http2_stream *st)
{
	struct http2 *h = st->h;

	http2_stream_unready(st);
	*st->prev = st->next;
	if (st->next)
		st->next->prev = st->prev;
	h->n_streams--;
	n_wide -= st->wide;
	http1_head_reset(&st->head);
	http1_head_reset(&st->trailers);
	while (st->heads) {
		struct http2_received *got = st->heads;
		st->heads = got->next;
		http1_head_reset(&got->head);
		free(got);
	}
	http2_fields_free(&st->out_trailers);
	free(st);
}

void http2_stream_ready(struct http2_stream *st)
{
	struct http2 *h = st->h;

	st->news = true;
	if (st->prev_ready || !st->io)
		return;
	/* Served in the order in which things happened to them. */
	if (!h->ready)
		h->ready_tail = &h->ready;
	st->next_ready = NULL;
	st->prev_ready = h->ready_tail;
	*h->ready_tail = st;
	h->ready_tail = &st->next_ready;
}

void http2_stream_unready(struct http2_stream *st)
{
	if (!st->prev_ready)
		return;
	*st->prev_ready = st->next_ready;
	if (st->next_ready)
		st->next_ready->prev_ready = st->prev_ready;
	else
		st->h->ready_tail = st->prev_ready;
	st->prev_ready = NULL;
	st->next_ready = NULL;
}

void http2_stream_end(struct http2_stream *st)
{
	st->got_all = true;
	if (st->io)
		st->io->eof = st->io->clean = true;
	http2_stream_ready(st);
}

void http2_stream_closed(struct http2_stream *st, uint32_t code)
{
	struct stream *io = st->io;

	st->closed = true;
	st->error = code;
	if (!io) {
		http2_stream_free(st);
		return;
	}
	io->unwritable = true;
	/* An answer that is complete counts, also when the server then resets what was still being sent to it. */
	if (!st->got_all || (st->h->server && !st->sent_all))
		io->broken = true;
	io->eof = true;
	http2_stream_ready(st);
}

void http2_want_run(struct http2 *h)
{
	if (!h->running)
		h->ops->pending(h);
}

/* Payload taken out of `in` opens the window by as much; for who wants to hold more than a chunk, all that came does. */
static bool lane_fill(struct stream *io, size_t limit)
{
	struct http2_stream *st = io->lane;

	if (!st)
		return false;
	uint64_t gone = st->delivered - (limit > STREAM_CHUNK ? 0 : iobuf_len(&io->in));
	uint64_t taken = gone > st->credited ? gone - st->credited : 0;
	if (taken && !st->closed && !st->got_all) {
		struct http2 *h = st->h;
		nghttp2_session_consume_stream(h->session, st->id, (size_t)taken);
		if (!h->server && !st->wide && st->delivered > HTTP2_CLIENT_WINDOW && n_wide < HTTP2_WIDE_STREAMS) {
			nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, st->id, HTTP2_WIDE_WINDOW);
			st->wide = true;
			n_wide++;
		}
		http2_want_run(h);
	}
	st->credited += taken;
	if (!iobuf_len(&io->in))
		iobuf_free(&io->in);
	bool news = st->news;
	st->news = false;
	return news;
}

static void resume(struct http2_stream *st)
{
	if (st->deferred) {
		st->deferred = false;
		nghttp2_session_resume_data(st->h->session, st->id);
	}
	http2_want_run(st->h);
}

static bool lane_flush(struct stream *io)
{
	struct http2_stream *st = io->lane;

	if (!st || stream_gone(io)) {
		iobuf_free(&io->out);
		return false;
	}
	if (iobuf_len(&io->out))
		resume(st);
	else
		iobuf_free(&io->out);
	bool drained = st->drained;
	st->drained = false;
	return drained;
}

static void lane_shutdown(struct stream *io)
{
	struct http2_stream *st = io->lane;

	if (!st || st->finish)
		return;
	st->finish = true;
	resume(st);
}

static void lane_close(struct stream *io, bool reset)
{
	struct http2_stream *st = io->lane;
	uint32_t code = NGHTTP2_CANCEL;

	io->lane = NULL;
	if (!st)
		return;
	st->io = NULL;
	http2_stream_unready(st);
	if (st->closed || st->id == 0) {
		http2_stream_free(st);
		return;
	}
	/* RFC 9113 8.1: a complete answer may end a request that is not. An incomplete one must not look complete. */
	if (st->h->server)
		code = st->sent_all ? NGHTTP2_NO_ERROR : reset ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL;
	nghttp2_submit_rst_stream(st->h->session, NGHTTP2_FLAG_NONE, st->id, code);
	http2_want_run(st->h);
}

static const struct stream_carrier LANE = {
	.fill = lane_fill, .flush = lane_flush, .shutdown = lane_shutdown, .close = lane_close,
};

static void attach(struct http2_stream *st, struct stream *io, void (*wake)(struct stream *s))
{
	*io = (struct stream){ .source = { .fd = -EBADF }, .wake = wake, .carrier = &LANE, .lane = st };
	st->io = io;
}

void http2_accept(struct http2_stream *st, struct stream *io, void (*wake)(struct stream *s),
		  struct http1_head *ret_head)
{
	attach(st, io, wake);
	io->eof = io->clean = st->got_all;
	*ret_head = st->head;
	st->head = (struct http1_head){ .kind = HTTP1_REQUEST };
	http2_stream_ready(st);
}

bool http2_can_open(const struct http2 *h)
{
	uint32_t limit = nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return !h->failed && !h->wire->eof && !stream_gone(h->wire) &&
	       nghttp2_session_check_request_allowed(h->session) && h->n_streams < HTTP2_STREAMS_MAX &&
	       h->n_streams < limit;
}

int http2_open(struct http2 *h, struct stream *io, void (*wake)(struct stream *s))
{
	struct http2_stream *st = http2_stream_new(h, 0);

	if (!st)
		return -ENOMEM;
	attach(st, io, wake);
	return 0;
}

static nghttp2_nv *name_values(const struct http2_fields *f, bool secret)
{
	nghttp2_nv *nv = calloc(f->n, sizeof(*nv));

	for (size_t i = 0; nv && i < f->n; i++) {
		const struct http2_field *v = &f->v[i];
		nv[i] = (nghttp2_nv){ .name = f->bytes.data + v->name, .namelen = v->name_len,
				      .value = f->bytes.data + v->value, .valuelen = v->value_len,
				      .flags = secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE };
	}
	return nv;
}

static void send_trailers(struct http2_stream *st, uint32_t *flags)
{
	_cleanup_free_ nghttp2_nv *nv = name_values(&st->out_trailers, false);

	if (nv && nghttp2_submit_trailer(st->h->session, st->id, nv, st->out_trailers.n) == 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

/* How much of `out` goes into the next DATA frame. */
static ssize_t next_data(nghttp2_session *session, int32_t id, uint8_t *to, size_t length, uint32_t *flags,
			 nghttp2_data_source *source, void *user)
{
	struct http2_stream *st = source->ptr;
	size_t n = st->io ? iobuf_len(&st->io->out) : 0;

	(void)session;
	(void)id;
	(void)to;
	(void)user;
	if (!n && (!st->finish || !st->io)) {
		st->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (st->finish && n <= length) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (st->out_trailers.n)
			send_trailers(st, flags);
	}
	return (ssize_t)(n < length ? n : length);
}

int http2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length,
		    nghttp2_data_source *source, void *user)
{
	struct http2 *h = user;
	struct http2_stream *st = source->ptr;

	(void)session;
	(void)frame;
	/* The user may have closed the stream between the two steps. */
	if (length && (!st->io || iobuf_len(&st->io->out) < length))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	h->secret |= length && st->io->out.secret;
	h->wire->out.secret |= h->secret;
	if (iobuf_append(&h->wire->out, head, FRAME_HEAD) < 0 ||
	    (length && iobuf_append(&h->wire->out, iobuf_head(&st->io->out), length) < 0))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (length) {
		iobuf_consume(&st->io->out, length);
		st->drained = true;
		http2_stream_ready(st);
	}
	return 0;
}

int http2_send_request(struct stream *io, const struct http2_fields *fields, bool secret, bool to_head, bool ends)
{
	struct http2_stream *st = io->lane;
	_cleanup_free_ nghttp2_nv *nv = name_values(fields, secret);

	if (!nv)
		return -ENOMEM;
	if (!st || st->closed)
		return -EPIPE;
	st->h->secret |= secret;
	nghttp2_data_provider payload = { .source = { .ptr = st }, .read_callback = next_data };
	int32_t id = nghttp2_submit_request(st->h->session, NULL, nv, fields->n, ends ? NULL : &payload, st);
	if (id < 0)
		return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
	st->id = id;
	st->to_head = to_head;
	http2_want_run(st->h);
	return 0;
}

int http2_send_answer(struct stream *io, const struct http2_fields *fields, bool interim, bool ends)
{
	struct http2_stream *st = io->lane;
	_cleanup_free_ nghttp2_nv *nv = name_values(fields, false);
	int r;

	if (!nv)
		return -ENOMEM;
	if (!st || st->closed)
		return 0; /* as a socket takes what nobody will read */
	nghttp2_data_provider payload = { .source = { .ptr = st }, .read_callback = next_data };
	if (interim)
		r = nghttp2_submit_headers(st->h->session, NGHTTP2_FLAG_NONE, st->id, NULL, nv, fields->n, NULL);
	else
		r = nghttp2_submit_response(st->h->session, st->id, nv, fields->n, ends ? NULL : &payload);
	http2_want_run(st->h);
	return r < 0 ? -ENOMEM : 0;
}

int http2_send_end(struct stream *io, const struct http1_head *trailers)
{
	struct http2_stream *st = io->lane;
	int r = st && trailers ? http2_write_trailers(&st->out_trailers, trailers) : 0;

	if (r == 0)
		lane_shutdown(io);
	return r;
}

int http2_take_head(struct stream *io, struct http1_head *ret, bool *ret_ended)
{
	struct http2_stream *st = io->lane;
	struct http2_received *got = st ? st->heads : NULL;

	if (!got)
		return 0;
	st->heads = got->next;
	if (!st->heads)
		st->heads_tail = &st->heads;
	st->n_heads--;
	http1_head_reset(ret);
	*ret = got->head;
	/* With this head, not with a body or trailers behind it. */
	*ret_ended = !st->heads && st->got_all && !st->delivered && !st->have_trailers;
	free(got);
	return 1;
}

void http2_take_trailers(struct stream *io, struct http1_head *ret)
{
	struct http2_stream *st = io->lane;

	if (!st || !st->have_trailers)
		return;
	http1_head_reset(ret);
	*ret = st->trailers;
	st->trailers = (struct http1_head){ .kind = HTTP1_TRAILERS };
	st->have_trailers = false;
}

bool http2_refused(const struct stream *io)
{
	return io->lane && io->lane->closed && io->lane->error == NGHTTP2_REFUSED_STREAM;
}
