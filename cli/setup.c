/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a call in a sandbox that is there: its environment, its limits, and what it may. */
#include "setup.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "policy_args.h"
#include "runner.h"

enum { OPTION_WORKDIR = 1, OPTION_ENV, OPTION_ENV_FILE, OPTION_TIMEOUT, OPTION_BACKGROUND, OPTION_GRANT, OPTION_NARROW,
       OPTION_READ_ONLY };

#define SETUP(which) .id = OPTION_SETUP, .layer = which

/* A line of the call's grant. */
#define NARROW(name_, value_, help_) { SETUP(OPTION_NARROW), .name = name_, .value = value_, .help = help_ }

const struct option setup_options[] = {
	{ SETUP(OPTION_WORKDIR), .letter = 'w', .name = "workdir", .value = "DIR",
	  .help = "start in this directory inside (default: the workspace)" },
	{ SETUP(OPTION_ENV), .name = "env", .value = "NAME[=VALUE]", .help = "set a variable, or pass on the caller's" },
	{ SETUP(OPTION_ENV_FILE), .name = "env-file", .value = "FILE",
	  .help = "the same for every line of FILE; # starts a comment" },
	{ SETUP(OPTION_TIMEOUT), .name = "timeout", .value = "TIME",
	  .help = "TERM after TIME (for example 10m), KILL 5 s later; exit status 124" },
	{ SETUP(OPTION_BACKGROUND), .name = "background",
	  .help = "what the command leaves running goes on when it has ended" },
	{ SETUP(OPTION_GRANT), .name = "grant", .value = "NAME",
	  .help = "no more than [grant NAME] of the sandbox's policy; the options below narrow it further" },
	NARROW("allow", "RULE", "on the network only this (repeatable), within what the sandbox may"),
	NARROW("deny", "RULE", "not this"),
	NARROW("secret", "NAME", "only these secrets of the sandbox (repeatable; none: no secret)"),
	NARROW("read", "PATH", "of the sandbox's files only these (repeatable)"),
	NARROW("write", "PATH", "of the sandbox's files only these can be written (repeatable)"),
	{ SETUP(OPTION_READ_ONLY), .name = "read-only", .help = "no file of the workspace can be written" },
	NARROW("hide", "PATH", "not this of the sandbox's files, whatever else is given (repeatable)"),
	NARROW("exec", "PATH", "execute only what is at or below PATH (repeatable)"),
	NARROW("ttl", "TIME", "everything of the call ends after TIME"),
	NARROW("uses", "N", "at most N requests"),
	NARROW("bytes-up", "SIZE", "send at most SIZE"),
	NARROW("rate", "N/s", "at most N requests a second (N/m: a minute, N/h: an hour), evenly"),
	NARROW("credentials", "any|placeholders-only", "whether credentials that were not issued to the call may be sent"),
	NARROW("view", "VIEW", "of overlaid directories: working, scratch (a layer of the call's own), or committed (only the host's)"),
	{ 0 },
};

struct variable {
	const char *text;
	bool file;
};

struct narrowing {
	const char *option, *value;
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

int setup_command(const struct setup *s, sandbox_command *command)
{
	sandbox_error *error = NULL;
	int r = 0;

	if (s->directory && sandbox_command_set_directory(command, s->directory, &error) < 0)
		return refuse_error(error);
	if ((s->timeout_ms && sandbox_command_set_timeout(command, s->timeout_ms) < 0) ||
	    (s->background && sandbox_command_set_background(command, 1) < 0))
		return refuse("this time limit is too long");
	for (size_t i = 0; i < s->n_variables && r == 0; i++) {
		const struct variable *v = &s->variables[i];
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

int setup_grant(const struct setup *s, sandbox_grant *base, sandbox_command *command)
{
	sandbox_error *error = NULL;
	sandbox_grant *grant = base;
	int status = 0;

	if (!grant && s->n_narrowings == 0)
		return 0;
	if (!grant && sandbox_grant_new(&grant, &error) < 0)
		return refuse_error(error);
	for (size_t i = 0; i < s->n_narrowings && status == 0; i++)
		status = narrow(grant, &s->narrowings[i]);
	if (status == 0 && sandbox_command_set_grant(command, grant, &error) < 0)
		status = refuse_error(error);
	sandbox_grant_free(grant);
	return status;
}

static int add_variable(struct setup *s, const char *text, bool file)
{
	struct variable *more = reallocarray(s->variables, s->n_variables + 1, sizeof(*more));

	if (!more)
		return refuse("out of memory");
	s->variables = more;
	s->variables[s->n_variables++] = (struct variable){ text, file };
	return 0;
}

static int add_narrowing(struct setup *s, const char *option, const char *value)
{
	struct narrowing *more = reallocarray(s->narrowings, s->n_narrowings + 1, sizeof(*more));

	if (!more)
		return refuse("out of memory");
	s->narrowings = more;
	s->narrowings[s->n_narrowings++] = (struct narrowing){ option, value };
	return 0;
}

int setup_take(struct setup *s, const struct option_reader *r)
{
	switch (r->option->layer) {
	case OPTION_WORKDIR:
		s->directory = r->value;
		return 0;
	case OPTION_ENV:
	case OPTION_ENV_FILE:
		return add_variable(s, r->value, r->option->layer == OPTION_ENV_FILE);
	case OPTION_TIMEOUT:
		if (!duration_ms(r->value, &s->timeout_ms))
			return refuse("--timeout %s: digits and ms, s, m, h or d, as in 10m; without unit seconds", r->value);
		return 0;
	case OPTION_BACKGROUND:
		s->background = true;
		return 0;
	case OPTION_GRANT:
		s->grant = r->value;
		return 0;
	case OPTION_NARROW:
		return add_narrowing(s, r->option->name, r->value);
	case OPTION_READ_ONLY:
		return add_narrowing(s, r->option->name, "yes");
	default:
		return refuse("--%s is not available in this version: leave it out", r->option->name);
	}
}

void setup_free(struct setup *s)
{
	free(s->variables);
	free(s->narrowings);
}
