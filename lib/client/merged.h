/* SPDX-License-Identifier: Apache-2.0 */
/* The working state of a sandbox, seen from outside: what the layer of a single call lies on. */
#ifndef NSBOX_CLIENT_MERGED_H
#define NSBOX_CLIENT_MERGED_H

#include "client/changes.h"
#include "supervisor/protocol.h"

/* Into call->merged. of: the layer of the sandbox; where that has ended its overlays are mounted anew, else its supervisor
 * opens the way to them. */
int merged_open(struct sandbox_runtime *runtime, const struct layer *of, struct layer *call, struct error *e);
/* Record what is about to be done to the call's layer: in the log, or by the supervisor that writes it. */
int merged_record(struct sandbox_runtime *runtime, const struct layer *of, const struct layer *call, enum working what,
		  const struct changes_facts *facts, struct error *e);

/* undo_make(), by a helper, since modes may keep the owner of a file from reading it. */
int merged_undo(struct sandbox_runtime *runtime, const struct layer *of, const struct changes *c, struct error *e);

#endif
