/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies in the codings gzip and deflate, undone a bounded piece at a time. */
#ifndef NSBOX_GATEWAY_INFLATE_H
#define NSBOX_GATEWAY_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <zlib.h>

#include "base/buf.h"
#include "gateway/iobuf.h"

/* What one step makes at most: a small body may stand for one of thousand times the size. */
#define INFLATE_STEP 16384u

struct inflater {
	z_stream z;
	struct iobuf in;
	bool more;  /* the last step filled its room: there may be more without new input */
	bool ended; /* a member of the stream is complete, none has begun since */
};

/* 0 or -ENOMEM. */
int inflater_init(struct inflater *f);
int inflater_give(struct inflater *f, const void *data, size_t len);
/* A step could make something. */
bool inflater_waiting(const struct inflater *f);
/* Append up to INFLATE_STEP bytes. 0, -EBADMSG, -ENOMEM. */
int inflater_step(struct inflater *f, struct buf *out);
/* No more comes: 0, or -EBADMSG when it was cut off. */
int inflater_end(const struct inflater *f);
void inflater_free(struct inflater *f);

#endif
