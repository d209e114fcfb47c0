/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of HTTP/1 messages. */
#include "gateway/http1_body.h"

#include <errno.h>
#include <string.h>

/* Of a chunked body, in the order in which they come. */
enum state { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS };

/* 16 hexadecimal digits hold any size that fits; more are only there to confuse. */
#define SIZE_DIGITS_MAX 16

static int refuse(struct http1_body *b, const char *error)
{
	b->error = error;
	return -EBADMSG;
}

void http1_body_init(struct http1_body *b, const struct http1_head *head)
{
	*b = (struct http1_body){ .framing = head->framing, .trailers = { .kind = HTTP1_TRAILERS } };
	if (b->framing == HTTP1_BODY_LENGTH)
		b->left = head->content_length;
	b->done = b->framing == HTTP1_BODY_NONE || (b->framing == HTTP1_BODY_LENGTH && b->left == 0);
}

void http1_body_reset(struct http1_body *b)
{
	http1_head_reset(&b->trailers);
	*b = (struct http1_body){ 0 };
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int size_byte(struct http1_body *b, uint8_t c)
{
	int digit = hex(c);

	if (digit >= 0) {
		if (++b->digits > SIZE_DIGITS_MAX || b->left > INT64_MAX >> 4)
			return refuse(b, "bad-chunk-size");
		b->left = b->left << 4 | (uint64_t)digit;
		return 0;
	}
	/* Also no whitespace: some take "5 5" for 5, some for 55. */
	if (b->digits == 0 || (c != ';' && c != '\r'))
		return refuse(b, "bad-chunk-size");
	b->state = c == ';' ? EXTENSION : SIZE_LF;
	return 0;
}

static int extension_byte(struct http1_body *b, uint8_t c)
{
	if (c == '\r') {
		b->state = SIZE_LF;
		return 0;
	}
	if ((c < ' ' && c != '\t') || c == 0x7f)
		return refuse(b, "bad-chunk-extension");
	if (++b->extensions > HTTP1_EXTENSIONS_MAX)
		return refuse(b, "chunk-extensions-too-long");
	return 0;
}

/* One byte outside payload and trailers. */
static int control_byte(struct http1_body *b, uint8_t c)
{
	switch ((enum state)b->state) {
	case SIZE:
	case EXTENSION:
		if (++b->line > HTTP1_CHUNK_LINE_MAX)
			return refuse(b, "chunk-line-too-long");
		return b->state == SIZE ? size_byte(b, c) : extension_byte(b, c);
	case SIZE_LF:
		if (c != '\n')
			return refuse(b, "bad-chunk-size");
		b->state = b->left ? DATA : TRAILERS;
		b->line = 0;
		b->digits = 0;
		return 0;
	case DATA_CR:
		if (c != '\r')
			return refuse(b, "bad-chunk-end");
		b->state = DATA_LF;
		return 0;
	case DATA_LF:
		if (c != '\n')
			return refuse(b, "bad-chunk-end");
		b->state = SIZE;
		return 0;
	case DATA:
	case TRAILERS:
		break;
	}
	return -EINVAL;
}

static ssize_t take_payload(struct http1_body *b, size_t at, size_t len, struct http1_span *ret)
{
	size_t n = len - at;

	if (b->framing != HTTP1_BODY_EOF) {
		n = n < b->left ? n : (size_t)b->left;
		b->left -= n;
	}
	b->payload += n;
	*ret = (struct http1_span){ at, n };
	return (ssize_t)(at + n);
}

static ssize_t feed_chunked(struct http1_body *b, const uint8_t *p, size_t len, struct http1_span *ret)
{
	size_t at = 0;

	while (at < len && b->state != DATA && b->state != TRAILERS) {
		int r = control_byte(b, p[at++]);
		if (r < 0)
			return r;
	}
	if (at == len)
		return (ssize_t)at;
	if (b->state == DATA) {
		ssize_t n = take_payload(b, at, len, ret);
		if (b->left == 0)
			b->state = DATA_CR;
		return n;
	}
	ssize_t n = http1_head_feed(&b->trailers, p + at, len - at);
	if (n < 0) {
		b->error = b->trailers.error;
		return n;
	}
	b->done = b->trailers.complete;
	return (ssize_t)at + n;
}

ssize_t http1_body_feed(struct http1_body *b, const void *data, size_t len, struct http1_span *ret)
{
	*ret = (struct http1_span){ 0 };
	if (b->error)
		return -EBADMSG;
	if (b->done || len == 0)
		return 0;
	if (b->framing == HTTP1_BODY_CHUNKED)
		return feed_chunked(b, data, len, ret);
	ssize_t n = take_payload(b, 0, len, ret);
	b->done = b->framing == HTTP1_BODY_LENGTH && b->left == 0;
	return n;
}

int http1_body_eof(struct http1_body *b)
{
	if (b->error)
		return -EBADMSG;
	if (b->framing == HTTP1_BODY_EOF)
		b->done = true;
	return b->done ? 0 : refuse(b, "truncated-body");
}
