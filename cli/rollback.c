/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox snapshot and rollback: copies of what a sandbox wrote, and the undo of single calls. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "changes.h"
#include "named.h"
#include "nsbox.h"

static int run_snapshot(const struct command *self, int argc, char **argv)
{
	sandbox_error *error = NULL;
	struct words words;

	int status = named_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	if (words.n != 2)
		return refuse("nsbox snapshot needs the id of a sandbox and a name for the copy");
	return sandbox_changes_snapshot(words.word[0], words.word[1], &error) < 0 ? refuse_error(error) : EXIT_YES;
}

const struct command command_snapshot = {
	.name = "snapshot",
	.arguments = "ID NAME",
	.summary = "copy what a sandbox changed so far, under a name that diff, commit, discard, rollback and --fork take",
	.run = run_snapshot,
};

/* N of the sandbox, or its whole id; a snapshot may be called by a number too, and then that is meant. */
static int rollback_call(const char *id, const char *call, unsigned long *ret_n, sandbox_error **error)
{
	_cleanup_free_ char *whole = NULL;
	sandbox_runtime *runtime = NULL;

	if (asprintf(&whole, "%s%s%s", changes_of_call(call) ? "" : id, changes_of_call(call) ? "" : ".", call) < 0)
		return -ENOMEM;
	int r = sandbox_runtime_new(&runtime, error);
	if (r == 0)
		r = sandbox_changes_call_rollback(runtime, whole, ret_n, error);
	sandbox_runtime_free(runtime);
	return r;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static bool is_snapshot(const char *name)
{
	unsigned long n;

	return sandbox_changes_count(name, &n, NULL) == 0;
}

static int run_rollback(const struct command *self, int argc, char **argv)
{
	sandbox_error *error = NULL;
	struct words words;
	unsigned long n = 0;

	int status = named_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	if (words.n != 2)
		return refuse("nsbox rollback needs the id of a sandbox and a call of it, or the name of a snapshot (nsbox diff lists "
			      "them)");
	const char *to = words.word[1];
	if (!changes_of_call(to) && !(is_number(to) && !is_snapshot(to)))
		return sandbox_changes_rollback(words.word[0], to, &error) < 0 ? refuse_error(error) : EXIT_YES;
	if (rollback_call(words.word[0], to, &n, &error) < 0)
		return refuse_error(error);
	say("%lu file%s taken back", n, n == 1 ? "" : "s");
	return EXIT_YES;
}

const struct command command_rollback = {
	.name = "rollback",
	.arguments = "ID CALL|NAME",
	.summary = "undo one call, or make the changes of a sandbox that has ended those of a snapshot",
	.text = "CALL is NUMBER or ID.NUMBER, a call that ran with --view scratch: its changes are given up, or, when they were\n"
		"committed to the working state, what was there before comes back, unless it was changed since.",
	.run = run_rollback,
};
