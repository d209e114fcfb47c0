/* SPDX-License-Identifier: Apache-2.0 */
/* A libsandbox for the tests of the command line: notes what is asked for, and runs commands as plain children. */
#ifndef TEST_CLI_FAKE_H
#define TEST_CLI_FAKE_H

#include "base/buf.h"

struct outcome {
	int status;
	struct buf out, err;
};

/* What the policy functions were asked, one line each; set in the process that runs nsbox, printed on stderr by
 * fake_show_calls. */
extern int fake_show_calls;
/* Events of the run, NULL-terminated. */
extern const char *const *fake_events;
/* The reason that sandbox_call_reason() gives, NULL: what happened. */
extern const char *fake_reason;
/* sandbox_start() fails with this stage and errno. */
extern int fake_start_stage, fake_start_errno;

/* Not 0: every named sandbox that is opened ends at once. */
extern int fake_gone;

/* nsbox with these words in a child of its own, input from in (NULL: /dev/null). */
void run_nsbox(const char *const *words, const char *in, struct outcome *ret);
void outcome_free(struct outcome *o);

#endif
