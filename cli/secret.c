/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox secret: the secrets of a named sandbox that runs. No message here shows more of an argument than the name: what
 * stands behind it may be the value. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

static char *name_of(const char *word)
{
	return strndup(word, strcspn(word, "=@"));
}

static int open_words(const struct command *self, int argc, char **argv, struct words *words, struct opened *o)
{
	sandbox_error *error = NULL;

	int status = named_words(self, argc, argv, NULL, NULL, words);
	if (status)
		return status;
	if (words->n < 2)
		return refuse("nsbox %s needs a sandbox and a secret: %s", self->name, self->arguments) + 1;
	return named_open(words->word[0], ",", o, &error) < 0 ? refuse_error(error) + 1 : 0;
}

static int add_one(sandbox *box, const char *spec)
{
	_cleanup_free_ char *name = name_of(spec);
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;

	if (!name)
		return refuse("out of memory");
	int r = sandbox_policy_new(&policy, &error);
	if (r == 0)
		r = sandbox_policy_set(policy, "secret", "spec", spec, "secret add", &error);
	if (r == 0)
		r = sandbox_add_secret(box, policy, name, &error);
	sandbox_policy_free(policy);
	return r < 0 ? refuse_error(error) : EXIT_YES;
}

static int rotate_one(sandbox *box, const char *word)
{
	_cleanup_free_ char *name = name_of(word), *section = NULL;
	const char *source = strchr(word, '=');
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;

	if (!name || asprintf(&section, "secret %s", name) < 0)
		return refuse("out of memory");
	if (!source && word[strlen(name)])
		return refuse("nsbox secret rotate takes NAME[=SOURCE]; where %s may go stays as it is", name);
	int r = source ? sandbox_policy_new(&policy, &error) : 0;
	if (r == 0 && source)
		r = sandbox_policy_set(policy, section, "source", source + 1, "secret rotate", &error);
	if (r == 0)
		r = sandbox_rotate_secret(box, policy, name, &error);
	sandbox_policy_free(policy);
	return r < 0 ? refuse_error(error) : EXIT_YES;
}

static int revoke_one(sandbox *box, const char *name)
{
	sandbox_error *error = NULL;
	return sandbox_revoke_secret(box, name, &error) < 0 ? refuse_error(error) : EXIT_YES;
}

static int each(const struct command *self, int argc, char **argv, int (*change)(sandbox *, const char *))
{
	struct words words;
	struct opened o;

	int status = open_words(self, argc, argv, &words, &o);
	if (status)
		return status - 1;
	for (size_t i = 1; i < words.n && !status; i++)
		status = change(o.box, words.word[i]);
	named_close(&o);
	return status;
}

static int run_add(const struct command *self, int argc, char **argv)
{
	return each(self, argc, argv, add_one);
}

static int run_rotate(const struct command *self, int argc, char **argv)
{
	return each(self, argc, argv, rotate_one);
}

static int run_revoke(const struct command *self, int argc, char **argv)
{
	return each(self, argc, argv, revoke_one);
}

static const struct command command_add = {
	.name = "secret add",
	.arguments = "ID NAME[=SOURCE]@TARGET[,TARGET]...",
	.summary = "give a named sandbox a secret, for commands that start from now on",
	.text = "As --secret; SOURCE is env:VAR (default: env of the same name), file:PATH or exec:COMMAND. What runs already\n"
		"keeps the environment that it started with.",
	.run = run_add,
};

static const struct command command_rotate = {
	.name = "secret rotate",
	.arguments = "ID NAME[=SOURCE]...",
	.summary = "give secrets of a named sandbox another value, which the next request uses",
	.text = "Without SOURCE it is read where it was read before; a command is asked anew. Placeholders stay as they are.",
	.run = run_rotate,
};

static const struct command command_revoke = {
	.name = "secret revoke",
	.arguments = "ID NAME...",
	.summary = "take secrets away from a named sandbox",
	.text = "When this returns their placeholders are worth nothing, and requests that carry a value are cut.",
	.run = run_revoke,
};

const struct command command_secret = {
	.name = "secret",
	.arguments = "COMMAND",
	.summary = "add, rotate and revoke the secrets of a sandbox that runs",
	.subcommands = (const struct command *const[]){ &command_add, &command_rotate, &command_revoke, NULL },
};
