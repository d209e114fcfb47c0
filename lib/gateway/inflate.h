/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies in the codings gzip, deflate, br and zstd, undone a bounded piece at a time. */
#ifndef NSBOX_GATEWAY_INFLATE_H
#define NSBOX_GATEWAY_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

#include "base/buf.h"
#include "gateway/iobuf.h"

/* What one step makes at most: a small body may stand for one of thousand times the size. */
#define INFLATE_STEP 16384u
/* br and zstd look back up to 16 and 8 MiB, which has to be kept: so many bodies of theirs at once. gzip: 32 KiB. */
#define INFLATE_WIDE_MAX 8u

enum inflate_coding { INFLATE_GZIP, INFLATE_BROTLI, INFLATE_ZSTD }; /* the first also deflate */

struct BrotliDecoderStateStruct;
struct ZSTD_DCtx_s;

/* Zero-initialised can be freed. */
struct inflater {
	enum inflate_coding coding;
	z_stream z;
	struct BrotliDecoderStateStruct *brotli;
	struct ZSTD_DCtx_s *zstd;
	struct iobuf in;
	bool more;  /* the last step filled its room: there may be more without new input */
	bool begun; /* some of the body has come */
	bool ended; /* a member of the stream is complete, none has begun since */
};

/* 0, -ENOMEM, or -EBUSY: INFLATE_WIDE_MAX. */
int inflater_init(struct inflater *f, enum inflate_coding coding);
int inflater_give(struct inflater *f, const void *data, size_t len);
/* A step could make something. */
bool inflater_waiting(const struct inflater *f);
/* Append up to INFLATE_STEP bytes. 0, -EBADMSG, -ENOMEM. */
int inflater_step(struct inflater *f, struct buf *out);
/* No more comes: 0, or -EBADMSG when it was cut off. */
int inflater_end(const struct inflater *f);
void inflater_free(struct inflater *f);

#endif
