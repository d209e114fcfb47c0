/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands on named sandboxes share. */
#ifndef NSBOX_CLI_NAMED_H
#define NSBOX_CLI_NAMED_H

#include <sandbox/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"

/* A runtime and a sandbox in it. events: what to be told of, as sandbox_runtime_set_events(). */
struct opened {
	sandbox_runtime *runtime;
	sandbox *box;
};
int named_open(const char *name, const char *events, struct opened *ret, sandbox_error **error);
void named_close(struct opened *o);

/* Words and options in any order, as commands have them that run nothing: take is called with each option's id. 0 to go
 * on, else the exit status plus one. */
struct words {
	char **word; /* in the place of argv, without options */
	size_t n;
};
int named_words(const struct command *self, int argc, char **argv, int (*take)(void *arg, const struct option_reader *r),
		void *arg, struct words *ret);
/* For take where there is one option, and that a flag: arg is its bool. */
int words_flag(void *arg, const struct option_reader *r);

#endif
