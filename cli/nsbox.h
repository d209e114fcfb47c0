/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the command share. Theory of operation: main.c. */
#ifndef NSBOX_CLI_NSBOX_H
#define NSBOX_CLI_NSBOX_H

#include <sandbox/sandbox.h>

#include "base/buf.h"
#include "options.h"

/* Exit statuses that are not the command's own (nsbox(1)). */
enum {
	EXIT_YES = 0,
	EXIT_NO = 1,
	EXIT_TIMEOUT = 124,
	EXIT_NSBOX = 125,
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
};

struct command {
	const char *name; /* with the words before it, for example "audit show" */
	const char *arguments;
	const char *summary;
	const char *text; /* more for --help, may be NULL */
	const struct option *const *options; /* tables, NULL-terminated */
	const struct command *const *subcommands; /* NULL-terminated, instead of run */
	bool internal; /* nsbox starts it itself: no word of it in help */
	int (*run)(const struct command *self, int argc, char **argv); /* argv[0]: first word behind the name */
};

extern const struct command *const commands[];
extern const struct command command_run, command_create, command_exec, command_ls, command_inspect, command_kill,
	command_call, command_rm, command_prune, command_logs, command_events, command_cp, command_check, command_profile,
	command_doctor, command_audit,
	command_grant, command_allow, command_secret, command_approve, command_diff, command_commit, command_discard, command_snapshot, command_rollback,
	command_version, command_help, command_completion, command_watch, command_asker;

/* commands.c: argv[0] is the first word behind "nsbox". The exit status. */
int commands_run(int argc, char **argv);

/* help.c */
int help_print(const struct command *command); /* of one command, or of all (NULL), to stdout; 0 */

/* check.c: an answer {decision, rule, source, reason} on stdout, as it is (json) or as one line. The exit status. */
int answer_print(const char *text, bool json, int allowed);

/* message.c */
/* One line "nsbox: ..." on stderr; control bytes come out escaped, so a file name cannot drive the terminal. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, returning EXIT_NSBOX. */
int refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line of standard input, whole, however long it is: what is left of a line would be the answer to the next
 * question. NULL at the end of input. */
char *read_line(void);
/* Say and free the error, returning EXIT_NSBOX. NULL (out of memory) is allowed. */
int refuse_error(sandbox_error *error);
/* Append text so that a terminal shows it and obeys nothing in it: \xNN for controls, bidi controls, characters
 * that show nothing, and bytes that are not UTF-8. */
void escape_text(struct buf *b, const char *text, size_t len);
/* Append text as one word for a shell, escaped as above. */
void quote_word(struct buf *b, const char *text);
/* The whole buffer to a descriptor, 0 or -errno. */
int write_all(int fd, const void *data, size_t len);
/* "; did you mean PREFIXNAME?" for the name nearest to word, or "" in buf. names: NULL-terminated. */
const char *nearest_hint(const char *word, const char *prefix, const char *const *names, char *buf, size_t size);

#endif
