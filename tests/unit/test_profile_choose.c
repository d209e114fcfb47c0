/* SPDX-License-Identifier: Apache-2.0 */
/* Which profile goes with a command. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "policy/profile.h"

#include <cmocka.h>

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_choice(void **state)
{
	char here[PATH_MAX];

	assert_non_null(getcwd(here, sizeof(here) - 8));
	strcat(here, "/claude");
	const struct {
		const char *const *argv, *first, *second;
	} rows[] = {
		{ ARGV("claude"), "claude-code", NULL },
		{ ARGV("/home/u/.local/bin/claude", "-p", "x"), "claude-code", NULL },
		{ ARGV("env", "-i", "-u", "A", "--unset", "D", "B=c", "E=f", "codex"), "codex", NULL },
		{ ARGV("nice", "-n", "5", "timeout", "-k", "5", "--signal=INT", "1m", "gemini"), "gemini-cli", NULL },
		{ ARGV("timeout", "gemini"), NULL, NULL },
		{ ARGV("npx", "-y", "@anthropic-ai/claude-code@1.2.3"), "node", "claude-code" },
		{ ARGV("npx", "--package", "@openai/codex", "--", "codex"), "node", "codex" },
		{ ARGV("npx", "@evil/claude-code"), "node", NULL },
		{ ARGV("npx", "evil/claude"), "node", NULL },
		{ ARGV("npx", "claude"), "node", NULL },
		{ ARGV("npx", "gemini-cli"), "node", NULL },
		{ ARGV("npx", "aider-chat"), "node", NULL },
		{ ARGV("npx", "opencode-ai@latest"), "node", "opencode" },
		{ ARGV("npx", "@openai/codex@npm:evil"), "node", NULL },
		{ ARGV("npx", "@openai/codex@../x"), "node", NULL },
		{ ARGV("npx", "@openai/codex@"), "node", NULL },
		{ ARGV("npx", "-p", "evil", "@openai/codex"), "node", NULL },
		{ ARGV("npx", "--package=evil", "codex"), "node", NULL },
		{ ARGV("npx", "--package=@openai/codex", "codex"), "node", "codex" },
		{ ARGV("npx", "-p", "@openai/codex", "-p", "evil", "codex"), "node", NULL },
		{ ARGV("uvx", "opencode-ai"), "python", NULL },
		{ ARGV("uvx", "--from", "evil", "aider-chat"), "python", NULL },
		{ ARGV("uvx", "--from", "git+https://evil.example/x", "aider"), "python", NULL },
		{ ARGV("npm", "exec", "--", "@openai/codex@1", "-m", "x"), "node", "codex" },
		{ ARGV("npm", "x", "--yes", "--package=@openai/codex", "--", "codex"), "node", "codex" },
		{ ARGV("npm", "exec", "--package", "evil", "@openai/codex"), "node", NULL },
		{ ARGV("npm", "exec"), "node", NULL },
		{ ARGV("npm", "install", "@openai/codex"), "node", NULL },
		{ ARGV("npm", "--yes", "exec", "@openai/codex"), "node", NULL },
		{ ARGV("pnpm", "dlx", "@google/gemini-cli"), "node", "gemini-cli" },
		{ ARGV("pnpm", "exec", "@google/gemini-cli"), "node", NULL },
		{ ARGV("yarn", "dlx", "-q", "-p", "opencode-ai", "opencode"), "node", "opencode" },
		{ ARGV("yarn", "dlx", "-p", "opencode-ai", "-p", "evil", "opencode"), "node", NULL },
		{ ARGV("bunx", "@sourcegraph/amp"), "node", "amp" },
		{ ARGV("uv", "tool", "run", "aider-chat@0.1"), "python", "aider" },
		{ ARGV("uv", "tool", "install", "aider-chat"), "python", NULL },
		{ ARGV("uv", "tool"), "python", NULL },
		{ ARGV("uv", "run", "aider-chat"), "python", NULL },
		{ ARGV("pipx", "run", "--python", "3.12", "aider-chat"), "python", "aider" },
		{ ARGV("pipx", "run", "--spec", "aider-chat", "aider"), "python", "aider" },
		{ ARGV("pipx", "run", "--spec=git+https://evil.example/x", "aider-chat"), "python", NULL },
		{ ARGV("pipx", "install", "aider-chat"), "python", NULL },
		{ ARGV("mise", "exec", "node@20", "python", "--", "claude", "-p"), "claude-code", NULL },
		{ ARGV("mise", "x", "--", "npx", "@openai/codex"), "node", "codex" },
		{ ARGV("mise", "exec", "claude"), NULL, NULL },
		{ ARGV("mise", "run", "--", "claude"), NULL, NULL },
		{ ARGV("env", "A=b", "mise", "exec", "--", "./claude"), NULL, NULL },
		{ ARGV("./claude"), NULL, NULL },
		{ ARGV("node_modules/.bin/claude"), NULL, NULL },
		{ ARGV("env", "./git"), NULL, NULL },
		{ ARGV("./npx", "@openai/codex"), NULL, NULL },
		{ ARGV(here), NULL, NULL },
		{ ARGV("npx"), "node", NULL },
		{ ARGV("uvx", "--from", "aider-chat", "aider"), "python", "aider" },
		{ ARGV("uvx", "aider-chat@0.1"), "python", "aider" },
		{ ARGV("nohup", "env", "git", "status"), "git", NULL },
		{ ARGV("env"), NULL, NULL },
		{ ARGV("env", "A=b"), NULL, NULL },
		{ ARGV("env", "-u"), NULL, NULL },
		{ ARGV("nice", "nice", "nice", "nice", "nice", "nice", "nice", "nice", "nice", "git"), NULL, NULL },
		{ ARGV("python3", "x.py"), NULL, NULL },
		{ ARGV("node", "x.js"), NULL, NULL },
		{ ARGV("sh", "-c", "claude"), NULL, NULL },
		{ ARGV("Claude"), NULL, NULL },
		{ ARGV("claude@1"), NULL, NULL },
		{ ARGV(""), NULL, NULL },
	};
	struct profile_choice c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		profile_choose(rows[i].argv, NULL, &c);
		const char *want[] = { rows[i].first, rows[i].second };
		for (size_t k = 0; k < 2; k++) {
			if (!c.profile[k] != !want[k] || (want[k] && strcmp(c.profile[k], want[k]) != 0))
				fail_msg("row %zu (%s): profile %zu is %s", i, rows[i].argv[0], k,
					 c.profile[k] ? c.profile[k] : "none");
		}
	}
}

/* A sandbox may have put it into its workspace, from wherever that is named. */
static void test_programs_of_the_workspace(void **state)
{
	struct profile_choice c;
	char dir[] = "/tmp/nsbox-choose-XXXXXX", program[64], link[64];
	(void)state;

	_cleanup_free_ char *here = getcwd(NULL, 0);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir("/usr"), 0);
	snprintf(program, sizeof(program), "%s/w/claude", dir);
	snprintf(link, sizeof(link), "%s/claude", dir);
	*strrchr(program, '/') = '\0';
	assert_int_equal(mkdir(program, 0700), 0);
	_cleanup_free_ char *workdir = strdup(program);
	strcat(program, "/claude");
	assert_int_equal(symlink("w/claude", link), 0);
	fclose(fopen(program, "w"));
	const char *const places[] = { program, link };
	for (size_t i = 0; i < ARRAY_LEN(places) && workdir; i++) {
		profile_choose((const char *const[]){ "env", places[i], NULL }, workdir, &c);
		assert_null(c.profile[0]);
		/* Of any other one nobody has written it. */
		profile_choose((const char *const[]){ "env", places[i], NULL }, NULL, &c);
		assert_true(c.profile[0] && strcmp(c.profile[0], "claude-code") == 0);
	}
	assert_int_equal(chdir(here), 0);
	unlink(program);
	unlink(link);
	rmdir(workdir);
	rmdir(dir);
}

/* Each profile that a name chooses is there. */
static void test_names_known(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct builtin_profile *b = builtin_profiles; b->name; b++) {
		_cleanup_buf_ struct buf names = { 0 };
		assert_int_equal(profile_names(b->name, &names), 0);
		for (const char *c = buf_str(&names); c && *c; c = strchr(c, ',') ? strchr(c, ',') + 2 : "")
			n++;
		assert_int_equal(strncmp(b->text, "; ", 2), 0);
	}
	assert_int_equal(n, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_programs_of_the_workspace),
		cmocka_unit_test(test_names_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
