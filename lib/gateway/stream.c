/* SPDX-License-Identifier: Apache-2.0 */
/* Non-blocking streams, plain and TLS. */
#include "gateway/stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* Shared by all streams within one call of stream_fill: a whole socket buffer is taken with one system call, instead
 * of two for each TLS record, and no connection keeps a buffer while it is idle. */
static struct {
	uint8_t data[STREAM_CHUNK];
	size_t start, end;
} scratch;

static struct stream *spent;

static bool turn_is_over(struct stream *s)
{
	if (s->turn < STREAM_TURN)
		return false;
	if (s->prev_spent)
		return true;
	s->next_spent = spent;
	if (s->next_spent)
		s->next_spent->prev_spent = &s->next_spent;
	s->prev_spent = &spent;
	spent = s;
	return true;
}

static void begin_turn(struct stream *s)
{
	s->turn = 0;
	if (!s->prev_spent)
		return;
	*s->prev_spent = s->next_spent;
	if (s->next_spent)
		s->next_spent->prev_spent = s->prev_spent;
	s->prev_spent = NULL;
	s->next_spent = NULL;
}

bool stream_round(void)
{
	struct stream *now = spent;

	/* Detached first, as in http2_round(). */
	spent = NULL;
	if (now)
		now->prev_spent = &now;
	while (now) {
		struct stream *s = now;
		begin_turn(s);
		s->wake(s);
	}
	return spent;
}

static void ready(struct source *source, uint32_t events)
{
	struct stream *s = (struct stream *)source;

	begin_turn(s);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->can_read = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->hup = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		s->can_write = true;
	s->wake(s);
}

int stream_open(struct stream *s, struct loop *l, int fd, void (*wake)(struct stream *s))
{
	*s = (struct stream){ .source = { .fd = fd, .ready = ready }, .wake = wake };
	return loop_add(l, &s->source, EVENTS);
}

int stream_take(struct stream *s, struct loop *l, struct source *from, void (*wake)(struct stream *s))
{
	*s = (struct stream){ .source = { .fd = TAKE_FD(from->fd), .ready = ready }, .wake = wake };
	return loop_change(l, &s->source, EVENTS);
}

/* One recv(); -1 with nothing there or after an error (then broken), 0 at the end. */
static ssize_t receive(struct stream *s, void *data, size_t len)
{
	ssize_t n;

	if (!s->can_read)
		return -1;
	do
		n = recv(s->source.fd, data, len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		s->can_read = false;
		if (errno != EAGAIN)
			s->broken = true;
		return -1;
	}
	s->read_bytes += (uint64_t)n;
	/* With edge triggers a short read means empty, except when the peer's end is still to be read. */
	if ((size_t)n < len && !s->hup)
		s->can_read = false;
	return n;
}

static int bio_read(BIO *bio, char *data, int len)
{
	struct stream *s = BIO_get_data(bio);
	size_t n = (size_t)len;

	BIO_clear_retry_flags(bio);
	if (iobuf_len(&s->raw)) {
		n = n < iobuf_len(&s->raw) ? n : iobuf_len(&s->raw);
		memcpy(data, iobuf_head(&s->raw), n);
		iobuf_consume(&s->raw, n);
		if (!iobuf_len(&s->raw))
			iobuf_free(&s->raw);
		return (int)n;
	}
	if (scratch.start == scratch.end) {
		ssize_t got = receive(s, scratch.data, sizeof(scratch.data));
		if (got < 0) {
			if (!s->broken)
				BIO_set_retry_read(bio);
			return -1;
		}
		if (got == 0)
			return 0;
		scratch.start = 0;
		scratch.end = (size_t)got;
	}
	size_t left = scratch.end - scratch.start;
	n = n < left ? n : left;
	memcpy(data, scratch.data + scratch.start, n);
	scratch.start += n;
	return (int)n;
}

static ssize_t transmit(struct stream *s, const void *data, size_t len)
{
	ssize_t n;

	if (!s->can_write)
		return -1;
	do
		n = send(s->source.fd, data, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		s->can_write = false;
		if (errno != EAGAIN) {
			s->unwritable = true;
			s->can_read = true; /* read what came before the end */
		}
		return -1;
	}
	s->written_bytes += (uint64_t)n;
	if ((size_t)n < len)
		s->can_write = false;
	return n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct stream *s = BIO_get_data(bio);
	ssize_t n = transmit(s, data, (size_t)len);

	BIO_clear_retry_flags(bio);
	if (n < 0 && !s->unwritable)
		BIO_set_retry_write(bio);
	return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long larg, void *parg)
{
	(void)bio;
	(void)larg;
	(void)parg;
	return cmd == BIO_CTRL_FLUSH;
}

int stream_start_tls(struct stream *s, SSL *ssl)
{
	static BIO_METHOD *method;

	s->ssl = ssl;
	if (!method) {
		method = BIO_meth_new(0, "stream");
		if (!method)
			return -ENOMEM;
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_ctrl);
	}
	BIO *bio = BIO_new(method);
	if (!bio)
		return -ENOMEM;
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* What was read to look at the first bytes belongs to the handshake. */
	s->raw = s->in;
	s->in = (struct iobuf){ 0 };
	return 0;
}

