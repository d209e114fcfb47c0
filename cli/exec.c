/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox exec: one more call in a named sandbox. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "policy_args.h"
#include "runner.h"

enum { OPTION_WORKDIR = OPTION_OWN, OPTION_ENV, OPTION_ENV_FILE, OPTION_TIMEOUT, OPTION_BACKGROUND, OPTION_GRANT, OPTION_NARROW,
       OPTION_READ_ONLY, OPTION_LATER };

#define LATER(name_, value_) \
	{ .id = OPTION_LATER, .name = name_, .value = value_, .help = "not available in this version" }

/* A line of the call's grant. */
#define NARROW(name_, value_, help_) { .id = OPTION_NARROW, .name = name_, .value = value_, .help = help_ }

static const struct option own_options[] = {
	{ .id = OPTION_WORKDIR, .letter = 'w', .name = "workdir", .value = "DIR",
	  .help = "start in this directory inside (default: the workspace)" },
	{ .id = OPTION_ENV, .name = "env", .value = "NAME[=VALUE]", .help = "set a variable, or pass on the caller's" },
	{ .id = OPTION_ENV_FILE, .name = "env-file", .value = "FILE",
	  .help = "the same for every line of FILE; # starts a comment" },
	{ .id = OPTION_TIMEOUT, .name = "timeout", .value = "TIME",
	  .help = "TERM after TIME (for example 10m), KILL 5 s later; exit status 124" },
	{ .id = OPTION_BACKGROUND, .name = "background",
	  .help = "what the command leaves running goes on when it has ended" },
	{ .id = OPTION_GRANT, .name = "grant", .value = "NAME",
	  .help = "no more than [grant NAME] of the sandbox's policy; the options below narrow it further" },
	NARROW("allow", "RULE", "on the network only this (repeatable), within what the sandbox may"),
	NARROW("deny", "RULE", "not this"),
	NARROW("secret", "NAME", "only these secrets of the sandbox (repeatable; none: no secret)"),
	NARROW("read", "PATH", "of the sandbox's files only these (repeatable)"),
	NARROW("write", "PATH", "of the sandbox's files only these can be written (repeatable)"),
	{ .id = OPTION_READ_ONLY, .name = "read-only", .help = "no file of the workspace can be written" },
	NARROW("hide", "PATH", "not this of the sandbox's files, whatever else is given (repeatable)"),
	NARROW("exec", "PATH", "execute only what is at or below PATH (repeatable)"),
	NARROW("ttl", "TIME", "everything of the call ends after TIME"),
	NARROW("uses", "N", "at most N requests"),
	NARROW("bytes-up", "SIZE", "send at most SIZE"),
	NARROW("credentials", "any|placeholders-only", "whether credentials that were not issued to the call may be sent"),
	LATER("view", "VIEW"),
	{ 0 },
};

struct variable {
	const char *text;
	bool file;
};

struct narrowing {
	const char *option, *value;
};

struct exec {
	struct runner runner;
	const char *grant;
	struct narrowing *narrowings;
	size_t n_narrowings;
	const char *sandbox, *directory;
	unsigned long timeout_ms;
	bool background;
	struct variable *variables;
	size_t n_variables;
};

static int set_variable(void *arg, const char *line, const char *origin)
{
	sandbox_command *command = arg;
	const char *equals = strchr(line, '=');
	sandbox_error *error = NULL;

	(void)origin;
	_cleanup_free_ char *name = strndup(line, equals ? (size_t)(equals - line) : strlen(line));
	if (!name)
		return refuse("out of memory");
	const char *value = equals ? equals + 1 : getenv(name);
	if (value && sandbox_command_set_env(command, name, value, &error) < 0)
		return refuse_error(error);
	return 0;
}

