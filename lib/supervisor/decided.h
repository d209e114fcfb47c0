/* SPDX-License-Identifier: Apache-2.0 */
/* Grants that were decided before: see decided.c. */
#ifndef NSBOX_SUPERVISOR_DECIDED_H
#define NSBOX_SUPERVISOR_DECIDED_H

#include "supervisor/supervisor.h"

/* The grant of start and what goes with it, when the same was asked before by a client. */
bool decided_find(struct sandbox *sandbox, struct start *start, const void *bytes, size_t len);
void decided_keep(struct sandbox *sandbox, const struct start *start, uint32_t asked_flags, const void *bytes,
		  size_t len);
/* After a change of the policy. */
void decided_drop(struct sandbox *sandbox);
void decided_unref(struct decided *decided);
/* call_grant_members() and grant_encode() of the grant of start. */
int decided_members(const struct start *start, struct buf *members);
int decided_bytes(const struct start *start, struct buf *bytes);

#endif
