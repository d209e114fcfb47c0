/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to the nsbox-source of a secret (source/protocol.h). */
#ifndef NSBOX_GATEWAY_SECRET_SOURCE_H
#define NSBOX_GATEWAY_SECRET_SOURCE_H

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

/* 0 or -errno: nobody is there, or (-EAGAIN) does not take more for now. call: a JSON object, or "". */
int source_ask(int fd, uint32_t number, const char *call);
int source_end(int fd, uint32_t number);
/* What has come. 0, -EAGAIN, -EPIPE, -EPROTO, or as locked_new(). */
int source_read(int fd, bool unlocked, struct source_answer *ret);
void source_answer_free(struct source_answer *a);

#endif
