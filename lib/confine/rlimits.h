/* SPDX-License-Identifier: Apache-2.0 */
/* Resource limits of a call; that of cores is the supervisor's own, and stays (seccomp_table.c). */
#ifndef NSBOX_CONFINE_RLIMITS_H
#define NSBOX_CONFINE_RLIMITS_H

#include <stdint.h>

#define OPEN_FILES_SOFT 1024u
#define OPEN_FILES_HARD 4096u

/* open_files, or 0: the defaults above as far as three quarters of our own hard limit go. 0 or a negative errno: also
 * when our own hard limit is below what was asked for by number. */
int rlimits_apply(uint32_t open_files);

#endif
