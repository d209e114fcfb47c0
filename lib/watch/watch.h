/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Detection (DESIGN 13): what is protected in a writable directory and cannot be mounted over, because it is not there
 * yet or lives in a file that has to stay writable, is compared with what it was before the first call. What is new or
 * changed is moved out of the way. Theory of operation: watch.c.
 */
#ifndef NSBOX_WATCH_WATCH_H
#define NSBOX_WATCH_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "policy/policy.h"

#define WATCH_DIRS_MAX 256u /* writable directories of a policy; each is a descriptor */

struct watch;

struct watch_found {
	const char *path; /* absolute, on the host */
	const char *what; /* "new", "changed" */
	const char *kept; /* where it is from now on, NULL: unknown */
	char *const *keys; /* of git's configuration: what was taken out of it; NULL: the whole file */
	bool restored;	   /* what was there before is there again */
	int failed;	   /* errno: it is still where it was */
};

/* Told before it is done, and once more when that has failed. */
typedef void (*watch_report)(void *arg, const struct watch_found *found);

/* What is there now is what is compared with. p lives longer. state (borrowed): the directory below which "protected/id" is made for what
 * is moved. *ret is NULL when nothing is writable. */
int watch_new(const struct policy *p, int state, const char *id, struct watch **ret, struct error *e);
/* There may be repositories in the writable directories that are not looked after (policy/nested.h). */
bool watch_is_cut(const struct watch *w);
void watch_check(struct watch *w, watch_report report, void *arg);
void watch_free(struct watch *w);

#endif
