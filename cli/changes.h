/* SPDX-License-Identifier: Apache-2.0 */
/* Changes that are kept: what is said of them at the end of a sandbox, and what the commands for them share. */
#ifndef NSBOX_CLI_CHANGES_H
#define NSBOX_CLI_CHANGES_H

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include <sandbox/sandbox.h>

#include "base/buf.h"
#include "named.h"

/* The sandbox has ended: say that its changes are kept, if there are any; or give them up. */
void changes_tell(const char *id, bool drop);
/* The call has ended: say what of it is kept in a layer of its own, if there is one. */
void changes_tell_call(sandbox_runtime *runtime, const char *call);

/* The id of a call, not of a sandbox or its name: those have no dot. */
static inline bool changes_of_call(const char *id)
{
	return strchr(id, '.') != NULL;
}

/* The words behind the first, or NULL for everything. */
const char *const *changes_paths(struct words *words);
/* Of the list of a sandbox: the calls whose layers are kept. */
void changes_put_own(struct buf *b, const json_t *own);

#endif
