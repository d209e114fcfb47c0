/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of the command line, from tables: the same tables are read here, printed by --help and written into the shell
 * completion, so none of them can lie. Forms: --name VALUE, --name=VALUE, -x VALUE, -xVALUE; reading stops at the first
 * word that is no option and behind "--".
 */
#ifndef NSBOX_CLI_OPTIONS_H
#define NSBOX_CLI_OPTIONS_H

#include <stdbool.h>

enum {
	OPTIONS_END = 0,
	OPTION_BAD = -1, /* said already */
	OPTION_HELP = 1,
	OPTION_POLICY = 2, /* for policy_args_take() */
	OPTION_CALL = 3,   /* for runner_take() */
	OPTION_SETUP = 4,  /* for setup_take() */
	OPTION_OWN = 100,  /* first number for a command's own options */
};

struct option {
	int id;
	char letter; /* 0: none */
	const char *name;
	const char *value; /* what its value is called, NULL: takes none */
	const char *help;
	const char *section, *key; /* the line of a policy file that it stands for, or NULL */
	unsigned layer;            /* policy_args.c: options that are no single line; runner.c: which one */
};

struct command;

struct option_reader {
	const struct command *command;
	char **argv;
	int argc, at;
	bool ended; /* "--" was passed over: whatever follows is no option */
	const struct option *option; /* the one just read */
	const char *value;           /* NULL when it takes none */
};

/* The id of the next option, OPTIONS_END (then argv[at] is the first argument) or OPTION_BAD. */
int option_next(struct option_reader *r);

#endif
