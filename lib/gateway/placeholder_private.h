/* SPDX-License-Identifier: Apache-2.0 */
/* The table as its makers and its readers share it. */
#ifndef NSBOX_GATEWAY_PLACEHOLDER_PRIVATE_H
#define NSBOX_GATEWAY_PLACEHOLDER_PRIVATE_H

#include "gateway/placeholder.h"

/*
 * The search looks at a block of 8 bytes at every 9th position of the text: each pattern has a window of 16 bytes, and
 * an occurrence holds exactly one of those positions in its window, where one of the 9 blocks of the window stands. The
 * window lies where the pattern is random, so that a block leads to one pattern and text in between leads to none.
 *
 * Texts that somebody else chose can be shorter or longer than placeholders. There the window is as long as the shortest
 * of them lets it be, and blocks are of 4 bytes, which leaves more positions out: of a table of long texts, 20 of 21.
 */
#define WINDOW 16u
#define BLOCK 8u
#define TEXT_WINDOW 24u
#define TEXT_BLOCK 4u

struct placeholder_block {
	struct placeholder_block *chain;
	struct placeholder_pattern *pattern;
	uint64_t bytes;
	uint32_t off; /* in the pattern */
};

/* One of the texts that mean a placeholder: its own, as Latin-1 in UTF-8, in UTF-16, or the part of its base64 that does
 * not depend on neighbours. */
struct placeholder_pattern {
	struct placeholder *owner;
	struct placeholder_pattern *next; /* of the owner */
	bool base64, wide;
	uint8_t shift; /* base64: bytes of somebody else's before it in its group of three */
	uint32_t len, window_end;
	const uint8_t *bytes; /* behind the blocks */
	struct placeholder_block blocks[]; /* as many as there are in a window */
};

/* 1: p contains one of the table's or is contained in one; 0. */
int table_conflict(const struct placeholder_table *t, const struct placeholder *p);
/* random_end: offset behind the random characters. 0 or -ENOMEM (nothing changed). */
int table_insert(struct placeholder_table *t, struct placeholder *p, size_t random_end);

/* Returns 0 to go on, anything else ends the search. */
typedef int (*pattern_fn)(void *data, const struct placeholder_pattern *pattern, size_t start);
/* All occurrences in text, in no particular order, each once. */
int table_search(const struct placeholder_table *t, const uint8_t *text, size_t len, pattern_fn fn, void *data);
/* Length of the longest suffix of text that is the beginning (but not the whole) of a pattern. */
size_t table_suffix(const struct placeholder_table *t, const uint8_t *text, size_t len);

#endif
