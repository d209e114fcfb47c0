/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to the nsbox-source of a secret (source/protocol.h). */
#ifndef NSBOX_GATEWAY_SECRET_SOURCE_H
#define NSBOX_GATEWAY_SECRET_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/locked.h"

struct source_answer {
	uint32_t number;
	bool ended; /* it has no value any more; why: it could not be revoked */
	const uint8_t *value; /* in pages; NULL: there is none */
	size_t len;
	uint64_t seconds; /* that it is good for; 0: no end */
	char *why;	  /* there is none, or NULL */
	struct locked pages;
};

#define SECOND_US 1000000ull
#define SOURCE_AGAIN_US (5 * SECOND_US) /* after a failure; not before */
#define HELPER_GONE "its helper is gone"

/* Until there is something to read, or its end, but no longer than the supervisor at parent_fd lives. 0 or -errno. */
int source_wait(int fd, int parent_fd);
/* When a value that came now and is good for so many seconds (0: for ever) ends, and when to ask for the next: 0, never. */
void source_times(uint64_t now, uint64_t seconds, uint64_t *ret_expires, uint64_t *ret_next);
/* 0 or -errno: nobody is there, or (-EAGAIN) does not take more for now. call: a JSON object, or "". */
int source_ask(int fd, uint32_t number, const char *call);
int source_end(int fd, uint32_t number);
/* What has come. 0, -EAGAIN, -EPIPE, -EPROTO, or as locked_new(). */
int source_read(int fd, bool unlocked, struct source_answer *ret);
void source_answer_free(struct source_answer *a);

#endif
