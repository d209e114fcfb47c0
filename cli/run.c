/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox run: make a sandbox, run one command in it, remove it unless it is to stay. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "changes.h"
#include "learn.h"
#include "nsbox.h"
#include "policy_args.h"
#include "runner.h"

enum { OPTION_NAME = OPTION_OWN, OPTION_RM, OPTION_DRY_RUN, OPTION_LEARN };

static const struct option own_options[] = {
	{ .id = OPTION_NAME, .name = "name", .value = "ID", .help = "keep the sandbox under this name (nsbox exec, nsbox rm)" },
	{ .id = OPTION_RM, .name = "rm", .help = "with --name or -d: remove the sandbox when the command has ended; drop changes in overlays too" },
	{ .id = OPTION_DRY_RUN, .name = "dry-run", .help = "print the effective policy with its sources and start nothing" },
	{ .id = OPTION_LEARN, .name = "learn", .value = "FILE",
	  .help = "write a policy into the new FILE: what of this one was used, and what was missing; the workspace is an "
		  "overlay; on a terminal it asks about requests and connections that no rule allows" },
	{ 0 },
};

struct run {
	struct runner runner;
	struct policy_args policy;
	const char *name;
	bool rm, dry_run;
	struct learn learn; /* file NULL: not asked for */
	sandbox_policy *asking_policy; /* of the sandbox, when a person is asked what its command may; NULL: nobody is */
};

static int dry_run(sandbox_policy *policy)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;

	if (sandbox_policy_dump(policy, &text, &error) < 0)
		return refuse_error(error);
	fputs(text, stdout);
	return EXIT_YES;
}

