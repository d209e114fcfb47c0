/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the supervisor begin with: one, and a client of it. */
#ifndef NSBOX_TESTS_SUPERVISOR_FIXTURE_H
#define NSBOX_TESTS_SUPERVISOR_FIXTURE_H

#include "supervisor_script.h"

extern struct fake f;
extern struct box box; /* for the sandbox that a test makes */
extern int client;

void fixture_open(void);
int tear_down(void **state);
/* After script_named(). */
int tear_down_named(void **state);

#endif
