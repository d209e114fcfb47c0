/* SPDX-License-Identifier: Apache-2.0 */
/* gzip (RFC 1952) and zlib (RFC 1950), by zlib. */
#include "gateway/inflate.h"

#include <errno.h>

/* The largest window, and either header. */
#define WINDOW_BITS (15 + 32)

int inflater_init(struct inflater *f)
{
	*f = (struct inflater){ 0 };
	return inflateInit2(&f->z, WINDOW_BITS) == Z_OK ? 0 : -ENOMEM;
}

int inflater_give(struct inflater *f, const void *data, size_t len)
{
	return iobuf_append(&f->in, data, len);
}

bool inflater_waiting(const struct inflater *f)
{
	return f->more || iobuf_len(&f->in);
}

int inflater_step(struct inflater *f, struct buf *out)
{
	size_t len = iobuf_len(&f->in);

	int r = buf_reserve(out, INFLATE_STEP);
	if (r < 0)
		return r;
	/* gzip may have several members, one after the other. */
	if (f->ended && len && inflateReset(&f->z) != Z_OK)
		return -EBADMSG;
	f->ended = f->ended && !len;
	f->z.next_in = len ? iobuf_head(&f->in) : NULL;
	f->z.avail_in = (uInt)len;
	f->z.next_out = out->data + out->len;
	f->z.avail_out = INFLATE_STEP;
	r = f->ended ? Z_BUF_ERROR : inflate(&f->z, Z_NO_FLUSH);
	iobuf_consume(&f->in, len - f->z.avail_in);
	out->len += INFLATE_STEP - f->z.avail_out;
	f->ended = f->ended || r == Z_STREAM_END;
	f->more = f->z.avail_out == 0 && !f->ended;
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}

int inflater_end(const struct inflater *f)
{
	return f->ended || f->z.total_in == 0 ? 0 : -EBADMSG;
}

void inflater_free(struct inflater *f)
{
	inflateEnd(&f->z);
	iobuf_free(&f->in);
}
