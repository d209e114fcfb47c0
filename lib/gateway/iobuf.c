/* SPDX-License-Identifier: Apache-2.0 */
/* Byte queue. */
#include "gateway/iobuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IOBUF_MIN 4096u

int iobuf_room(struct iobuf *b, size_t n)
{
	if (b->cap - b->end >= n)
		return 0;

	size_t len = iobuf_len(b);
	/* Move down only when that frees at least half, so that bytes are not moved again and again. */
	if (b->cap - len >= n && b->start >= len) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		return 0;
	}
	size_t cap = b->cap ? b->cap : IOBUF_MIN;
	while (cap - len < n)
		cap *= 2;
	uint8_t *data = malloc(cap);
	if (!data)
		return -ENOMEM;
	if (len)
		memcpy(data, b->data + b->start, len);
	bool secret = b->secret;
	iobuf_free(b);
	*b = (struct iobuf){ .data = data, .end = len, .cap = cap, .secret = secret };
	return 0;
}

int iobuf_append(struct iobuf *b, const void *data, size_t len)
{
	if (!len)
		return 0;
	int r = iobuf_room(b, len);
	if (r < 0)
		return r;
	memcpy(b->data + b->end, data, len);
	b->end += len;
	return 0;
}

void iobuf_consume(struct iobuf *b, size_t n)
{
	b->start += n;
	if (b->start < b->end)
		return;
	if (b->secret && b->data)
		explicit_bzero(b->data, b->cap);
	b->secret = false;
	b->start = b->end = 0;
}

void iobuf_free(struct iobuf *b)
{
	if (b->secret && b->data)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	*b = (struct iobuf){ 0 };
}
