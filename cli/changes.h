/* SPDX-License-Identifier: Apache-2.0 */
/* What is said at the end of a sandbox with overlays. */
#ifndef NSBOX_CLI_CHANGES_H
#define NSBOX_CLI_CHANGES_H

#include <stdbool.h>

/* The sandbox has ended: say that its changes are kept, if there are any; or give them up. */
void changes_tell(const char *id, bool drop);

#endif
