/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which profile goes with a command. Only names that say what the program is for choose one: agents, package managers,
 * git. An interpreter or a compiler runs anything, so its name widens nothing.
 */
#include <stdbool.h>
#include <string.h>

#include "base/util.h"
#include "policy/profile.h"

#define WRAPPERS_MAX 8

/* A name with '@' is that of a package, for the wrappers that fetch one: the whole name, since anybody can publish the
 * same under another scope. */
static const struct {
	const char *name, *profile;
} choices[] = {
	{ "claude", "claude-code" },	     { "claude-code", "claude-code" },	   { "@anthropic-ai/claude-code", "claude-code" },
	{ "codex", "codex" },		     { "@openai/codex", "codex" },	   { "gemini", "gemini-cli" },
	{ "gemini-cli", "gemini-cli" },	     { "@google/gemini-cli", "gemini-cli" }, { "opencode", "opencode" },
	{ "opencode-ai", "opencode" },	     { "aider", "aider" },		   { "aider-chat", "aider" },
	{ "goose", "goose" },		     { "amp", "amp" },			   { "@sourcegraph/amp", "amp" },
	{ "copilot", "copilot-cli" },	     { "@github/copilot", "copilot-cli" }, { "cursor-agent", "cursor-agent" },
	{ "qwen", "qwen-code" },	     { "@qwen-code/qwen-code", "qwen-code" }, { "git", "git" },
	{ "ssh", "ssh-client" },	     { "scp", "ssh-client" },		   { "sftp", "ssh-client" },
	{ "npm", "node" },		     { "npx", "node" },			   { "pnpm", "node" },
	{ "yarn", "node" },		     { "bunx", "node" },		   { "pip", "python" },
	{ "pip3", "python" },		     { "uv", "python" },		   { "uvx", "python" },
	{ "cargo", "rust" },		     { "go", "go" },			   { "mvn", "java" },
	{ "gradle", "java" },		     { "docker", "docker-client" },	   { "chromium", "browser" },
};

/* What a wrapper's own words are. */
static const struct wrapper {
	const char *name;
	const char *short_values; /* letters of options with a value */
	const char *long_values[4];
	size_t words; /* before the command */
	bool assignments, package;
} wrappers[] = {
	{ "env", "uC", { "unset", "chdir" }, 0, true, false },
	{ "nice", "n", { "adjustment" }, 0, false, false },
	{ "nohup", "", { NULL }, 0, false, false },
	{ "timeout", "sk", { "signal", "kill-after" }, 1, false, false },
	{ "npx", "p", { "package" }, 0, false, true },
	{ "bunx", "", { "package" }, 0, false, true },
	{ "uvx", "p", { "from", "with", "python", "index" }, 0, false, true },
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static const struct wrapper *find_wrapper(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(wrappers); i++) {
		if (strcmp(wrappers[i].name, name) == 0)
			return &wrappers[i];
	}
	return NULL;
}

/* A version behind it does not count: name@1.2. */
static const char *find_profile(const char *name, bool package)
{
	const char *at = package && name[0] ? strchr(name + 1, '@') : NULL;
	size_t n = at ? (size_t)(at - name) : strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		if (strlen(choices[i].name) == n && strncmp(choices[i].name, name, n) == 0)
			return choices[i].profile;
	}
	return NULL;
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

/* The words behind those of the wrapper itself. */
static const char *const *skip(const struct wrapper *w, const char *const *argv)
{
	size_t words = w->words;

	while (*argv) {
		if (strcmp(*argv, "--") == 0) {
			argv++;
			break;
		}
		if ((*argv)[0] != '-' || !(*argv)[1])
			break;
		bool value = takes_value(w, *argv);
		argv++;
		if (value && *argv)
			argv++;
	}
	while (*argv && w->assignments && strchr(*argv, '='))
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

void profile_choose(const char *const *argv, struct profile_choice *ret)
{
	bool package = false;

	*ret = (struct profile_choice){ 0 };
	for (size_t i = 0; i < WRAPPERS_MAX && *argv; i++) {
		const char *name = package ? *argv : base_name(*argv);
		const struct wrapper *w = package ? NULL : find_wrapper(name);
		if (!w || w->package)
			choose(ret, find_profile(name, package), *argv);
		if (!w)
			return;
		package = w->package;
		argv = skip(w, argv + 1);
	}
}

int profile_names(const char *profile, struct buf *out)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(choices) && r == 0; i++) {
		if (strcmp(choices[i].profile, profile) == 0)
			r = buf_printf(out, "%s%s", n++ ? ", " : "", choices[i].name);
	}
	return r;
}
