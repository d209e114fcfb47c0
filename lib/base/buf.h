/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer. Zero-initialised is empty; all functions return 0 or -ENOMEM and leave it valid. */
#ifndef NSBOX_BASE_BUF_H
#define NSBOX_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	uint8_t *data;
	size_t len, cap;
};

int buf_reserve(struct buf *b, size_t extra);

/* Inline, with what follows: records and heads are put together from dozens of pieces of a few bytes each. */
static inline int buf_append(struct buf *b, const void *data, size_t len)
{
	if (len > b->cap - b->len) {
		int r = buf_reserve(b, len);
		if (r < 0)
			return r;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static inline int buf_puts(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

static inline int buf_putc(struct buf *b, char c)
{
	return buf_append(b, &c, 1);
}

/* The number in decimal. */
int buf_put_uint(struct buf *b, uint64_t v);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drop the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
/* Terminate with NUL (not counted in len) and return the text, or NULL when out of memory. */
const char *buf_str(struct buf *b);
void buf_free(struct buf *b);
/* As buf_free, wiping the bytes first: for buffers that may hold a secret. */
void buf_wipe(struct buf *b);

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
