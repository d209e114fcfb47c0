/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox commit and discard: what becomes of the changes of a sandbox, or of a call of it. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/util.h"
#include "changes.h"
#include "nsbox.h"

enum { OPTION_DIGEST = OPTION_OWN, OPTION_ACCEPT };

static const struct option commit_options[] = {
	{ .id = OPTION_DIGEST, .name = "digest", .value = "DIGEST",
	  .help = "only if it is exactly what nsbox diff --digest printed this for" },
	{ .id = OPTION_ACCEPT, .name = "accept-executable", .help = "also what the host would execute (nsbox diff marks it)" },
	{ 0 },
};

struct commit {
	bool accept;
	const char *digest;
};

static int take_commit(void *arg, const struct option_reader *r)
{
	struct commit *commit = arg;

	if (r->option->id == OPTION_DIGEST)
		commit->digest = r->value;
	else
		commit->accept = true;
	return 0;
}

/* All that a call wrote into a layer of its own. commit: else it is given up. */
static int with_call(const struct words *words, bool commit, const char *digest)
{
	sandbox_runtime *runtime = NULL;
	sandbox_error *error = NULL;
	unsigned long n;

	if (words->n > 1)
		return refuse("nsbox %s takes the changes of a call as a whole: leave the paths away", commit ? "commit" : "discard");
	int r = sandbox_runtime_new(&runtime, &error);
	if (r == 0)
		r = commit ? sandbox_changes_call_commit(runtime, words->word[0], digest, &n, &error) :
			     sandbox_changes_call_discard(runtime, words->word[0], &n, &error);
	sandbox_runtime_free(runtime);
	if (r < 0)
		return refuse_error(error);
	say("%lu file%s %s", n, n == 1 ? "" : "s", commit ? "committed to the working state" : "discarded");
	return EXIT_YES;
}

/* It may take minutes, and then somebody has to know why. */
static void tell_asked(const char *name)
{
	_cleanup_free_ char *text = NULL;
	json_t *all, *one;
	size_t i;

	if (sandbox_changes_list(&text, NULL) < 0)
		return;
	all = json_loads(text, 0, NULL);
	json_array_foreach(all, i, one) {
		if ((strcmp(json_string_value(json_object_get(one, "id")), name) == 0 ||
		     strcmp(json_string_value(json_object_get(one, "name")), name) == 0) &&
		    json_is_true(json_object_get(one, "auditor")))
			say("the auditor is asked; nsbox approve shows what it leaves to a person");
	}
	json_decref(all);
}

static int refuse_commit(sandbox_error *error)
{
	bool denied = sandbox_error_stage(error) == SANDBOX_STAGE_AUDITOR && sandbox_error_errno(error) == EACCES;

	refuse_error(error);
	return denied ? EXIT_NOT_EXECUTABLE : EXIT_NSBOX;
}

/* 0, or the exit status and 1. */
static int changes_words(const struct command *self, int argc, char **argv,
			 int (*take)(void *arg, const struct option_reader *r), void *arg, struct words *words)
{
	int status = named_words(self, argc, argv, take, arg, words);

	if (status || words->n)
		return status;
	return refuse("nsbox %s needs the id of a sandbox (nsbox diff lists those with changes)", self->name) + 1;
}

static int run_commit(const struct command *self, int argc, char **argv)
{
	sandbox_error *error = NULL;
	struct words words;
	unsigned long n;
	struct commit commit = { 0 };

	int status = changes_words(self, argc, argv, take_commit, &commit, &words);
	if (status)
		return status - 1;
	if (changes_of_call(words.word[0]))
		return with_call(&words, true, commit.digest);
	tell_asked(words.word[0]);
	if (sandbox_changes_commit_reviewed(words.word[0], changes_paths(&words), commit.accept ? SANDBOX_COMMIT_EXECUTABLE : 0,
					    commit.digest, &n, &error) < 0)
		return refuse_commit(error);
	say("%lu file%s committed", n, n == 1 ? "" : "s");
	return EXIT_YES;
}

const struct command command_commit = {
	.name = "commit",
	.arguments = "ID [PATH...] | CALL",
	.summary = "apply changes of a sandbox that has ended to the host; what changed there meanwhile is never overwritten",
	.text = "CALL is ID.NUMBER, a call that ran with --view scratch: its changes go to the working state of the sandbox, also\n"
		"while that runs, and from there to the host like any other.",
	.options = (const struct option *const[]){ commit_options, NULL },
	.run = run_commit,
};

static int run_discard(const struct command *self, int argc, char **argv)
{
	sandbox_error *error = NULL;
	struct words words;
	unsigned long n;

	int status = changes_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	if (changes_of_call(words.word[0]))
		return with_call(&words, false, NULL);
	if (sandbox_changes_discard(words.word[0], changes_paths(&words), &n, &error) < 0)
		return refuse_error(error);
	say("%lu file%s discarded", n, n == 1 ? "" : "s");
	return EXIT_YES;
}

const struct command command_discard = {
	.name = "discard",
	.arguments = "ID [PATH...] | CALL",
	.summary = "give up changes of a sandbox that has ended; the host's files stay as they are",
	.run = run_discard,
};
