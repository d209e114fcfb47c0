/* SPDX-License-Identifier: Apache-2.0 */
/* A command of a secret while it runs: what it reads and what it prints. */
#ifndef NSBOX_SOURCE_COMMAND_H
#define NSBOX_SOURCE_COMMAND_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct command {
	pid_t pid; /* 0: none runs */
	int to, from, pidfd; /* its input and output, and itself once its output has ended */
	char *input, *output; /* wiped before they are freed */
	size_t input_len, fed, output_len;
	int64_t end; /* command_now() value */
};

/* Milliseconds of a clock that never jumps. */
int64_t command_now(void);
/* A shell runs line, with this on its standard input. NULL, or why not. */
const char *command_start(struct command *c, const char *line, const char *input, size_t len);
/* What to wait for; never later than c->end. */
void command_events(const struct command *c, struct pollfd p[2]);
/* Move it on. True when it is over: *ret_why NULL, and its output is the caller's to read until command_stop(); or why
 * there is no output of it. */
bool command_step(struct command *c, const char **ret_why);
/* Kill what is left of it, and wipe what it read and printed. */
void command_stop(struct command *c);
/* Wipe and free. NULL is accepted. */
void command_forget(char *text, size_t len);

#endif
