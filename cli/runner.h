/* SPDX-License-Identifier: Apache-2.0 */
/* One call from the command line: what `nsbox run` and `nsbox exec` do alike. */
#ifndef NSBOX_CLI_RUNNER_H
#define NSBOX_CLI_RUNNER_H

#include <sandbox/sandbox.h>
#include <stdbool.h>

#include "options.h"
#include "report.h"

struct runner {
	enum { TERMINAL_AUTO, TERMINAL_YES, TERMINAL_NO } terminal;
	bool detach, json;
	bool last, drops; /* the sandbox goes with this call; with its changes */
	const char *isolation; /* NULL: the default */
	char **argv;

	sandbox_runtime *runtime;
	sandbox *box;
	sandbox_command *command;
	sandbox_call *call;
	struct report report;
};

/* Their options: -t, -T, --isolation, --json; and -d. */
extern const struct option call_options[], detach_options[];
/* The option just read. 0 or EXIT_NSBOX (said). */
int runner_take(struct runner *runner, const struct option_reader *r);
/* It gets a private terminal. */
bool runner_on_terminal(const struct runner *runner);
/* Make the command from argv and the options, to be changed before it runs. 0 or EXIT_NSBOX (said). */
int runner_prepare(struct runner *runner);
/* Run it in the box: detached until it has started, else until it has ended. The exit status. */
int runner_run(struct runner *runner);
/* Hints and the object of --json, as far as they are wanted. */
void runner_report(struct runner *runner, int status);
void runner_free(struct runner *runner);

/* duration.c: digits and ms, s (or nothing), m, h or d. False when it is no time above 0. */
bool duration_ms(const char *text, unsigned long *ret_ms);

#endif
