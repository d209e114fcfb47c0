/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox ls, inspect and prune: what there is. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

static const struct option ls_options[] = {
	{ .id = OPTION_OWN, .name = "json", .help = "a JSON array of {name, id, state, pid, created, workdir, net}" },
	{ 0 },
};

#define COLUMNS 6

/* As wide as the widest of each column; the last as long as it is. */
static void print_table(const char *text)
{
	static const char *const keys[COLUMNS] = { "name", "state", "pid", "created", "workdir", "net" };
	json_t *all = json_loads(text, 0, NULL), *one;
	size_t width[COLUMNS] = { 4, 5, 3, 7, 7, 3 }, i;

	for (int print = 0; print < 2; print++) {
		if (print)
			printf("%-*s  %-*s  %-*s  %-*s  %-*s  %s\n", (int)width[0], "NAME", (int)width[1], "STATE", (int)width[2],
			       "PID", (int)width[3], "CREATED", (int)width[4], "WORKDIR", "NET");
		json_array_foreach(all, i, one) {
			_cleanup_buf_ struct buf line = { 0 };
			for (size_t c = 0; c < COLUMNS; c++) {
				const json_t *value = json_object_get(one, keys[c]);
				const char *word = json_string_value(value);
				size_t start = line.len;
				if (word)
					escape_text(&line, word, strlen(word));
				else
					buf_printf(&line, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
				if (line.len - start > width[c])
					width[c] = line.len - start;
				for (size_t n = line.len - start; print && c < COLUMNS - 1 && n < width[c] + 2; n++)
					buf_putc(&line, ' ');
			}
			if (print)
				puts(buf_str(&line) ? buf_str(&line) : "");
		}
	}
	json_decref(all);
}

static int run_ls(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct words words;
	bool json = false;

	int status = named_words(self, argc, argv, words_flag, &json, &words);
	if (status)
		return status - 1;
	if (words.n)
		return refuse("nsbox ls takes no argument %s", words.word[0]);
	if (sandbox_list(&text, &error) < 0)
		return refuse_error(error);
	if (json)
		puts(text);
	else
		print_table(text);
	return EXIT_YES;
}

const struct command command_ls = {
	.name = "ls",
	.arguments = "[--json]",
	.summary = "list the named sandboxes",
	.options = (const struct option *const[]){ ls_options, NULL },
	.run = run_ls,
};

static int run_inspect(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct opened o;
	struct words words;

	int status = named_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	if (words.n != 1)
		return refuse("nsbox inspect needs the name of one sandbox (nsbox ls lists them)");
	if (named_open(words.word[0], ",", &o, &error) < 0)
		return refuse_error(error);
	int r = sandbox_inspect(o.box, &text, &error);
	named_close(&o);
	if (r < 0)
		return refuse_error(error);
	puts(text);
	return EXIT_YES;
}

const struct command command_inspect = {
	.name = "inspect",
	.arguments = "ID",
	.summary = "print what a named sandbox is and which calls run in it, as one JSON object",
	.run = run_inspect,
};

static int run_prune(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct words words;
	json_t *name;
	size_t i;

	int status = named_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	if (words.n)
		return refuse("nsbox prune takes no argument %s; nsbox rm removes one sandbox", words.word[0]);
	if (sandbox_prune(&text, &error) < 0)
		return refuse_error(error);
	json_t *names = json_loads(text, 0, NULL);
	json_array_foreach(names, i, name)
		puts(json_string_value(name));
	json_decref(names);
	return EXIT_YES;
}

const struct command command_prune = {
	.name = "prune",
	.arguments = "",
	.summary = "remove every named sandbox in which nothing runs, and print their names",
	.run = run_prune,
};
