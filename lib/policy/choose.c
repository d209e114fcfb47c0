/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which profile goes with a command. Only names that say what the program is for choose one: agents, package
 * managers, git. An interpreter or a compiler runs anything, so its name widens nothing.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "policy/internal.h"
#include "policy/profile.h"

#define WRAPPERS_MAX 8

static const struct choice {
	const char *name, *profile;
} choices[] = {
	{ "claude", "claude-code" },	     { "claude-code", "claude-code" },	   { "codex", "codex" },
	{ "gemini", "gemini-cli" },	     { "gemini-cli", "gemini-cli" },	   { "opencode", "opencode" },
	{ "aider", "aider" },		     { "goose", "goose" },		   { "amp", "amp" },
	{ "copilot", "copilot-cli" },	     { "cursor-agent", "cursor-agent" },   { "qwen", "qwen-code" },
	{ "git", "git" },		     { "ssh", "ssh-client" },		   { "scp", "ssh-client" },
	{ "sftp", "ssh-client" },	     { "npm", "node" },			   { "npx", "node" },
	{ "pnpm", "node" },		     { "yarn", "node" },		   { "bunx", "node" },
	{ "pip", "python" },		     { "pip3", "python" },		   { "uv", "python" },
	{ "uvx", "python" },		     { "pipx", "python" },		   { "cargo", "rust" },
	{ "go", "go" },			     { "mvn", "java" },			   { "gradle", "java" },
	{ "docker", "docker-client" },	     { "chromium", "browser" },
};

/* What the vendors publish, whole names: anybody can publish the rest, and the same on the other registry. */
static const struct choice npm_packages[] = {
	{ "@anthropic-ai/claude-code", "claude-code" },
	{ "@openai/codex", "codex" },
	{ "@google/gemini-cli", "gemini-cli" },
	{ "@sourcegraph/amp", "amp" },
	{ "@github/copilot", "copilot-cli" },
	{ "opencode-ai", "opencode" },
	{ "@qwen-code/qwen-code", "qwen-code" },
	{ NULL, NULL },
};
static const struct choice python_packages[] = { { "aider-chat", "aider" }, { NULL, NULL } };

/* What a wrapper's own words are. */
static const struct wrapper {
	const char *name;
	const char *verbs[2];	  /* one of them makes it a wrapper; none: it always is one */
	const char *short_values; /* letters of options with a value */
	const char *long_values[6];
	size_t words; /* before the command */
	enum { BEHIND_WORDS = 0, BEHIND_ASSIGNMENTS, BEHIND_DASHES } command;
	const struct choice *packages; /* that it fetches and runs */
} wrappers[] = {
	{ .name = "env", .short_values = "uC", .long_values = { "unset", "chdir" }, .command = BEHIND_ASSIGNMENTS },
	{ .name = "nice", .short_values = "n", .long_values = { "adjustment" } },
	{ .name = "nohup", .short_values = "" },
	{ .name = "timeout", .short_values = "sk", .long_values = { "signal", "kill-after" }, .words = 1 },
	{ .name = "mise", .verbs = { "exec", "x" }, .short_values = "", .command = BEHIND_DASHES },
	{ .name = "npx", .short_values = "p", .long_values = { "package" }, .packages = npm_packages },
	{ .name = "bunx", .short_values = "p", .long_values = { "package" }, .packages = npm_packages },
	{ .name = "npm", .verbs = { "exec", "x" }, .short_values = "p", .long_values = { "package" }, .packages = npm_packages },
	{ .name = "pnpm", .verbs = { "dlx" }, .short_values = "p", .long_values = { "package" }, .packages = npm_packages },
	{ .name = "yarn", .verbs = { "dlx" }, .short_values = "p", .long_values = { "package" }, .packages = npm_packages },
	{ .name = "uvx", .short_values = "p", .long_values = { "from", "with", "python", "index" }, .packages = python_packages },
	{ .name = "uv", .verbs = { "tool run" }, .short_values = "p", .long_values = { "from", "with", "python", "index" },
	  .packages = python_packages },
	{ .name = "pipx", .verbs = { "run" }, .short_values = "i",
	  .long_values = { "spec", "with", "python", "index-url", "pip-args" }, .packages = python_packages },
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* What is behind that verb, of a word or two, if the words begin with it. */
static const char *const *behind_verb(const char *verb, const char *const *words)
{
	while (*words) {
		size_t n = strcspn(verb, " ");
		if (strlen(*words) != n || strncmp(*words, verb, n) != 0)
			return NULL;
		words++;
		if (!verb[n])
			return words;
		verb += n + 1;
	}
	return NULL;
}

/* *rest: behind its name and verb. */
static const struct wrapper *find_wrapper(const char *const *argv, const char *const **rest)
{
	const char *name = base_name(argv[0]);

	for (size_t i = 0; i < ARRAY_LEN(wrappers); i++) {
		const struct wrapper *w = &wrappers[i];
		if (strcmp(w->name, name) != 0)
			continue;
		*rest = w->verbs[0] ? behind_verb(w->verbs[0], argv + 1) : argv + 1;
		if (!*rest && w->verbs[1])
			*rest = behind_verb(w->verbs[1], argv + 1);
		return *rest ? w : NULL;
	}
	return NULL;
}

static const char *find_profile(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		if (strcmp(choices[i].name, name) == 0)
			return choices[i].profile;
	}
	return NULL;
}

