/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of commands that do not hold for ever: asked for again in time from their nsbox-source (source/protocol.h).
 * Where that fails until the last one expires, there is none, and requests that need it are refused.
 */
#ifndef NSBOX_GATEWAY_SECRET_SOURCE_H
#define NSBOX_GATEWAY_SECRET_SOURCE_H

#include "gateway/locked.h"

struct gateway;

struct source_answer {
	const uint8_t *value; /* in pages; NULL: there is none */
	size_t len;
	uint64_t seconds; /* that it is good for; 0: no end */
	char *why;	  /* there is none */
	struct locked pages;
};

/* 0 or -errno: nobody is there. */
int source_ask(int fd);
/* What has come. 0, -EAGAIN, -EPIPE, -EPROTO, or as locked_new(). */
int source_read(int fd, bool unlocked, struct source_answer *ret);
void source_answer_free(struct source_answer *a);

/* All that were read and have an end, or one to be told: from here on in the loop. 0 or -errno. */
int secret_sources_start(struct gateway *gw);

#endif