/* Bytes of this stream must not stay behind in the shared buffer. */
static void save_scratch(struct stream *s)
{
	size_t left = scratch.end - scratch.start;

	if (left && iobuf_append(&s->raw, scratch.data + scratch.start, left) < 0)
		s->broken = true;
	scratch.start = scratch.end = 0;
}

int stream_handshake(struct stream *s)
{
	ERR_clear_error();
	int r = SSL_do_handshake(s->ssl);
	int error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, r);
	save_scratch(s);
	if (stream_gone(s))
		return -1;
	if (r == 1)
		return 1;
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Returns false when there is no more for now. */
static bool fill_tls(struct stream *s, size_t space)
{
	int n = SSL_read(s->ssl, s->in.data + s->in.end, (int)space);
	if (n > 0) {
		s->in.end += (size_t)n;
		return true;
	}
	switch (SSL_get_error(s->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return false;
	case SSL_ERROR_ZERO_RETURN:
		s->eof = true;
		s->clean = true;
		return false;
	case SSL_ERROR_SYSCALL:
		/* FIN without close_notify, unless the socket itself failed. */
		s->eof = true;
		return false;
	default:
		s->eof = true;
		s->broken = true;
		return false;
	}
}

static bool fill_plain(struct stream *s, size_t space)
{
	ssize_t n = receive(s, s->in.data + s->in.end, space);
	if (n > 0) {
		s->in.end += (size_t)n;
		return true;
	}
	if (n == 0) {
		s->eof = true;
		s->clean = true;
	}
	return false;
}

/* Something may be there: in the socket, or on the way through TLS. */
static bool readable(const struct stream *s)
{
	return s->can_read || iobuf_len(&s->raw) || scratch.start < scratch.end || (s->ssl && SSL_has_pending(s->ssl));
}

bool stream_fill(struct stream *s, size_t limit)
{
	bool was_broken = s->broken;
	size_t before = iobuf_len(&s->in);
	bool more = !s->eof && !s->broken;

	if (s->carrier)
		return s->carrier->fill(s, limit);
	/* The usual case when the other side woke us. */
	if (!readable(s))
		return false;
	while (more && iobuf_len(&s->in) < limit && !turn_is_over(s)) {
		size_t had = iobuf_len(&s->in);
		size_t space = limit - iobuf_len(&s->in);
		space = space < STREAM_CHUNK ? space : STREAM_CHUNK;
		/* An idle connection that wakes up mostly has a small request or none for us. */
		if (space > 4096 && !before && !s->hup && iobuf_len(&s->in) == 0 && s->in.cap == 0)
			space = 4096;
		if (iobuf_room(&s->in, space) < 0) {
			s->broken = true;
			break;
		}
		space = s->in.cap - s->in.end < limit - iobuf_len(&s->in) ? s->in.cap - s->in.end
									   : limit - iobuf_len(&s->in);
		/* Asking the TLS library for more than there is costs as much as a record. */
		more = (s->ssl ? fill_tls(s, space) : fill_plain(s, space)) && readable(s);
		s->turn += iobuf_len(&s->in) - had;
	}
	if (s->ssl)
		save_scratch(s);
	if (s->broken)
		s->eof = true;
	if (!iobuf_len(&s->in))
		iobuf_free(&s->in);
	return iobuf_len(&s->in) > before || s->eof || (s->broken && !was_broken);
}

bool stream_flush(struct stream *s)
{
	bool moved = false;

	if (s->carrier)
		return s->carrier->flush(s);
	while (iobuf_len(&s->out) && s->can_write && !stream_gone(s) && !turn_is_over(s)) {
		size_t len = iobuf_len(&s->out);
		ssize_t n;
		if (s->ssl) {
			n = SSL_write(s->ssl, iobuf_head(&s->out), (int)len);
			if (n <= 0) {
				int error = SSL_get_error(s->ssl, (int)n);
				if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ)
					s->unwritable = true;
				break;
			}
		} else {
			n = transmit(s, iobuf_head(&s->out), len);
			if (n < 0)
				break;
		}
		iobuf_consume(&s->out, (size_t)n);
		s->turn += (size_t)n;
		moved = true;
	}
	if (stream_gone(s) || !iobuf_len(&s->out))
		iobuf_free(&s->out);
	return moved;
}

void stream_shutdown(struct stream *s)
{
	if (s->carrier) {
		s->carrier->shutdown(s);
		return;
	}
	if (s->source.fd < 0)
		return;
	if (s->ssl && !s->broken && !SSL_in_init(s->ssl))
		SSL_shutdown(s->ssl);
	shutdown(s->source.fd, SHUT_WR);
}

void stream_close(struct stream *s, bool reset)
{
	begin_turn(s);
	if (s->carrier)
		s->carrier->close(s, reset);
	if (s->source.fd >= 0 && reset) {
		struct linger linger = { .l_onoff = 1 };
		setsockopt(s->source.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	}
	loop_close(&s->source);
	if (s->ssl) {
		SSL_free(s->ssl);
		s->ssl = NULL;
	}
	iobuf_free(&s->in);
	iobuf_free(&s->out);
	iobuf_free(&s->raw);
	s->eof = true;
	s->broken = true;
}
