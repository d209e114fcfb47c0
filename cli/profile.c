/* SPDX-License-Identifier: Apache-2.0 */
/* nsbox profile: the built-in profiles, and trust in the policy file of a project. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "named.h"
#include "nsbox.h"

enum { OPTION_JSON = OPTION_OWN, OPTION_YES, OPTION_WORKDIR };

static const struct option ls_options[] = {
	{ .id = OPTION_JSON, .name = "json", .help = "an array of {name, summary, commands}" },
	{ 0 },
};

static const struct option trust_options[] = {
	{ .id = OPTION_WORKDIR, .letter = 'C', .name = "workdir", .value = "DIR",
	  .help = "of this workspace (default: the current directory)" },
	{ .id = OPTION_YES, .name = "yes", .help = "trust what is shown without asking" },
	{ 0 },
};

static void print_profile(const json_t *profile)
{
	const char *name = "", *summary = "", *names = "";

	json_unpack((json_t *)profile, "{s:s, s:s, s:s}", "name", &name, "summary", &summary, "commands", &names);
	printf("%-16s%s\n", name, summary);
	if (*names)
		printf("%-16s  for %s\n", "", names);
}

static int run_ls(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct words words;
	bool json = false;
	size_t i;

	int status = named_words(self, argc, argv, words_flag, &json, &words);
	if (status)
		return status - 1;
	if (words.n)
		return refuse("nsbox profile ls takes no argument %s", words.word[0]);
	if (sandbox_profile_list(&text, &error) < 0)
		return refuse_error(error);
	json_t *all = json ? NULL : json_loads(text, 0, NULL), *one;
	if (json)
		puts(text);
	json_array_foreach(all, i, one)
		print_profile(one);
	json_decref(all);
	return EXIT_YES;
}

static int one_word(const struct command *self, int argc, char **argv, struct words *words)
{
	int status = named_words(self, argc, argv, NULL, NULL, words);

	if (status == 0 && words->n != 1)
		return refuse("nsbox %s needs one %s", self->name, self->arguments) + 1;
	return status;
}

static int run_show(const struct command *self, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	struct words words;

	int status = one_word(self, argc, argv, &words);
	if (status)
		return status - 1;
	if (sandbox_profile_text(words.word[0], &text, &error) < 0)
		return refuse_error(error);
	fputs(text, stdout);
	return EXIT_YES;
}

/* Whether it could be used here, with what it says about itself. */
static int run_check(const struct command *self, int argc, char **argv)
{
	sandbox_policy *policy = NULL;
	sandbox_error *error = NULL;
	struct words words;
	int r;

	int status = one_word(self, argc, argv, &words);
	if (status)
		return status - 1;
	const char *name = words.word[0];
	if (sandbox_policy_new(&policy, &error) < 0)
		return refuse_error(error);
	r = strchr(name, '/') ? sandbox_policy_load_file(policy, name, &error) :
				sandbox_policy_load_profile(policy, name, &error);
	/* Not when it is what it extends that is not there. */
	bool missing = r == -ENOENT && (!strchr(name, '/') || access(name, F_OK) < 0);
	if (r == 0)
		r = sandbox_policy_check(policy, &error);
	if (r < 0) {
		status = refuse_error(error);
		status = missing ? status : EXIT_NO;
	} else {
		const char *warnings = sandbox_policy_warnings(policy);
		if (*warnings)
			say("%s", warnings);
		printf("%s can be used here\n", name);
	}
	sandbox_policy_free(policy);
	return status;
}

struct trust {
	const char *workdir;
	bool yes;
};

static int take_trust(void *arg, const struct option_reader *r)
{
	struct trust *t = arg;

	if (r->option->id == OPTION_YES)
		t->yes = true;
	else
		t->workdir = r->value;
	return 0;
}

static void print_lines(const char *sign, const char *from, const char *to)
{
	while (from < to) {
		_cleanup_buf_ struct buf b = { 0 };
		size_t n = strcspn(from, "\n");
		buf_puts(&b, sign);
		escape_text(&b, from, n);
		puts(buf_str(&b) ? buf_str(&b) : "");
		from += n + (from[n] == '\n');
	}
}

