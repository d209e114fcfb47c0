/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox allow: the rules of a named sandbox that runs, and changing them. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

enum { TAKE_JSON = 1, TAKE_PRIVATE = 1, TAKE_PASSTHROUGH = 2 };

static const struct option list_options[] = {
	{ .id = OPTION_OWN, .layer = TAKE_JSON, .name = "json", .help = "a JSON array of {key, rule, source}" },
	{ 0 },
};

static const struct option add_options[] = {
	{ .id = OPTION_OWN, .layer = TAKE_PRIVATE, .name = "allow-private",
	  .help = "RULE is that of --allow-private: names may lead to private addresses" },
	{ .id = OPTION_OWN, .layer = TAKE_PASSTHROUGH, .name = "passthrough",
	  .help = "RULE is that of --passthrough: HOST[:PORT], whose TLS is not opened" },
	{ 0 },
};

/* What stands under which key, or is taken away (key NULL). */
static int change_one(sandbox *box, const char *key, const char *rule, sandbox_error **error)
{
	return key ? sandbox_add_rule(box, key, rule, error) : sandbox_disallow(box, rule, error);
}

static int take_key(void *key, const struct option_reader *r)
{
	const char *wanted = r->option->layer == TAKE_PRIVATE ? "allow_private" : "passthrough", **at = key;

	if (strcmp(*at, "allow") != 0 && strcmp(*at, wanted) != 0)
		return refuse("--allow-private and --passthrough exclude each other");
	*at = wanted;
	return 0;
}

static int change_each(const struct command *self, int argc, char **argv, bool add)
{
	const char *key = "allow";
	sandbox_error *error = NULL;
	struct words words;
	struct opened o;

	int status = named_words(self, argc, argv, add ? take_key : NULL, &key, &words);
	if (status)
		return status - 1;
	if (words.n < 2)
		return refuse("nsbox %s needs a sandbox and a rule: ID RULE...", self->name);
	if (named_open(words.word[0], ",", &o, &error) < 0)
		return refuse_error(error);
	for (size_t i = 1; i < words.n && !status; i++) {
		if (change_one(o.box, add ? key : NULL, words.word[i], &error) < 0)
			status = refuse_error(error);
	}
	named_close(&o);
	return status;
}

static int run_add(const struct command *self, int argc, char **argv)
{
	return change_each(self, argc, argv, true);
}

static int run_remove(const struct command *self, int argc, char **argv)
{
	return change_each(self, argc, argv, false);
}

static void print_rules(const char *text)
{
	json_t *rules = json_loads(text, 0, NULL), *rule;
	const char *key, *value, *source;
	size_t i;

	json_array_foreach(rules, i, rule) {
		_cleanup_buf_ struct buf line = { 0 };
		if (json_unpack(rule, "{s:s, s:s, s:s}", "key", &key, "rule", &value, "source", &source) < 0)
			continue;
		escape_text(&line, value, strlen(value));
		buf_puts(&line, " ; ");
		escape_text(&line, source, strlen(source));
		printf("%s = %s\n", key, buf_str(&line) ? buf_str(&line) : "");
	}
	json_decref(rules);
}

static int take_json(void *json, const struct option_reader *r)
{
	(void)r;
	*(bool *)json = true;
	return 0;
}

static int run_list(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct words words;
	struct opened o;
	bool json = false;

	int status = named_words(self, argc, argv, take_json, &json, &words);
	if (status)
		return status - 1;
	if (words.n != 1)
		return refuse("nsbox allow list needs one sandbox");
	if (named_open(words.word[0], ",", &o, &error) < 0)
		return refuse_error(error);
	int r = sandbox_rules(o.box, &text, &error);
	named_close(&o);
	if (r < 0)
		return refuse_error(error);
	if (json)
		puts(text);
	else
		print_rules(text);
	return EXIT_YES;
}

static const struct command command_add = {
	.name = "allow add",
	.arguments = "ID [--allow-private | --passthrough] RULE...",
	.summary = "let a named sandbox reach what RULE says, from now on",
	.text = "RULE is that of --allow. Commands that run have it too, but for calls whose grant names rules.",
	.options = (const struct option *const[]){ add_options, NULL },
	.run = run_add,
};

static const struct command command_remove = {
	.name = "allow remove",
	.arguments = "ID RULE...",
	.summary = "take a rule away from a named sandbox, and cut what only it allowed",
	.text = "RULE is one that nsbox allow list shows. When this returns, nothing is open that only it allowed.",
	.run = run_remove,
};

static const struct command command_list = {
	.name = "allow list",
	.arguments = "ID [--json]",
	.summary = "print the network rules of a named sandbox as they are now",
	.options = (const struct option *const[]){ list_options, NULL },
	.run = run_list,
};

const struct command command_allow = {
	.name = "allow",
	.arguments = "COMMAND",
	.summary = "add, remove and list the network rules of a sandbox that runs",
	.subcommands = (const struct command *const[]){ &command_add, &command_remove, &command_list, NULL },
};
