/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own HTTP answers: readable, in the form of RFC 9457, naming what was denied and what would allow it. */
#ifndef NSBOX_GATEWAY_PROBLEM_H
#define NSBOX_GATEWAY_PROBLEM_H

#include <stdbool.h>

#include "gateway/iobuf.h"

struct problem {
	int status;
	const char *reason; /* stable token, X-Nsbox-Denied for denials */
	const char *detail; /* one sentence */
	const char *what;   /* what was asked for, for example "GET https://host/path"; may be NULL */
	const char *flag;   /* the option that would allow it; may be NULL */
	bool head;          /* answer to HEAD: no body */
	bool close;         /* the connection ends with this */
};

/* Append the whole answer. 0 or -ENOMEM. */
int problem_write(const struct problem *p, struct iobuf *out);

#endif
