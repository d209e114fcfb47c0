/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox run: make a sandbox, run one command in it, remove it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "policy_args.h"
#include "relay.h"
#include "report.h"

enum { OPTION_TERMINAL = OPTION_OWN, OPTION_NO_TERMINAL, OPTION_RM, OPTION_DRY_RUN, OPTION_JSON, OPTION_LATER };

static const struct option own_options[] = {
	{ .id = OPTION_TERMINAL, .letter = 't', .name = "terminal",
	  .help = "run on a private terminal (default when stdin and stdout both are one)" },
	{ .id = OPTION_NO_TERMINAL, .letter = 'T', .name = "no-terminal", .help = "hand stdin, stdout and stderr on as they are" },
	{ .id = OPTION_LATER, .letter = 'd', .name = "detach", .help = "not available in this version" },
	{ .id = OPTION_LATER, .name = "name", .value = "ID", .help = "not available in this version" },
	{ .id = OPTION_RM, .name = "rm", .help = "keep nothing; what this version always does" },
	{ .id = OPTION_DRY_RUN, .name = "dry-run", .help = "print the effective policy with its sources and start nothing" },
	{ .id = OPTION_JSON, .name = "json",
	  .help = "at the end one JSON object on stderr: {sandbox, started, exit, signal, reason, denied}" },
	{ 0 },
};

struct run {
	struct policy_args policy;
	enum { TERMINAL_AUTO, TERMINAL_YES, TERMINAL_NO } terminal;
	bool dry_run, json;
	char **argv;

	sandbox_runtime *runtime;
	sandbox *box;
	sandbox_command *command;
	sandbox_call *call;
	struct report report;
};

/* A command that is not there or no program is told from a failure of ours, as shells do. */
static int start_failure_status(const sandbox_error *error)
{
	if (!error || sandbox_error_stage(error) != SANDBOX_STAGE_EXEC)
		return EXIT_NSBOX;
	switch (sandbox_error_errno(error)) {
	case ENOENT:
	case ENOTDIR:
		return EXIT_NOT_FOUND;
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
	case ELOOP:
	case ELIBBAD:
	case ETXTBSY:
		return EXIT_NOT_EXECUTABLE;
	default:
		return EXIT_NSBOX;
	}
}

static int call_status(const sandbox_call *call)
{
	int signal = sandbox_call_exit_signal(call);

	if (strcmp(sandbox_call_reason(call), "timeout") == 0)
		return EXIT_TIMEOUT;
	return signal ? 128 + signal : sandbox_call_exit_status(call);
}

static int prepare_command(struct run *run, bool terminal)
{
	sandbox_error *error = NULL;
	unsigned rows, columns;

	if (sandbox_command_new((const char *const *)run->argv, &run->command, &error) < 0)
		return refuse_error(error);
	if (terminal) {
		relay_window_size(&rows, &columns);
		if (sandbox_command_set_terminal(run->command, rows, columns) < 0)
			return refuse("out of memory");
	}
	return 0;
}

/* The exit status of the run. */
static int run_in(struct run *run, sandbox_policy *policy)
{
	sandbox_error *error = NULL;
	bool terminal = run->terminal == TERMINAL_YES ||
			(run->terminal == TERMINAL_AUTO && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));

	int r = prepare_command(run, terminal);
	if (r)
		return r;
	if (sandbox_create(run->runtime, policy, &run->box, &error) < 0)
		return refuse_error(error);
	run->report.sandbox = strdup(sandbox_id(run->box));

	_cleanup_close_ int signals = relay_signals(terminal);
	if (signals < 0)
		return refuse("cannot take signals: %s", strerrordesc_np(-signals));
	if (sandbox_start(run->box, run->command, &run->call, &error) < 0) {
		r = start_failure_status(error);
		refuse_error(error);
		report_take_events(&run->report, run->runtime);
		return r;
	}
	run->report.started = true;
	r = relay_run(run->runtime, run->call, signals, &run->report);
	if (r)
		return r;
	run->report.reason = sandbox_call_reason(run->call);
	run->report.signal = sandbox_call_exit_signal(run->call);
	return call_status(run->call);
}

static int dry_run(sandbox_policy *policy)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;

	if (sandbox_policy_dump(policy, &text, &error) < 0)
		return refuse_error(error);
	fputs(text, stdout);
	return EXIT_YES;
}

static int run_all(struct run *run)
{
	sandbox_policy *policy = NULL;

	sandbox_error *error = NULL;

	/* First, so that the supervisor starts on another core while the policy is read. */
	if (!run->dry_run && (sandbox_runtime_new(&run->runtime, &error) < 0 ||
			      sandbox_runtime_set_events(run->runtime, REPORT_EVENTS, &error) < 0 ||
			      sandbox_runtime_start(run->runtime, policy_args_gateway(&run->policy), &error) < 0))
		return refuse_error(error);
	int r = policy_args_apply(&run->policy, &policy);
	if (r == 0 && run->dry_run) {
		r = dry_run(policy);
		sandbox_policy_free(policy);
		return r;
	}
	if (r == 0)
		r = run_in(run, policy);
	run->report.exit = r;
	/* Hints before the teardown: the answer is there as soon as the command is gone. */
	if (r != 0)
		report_hints(&run->report);
	if (run->json)
		report_json(&run->report);
	sandbox_runtime_free(run->runtime);
	sandbox_call_free(run->call);
	sandbox_command_free(run->command);
	sandbox_free(run->box);
	sandbox_policy_free(policy);
	return r;
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
		case OPTION_TERMINAL:
			run->terminal = TERMINAL_YES;
			break;
		case OPTION_NO_TERMINAL:
			run->terminal = TERMINAL_NO;
			break;
		case OPTION_DRY_RUN:
			run->dry_run = true;
			break;
		case OPTION_JSON:
			run->json = true;
			break;
		case OPTION_LATER:
			return refuse("--%s is not available in this version; leave it out: the sandbox lives as long as "
				      "the command",
				      r->option->name) + 1;
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
		run.argv = argv + r.at;
		status = run_all(&run);
	}
	policy_args_free(&run.policy);
	report_free(&run.report);
	return status;
}

const struct command command_run = {
	.name = "run",
	.arguments = "[OPTIONS] [--] COMMAND [ARGUMENTS]",
	.summary = "make a sandbox, run COMMAND in it, and remove it again",
	.text = "Exit status: that of COMMAND; 128+N when signal N ended it; 124 timeout; 125 nsbox failed;\n"
		"126 COMMAND is not executable; 127 COMMAND is not there, inside.",
	.options = (const struct option *const[]){ own_options, policy_options, NULL },
	.run = run_run,
};
