/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream in which what a table finds is replaced. What comes out does not depend on how the stream is cut into pieces,
 * and nothing goes on that may be the beginning of something to replace. Sans IO.
 */
#ifndef NSBOX_GATEWAY_REWRITE_H
#define NSBOX_GATEWAY_REWRITE_H

#include "gateway/placeholder_scan.h"

/* Zero-initialised but for the first part. */
struct rewrite {
	const struct placeholder_table *table;
	/* 1: to be replaced, 0: not; < 0: the stream fails with this. */
	int (*wanted)(void *data, const struct placeholder_hit *hit);
	/* Append what stands there instead. 0 or < 0, as above. */
	int (*replace)(void *data, const struct placeholder_hit *hit, struct buf *out);
	/* One that begins in a text before this one (rewrite_next), and so has gone on in part. 0: no matter; < 0, as above. */
	int (*cut)(void *data, const struct placeholder_hit *hit);
	void *data;

	/* Private. */
	struct placeholder_scan scan;
	struct buf pending; /* not yet passed on; its first byte is at `base` of the stream */
	uint64_t base;
	uint64_t intact; /* from here on nothing was replaced in what has gone on */
	struct buf hits; /* struct placeholder_hit */
};

/* Take the next bytes and append to out what may go on; of the last ones all that is left. 0; 1: nothing was appended,
 * data is what would have been; -ENOMEM, or as above: nothing more of the stream may go on. */
int rewrite_take(struct rewrite *s, const void *data, size_t len, bool last, struct buf *out);
/* After the last bytes: another text follows. The end of this one is kept in mind if something may begin there. */
void rewrite_next(struct rewrite *s);
/* Back to the beginning of a stream. */
void rewrite_reset(struct rewrite *s);

#endif
