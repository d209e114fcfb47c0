/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 connections, either side.
 *
 * Theory of operation. An HTTP/2 connection (struct http2) lies over a stream that is a socket with TLS and carries
 * many HTTP/2 streams (struct http2_stream), and each of these looks to its user like a socket again: a struct stream
 * with a bounded buffer each way, woken, filled, flushed and closed as any other (stream.h). What it carries is the
 * payload of DATA frames; heads and trailers go beside it, as struct http1_head. So everything above (request.c,
 * credentials.c, upload.c, download.c) is the same for both protocols on both sides, and so is back-pressure: what is
 * not taken out of `in` opens no window, what the peer's window does not let out stays in `out`.
 *
 * nghttp2 does framing, HPACK and the state machine of RFC 9113, and refuses what that calls malformed. What it leaves
 * open is bounded here: bytes and fields of a head, frames that cost work and carry nothing (http2_limit.h).
 *
 * http2_run() moves everything that can be moved. It is the only place that reads or writes the socket; what users of
 * streams want to send waits until the owner, told by ops->pending, runs it again, so that the answers of one round
 * travel in one piece.
 */
#ifndef NSBOX_GATEWAY_HTTP2_H
#define NSBOX_GATEWAY_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "gateway/http1_message.h"
#include "gateway/http2_limit.h"
#include "gateway/http2_write.h"
#include "gateway/stream.h"

#define HTTP2_STREAMS_MAX 128u		      /* at once on a connection from inside */
#define HTTP2_SERVER_WINDOW 65535u	      /* of a stream from inside: payload that may wait here */
#define HTTP2_CLIENT_WINDOW (128u * 1024u)    /* of an answer */
#define HTTP2_WIDE_WINDOW (1024u * 1024u)     /* of an answer that turned out to be long, */
#define HTTP2_WIDE_STREAMS 32u		      /* for this many at once, in the whole process */
#define HTTP2_CLIENT_CONNECTION_WINDOW (8u * 1024u * 1024u)
#define HTTP2_HEADS_MAX 16u		      /* interim answers that wait to be read */

struct http2;
struct http2_stream;

struct http2_ops {
	/* From inside: a request's head is there, or was refused (head.error). Answer with http2_accept(), or not. */
	void (*request)(struct http2 *h, struct http2_stream *st);
	/* http2_run() is wanted before the process waits for events again. */
	void (*pending)(struct http2 *h);
	/* The peer broke the protocol or a limit; the connection, or without `ends` a stream that nobody knew yet, ends.
	 * reason: stable token. */
	void (*violation)(struct http2 *h, const char *reason, bool ends);
};

struct http2_received {
	struct http1_head head;
	struct http2_received *next;
};

struct http2_stream {
	struct http2 *h;
	struct stream *io; /* NULL: nobody is interested any more */
	int32_t id;	   /* 0: no request yet */
	struct http2_stream *next, **prev, *next_ready, **prev_ready;
	struct http1_head head;			 /* being received, or a request that ops->request looks at */
	struct http2_received *heads, **heads_tail; /* of answers, complete, not taken yet */
	unsigned n_heads;
	struct http1_head trailers;
	struct http2_fields out_trailers;
	uint64_t delivered, credited; /* payload received; of it given back to the peer's window */
	size_t head_bytes;
	uint32_t error; /* the stream was reset with this code */
	bool news, drained, deferred, wide;
	bool accepted; /* ops->request has seen it */
	bool to_head, final_head, have_trailers;
	bool finish;	/* our side ends after what is in out */
	bool sent_all;	/* END_STREAM of our side is out */
	bool got_all;	/* END_STREAM of the peer's side came */
	bool unsent;	/* the request never left */
	bool closed;	/* nghttp2 has forgotten it */
};

struct http2 {
	nghttp2_session *session;
	struct stream *wire;
	const struct http2_ops *ops;
	void *owner;
	const uint64_t *now;
	bool server, running, failed, terminated;
	bool secret; /* a value has gone out over it: nothing that is sent stays behind */
	int32_t opening; /* the stream whose head has begun and is not complete, 0: none */
	struct http2 *next_pending, **prev_pending; /* the owner's */
	struct http2_stream *streams, *ready, **ready_tail;
	size_t n_streams;
	struct http2_limit limit;
	uint64_t bytes, framed; /* received; and of frames that were looked at, their ends perhaps still to come */
};

/* wire is not taken over; it has to outlive the connection. now: of the loop. NULL: no memory. */
struct http2 *http2_new(bool server, struct stream *wire, const struct http2_ops *ops, void *owner,
			const uint64_t *now);
/* Not from within http2_run(). Streams in use are told that they are broken, without waking anybody. */
void http2_free(struct http2 *h);
/* Move what can be moved; true when something moved. */
bool http2_run(struct http2 *h);
/* Nothing more will come or go: close the wire once its `out` is empty. */
bool http2_finished(const struct http2 *h);
/* Say goodbye (GOAWAY with this code) and let what is open come to its end only when code is 0. */
void http2_terminate(struct http2 *h, uint32_t code);
/* Every stream in use becomes broken and its user is woken. */
void http2_break_streams(struct http2 *h);

/* The user's end of a request from inside; its head is moved to ret_head. */
void http2_accept(struct http2_stream *st, struct stream *io, void (*wake)(struct stream *s),
		  struct http1_head *ret_head);
/* Towards a server: can another stream be opened? */
bool http2_can_open(const struct http2 *h);
/* Open one: io is ready to use, its request goes with http2_send_request(). 0 or -ENOMEM. */
int http2_open(struct http2 *h, struct stream *io, void (*wake)(struct stream *s));

/* Heads. fields: not kept. secret: none of them may be remembered by HPACK. ends: no payload follows. 0 or -errno. */
int http2_send_request(struct stream *io, const struct http2_fields *fields, bool secret, bool to_head, bool ends);
int http2_send_answer(struct stream *io, const struct http2_fields *fields, bool interim, bool ends);
/* Our side ends after what is in `out`, with these (may be NULL). */
int http2_send_end(struct stream *io, const struct http1_head *trailers);
/* The next head of the answer, moved to *ret: 1, 0 none yet. *ret_ended: no payload follows. */
int http2_take_head(struct stream *io, struct http1_head *ret, bool *ret_ended);
/* After eof: the trailers, moved, or left as they are. */
void http2_take_trailers(struct stream *io, struct http1_head *ret);
/* The server said that it did nothing about this request (RFC 9113 8.7). */
bool http2_refused(const struct stream *io);

#endif
