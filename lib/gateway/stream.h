/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a connection: a socket, TLS on top of it or not, or a stream of an HTTP/2 connection (http2.h), and a
 * bounded buffer each way. Edge-triggered: the owner is woken, then reads and writes until nothing moves, and is woken
 * again when that was for others to have their turn; what is left unread stays in the kernel (back-pressure).
 */
#ifndef NSBOX_GATEWAY_STREAM_H
#define NSBOX_GATEWAY_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "gateway/iobuf.h"
#include "gateway/loop.h"

struct http2_stream;
struct stream;

/* What carries a stream that has no socket of its own. */
struct stream_carrier {
	bool (*fill)(struct stream *s, size_t limit);
	bool (*flush)(struct stream *s);
	void (*shutdown)(struct stream *s);
	void (*close)(struct stream *s, bool reset);
};

struct stream {
	struct source source; /* first: the loop hands this pointer back */
	void (*wake)(struct stream *s);
	const struct stream_carrier *carrier; /* NULL: the socket */
	struct http2_stream *lane;	      /* of an HTTP/2 connection; the buffers then hold payload */
	SSL *ssl;
	struct iobuf in, out;
	struct iobuf raw; /* TLS bytes taken from the socket that did not fit as plaintext yet */
	bool can_read, can_write;
	bool hup;         /* the peer has shut down: read on until 0 even after a short read */
	bool eof;         /* nothing more to read after `in` */
	bool clean;       /* eof was a proper end: FIN in plain text, close_notify in TLS */
	bool unwritable;  /* the peer takes nothing any more; what it said before may still be there to read */
	bool broken;      /* reset or TLS failure: nothing can be read or written any more */
	uint64_t read_bytes, written_bytes;
	size_t turn; /* bytes since it was woken last */
	struct stream *next_spent, **prev_spent; /* of those with more to move than a turn */
};

static inline bool stream_gone(const struct stream *s)
{
	return s->broken || s->unwritable;
}

#define STREAM_CHUNK 32768u
/* What one moves before all others have their turn, so that two ends which are both fast do not keep the gateway's only
 * thread: then it neither reads nor writes until stream_round(). */
#define STREAM_TURN (256u * 1024u)

/* Takes the connected (or connecting) non-blocking socket over. */
int stream_open(struct stream *s, struct loop *l, int fd, void (*wake)(struct stream *s));
/* The same with the connected socket of a source that the loop has already. */
int stream_take(struct stream *s, struct loop *l, struct source *from, void (*wake)(struct stream *s));
/* From here on the socket carries TLS; ssl is taken over. Bytes already in `in` are fed to it. */
int stream_start_tls(struct stream *s, SSL *ssl);
/* 1 done, 0 in progress, -1 failed. */
int stream_handshake(struct stream *s);
/* Read until `in` holds limit bytes, nothing is there or its turn is over. True when something new came (bytes, eof, failure). */
bool stream_fill(struct stream *s, size_t limit);
/* Write what is in `out`. True when something went out. */
bool stream_flush(struct stream *s);
/* Wakes those whose turn was over. True: it is for some once more. */
bool stream_round(void);
/* End our side: close_notify in TLS, then FIN. */
void stream_shutdown(struct stream *s);
/* reset: RST instead of FIN, so that the peer cannot take the end for a clean one. */
void stream_close(struct stream *s, bool reset);

#endif
