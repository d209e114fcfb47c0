/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox grant: what a [grant NAME] of a policy allows, and which one a command is bound to; revoking what a
 * call was granted. Starts nothing. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"
#include "policy_args.h"

enum { OPTION_URL = OPTION_OWN, OPTION_METHOD, OPTION_PATH, OPTION_WRITE, OPTION_SECRET, OPTION_JSON };

static const struct option check_options[] = {
	{ .id = OPTION_URL, .name = "url", .value = "URL", .help = "an http, https or tcp URL to decide" },
	{ .id = OPTION_METHOD, .name = "method", .value = "METHOD", .help = "with --url (default: GET)" },
	{ .id = OPTION_PATH, .name = "path", .value = "PATH", .help = "a path on the host to decide" },
	{ .id = OPTION_WRITE, .name = "write",
	  .help = "with --path: decide writing (as a policy flag it is written --write=PATH here)" },
	{ .id = OPTION_SECRET, .name = "secret", .value = "NAME",
	  .help = "a secret to decide (with @TARGET it is the policy flag)" },
	{ .id = OPTION_JSON, .name = "json", .help = "one JSON object {decision, rule, source, reason}" },
	{ 0 },
};

struct question {
	const char *name; /* of the grant, or NULL */
	const char *url, *method, *path, *secret;
	char **argv; /* behind "--", or NULL */
	bool write, json;
};

/* The policy's own option of the same name, for values that cannot be answers to ours. */
static int take_as_policy(struct policy_args *args, struct option_reader *r)
{
	for (const struct option *o = policy_options; o->name; o++) {
		if (strcmp(o->name, r->option->name) == 0) {
			r->option = o;
			return policy_args_take(args, r);
		}
	}
	return refuse("option --%s is not known here", r->option->name);
}

static int take_option(struct question *q, struct policy_args *args, struct option_reader *r, int id)
{
	switch (id) {
	case OPTION_URL:
		q->url = r->value;
		return 0;
	case OPTION_METHOD:
		q->method = r->value;
		return 0;
	case OPTION_PATH:
		q->path = r->value;
		return 0;
	case OPTION_WRITE:
		q->write = true;
		return 0;
	case OPTION_JSON:
		q->json = true;
		return 0;
	case OPTION_SECRET:
		if (strchr(r->value, '@') || strchr(r->value, '='))
			return take_as_policy(args, r);
		q->secret = r->value;
		return 0;
	default:
		return policy_args_take(args, r);
	}
}

/* Options may stand behind the name too. 0 to go on, else the exit status plus one. */
static int take_arguments(const struct command *self, int argc, char **argv, struct question *q, struct policy_args *args)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };

	for (;;) {
		int id = option_next(&r);
		if (id == OPTION_BAD)
			return EXIT_NSBOX + 1;
		if (id == OPTION_HELP)
			return help_print(self) + 1;
		if (id != OPTIONS_END) {
			int bad = take_option(q, args, &r, id);
			if (bad)
				return bad + 1;
			continue;
		}
		if (r.ended) {
			q->argv = argv + r.at;
			return 0;
		}
		if (r.at >= argc)
			return 0;
		if (q->name)
			return refuse("nsbox %s takes one grant, not also %s; a command to ask about stands behind --", self->name,
				      argv[r.at]) + 1;
		q->name = argv[r.at++];
	}
}

static int show(const struct policy_args *args, const char *name)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	sandbox_grant *grant = NULL;
	sandbox_policy *policy;

	int r = policy_args_apply(args, &policy);
	if (r)
		return r;
	r = sandbox_grant_from_template(policy, name, &grant, &error);
	if (r == 0)
		r = sandbox_grant_dump(grant, &text, &error);
	sandbox_grant_free(grant);
	sandbox_policy_free(policy);
	if (r < 0)
		return refuse_error(error);
	fputs(text, stdout);
	return EXIT_YES;
}

static int run_show(const struct command *self, int argc, char **argv)
{
	_cleanup_(policy_args_free) struct policy_args args = { 0 };
	struct question q = { 0 };

	int r = take_arguments(self, argc, argv, &q, &args);
	if (r)
		return r - 1;
	if (!q.name || q.argv)
		return refuse("nsbox grant show needs the name of a grant of the policy: -f FILE NAME");
	return show(&args, q.name);
}

/* Which one binds; with a name: whether it is that one. */
static int answer_argv(sandbox_policy *policy, const struct question *q)
{
	_cleanup_free_ char *name = NULL;
	sandbox_error *error = NULL;
	sandbox_grant *grant = NULL;

	/* A name that is none is a slip, not a no. */
	if (q->name && sandbox_grant_from_template(policy, q->name, &grant, &error) < 0)
		return refuse_error(error);
	sandbox_grant_free(grant);
	if (sandbox_grant_for_argv(policy, (const char *const *)q->argv, &name, &error) < 0)
		return refuse_error(error);
	bool yes = name && (!q->name || strcmp(name, q->name) == 0);
	if (q->json)
		printf("{\"decision\":\"%s\",\"rule\":\"%s\",\"source\":\"\",\"reason\":\"argv\"}\n", yes ? "allow" : "deny",
		       name ? name : "");
	else
		puts(name ? name : "no grant");
	return yes ? EXIT_YES : EXIT_NO;
}

