/* SPDX-License-Identifier: Apache-2.0 */
/* A byte queue: appended at the end, taken from the front, its memory given back when it runs empty. */
#ifndef NSBOX_GATEWAY_IOBUF_H
#define NSBOX_GATEWAY_IOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iobuf {
	uint8_t *data;
	size_t start, end, cap;
	bool secret; /* set by who puts a value in: wiped when it has run empty, and then false again */
};

static inline size_t iobuf_len(const struct iobuf *b)
{
	return b->end - b->start;
}

static inline uint8_t *iobuf_head(const struct iobuf *b)
{
	return b->data + b->start;
}

/* Make room for n more bytes behind the end. 0 or -ENOMEM. */
int iobuf_room(struct iobuf *b, size_t n);
int iobuf_append(struct iobuf *b, const void *data, size_t len);
void iobuf_consume(struct iobuf *b, size_t n);
void iobuf_free(struct iobuf *b);

#endif
