/* SPDX-License-Identifier: Apache-2.0 */
/* How a call is to run and what it may: the options that `nsbox exec` and `nsbox call` have alike. */
#ifndef NSBOX_CLI_SETUP_H
#define NSBOX_CLI_SETUP_H

#include <sandbox/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct setup {
	const char *grant; /* [grant NAME] of the sandbox's policy, NULL: none */
	struct narrowing *narrowings;
	size_t n_narrowings;
	const char *directory;
	unsigned long timeout_ms;
	bool background;
	struct variable *variables;
	size_t n_variables;
};

extern const struct option setup_options[];
/* The option just read. These return 0 or EXIT_NSBOX (said). */
int setup_take(struct setup *s, const struct option_reader *r);
int setup_command(const struct setup *s, sandbox_command *command);
/* What it may: base, taken over, with the options on top; NULL: only these. */
int setup_grant(const struct setup *s, sandbox_grant *base, sandbox_command *command);
void setup_free(struct setup *s);

#endif