static int answer(sandbox_policy *policy, const struct question *q)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	sandbox_grant *grant;
	int allowed;

	if (sandbox_grant_from_template(policy, q->name, &grant, &error) < 0)
		return refuse_error(error);
	int r = q->url ? sandbox_grant_check_url(grant, policy, q->url, q->method, &allowed, &text, &error) :
		q->path ? sandbox_grant_check_path(grant, policy, q->path, q->write, &allowed, &text, &error) :
			  sandbox_grant_check_secret(grant, policy, q->secret, &allowed, &text, &error);
	sandbox_grant_free(grant);
	if (r < 0)
		return refuse_error(error);
	return answer_print(text, q->json, allowed);
}

static int run_check(const struct command *self, int argc, char **argv)
{
	_cleanup_(policy_args_free) struct policy_args args = { 0 };
	struct question q = { 0 };
	sandbox_policy *policy;

	int r = take_arguments(self, argc, argv, &q, &args);
	if (r)
		return r - 1;
	if (!!q.url + !!q.path + !!q.secret + !!q.argv != 1)
		return refuse("nsbox grant check needs one of --url URL, --path PATH, --secret NAME and -- COMMAND");
	if (q.argv && !q.argv[0])
		return refuse("no command behind --; give the one to ask about");
	if (!q.name && !q.argv)
		return refuse("nsbox grant check needs the name of a grant of the policy: -f FILE NAME");
	if ((q.method && !q.url) || (q.write && !q.path))
		return refuse("--method goes with --url, and --write with --path");
	r = policy_args_apply(&args, &policy);
	if (r)
		return r;
	r = q.argv ? answer_argv(policy, &q) : answer(policy, &q);
	sandbox_policy_free(policy);
	return r;
}

static const struct command command_show = {
	.name = "grant show",
	.arguments = "[POLICY OPTIONS] NAME",
	.summary = "print what a [grant NAME] of the policy allows, each line with its source",
	.options = (const struct option *const[]){ policy_options, NULL },
	.run = run_show,
};

static const struct command command_grant_check = {
	.name = "grant check",
	.arguments = "[POLICY OPTIONS] NAME --url URL [--method METHOD] | --path PATH [--write] | --secret NAME\n"
		     "       nsbox grant check [POLICY OPTIONS] [NAME] -- COMMAND...",
	.summary = "say whether a grant of the policy allows a URL, a path or a secret, or which one a command is bound to",
	.text = "With a command: the name of the first grant that is bound to it; with NAME, whether it is this one.\n"
		"Exit status: 0 yes, 1 no, 125 error.",
	.options = (const struct option *const[]){ check_options, policy_options, NULL },
	.run = run_check,
};

/* ID.NUMBER, where ID may be the name of the sandbox too. */
static int revoke_one(const char *given)
{
	_cleanup_free_ char *name = NULL, *call = NULL;
	const char *dot = strrchr(given, '.');
	sandbox_error *error = NULL;
	struct opened o;

	if (!dot || dot == given || !dot[1])
		return refuse("nsbox grant revoke %s: the id of a call is ID.NUMBER (nsbox inspect ID lists those that run)", given);
	name = strndup(given, (size_t)(dot - given));
	if (!name)
		return refuse("out of memory");
	if (named_open(name, ",", &o, &error) < 0)
		return refuse_error(error);
	int r = asprintf(&call, "%s%s", sandbox_id(o.box), dot) < 0 ? -ENOMEM : sandbox_revoke_call(o.box, call, &error);
	named_close(&o);
	return r == -ENOMEM && !error ? refuse("out of memory") : r < 0 ? refuse_error(error) : EXIT_YES;
}

static int run_revoke(const struct command *self, int argc, char **argv)
{
	struct words words;

	int status = named_words(self, argc, argv, NULL, NULL, &words);
	if (status)
		return status - 1;
	return words.n == 1 ? revoke_one(words.word[0]) : refuse("nsbox grant revoke needs the id of one call: ID.NUMBER");
}

static const struct command command_revoke = {
	.name = "grant revoke",
	.arguments = "CALL",
	.summary = "end a call in a named sandbox with all that it was granted",
	.text = "CALL is ID.NUMBER, with the name or the id of the sandbox. When this returns no process of it lives, also in the\n"
		"background, its connections are cut and its placeholders are worth nothing.",
	.run = run_revoke,
};

const struct command command_grant = {
	.name = "grant",
	.arguments = "COMMAND",
	.summary = "show and ask the grants of a policy, and revoke that of a call",
	.subcommands = (const struct command *const[]){ &command_show, &command_grant_check, &command_revoke, NULL },
};
