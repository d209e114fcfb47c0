/* SPDX-License-Identifier: Apache-2.0 */
/* The account of frames that carry nothing. */
#include "gateway/http2_limit.h"

#include <nghttp2/nghttp2.h>

#define MALFORMED_COST 10
/* As many ignored bytes cost as much as one frame. */
#define IGNORED_BYTES 64
#define SECOND_US 1000000u

void http2_limit_init(struct http2_limit *l, uint64_t now)
{
	*l = (struct http2_limit){ .credit = HTTP2_LIMIT_CREDIT, .at = now };
}

static bool pay(struct http2_limit *l, uint64_t now, int cost)
{
	/* Whole units only, so that what is left of a moment is not lost. */
	uint64_t earned = (now - l->at) / (SECOND_US / HTTP2_LIMIT_SECOND);

	if (earned >= HTTP2_LIMIT_CREDIT) {
		l->credit = HTTP2_LIMIT_CREDIT;
		l->at = now;
	} else {
		l->credit += (int64_t)earned;
		l->at += earned * (SECOND_US / HTTP2_LIMIT_SECOND);
	}
	if (l->credit > HTTP2_LIMIT_CREDIT)
		l->credit = HTTP2_LIMIT_CREDIT;
	l->credit -= cost;
	return l->credit >= 0;
}

bool http2_limit_frame(struct http2_limit *l, uint64_t now, uint8_t type, uint8_t flags, size_t length)
{
	switch (type) {
	case NGHTTP2_DATA:
		/* Padding alone is payload to nobody either, but comes with at least its length. */
		if (length > 1 || (length == 0 && (flags & NGHTTP2_FLAG_END_STREAM)))
			return true;
		return pay(l, now, length ? 1 : 2);
	case NGHTTP2_HEADERS:
		return true;
	case NGHTTP2_PRIORITY:
	case NGHTTP2_WINDOW_UPDATE:
		return pay(l, now, 1);
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PING:
		return (flags & NGHTTP2_FLAG_ACK) ? pay(l, now, 1) : pay(l, now, 4);
	default:
		return pay(l, now, 2);
	}
}

bool http2_limit_ignored(struct http2_limit *l, uint64_t now, size_t bytes)
{
	l->ignored += bytes;
	int cost = (int)(l->ignored / IGNORED_BYTES);
	l->ignored %= IGNORED_BYTES;
	return cost == 0 || pay(l, now, cost);
}

bool http2_limit_malformed(struct http2_limit *l, uint64_t now)
{
	return pay(l, now, MALFORMED_COST);
}

void http2_limit_sent(struct http2_limit *l, size_t length)
{
	l->credit += 4 + (int64_t)(length / 1024);
}
