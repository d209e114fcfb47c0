/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own HTTP answers: readable, in the form of RFC 9457, naming what was denied and what would allow it. */
#ifndef NSBOX_GATEWAY_PROBLEM_H
#define NSBOX_GATEWAY_PROBLEM_H

#include <stdbool.h>

#include "base/buf.h"
#include "gateway/iobuf.h"

struct problem {
	int status;
	const char *reason; /* stable token, X-Nsbox-Denied for denials */
	const char *detail; /* one sentence */
	const char *what;   /* what was asked for, for example "GET https://host/path"; may be NULL */
	const char *flag;   /* the option that would allow it; may be NULL */
	unsigned retry_after; /* seconds; 0: no word about it */
	bool head;          /* answer to HEAD: no body */
	bool close;         /* the connection ends with this */
};

/* 502 and 504 tell of a failure further on, not of a denial. */
static inline bool problem_is_denial(const struct problem *p)
{
	return p->status != 502 && p->status != 504;
}

/* Append the content, application/problem+json. 0 or -ENOMEM. */
int problem_body(const struct problem *p, struct buf *body);
/* Append the whole answer as HTTP/1.1. 0 or -ENOMEM. */
int problem_write(const struct problem *p, struct iobuf *out);

#endif
