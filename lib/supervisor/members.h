/* SPDX-License-Identifier: Apache-2.0 */
/* Check of JSON members from a gateway. */
#ifndef NSBOX_SUPERVISOR_MEMBERS_H
#define NSBOX_SUPERVISOR_MEMBERS_H

#include <stdbool.h>

/* True for "" and for a flat list of members with keys that are not the supervisor's own. */
/* Those of a question: a value may be an object of flat members too. */
bool members_are_question(const char *text);
bool members_are_flat(const char *text);

#endif
