/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox logs: what detached commands wrote. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

/* How often a file that nobody tells us about is looked at. */
#define LOOK_MS 100

enum { OPTION_FOLLOW = OPTION_OWN, OPTION_CALL_ID };

static const struct option own_options[] = {
	{ .id = OPTION_FOLLOW, .letter = 'f', .name = "follow", .help = "go on until interrupted or the sandbox is gone" },
	{ .id = OPTION_CALL_ID, .name = "call", .value = "CALL", .help = "only what this call wrote" },
	{ 0 },
};

struct logs {
	bool follow;
	const char *call;
	sandbox_output *output;
};

static int take_option(void *arg, const struct option_reader *r)
{
	struct logs *logs = arg;

	if (r->option->id == OPTION_FOLLOW)
		logs->follow = true;
	else
		logs->call = r->value;
	return 0;
}

/* SANDBOX.NUMBER, or the number alone. */
static bool is_wanted(const struct logs *logs, const char *call)
{
	const char *dot = strrchr(call, '.');

	return !logs->call || strcmp(call, logs->call) == 0 || (dot && strcmp(dot + 1, logs->call) == 0);
}

/* All that is there: 0, or the exit status. */
static int print_pieces(struct logs *logs)
{
	const char *call;
	const void *data;
	unsigned long len;
	int stream, r;

	while ((r = sandbox_output_next(logs->output, &stream, &call, &data, &len)) > 0) {
		if (stream == 0)
			say("the output is full: what was written after this is not kept");
		else if (is_wanted(logs, call) && write_all(stream == 1 ? STDOUT_FILENO : STDERR_FILENO, data, len) < 0)
			return refuse("cannot write the output on: %s", strerrordesc_np(errno));
	}
	return r < 0 ? refuse("the kept output is damaged from here on: %s", strerrordesc_np(-r)) : 0;
}

static int follow(struct logs *logs, const struct opened *o)
{
	int status = 0;
	bool gone = false;

	while (status == 0 && !gone) {
		struct pollfd p = { .fd = sandbox_runtime_fd(o->runtime), .events = POLLIN };
		if (poll(&p, 1, LOOK_MS) < 0 && errno != EINTR)
			return refuse("cannot wait for output: %s", strerrordesc_np(errno));
		/* Looked at before: what was written until then is read. */
		gone = sandbox_runtime_dispatch(o->runtime, NULL) < 0;
		status = print_pieces(logs);
	}
	return status;
}

static int run_logs(const struct command *self, int argc, char **argv)
{
	struct logs logs = { 0 };
	struct opened o = { 0 };
	sandbox_error *error = NULL;
	struct words words;

	int status = named_words(self, argc, argv, take_option, &logs, &words);
	if (status)
		return status - 1;
	if (words.n != 1)
		return refuse("nsbox logs needs the name of one sandbox (nsbox ls lists them)");
	if ((logs.follow && named_open(words.word[0], ",", &o, &error) < 0) ||
	    sandbox_output_open(words.word[0], &logs.output, &error) < 0)
		status = refuse_error(error);
	if (status == 0)
		status = print_pieces(&logs);
	if (status == 0 && logs.follow)
		status = follow(&logs, &o);
	sandbox_output_free(logs.output);
	named_close(&o);
	return status;
}

const struct command command_logs = {
	.name = "logs",
	.arguments = "ID [-f] [--call CALL]",
	.summary = "print what detached commands of a named sandbox wrote, each stream to its own",
	.text = "Up to 64 MiB are kept for a sandbox.",
	.options = (const struct option *const[]){ own_options, NULL },
	.run = run_logs,
};