static int prepare_learning(struct run *run, sandbox_policy *policy)
{
	struct runner *r = &run->runner;

	int status = learn_prepare(&run->learn, policy, r->argv);
	if (status)
		return status;
	r->argv = run->learn.argv;
	/* A private terminal can also have pipes outside, and nobody is there then. */
	if (runner_on_terminal(r) && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		status = learn_ask(&run->learn, &run->policy, &run->asking_policy);
	r->report.asking = run->asking_policy ? &run->learn.asking : NULL;
	return status;
}

static int make_box(struct run *run, sandbox_policy *policy, bool named, sandbox_error **error)
{
	struct runner *r = &run->runner;

	return named ? sandbox_create_named(r->runtime, policy, run->name, &r->box, error) :
		       sandbox_create(r->runtime, policy, &r->box, error);
}

/* The sandbox of a command: 0 or EXIT_NSBOX (said). */
static int make_box_for(struct run *run, sandbox_policy *policy, bool named)
{
	sandbox_error *error = NULL;
	int r = make_box(run, run->asking_policy ? run->asking_policy : policy, named, &error);

	/* The auditor is nsbox itself, and lies where the sandbox could change it. */
	if (r == -EPERM && run->asking_policy && sandbox_error_stage(error) == SANDBOX_STAGE_AUDITOR) {
		say("--learn: nobody is asked, and what no rule allows is denied and recorded: %s", sandbox_error_message(error));
		sandbox_error_free(error);
		error = NULL;
		run->runner.report.asking = NULL;
		r = make_box(run, policy, named, &error);
	}
	return r < 0 ? refuse_error(error) : 0;
}

/* The exit status of the run. */
static int run_in(struct run *run, sandbox_policy *policy)
{
	struct runner *r = &run->runner;
	/* Where a person may have to decide, another process has to find it. */
	bool asks = sandbox_policy_auditor(policy) != NULL;
	bool stays = run->name || r->detach, named = stays || asks;

	r->last = (run->rm && r->detach) || (asks && !stays);
	r->drops = run->rm;
	int status = run->learn.file ? prepare_learning(run, policy) : 0;
	if (status == 0)
		status = runner_prepare(r);
	if (status == 0 && r->report.asking)
		status = learn_ask_command(&run->learn, r->command);
	if (status == 0)
		status = make_box_for(run, policy, named);
	if (status)
		return status;
	run->learn.asking.box = r->box;
	status = runner_run(r);
	if (run->learn.file && r->report.started &&
	    learn_end(&run->learn, r->box, policy, r->report.used, r->report.denied))
		status = EXIT_NSBOX;
	if (r->detach && r->report.started) {
		puts(sandbox_name(r->box));
		return status;
	}
	/* Without a command that ran, nobody would expect the name to be taken. */
	if (named && (run->rm || !stays || !r->report.started))
		sandbox_remove(r->box, 1, NULL);
	return status;
}

/* The sandbox is ended for it, so that nothing changes any more. */
static void tell_changes(struct run *run)
{
	struct runner *r = &run->runner;

	if (!r->box || !sandbox_has_overlay(r->box) || r->detach || (run->name && !run->rm && r->report.started))
		return;
	/* Refused when it has been done. */
	sandbox_remove(r->box, 1, NULL);
	changes_tell(sandbox_id(r->box), run->rm);
}

static int begin_learning(struct run *run)
{
	struct runner *r = &run->runner;

	if (run->name || r->detach || run->dry_run)
		return refuse("--learn goes with neither --name, -d nor --dry-run: it is about one command, and tells at its end");
	r->report.used = json_array();
	return r->report.used ? learn_begin(&run->learn, &run->policy) : refuse("out of memory");
}

static int run_all(struct run *run)
{
	struct runner *r = &run->runner;
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;

	int status = run->learn.file ? begin_learning(run) : 0;
	if (status)
		return status;
	const char *events = run->learn.file ? REPORT_EVENTS LEARN_EVENTS : REPORT_EVENTS;
	if (!run->dry_run && (sandbox_runtime_new(&r->runtime, &error) < 0 ||
			      sandbox_runtime_set_events(r->runtime, events, &error) < 0))
		return refuse_error(error);
	/* First, so that the supervisor starts on another core while the policy is read. */
	if (!run->dry_run && !run->name && !r->detach &&
	    sandbox_runtime_start(r->runtime, policy_args_gateway(&run->policy), &error) < 0)
		return refuse_error(error);
	status = policy_args_apply(&run->policy, &policy);
	if (status == 0 && run->dry_run) {
		status = dry_run(policy);
		sandbox_policy_free(policy);
		return status;
	}
	if (status == 0)
		status = run_in(run, policy);
	/* What failed before the command was looked for, or ended it, has nothing to do with its words. */
	bool itself = r->report.reason && strcmp(r->report.reason, "exit") == 0;
	if (policy && r->command && !run->learn.file && (r->report.started ? itself && status != 0 : status == EXIT_NOT_FOUND))
		report_paths(&r->report, policy, run->policy.workdir, r->argv);
	/* Before the teardown: the answer is there as soon as the command is gone. */
	runner_report(r, status);
	tell_changes(run);
	sandbox_policy_free(policy);
	return status;
}

/* 0 to go on, else the exit status plus one (help ends with status 0). */
static int take_options(const struct command *self, struct run *run, struct option_reader *r)
{
	int id;

	while ((id = option_next(r)) != OPTIONS_END) {
		switch (id) {
		case OPTION_BAD:
			return EXIT_NSBOX + 1;
		case OPTION_HELP:
			return help_print(self) + 1;
		case OPTION_POLICY:
			if (policy_args_take(&run->policy, r))
				return EXIT_NSBOX + 1;
			break;
		case OPTION_CALL:
			if (runner_take(&run->runner, r))
				return EXIT_NSBOX + 1;
			break;
		case OPTION_NAME:
			run->name = r->value;
			break;
		case OPTION_RM:
			run->rm = true;
			break;
		case OPTION_DRY_RUN:
			run->dry_run = true;
			break;
		case OPTION_LEARN:
			run->learn.file = r->value;
			break;
		default:
			break;
		}
	}
	return 0;
}

static int run_run(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	struct run run = { 0 };

	int status = take_options(self, &run, &r);
	if (status) {
		status--;
	} else if (r.at >= argc && !run.dry_run) {
		status = refuse("no command to run: nsbox run [OPTIONS] [--] COMMAND [ARGUMENTS]");
	} else {
		run.runner.argv = argv + r.at;
		run.policy.command = (const char *const *)run.runner.argv;
		status = run_all(&run);
	}
	policy_args_free(&run.policy);
	learn_free(&run.learn);
	sandbox_policy_free(run.asking_policy);
	runner_free(&run.runner);
	return status;
}

const struct command command_run = {
	.name = "run",
	.arguments = "[OPTIONS] [--] COMMAND [ARGUMENTS]",
	.summary = "make a sandbox and run COMMAND in it; it is removed at the end unless --name or -d keeps it",
	.text = "Exit status: that of COMMAND; 128+N when signal N ended it; 124 timeout; 125 nsbox failed;\n"
		"126 COMMAND is not executable; 127 COMMAND is not there, inside.\n"
		"With -d the name of the sandbox is printed, and it stays until nsbox rm (with --rm: until COMMAND ends).",
	.options = (const struct option *const[]){ own_options, call_options, detach_options, policy_options, NULL },
	.run = run_run,
};
