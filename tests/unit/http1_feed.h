/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds a whole message (head, body, end of connection) to the parsers in pieces and keeps what came of it. */
#ifndef NSBOX_TESTS_HTTP1_FEED_H
#define NSBOX_TESTS_HTTP1_FEED_H

#include <stdlib.h>
#include <string.h>

#include "gateway/http1_body.h"
#include "gateway/http1_message.h"

struct message {
	struct http1_head head;
	struct http1_body body;
	struct buf payload;
	size_t consumed;
	const char *error; /* NULL: accepted, or not at its end yet */
	unsigned status;
	bool started_body;
};

/* The next piece, copied so that reading past its end is seen by ASan. */
static inline void message_feed(struct message *m, const char *data, size_t len)
{
	char *piece = malloc(len ? len : 1);

	memcpy(piece, data, len);
	for (size_t at = 0; at < len && !m->error && !(m->started_body && m->body.done);) {
		struct http1_span span = { 0 };
		ssize_t n = m->started_body ? http1_body_feed(&m->body, piece + at, len - at, &span)
					    : http1_head_feed(&m->head, piece + at, len - at);
		if (n < 0) {
			m->error = m->started_body ? m->body.error : m->head.error;
			m->status = m->started_body ? 400 : m->head.error_status;
			break;
		}
		if (span.len)
			buf_append(&m->payload, piece + at + span.off, span.len);
		at += (size_t)n;
		m->consumed += (size_t)n;
		if (!m->started_body && m->head.complete) {
			http1_body_init(&m->body, &m->head);
			m->started_body = true;
		}
	}
	free(piece);
}

static inline void message_eof(struct message *m)
{
	if (!m->error && (!m->started_body || http1_body_eof(&m->body) < 0)) {
		m->error = m->started_body ? m->body.error : "incomplete";
		m->status = 400;
	}
}

static inline void message_free(struct message *m)
{
	http1_head_reset(&m->head);
	if (m->started_body)
		http1_body_reset(&m->body);
	buf_free(&m->payload);
}

#endif
