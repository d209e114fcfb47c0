/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for placeholders in text: raw, percent-encoded, JSON-escaped (\u0070, \/), in base64 (any of the three
 * alignments, both alphabets), and base64 that is percent-encoded or escaped. What is found does not depend on how
 * the stream is cut into pieces.
 */
#ifndef NSBOX_GATEWAY_PLACEHOLDER_SCAN_H
#define NSBOX_GATEWAY_PLACEHOLDER_SCAN_H

#include "gateway/placeholder.h"

enum placeholder_form { PLACEHOLDER_RAW, PLACEHOLDER_PERCENT, PLACEHOLDER_JSON, PLACEHOLDER_BASE64 };

struct placeholder_hit {
	const struct placeholder *placeholder; /* as long as it is in the table */
	size_t secret, owner_len; /* of it */
	enum placeholder_form form;
	enum placeholder_form escape; /* how its characters are escaped, those of its base64 too: raw, percent or JSON */
	bool wide;	/* in UTF-16: of either order of bytes what is the same, the characters with a NUL between them */
	uint8_t shift;	/* base64: how many bytes of something else stand before it in its group of three */
	size_t len;	/* of the text without escapes, or of its base64 */
	uint64_t start, end; /* bytes of the stream; of base64 only the characters that are wholly its own */
};

/* Called for every hit; a return value other than 0 ends the search and is what the search returns. */
typedef int (*placeholder_hit_fn)(void *data, const struct placeholder_hit *hit);

struct placeholder_lane { /* private */
	struct buf pending, widths; /* decoded bytes that may begin a placeholder, and how many of the stream each took */
	uint8_t partial[16];	    /* an escape whose end has not come */
	uint8_t n_partial;
	bool own; /* pending is this lane's own; else it is the same as that of the raw bytes */
};

/* One stream. Zero-initialised is at its start. The table may gain and lose placeholders between feeds. */
struct placeholder_scan {
	uint64_t total; /* bytes fed */
	struct placeholder_lane lanes[3]; /* private */
};

/* The next bytes of the stream. 0, -ENOMEM (treat as found: fail closed), or what fn returned. */
int placeholder_scan_feed(struct placeholder_scan *s, const struct placeholder_table *t, const void *data, size_t len,
			  placeholder_hit_fn fn, void *fn_data);
/*
 * How many of the last bytes fed may be the beginning of a placeholder in any form: the part that a caller holds back
 * when not even the beginning may go on. Mostly 0; the rest may be forwarded without waiting for more.
 */
uint64_t placeholder_scan_held(const struct placeholder_scan *s);
void placeholder_scan_reset(struct placeholder_scan *s);

/* All hits of a whole text; returns as placeholder_scan_feed(). */
int placeholder_each(const struct placeholder_table *t, const void *data, size_t len, placeholder_hit_fn fn,
		     void *fn_data);

#endif
