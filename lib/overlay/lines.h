/* SPDX-License-Identifier: Apache-2.0 */
/* Two texts as lines, and which of them differ. */
#ifndef NSBOX_OVERLAY_LINES_H
#define NSBOX_OVERLAY_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct lines {
	const uint8_t *text;
	size_t len;
	size_t *start; /* n + 1 of them */
	uint32_t *hash;
	bool *changed; /* lines_compare(): not in the other text */
	size_t n;
};

/* text is borrowed. 0 or -ENOMEM. */
int lines_split(const void *text, size_t len, struct lines *ret);
void lines_free(struct lines *l);
/* The shortest difference, or a longer one where that would take too long. 0 or -ENOMEM. */
int lines_compare(struct lines *a, struct lines *b);
/* As hunks of a unified diff with three lines of context. 0 or -ENOMEM. */
int lines_hunks(const struct lines *a, const struct lines *b, struct buf *out);
size_t lines_changed(const struct lines *l);

#endif
