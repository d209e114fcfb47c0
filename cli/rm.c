/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox rm and kill: end sandboxes, signal calls. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "changes.h"
#include "named.h"
#include "nsbox.h"

static const struct option rm_options[] = {
	{ .id = OPTION_OWN, .letter = 'f', .name = "force",
	  .help = "also while commands run in it; one that is not there is no error" },
	{ 0 },
};

static int remove_one(const char *name, bool force)
{
	sandbox_error *error = NULL;
	struct opened o;

	int r = named_open(name, ",", &o, &error);
	/* Also one that came to its end just now, for example because what made it was killed on the way. */
	if ((r == -ENOENT || r == -ECONNRESET || r == -ECONNREFUSED) && force) {
		sandbox_error_free(error);
		return 0;
	}
	if (r < 0)
		return refuse_error(error);
	bool overlay = sandbox_has_overlay(o.box);
	_cleanup_free_ char *id = strdup(sandbox_id(o.box));
	r = sandbox_remove(o.box, force, &error);
	named_close(&o);
	if (r == -EBUSY) {
		sandbox_error_free(error);
		return refuse("commands run in sandbox %s: nsbox kill %s ends them, nsbox rm -f %s ends all of it", name, name,
			      name);
	}
	if (r < 0)
		return refuse_error(error);
	if (overlay && id)
		changes_tell(id, false);
	return 0;
}

static int run_rm(const struct command *self, int argc, char **argv)
{
	struct words words;
	bool force = false;

	int status = named_words(self, argc, argv, words_flag, &force, &words);
	if (status)
		return status - 1;
	if (words.n == 0)
		return refuse("nsbox rm needs the names of sandboxes (nsbox ls lists them)");
	/* The others are removed all the same. */
	for (size_t i = 0; i < words.n; i++) {
		if (remove_one(words.word[i], force))
			status = EXIT_NSBOX;
	}
	return status;
}

const struct command command_rm = {
	.name = "rm",
	.arguments = "ID... [-f]",
	.summary = "end named sandboxes; their audit logs and what changed in overlays stay",
	.options = (const struct option *const[]){ rm_options, NULL },
	.run = run_rm,
};

static const struct option kill_options[] = {
	{ .id = OPTION_OWN, .letter = 's', .name = "signal", .value = "SIGNAL",
	  .help = "a name with or without SIG, or a number (default KILL)" },
	{ 0 },
};

static int signal_number(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text && !*end)
		return number >= 1 && number <= 64 ? (int)number : -1;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *name = sigabbrev_np(i);
		if (name && strcasecmp(name, text) == 0)
			return i;
	}
	return -1;
}

static int take_signal(void *arg, const struct option_reader *r)
{
	int *number = arg;

	*number = signal_number(r->value);
	return *number < 0 ? refuse("--signal %s: no signal of this name or number", r->value) : 0;
}

static int run_kill(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *call = NULL;
	sandbox_error *error = NULL;
	int number = SIGKILL;
	struct words words;
	struct opened o;

	int status = named_words(self, argc, argv, take_signal, &number, &words);
	if (status)
		return status - 1;
	if (words.n < 1 || words.n > 2)
		return refuse("nsbox kill needs the name of a sandbox, and for one call of it its id: nsbox kill ID [CALL]");
	if (named_open(words.word[0], ",", &o, &error) < 0)
		return refuse_error(error);
	/* The number alone is enough. */
	const char *given = words.n == 2 ? words.word[1] : NULL;
	if (given && asprintf(&call, "%s%s%s", strchr(given, '.') ? "" : sandbox_id(o.box), strchr(given, '.') ? "" : ".",
			      given) < 0)
		call = NULL;
	int r = given && !call ? -ENOMEM : call ? sandbox_signal_call(o.box, call, number, &error) :
						  sandbox_signal(o.box, number, &error);
	named_close(&o);
	return r < 0 ? refuse_error(error) : EXIT_YES;
}

const struct command command_kill = {
	.name = "kill",
	.arguments = "ID [CALL] [--signal SIGNAL]",
	.summary = "signal every command that runs in a named sandbox, or one of them; the sandbox stays",
	.options = (const struct option *const[]){ kill_options, NULL },
	.run = run_kill,
};
