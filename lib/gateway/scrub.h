/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret values in a stream become the placeholders that stand for them, in the form in which the value stood there:
 * raw, percent-encoded, JSON-escaped, base64. A form that escapes nothing, or only as its own form does, keeps its
 * length. Sans IO.
 */
#ifndef NSBOX_GATEWAY_SCRUB_H
#define NSBOX_GATEWAY_SCRUB_H

#include "gateway/rewrite.h"

/* What stands for the secret here, or NULL: it is left as it is. */
typedef const struct placeholder *(*scrub_fn)(void *data, size_t secret);

struct scrub {
	const struct placeholder_table *values; /* their `secret` names them; they may come and go meanwhile */
	scrub_fn stand_in;
	void *data;
	bool same_length; /* a replacement of another length is an error */
	bool texts; /* scrub_next() is used: a value that is cut into two of them is an error */

	struct rewrite rewrite; /* private */
};

/* Can a placeholder as long as the value be written in all of its forms, so that no length ever changes? */
bool scrub_is_plain(const void *value, size_t len);
/*
 * Take the next bytes and append to out what may go on; of the last ones all that is left. 0, -EBADMSG (same_length
 * broken), -EXDEV (the end of a value whose beginning went on in the text before), -ENOMEM: nothing more of the stream
 * may go on.
 */
int scrub_feed(struct scrub *s, const void *data, size_t len, bool last, struct buf *out);
/* The same without a copy: 1 when data is what would have been appended. */
int scrub_take(struct scrub *s, const void *data, size_t len, bool last, struct buf *out);
/* After the last bytes: another text of the same stream follows. */
void scrub_next(struct scrub *s);
/* A whole text: 0 nothing in it, out as it was; 1 the new text was appended; -ENOMEM. */
int scrub_text(const struct placeholder_table *values, scrub_fn stand_in, void *fn_data, const void *text, size_t len,
	       struct buf *out);
void scrub_reset(struct scrub *s);

#endif
