/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox create: make a named sandbox in which nothing runs yet. */
#include <stdio.h>

#include "nsbox.h"
#include "policy_args.h"

enum { OPTION_NAME = OPTION_OWN };

static const struct option own_options[] = {
	{ .id = OPTION_NAME, .name = "name", .value = "ID", .help = "its name (default: a random one)" },
	{ 0 },
};

static int create(const struct policy_args *args, const char *name)
{
	sandbox_runtime *runtime = NULL;
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;
	sandbox *box = NULL;

	int status = policy_args_apply(args, &policy);
	/* What it says it says to nobody: only the answer to this request is waited for. */
	if (status == 0 && (sandbox_runtime_new(&runtime, &error) < 0 ||
			    sandbox_runtime_set_events(runtime, ",", &error) < 0 ||
			    sandbox_create_named(runtime, policy, name, &box, &error) < 0))
		status = refuse_error(error);
	if (status == 0)
		puts(sandbox_name(box));
	sandbox_free(box);
	sandbox_policy_free(policy);
	sandbox_runtime_free(runtime);
	return status;
}

static int run_create(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	struct policy_args args = { 0 };
	const char *name = NULL;
	int id, status = -1;

	while (status < 0 && (id = option_next(&r)) != OPTIONS_END) {
		if (id == OPTION_BAD)
			status = EXIT_NSBOX;
		else if (id == OPTION_HELP)
			status = help_print(self);
		else if (id == OPTION_NAME)
			name = r.value;
		else if (policy_args_take(&args, &r))
			status = EXIT_NSBOX;
	}
	if (status < 0 && r.at < argc)
		status = refuse("nsbox create takes no argument %s (nsbox run makes a sandbox and runs a command in it)",
				argv[r.at]);
	if (status < 0)
		status = create(&args, name);
	policy_args_free(&args);
	return status;
}

const struct command command_create = {
	.name = "create",
	.arguments = "[OPTIONS]",
	.summary = "make a sandbox that stays, and print its name",
	.text = "nsbox exec runs commands in it, nsbox rm ends it.",
	.options = (const struct option *const[]){ own_options, policy_options, NULL },
	.run = run_create,
};
