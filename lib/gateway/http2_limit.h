/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer may have done for nothing. Frames that cost work and carry nothing (resets, SETTINGS, PING, PRIORITY,
 * window updates, empty DATA, continuations, unknown ones) are paid from an account that fills slowly with time and
 * with what is sent to the peer: who reads much may update windows and measure round trips much. Rapid reset
 * (CVE-2023-44487), CONTINUATION floods (CVE-2024-27316) and those of CVE-2019-9511 to 9518 end the connection.
 */
#ifndef NSBOX_GATEWAY_HTTP2_LIMIT_H
#define NSBOX_GATEWAY_HTTP2_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP2_LIMIT_CREDIT 1000  /* at first, and at most */
#define HTTP2_LIMIT_SECOND 200	 /* more, each second */

struct http2_limit {
	int64_t credit;
	uint64_t at; /* until when time is counted */
	size_t ignored; /* bytes not paid yet */
};

void http2_limit_init(struct http2_limit *l, uint64_t now);
/* A frame has come. False: too many. */
bool http2_limit_frame(struct http2_limit *l, uint64_t now, uint8_t type, uint8_t flags, size_t length);
/* Bytes of frames that nobody looks at: of unknown types, or for streams that were refused. */
bool http2_limit_ignored(struct http2_limit *l, uint64_t now, size_t bytes);
/* A request that was malformed. */
bool http2_limit_malformed(struct http2_limit *l, uint64_t now);
/* A frame with this much payload, or a head, went to the peer. */
void http2_limit_sent(struct http2_limit *l, size_t length);

#endif
