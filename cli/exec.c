/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox exec: one more call in a named sandbox. */
#include <stdio.h>
#include <string.h>

#include "changes.h"
#include "nsbox.h"
#include "runner.h"
#include "setup.h"

struct exec {
	struct runner runner;
	struct setup setup;
	const char *sandbox;
};

/* Behind the opening of the sandbox, whose policy has the templates. */
static int set_grant(struct exec *x)
{
	const char *name = x->setup.grant;
	sandbox_error *error = NULL;
	sandbox_grant *grant = NULL;

	if (name && sandbox_grant_from_sandbox(x->runner.box, name, &grant, &error) < 0)
		return refuse_error(error);
	return setup_grant(&x->setup, grant, x->runner.command);
}

static int exec_all(struct exec *x)
{
	struct runner *r = &x->runner;
	sandbox_error *error = NULL;

	int status = runner_prepare(r);
	if (status == 0)
		status = setup_command(&x->setup, r->command);
	if (status)
		return status;
	r->report.fixed = true;
	if (sandbox_runtime_new(&r->runtime, &error) < 0 ||
	    sandbox_runtime_set_events(r->runtime, REPORT_EVENTS, &error) < 0 ||
	    sandbox_open(r->runtime, x->sandbox, &r->box, &error) < 0)
		return refuse_error(error);
	status = set_grant(x);
	if (status)
		return status;
	status = runner_run(r);
	if (r->detach && r->report.started)
		puts(sandbox_call_id(r->call));
	else if (r->report.started && sandbox_has_overlay(r->box))
		changes_tell_call(r->runtime, sandbox_call_id(r->call));
	return status;
}

static int take_option(struct exec *x, int id, const struct option_reader *r)
{
	return id == OPTION_CALL ? runner_take(&x->runner, r) : setup_take(&x->setup, r);
}

/* Options may stand before and behind the name of the sandbox; what follows "--", or the next word, is the command. */
static int take_words(const struct command *self, struct exec *x, struct option_reader *r)
{
	for (;;) {
		int id = option_next(r);
		if (id == OPTION_BAD)
			return EXIT_NSBOX + 1;
		if (id == OPTION_HELP)
			return help_print(self) + 1;
		if (id != OPTIONS_END) {
			if (take_option(x, id, r))
				return EXIT_NSBOX + 1;
			continue;
		}
		if (x->sandbox || r->ended || r->at >= r->argc)
			return 0;
		x->sandbox = r->argv[r->at++];
	}
}

static int run_exec(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	struct exec x = { 0 };

	int status = take_words(self, &x, &r);
	if (status) {
		status--;
	} else if (!x.sandbox || r.at >= argc) {
		status = refuse("nsbox exec needs a sandbox and a command: nsbox exec ID [OPTIONS] -- COMMAND [ARGUMENTS]");
	} else {
		x.runner.argv = argv + r.at;
		status = exec_all(&x);
		runner_report(&x.runner, status);
	}
	setup_free(&x.setup);
	runner_free(&x.runner);
	return status;
}

const struct command command_exec = {
	.name = "exec",
	.arguments = "ID [OPTIONS] [--] COMMAND [ARGUMENTS]",
	.summary = "run COMMAND as one more call in a named sandbox",
	.text = "Exit status as of nsbox run. With -d the id of the call is printed and not waited for; otherwise the call\n"
		"ends with nsbox exec. Every call has a network of its own, also its own loopback. Options from --grant on can\n"
		"only narrow what the sandbox has; one that asks for more is refused.",
	.options = (const struct option *const[]){ setup_options, call_options, detach_options, NULL },
	.run = run_exec,
};