static size_t first_line(const char *text)
{
	size_t n = strcspn(text, "\n");
	return n + (text[n] == '\n');
}

static size_t last_line(const char *from, const char *to)
{
	const char *at = to;

	while (at > from && (at == to || at[-1] != '\n'))
		at--;
	return (size_t)(to - at);
}

/* What is between the lines that both begin and end with. */
static void print_change(const char *old, const char *new)
{
	const char *old_end = old + strlen(old), *new_end = new + strlen(new);
	size_t n;

	while ((n = first_line(old)) && n == first_line(new) && memcmp(old, new, n) == 0) {
		old += n;
		new += n;
	}
	while ((n = last_line(old, old_end)) && n == last_line(new, new_end) && memcmp(old_end - n, new_end - n, n) == 0) {
		old_end -= n;
		new_end -= n;
	}
	print_lines("-", old, old_end);
	print_lines("+", new, new_end);
}

static bool agreed(const char *question)
{
	printf("%s [y/N] ", question);
	fflush(stdout);
	_cleanup_free_ char *line = read_line();
	return line && (strcmp(line, "y") == 0 || strcmp(line, "yes") == 0);
}

static int trust(const struct trust *t, const char *dir)
{
	_cleanup_free_ char *text = NULL, *old = NULL;
	sandbox_error *error = NULL;
	int state;

	if (sandbox_project_state(dir, &state, &text, &old, &error) < 0)
		return refuse_error(error);
	if (state == SANDBOX_PROJECT_NONE)
		return refuse("there is no .nsbox.ini in %s", dir);
	if (state == SANDBOX_PROJECT_TRUSTED) {
		puts("it is trusted as it is");
		return EXIT_YES;
	}
	if (old)
		print_change(old, text);
	else
		print_lines("", text, text + strlen(text));
	if (!t->yes && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return refuse("nobody can be asked here: --yes trusts what is shown");
	if (!t->yes && !agreed(*text ? "trust it?" : "it is gone; run without it from now on?"))
		return EXIT_NO;
	return sandbox_project_trust(dir, text, &error) < 0 ? refuse_error(error) : EXIT_YES;
}

static int run_trust(const struct command *self, int argc, char **argv)
{
	struct trust t = { 0 };
	struct words words;

	int status = named_words(self, argc, argv, take_trust, &t, &words);
	if (status)
		return status - 1;
	if (words.n)
		return refuse("nsbox profile trust takes no argument %s; --workdir names another workspace", words.word[0]);
	return trust(&t, t.workdir ? t.workdir : ".");
}

static const struct command profile_ls = {
	.name = "profile ls",
	.arguments = "[--json]",
	.summary = "list the built-in profiles, and the commands that choose them",
	.options = (const struct option *const[]){ ls_options, NULL },
	.run = run_ls,
};
static const struct command profile_show = {
	.name = "profile show",
	.arguments = "NAME",
	.summary = "print a built-in profile",
	.run = run_show,
};
static const struct command profile_check = {
	.name = "profile check",
	.arguments = "NAME|./FILE",
	.summary = "say whether a profile, or a policy file, can be used here",
	.text = "Exit status: 0 yes, 1 no, 125 error.",
	.run = run_check,
};
static const struct command profile_trust = {
	.name = "profile trust",
	.arguments = "[--workdir DIR] [--yes]",
	.summary = "show .nsbox.ini of the workspace, or how it has changed, and use it from now on",
	.text = "One that was trusted and is gone is forgotten.\n"
		"Exit status: 0 trusted, 1 not trusted, 125 error.",
	.options = (const struct option *const[]){ trust_options, NULL },
	.run = run_trust,
};

const struct command command_profile = {
	.name = "profile",
	.summary = "show built-in profiles, and trust the policy file of a project",
	.subcommands = (const struct command *const[]){ &profile_ls, &profile_show, &profile_check, &profile_trust, NULL },
};