/* name or name@VERSION: what stands there may also name another package, a file or a URL. */
static const char *find_package(const struct choice *packages, const char *word)
{
	static const char version[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_+";
	const char *at = word[0] ? strchr(word + 1, '@') : NULL;
	size_t n = at ? (size_t)(at - word) : strlen(word);

	if (at && (!at[1] || at[1] == '.' || at[1 + strspn(at + 1, version)]))
		return NULL;
	for (; packages->name; packages++) {
		if (strlen(packages->name) == n && strncmp(packages->name, word, n) == 0)
			return packages->profile;
	}
	return NULL;
}

/* In doubt it is: where a path leads to that is not there, nobody knows. */
static bool lies_in(const char *program, const char *dir)
{
	_cleanup_free_ char *real_dir = realpath(dir, NULL), *real = realpath(program, NULL);

	return !real_dir || path_below(program, real_dir) || (real && path_below(real, real_dir));
}

/* Whether the caller finds it by its name alone, or where no workspace is: a sandbox may have put it there. */
static bool is_installed(const char *program, const char *workdir)
{
	if (!strchr(program, '/'))
		return true;
	return program[0] == '/' && !lies_in(program, ".") && !(workdir && lies_in(program, workdir));
}

static bool takes_value(const struct wrapper *w, const char *option)
{
	if (option[1] != '-')
		return option[1] && !option[2] && strchr(w->short_values, option[1]);
	for (size_t i = 0; i < ARRAY_LEN(w->long_values) && w->long_values[i]; i++) {
		if (strcmp(option + 2, w->long_values[i]) == 0)
			return true;
	}
	return false;
}

/* --package, -p; --from, --spec, and --with, which adds to it. Whatever else begins so is taken for one. */
static bool names_package(const struct wrapper *w, const char *option)
{
	if (option[1] != '-')
		return w->packages == npm_packages && option[1] == 'p';
	return strncmp(option, "--package", 9) == 0 || strncmp(option, "--from", 6) == 0 || strncmp(option, "--spec", 6) == 0 ||
	       strncmp(option, "--with", 6) == 0;
}

/* The words behind those of the wrapper itself. *named: an option among them says what is fetched; package: the only one. */
static const char *const *skip(const struct wrapper *w, const char *const *argv, bool *named, const char **package)
{
	size_t words = w->words;

	/* Between them are tools and their versions. */
	while (w->command == BEHIND_DASHES && *argv && strcmp(*argv, "--") != 0)
		argv++;
	while (*argv) {
		if (strcmp(*argv, "--") == 0) {
			argv++;
			break;
		}
		if ((*argv)[0] != '-' || !(*argv)[1])
			break;
		bool value = takes_value(w, *argv);
		if (w->packages && names_package(w, *argv)) {
			*package = *named ? NULL : value ? argv[1] : strchr(*argv, '=') ? strchr(*argv, '=') + 1 : NULL;
			*named = true;
		}
		argv++;
		if (value && *argv)
			argv++;
	}
	while (*argv && w->command == BEHIND_ASSIGNMENTS && strchr(*argv, '='))
		argv++;
	while (*argv && words-- > 0)
		argv++;
	return argv;
}

static void choose(struct profile_choice *c, const char *profile, const char *by)
{
	size_t i = c->profile[0] ? 1 : 0;

	if (!profile || (i && strcmp(c->profile[0], profile) == 0))
		return;
	c->profile[i] = profile;
	c->by[i] = by;
}

void profile_choose(const char *const *argv, const char *workdir, struct profile_choice *ret)
{
	*ret = (struct profile_choice){ 0 };
	for (size_t i = 0; i < WRAPPERS_MAX && *argv; i++) {
		const char *name = base_name(*argv), *package = NULL;
		const char *const *rest;
		const struct wrapper *w = find_wrapper(argv, &rest);
		bool named = false;
		if (!is_installed(*argv, workdir))
			return;
		if (!w || w->packages)
			choose(ret, find_profile(name), *argv);
		if (!w)
			return;
		argv = skip(w, rest, &named, &package);
		if (!w->packages)
			continue;
		package = named ? package : *argv;
		if (package)
			choose(ret, find_package(w->packages, package), package);
		return;
	}
}

static int put_names(const struct choice *c, size_t n, const char *profile, struct buf *out, bool *any)
{
	int r = 0;

	for (size_t i = 0; i < n && c[i].name && r == 0; i++) {
		if (strcmp(c[i].profile, profile) != 0)
			continue;
		r = buf_printf(out, "%s%s", *any ? ", " : "", c[i].name);
		*any = true;
	}
	return r;
}

int profile_names(const char *profile, struct buf *out)
{
	bool any = false;

	int r = put_names(choices, ARRAY_LEN(choices), profile, out, &any);
	if (r == 0)
		r = put_names(npm_packages, ARRAY_LEN(npm_packages), profile, out, &any);
	return r < 0 ? r : put_names(python_packages, ARRAY_LEN(python_packages), profile, out, &any);
}
