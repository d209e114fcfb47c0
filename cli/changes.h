/* SPDX-License-Identifier: Apache-2.0 */
/* What is said at the end of a sandbox with overlays, and of a call of it. */
#ifndef NSBOX_CLI_CHANGES_H
#define NSBOX_CLI_CHANGES_H

#include <stdbool.h>
#include <string.h>

#include <sandbox/sandbox.h>

/* The sandbox has ended: say that its changes are kept, if there are any; or give them up. */
void changes_tell(const char *id, bool drop);
/* The call has ended: say what of it is kept in a layer of its own, if there is one. */
void changes_tell_call(sandbox_runtime *runtime, const char *call);

/* The id of a call, not of a sandbox or its name: those have no dot. */
static inline bool changes_of_call(const char *id)
{
	return strchr(id, '.') != NULL;
}

#endif
