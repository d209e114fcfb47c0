/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox check: would this policy allow it, and by which rule. Starts nothing. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "policy_args.h"

enum { OPTION_URL = OPTION_OWN, OPTION_METHOD, OPTION_PATH, OPTION_WRITE, OPTION_JSON };

static const struct option own_options[] = {
	{ .id = OPTION_URL, .name = "url", .value = "URL", .help = "an http, https or tcp URL to decide" },
	{ .id = OPTION_METHOD, .name = "method", .value = "METHOD", .help = "with --url (default: GET)" },
	{ .id = OPTION_PATH, .name = "path", .value = "PATH", .help = "a path on the host to decide" },
	{ .id = OPTION_WRITE, .name = "write",
	  .help = "with --path: decide writing (as a policy flag it is written --write=PATH here)" },
	{ .id = OPTION_JSON, .name = "json", .help = "one JSON object {decision, rule, source, reason}, with [quotas] where there are any" },
	{ 0 },
};

struct question {
	const char *url, *method, *path;
	bool write, json;
};

static void print_line(const char *text)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_t *answer = json_loads(text, 0, NULL);
	json_t *quota;
	size_t i;
	const char *decision = "", *rule = "", *source = "", *reason = "";

	if (answer && json_unpack(answer, "{s:s, s:s, s:s, s:s}", "decision", &decision, "rule", &rule, "source", &source,
				  "reason", &reason) == 0) {
		buf_printf(&b, "%s: ", decision);
		escape_text(&b, *rule ? rule : "no rule", strlen(*rule ? rule : "no rule"));
		if (*source) {
			buf_puts(&b, " (from ");
			escape_text(&b, source, strlen(source));
			buf_putc(&b, ')');
		}
		if (*reason) {
			buf_puts(&b, ", reason: ");
			escape_text(&b, reason, strlen(reason));
		}
		json_array_foreach(json_object_get(answer, "quotas"), i, quota)
			buf_printf(&b, "%s%s", i ? ", " : ", counts against quota ", json_string_value(quota));
		puts(buf_str(&b) ? buf_str(&b) : "");
	}
	json_decref(answer);
}

int answer_print(const char *text, bool json, int allowed)
{
	if (json)
		puts(text);
	else
		print_line(text);
	return allowed ? EXIT_YES : EXIT_NO;
}

static int decide(const struct policy_args *args, const struct question *q)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	sandbox_policy *policy;
	int allowed, r;

	r = policy_args_apply(args, &policy);
	if (r)
		return r;
	if (q->url)
		r = sandbox_policy_check_url(policy, q->url, q->method, &allowed, &text, &error);
	else
		r = sandbox_policy_check_path(policy, q->path, q->write, &allowed, &text, &error);
	sandbox_policy_free(policy);
	if (r < 0)
		return refuse_error(error);
	return answer_print(text, q->json, allowed);
}

static int run_check(const struct command *self, int argc, char **argv)
{
	struct option_reader r = { .command = self, .argc = argc, .argv = argv };
	_cleanup_(policy_args_free) struct policy_args args = { 0 };
	struct question q = { 0 };
	int id;

	while ((id = option_next(&r)) != OPTIONS_END) {
		if (id == OPTION_BAD)
			return EXIT_NSBOX;
		if (id == OPTION_HELP)
			return help_print(self);
		if (id == OPTION_URL)
			q.url = r.value;
		else if (id == OPTION_METHOD)
			q.method = r.value;
		else if (id == OPTION_PATH)
			q.path = r.value;
		else if (id == OPTION_WRITE)
			q.write = true;
		else if (id == OPTION_JSON)
			q.json = true;
		else if (policy_args_take(&args, &r))
			return EXIT_NSBOX;
	}
	if (r.at < argc)
		return refuse("nsbox check takes no argument %s; give --url URL or --path PATH", argv[r.at]);
	if (!q.url == !q.path)
		return refuse("nsbox check needs one of --url URL and --path PATH");
	if ((q.method && !q.url) || (q.write && !q.path))
		return refuse("--method goes with --url, and --write with --path");
	return decide(&args, &q);
}

const struct command command_check = {
	.name = "check",
	.arguments = "[POLICY OPTIONS] --url URL [--method METHOD] | --path PATH [--write]",
	.summary = "say whether a policy allows a URL or a path, and by which rule",
	.text = "Exit status: 0 allowed, 1 denied, 125 error.",
	.options = (const struct option *const[]){ own_options, policy_options, NULL },
	.run = run_check,
};
