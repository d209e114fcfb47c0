/* SPDX-License-Identifier: Apache-2.0 */
/* What any call of a sandbox may do with files at most, as a Landlock ruleset: the mounts said a second time. */
#ifndef NSBOX_NAMESPACE_SESSION_RULES_H
#define NSBOX_NAMESPACE_SESSION_RULES_H

#include <stddef.h>

#include "base/error.h"

/* Everything is readable, and writable at and below the n paths, as this process sees them; one that is not there is passed
 * over. */
int session_ruleset(const char *const *writable, size_t n, int *ret, struct error *e);

#endif
