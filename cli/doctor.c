/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox doctor: what this machine has of what a sandbox needs. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

enum { OPTION_JSON = OPTION_OWN };

static const struct option own_options[] = {
	{ .id = OPTION_JSON, .name = "json", .help = "a JSON array of {control, status: ok|missing|degraded, fix}" },
	{ 0 },
};

static void print_table(const char *text)
{
	json_t *all = json_loads(text, 0, NULL), *one;
	size_t i;

	json_array_foreach(all, i, one) {
		const char *control = "", *status = "", *fix = "";
		_cleanup_buf_ struct buf b = { 0 };
		json_unpack(one, "{s:s, s:s, s?s}", "control", &control, "status", &status, "fix", &fix);
		buf_printf(&b, "%-9s ", status);
		escape_text(&b, control, strlen(control));
		if (*fix) {
			buf_puts(&b, "\n          ");
			escape_text(&b, fix, strlen(fix));
		}
		puts(buf_str(&b) ? buf_str(&b) : "");
	}
	json_decref(all);
}

static int run_doctor(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_runtime *runtime = NULL;
	sandbox_error *error = NULL;
	struct words words;
	bool json = false;
	int ok = 0;

	int status = named_words(self, argc, argv, words_flag, &json, &words);
	if (status)
		return status - 1;
	if (words.n)
		return refuse("nsbox doctor takes no argument %s", words.word[0]);
	if (sandbox_runtime_new(&runtime, &error) < 0)
		return refuse_error(error);
	int result = sandbox_doctor(runtime, &text, &ok, &error);
	sandbox_runtime_free(runtime);
	if (result < 0)
		return refuse_error(error);
	if (json)
		puts(text);
	else
		print_table(text);
	return ok ? EXIT_YES : EXIT_NO;
}

const struct command command_doctor = {
	.name = "doctor",
	.arguments = "[--json]",
	.summary = "examine whether this machine can run sandboxes, and say what to do where not",
	.text = "Exit status: 0 everything required is there, 1 something is missing, 125 error.",
	.options = (const struct option *const[]){ own_options, NULL },
	.run = run_doctor,
};
