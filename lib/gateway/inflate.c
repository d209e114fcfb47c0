/* SPDX-License-Identifier: Apache-2.0 */
/* gzip (RFC 1952) and zlib (RFC 1950) by zlib, br (RFC 7932) by libbrotli, zstd (RFC 8878) by libzstd. */
#include "gateway/inflate.h"

#include <brotli/decode.h>
#include <errno.h>
#include <zstd.h>

/* The largest window, and either header. */
#define WINDOW_BITS (15 + 32)
/* RFC 9659: what a coding of HTTP may ask for. That of br is bounded by its format. */
#define ZSTD_WINDOW_LOG 23

static unsigned wide; /* of the process */

static int init_brotli(struct inflater *f)
{
	f->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	return f->brotli ? 0 : -ENOMEM;
}

static int init_zstd(struct inflater *f)
{
	f->zstd = ZSTD_createDCtx();
	return f->zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(f->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)) ? 0 : -ENOMEM;
}

int inflater_init(struct inflater *f, enum inflate_coding coding)
{
	*f = (struct inflater){ .coding = coding };
	if (coding == INFLATE_GZIP)
		return inflateInit2(&f->z, WINDOW_BITS) == Z_OK ? 0 : -ENOMEM;
	if (wide == INFLATE_WIDE_MAX) {
		f->coding = INFLATE_GZIP; /* nothing to give back */
		return -EBUSY;
	}
	wide++;
	return coding == INFLATE_BROTLI ? init_brotli(f) : init_zstd(f);
}

int inflater_give(struct inflater *f, const void *data, size_t len)
{
	f->begun |= len > 0;
	return iobuf_append(&f->in, data, len);
}

bool inflater_waiting(const struct inflater *f)
{
	return f->more || iobuf_len(&f->in);
}

/* What a step has: *len bytes at in, *room at out; both become what is left. */
struct step {
	const uint8_t *in;
	size_t len;
	uint8_t *out;
	size_t room;
};

static int step_gzip(struct inflater *f, struct step *s)
{
	/* gzip may have several members, one after the other. */
	if (f->ended && inflateReset(&f->z) != Z_OK)
		return -EBADMSG;
	f->z.next_in = (uint8_t *)s->in; /* not const in the interface of old */
	f->z.avail_in = (uInt)s->len;
	f->z.next_out = s->out;
	f->z.avail_out = (uInt)s->room;
	int r = inflate(&f->z, Z_NO_FLUSH);
	s->len = f->z.avail_in;
	s->room = f->z.avail_out;
	f->ended = r == Z_STREAM_END;
	f->more = s->room == 0 && !f->ended;
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}

static int step_brotli(struct inflater *f, struct step *s)
{
	/* Nothing may follow. */
	if (f->ended)
		return -EBADMSG;
	BrotliDecoderResult r = BrotliDecoderDecompressStream(f->brotli, &s->len, &s->in, &s->room, &s->out, NULL);
	f->ended = r == BROTLI_DECODER_RESULT_SUCCESS;
	f->more = r == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
	return r == BROTLI_DECODER_RESULT_ERROR ? -EBADMSG : 0;
}

static int step_zstd(struct inflater *f, struct step *s)
{
	ZSTD_inBuffer in = { .src = s->in, .size = s->len };
	ZSTD_outBuffer out = { .dst = s->out, .size = s->room };

	/* Several frames may follow each other; each is begun by itself. */
	size_t r = ZSTD_decompressStream(f->zstd, &out, &in);
	s->len -= in.pos;
	s->room -= out.pos;
	f->ended = r == 0;
	f->more = s->room == 0 && !f->ended;
	return ZSTD_isError(r) ? -EBADMSG : 0;
}

int inflater_step(struct inflater *f, struct buf *out)
{
	size_t len = iobuf_len(&f->in);

	int r = buf_reserve(out, INFLATE_STEP);
	if (r < 0)
		return r;
	if (f->ended && !len)
		return 0;
	struct step s = { .in = len ? iobuf_head(&f->in) : NULL, .len = len, .out = out->data + out->len,
			  .room = INFLATE_STEP };
	r = f->coding == INFLATE_GZIP ? step_gzip(f, &s) : f->coding == INFLATE_BROTLI ? step_brotli(f, &s) : step_zstd(f, &s);
	/* Neither took nor gave: it never would. */
	if (r == 0 && len && s.len == len && s.room == INFLATE_STEP && !f->more && !f->ended)
		r = -EBADMSG;
	if (r < 0)
		return r;
	iobuf_consume(&f->in, len - s.len);
	out->len += INFLATE_STEP - s.room;
	return 0;
}

int inflater_end(const struct inflater *f)
{
	return f->ended || !f->begun ? 0 : -EBADMSG;
}

void inflater_free(struct inflater *f)
{
	wide -= f->coding != INFLATE_GZIP;
	inflateEnd(&f->z);
	if (f->brotli)
		BrotliDecoderDestroyInstance(f->brotli);
	ZSTD_freeDCtx(f->zstd);
	iobuf_free(&f->in);
	*f = (struct inflater){ 0 };
}
