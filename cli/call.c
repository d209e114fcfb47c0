/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox call: from inside of a sandbox, a call that may less. Also the program that sandboxes have as nsbox. */
#include <string.h>

#include "nsbox.h"
#include "runner.h"
#include "setup.h"

enum { OPTION_TEMPLATE = OPTION_OWN };

static const struct option own_options[] = {
	{ .id = OPTION_TEMPLATE, .name = "template-by-argv",
	  .help = "refuse a COMMAND that no [grant NAME] of the policy is bound to by its argv" },
	{ 0 },
};

struct ask {
	struct runner runner;
	struct setup setup;
	bool by_argv;
};

/* Templates are in the policy, which the supervisor has and nobody inside. */
static int set_grant(struct ask *a)
{
	const char *template = a->by_argv ? "*" : a->setup.grant;
	sandbox_error *error = NULL;

	if (a->by_argv && a->setup.grant)
		return refuse("--grant and --template-by-argv exclude each other: what is bound to the command holds beside "
			      "--grant in any case");
	if (template && sandbox_command_set_template(a->runner.command, template, &error) < 0)
		return refuse_error(error);
	return setup_grant(&a->setup, NULL, a->runner.command);
}

static int ask_all(struct ask *a)
{
	struct runner *r = &a->runner;
	sandbox_error *error = NULL;

	int status = runner_prepare(r);
	if (status == 0)
		status = setup_command(&a->setup, r->command);
	if (status == 0)
		status = set_grant(a);
	if (status)
		return status;
	r->report.fixed = true;
	if (sandbox_runtime_new(&r->runtime, &error) < 0 || sandbox_open_inside(r->runtime, &r->box, &error) < 0)
		return refuse_error(error);
	return runner_run(r);
}

static int take_options(const struct command *self, struct ask *a, struct option_reader *r)
{
	int id;

	while ((id = option_next(r)) != OPTIONS_END) {
		if (id == OPTION_BAD)
			return EXIT_NSBOX + 1;
		if (id == OPTION_HELP)
			return help_print(self) + 1;
		int status = 0;
		if (id == OPTION_TEMPLATE)
			a->by_argv = true;
		else
			status = id == OPTION_CALL ? runner_take(&a->runner, r) : setup_take(&a->setup, r);
		if (status)
			return status + 1;
	}
	return 0;
}

static int run_call(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	struct ask a = { 0 };

	int status = take_options(self, &a, &r);
	if (status) {
		status--;
	} else if (r.at >= argc) {
		status = refuse("nsbox call needs a command: nsbox call [OPTIONS] -- COMMAND [ARGUMENTS]");
	} else {
		a.runner.argv = argv + r.at;
		status = ask_all(&a);
		runner_report(&a.runner, status);
	}
	setup_free(&a.setup);
	runner_free(&a.runner);
	return status;
}

const struct command command_call = {
	.name = "call",
	.arguments = "[OPTIONS] [--] COMMAND [ARGUMENTS]",
	.summary = "inside of a sandbox: run COMMAND as a call that may less",
	.text = "The new call has at most what the asking one has, and what the policy binds to the command; options from\n"
		"--grant on narrow it further, and one that asks for more is refused. It inherits environment, directory,\n"
		"stdin, stdout and stderr, has a network, loopback and placeholders of its own, and ends with nsbox call and\n"
		"with the call that asked. Exit status as of nsbox run.",
	.options = (const struct option *const[]){ own_options, setup_options, call_options, NULL },
	.run = run_call,
};
