/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands of nsbox audit share. */
#ifndef NSBOX_CLI_AUDIT_H
#define NSBOX_CLI_AUDIT_H

#include <stdbool.h>

#include "nsbox.h"

enum { OPTION_FILE = OPTION_OWN, OPTION_JSON, OPTION_HEAD, OPTION_OUTPUT };

struct audit_args {
	const char *id, *file, *head, *output;
	bool json;
	char *path; /* of the log they mean; to be freed */
};

/* 0 to go on, else the exit status plus one. With id_or_file a word with a slash or .jsonl at its end is a file. */
int audit_take_arguments(const struct command *self, int argc, char **argv, bool id_or_file, struct audit_args *a);
/* --head of a form that no hash has: said, EXIT_NSBOX; else 0. */
int audit_check_head(const char *head);

extern const struct command command_audit_report;

#endif
