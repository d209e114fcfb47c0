/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placeholders: the strings that stand for secrets inside, and the table of all that are alive, of all calls.
 *
 * Theory of operation. placeholder.c makes the strings; placeholder_table.c keeps them, findable in a text by all
 * their forms at once at a cost that does not grow with their number; placeholder_scan.c looks for them in a stream
 * whatever its pieces, also percent-encoded, in base64 and JSON-escaped; placeholder_inject.c puts values in their
 * places where a callback allows it and calls everything else misuse. Sans IO; values are borrowed, never kept.
 */
#ifndef NSBOX_GATEWAY_PLACEHOLDER_H
#define NSBOX_GATEWAY_PLACEHOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

#define PLACEHOLDER_MIN 16u /* bytes; shorter ones would be met by chance */
#define PLACEHOLDER_MAX 65536u
#define PLACEHOLDERS_MAX 65536u /* alive at once */

struct placeholder {
	void *call;	/* whose it is; the table only keeps it */
	size_t secret;	/* index into the policy's secrets */
	size_t len;
	uint64_t number; /* the later it came into the table, the greater */
	size_t index;			      /* private */
	struct placeholder_pattern *patterns; /* private */
	char text[];	/* NUL-terminated */
};

/*
 * Can secret `name` with a value of this length have a placeholder? shape: "sk-ant-{random:40}", or NULL for the
 * default. A value under 8 bytes is refused unless scrub is off: its placeholder could not stand in for it in responses.
 */
int placeholder_check(const char *name, const char *shape, size_t value_len, bool scrub, struct error *e);

/* How long one is; of a shape that is none 0. */
size_t placeholder_length(const char *shape, size_t value_len);

struct placeholder_block;
struct placeholder_pattern;

/* Zero-initialised is empty. */
struct placeholder_table { /* private */
	struct placeholder **all;
	size_t n, cap;
	uint64_t last; /* number */
	struct placeholder_pattern **patterns; /* sorted by their bytes */
	size_t n_patterns, patterns_cap, longest;
	struct placeholder_block **buckets;
	uint8_t *some;	     /* of each bucket: which of 8 kinds of blocks are in it, so that most are never looked at */
	size_t n_blocks;
	unsigned bits;	     /* there are 2^bits buckets */
	unsigned shortest;   /* texts: length of the shortest pattern there was; 0: none yet */
	bool texts;	     /* given ones, of any length; set before the first */
	uint32_t first[256]; /* how many patterns begin with this byte */
};

/*
 * Make a new one (random from the kernel) that neither contains nor is contained in another of the table. Owned by the
 * table, freed by placeholder_remove(). 0, -EINVAL (shape), -ENOSPC (too many), -ENOMEM.
 */
int placeholder_add(struct placeholder_table *t, const char *shape, size_t value_len, void *call, size_t secret,
		    const struct placeholder **ret);
/* Its call ended: from now on the string means nothing. NULL is accepted. */
void placeholder_remove(struct placeholder_table *t, const struct placeholder *p);
/* A given text instead of a made one, len >= 8; t->texts is set. 0 or -ENOMEM. */
int placeholder_add_text(struct placeholder_table *t, const void *text, size_t len, size_t secret);
void placeholder_table_free(struct placeholder_table *t);

#endif