static int set_call(struct exec *x)
{
	sandbox_command *command = x->runner.command;
	sandbox_error *error = NULL;
	int r = 0;

	if (x->directory && sandbox_command_set_directory(command, x->directory, &error) < 0)
		return refuse_error(error);
	if ((x->timeout_ms && sandbox_command_set_timeout(command, x->timeout_ms) < 0) ||
	    (x->background && sandbox_command_set_background(command, 1) < 0))
		return refuse("this time limit is too long");
	for (size_t i = 0; i < x->n_variables && r == 0; i++) {
		const struct variable *v = &x->variables[i];
		r = v->file ? env_file_each(v->text, set_variable, command) : set_variable(command, v->text, "--env");
	}
	return r;
}

static int narrow(sandbox_grant *grant, const struct narrowing *n)
{
	sandbox_error *error = NULL;
	char origin[32];

	snprintf(origin, sizeof(origin), "--%s", n->option);
	const char *key = strcmp(n->option, "bytes-up") == 0  ? "bytes_up" :
			  strcmp(n->option, "read-only") == 0 ? "read_only" :
								n->option;
	return sandbox_grant_set(grant, key, n->value, origin, &error) < 0 ? refuse_error(error) : 0;
}

/* Behind the opening of the sandbox, whose policy has the templates. */
static int set_grant(struct exec *x)
{
	sandbox_error *error = NULL;
	sandbox_grant *grant = NULL;

	if (!x->grant && x->n_narrowings == 0)
		return 0;
	if ((x->grant ? sandbox_grant_from_sandbox(x->runner.box, x->grant, &grant, &error) :
			sandbox_grant_new(&grant, &error)) < 0)
		return refuse_error(error);
	int status = 0;
	for (size_t i = 0; i < x->n_narrowings && status == 0; i++)
		status = narrow(grant, &x->narrowings[i]);
	if (status == 0 && sandbox_command_set_grant(x->runner.command, grant, &error) < 0)
		status = refuse_error(error);
	sandbox_grant_free(grant);
	return status;
}

static int exec_all(struct exec *x)
{
	struct runner *r = &x->runner;
	sandbox_error *error = NULL;

	int status = runner_prepare(r);
	if (status == 0)
		status = set_call(x);
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
	return status;
}

static int add_variable(struct exec *x, const char *text, bool file)
{
	struct variable *more = reallocarray(x->variables, x->n_variables + 1, sizeof(*more));

	if (!more)
		return refuse("out of memory");
	x->variables = more;
	x->variables[x->n_variables++] = (struct variable){ text, file };
	return 0;
}

static int add_narrowing(struct exec *x, const char *option, const char *value)
{
	struct narrowing *more = reallocarray(x->narrowings, x->n_narrowings + 1, sizeof(*more));

	if (!more)
		return refuse("out of memory");
	x->narrowings = more;
	x->narrowings[x->n_narrowings++] = (struct narrowing){ option, value };
	return 0;
}

static int take_option(struct exec *x, int id, const struct option_reader *r)
{
	switch (id) {
	case OPTION_CALL:
		return runner_take(&x->runner, r);
	case OPTION_WORKDIR:
		x->directory = r->value;
		return 0;
	case OPTION_ENV:
	case OPTION_ENV_FILE:
		return add_variable(x, r->value, id == OPTION_ENV_FILE);
	case OPTION_TIMEOUT:
		if (!duration_ms(r->value, &x->timeout_ms))
			return refuse("--timeout %s: digits and ms, s, m, h or d, as in 10m; without unit seconds", r->value);
		return 0;
	case OPTION_BACKGROUND:
		x->background = true;
		return 0;
	case OPTION_GRANT:
		x->grant = r->value;
		return 0;
	case OPTION_NARROW:
		return add_narrowing(x, r->option->name, r->value);
	case OPTION_READ_ONLY:
		return add_narrowing(x, r->option->name, "yes");
	default:
		return refuse("--%s is not available in this version: leave it out", r->option->name);
	}
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
		bool dashes = r->at > 0 && strcmp(r->argv[r->at - 1], "--") == 0;
		if (x->sandbox || dashes || r->at >= r->argc)
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
	free(x.variables);
	free(x.narrowings);
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
	.options = (const struct option *const[]){ own_options, call_options, NULL },
	.run = run_exec,
};
