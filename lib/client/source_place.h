/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where commands of secrets run, and with which environment: what they do not name themselves is found there, and a call
 * that could write it would have its own run on the host.
 */
#ifndef NSBOX_CLIENT_SOURCE_PLACE_H
#define NSBOX_CLIENT_SOURCE_PLACE_H

#include "base/util.h"
#include "policy/policy.h"

struct source_place {
	char **env; /* ours, but for PATH, and without what other secrets are read from and what names a path of the sandbox */
	char *path; /* PATH=... in it, or NULL */
	bool at_root; /* the sandbox can change the current directory */
};

/* policy: which the secret comes with; present: that of the sandbox. 0 or a negative errno. */
int source_place(const struct policy *policy, const struct policy *present, struct source_place *ret);
void source_place_done(struct source_place *p);
#define _cleanup_source_place_ _cleanup_(source_place_done)

#endif
