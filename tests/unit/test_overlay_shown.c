/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of a change: that the host would execute it, and which lines differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/util.h"
#include "overlay/executed.h"
#include "overlay/lines.h"
#include "policy/policy.h"

#include <cmocka.h>

static unsigned flags_of(const char *path, mode_t mode, const char *target)
{
	struct layer l = { .n_roots = 1 };

	l.roots[0].path = (char *)"/work/app";
	return executed_flags(&(struct executed){ .layer = &l, .path = path, .mode = mode, .target = target ? target : "" });
}

static void links_that_lead_out(void **state)
{
	(void)state;
	static const struct {
		const char *path, *target;
		bool out;
	} rows[] = {
		{ "l", "a", false },		 { "l", "./a", false },		 { "l", "../a", true },
		{ "d/l", "../a", false },	 { "d/l", "../../a", true },	 { "d/l", "..", false },
		{ "l", "..", true },		 { "d/l", "../..", true },	 { "d/e/l", "../../a/b", false },
		{ "l", "a/../b", true },	 { "l", "a/..", true },		 { "l", "/etc", true },
		{ "l", "/work/app/x", false },	 { "l", "/work/app", false },	 { "l", "/work/application", true },
		{ "l", "/work/app/../x", true }, { "l", "/work/app/..", true },	 { "d/l", ".././a", false },
		{ "d/l", "..//../a", true },	 { "l", "...", false },		 { "l", "a..", false },
		{ "d/l", "./../../x", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (((flags_of(rows[i].path, S_IFLNK | 0777, rows[i].target) & EXECUTED_LINK) != 0) != rows[i].out)
			fail_msg("%s -> %s", rows[i].path, rows[i].target);
}

static void names_that_are_executed(void **state)
{
	static const char *const build[] = { "x/.pylintrc", "mypy.ini", ".ghci", "hie.yaml", ".formatter.exs", "rebar.config.script",
					     "Rakefile", "lib/tasks/a.rake", ".mocharc.json", "infra/main.tf", "ansible.cfg", "cdk.json",
					     "a/karma.conf.js", "Podfile", ".luacheckrc", "build.zig", "project/plugins.sbt" };

	(void)state;
	assert_int_equal(flags_of("src/main.c", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of("src/build.c", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of("build/out.o", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of("src/BUILD", S_IFREG | 0644, NULL), EXECUTED_BUILD);
	for (size_t i = 0; i < ARRAY_LEN(build); i++)
		assert_int_equal(flags_of(build[i], S_IFREG | 0644, NULL), EXECUTED_BUILD);
	assert_int_equal(flags_of("src/a.tfvars", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of(".helix/languages.toml", S_IFREG | 0644, NULL), EXECUTED_TOOL);
	assert_int_equal(flags_of("share/x.desktop", S_IFREG | 0644, NULL), EXECUTED_TOOL);
	assert_int_equal(flags_of("debian/rules", S_IFREG | 0644, NULL), EXECUTED_BUILD);
	assert_int_equal(flags_of("debian/rules/x", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of("a/.CARGO/x/y", S_IFREG | 0644, NULL), EXECUTED_BUILD);
	assert_int_equal(flags_of(".vscode", S_IFLNK | 0777, "x"), EXECUTED_TOOL);
	assert_int_equal(flags_of("hooks/x", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of("config", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of("deep/.git/hooks/x", S_IFREG | 0644, NULL), EXECUTED_TOOL | EXECUTED_GIT);
	assert_int_equal(flags_of(".git/modules/a/b/hooks/x", S_IFREG | 0644, NULL), EXECUTED_GIT);
	assert_int_equal(flags_of(".git/objects/aa/bb", S_IFREG | 0444, NULL), 0);
	assert_int_equal(flags_of("x", S_IFREG | 0755, NULL), EXECUTED_PROGRAM);
	assert_int_equal(flags_of("x", S_IFREG | 02644, NULL), EXECUTED_SETUID);
	assert_int_equal(flags_of("x", S_IFIFO | 0644, NULL), CHANGE_SPECIAL);
	assert_int_equal(flags_of("x", S_IFBLK | 0644, NULL), CHANGE_SPECIAL);
	assert_int_equal(flags_of(".nsbox-commit-k3f9x2m1", S_IFREG | 0644, NULL), CHANGE_SPECIAL);
	assert_int_equal(flags_of("d/.nsbox-commit-k3f9x2m1-0/x", S_IFREG | 0644, NULL), CHANGE_SPECIAL);
	assert_int_equal(flags_of("d/x.nsbox-commit-k3f9x2m1", S_IFREG | 0644, NULL), 0);
}

/* Whatever is protected where it is written directly is marked where it is copied on write. */
static void protected_names_are_marked(void **state)
{
	char path[256];
	(void)state;

	for (size_t i = 0; policy_protected_name(i); i++) {
		snprintf(path, sizeof(path), "sub/%s", policy_protected_name(i));
		if (!(flags_of(path, S_IFREG | 0644, NULL) & EXECUTED_TOOL))
			fail_msg("%s", path);
	}
	assert_int_equal(flags_of(".jj/repo/store/x", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of(".hg/dirstate", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of(".github/hooks/x.json", S_IFREG | 0644, NULL), EXECUTED_TOOL);
	assert_int_equal(flags_of(".git/worktrees/w/commondir", S_IFREG | 0644, NULL), EXECUTED_GIT);
	assert_int_equal(flags_of(".git/rebase-merge/git-rebase-todo", S_IFREG | 0644, NULL), EXECUTED_GIT);
	assert_int_equal(flags_of(".git/worktrees/w/rebase-merge/git-rebase-todo", S_IFREG | 0644, NULL), EXECUTED_GIT);
	assert_int_equal(flags_of(".git/rebase-apply/apply-opt", S_IFREG | 0644, NULL), EXECUTED_GIT);
	assert_int_equal(flags_of(".git/rebase-merge/strategy", S_IFREG | 0644, NULL), EXECUTED_GIT);
	assert_int_equal(flags_of(".git/modules/m/sequencer/opts", S_IFREG | 0644, NULL), EXECUTED_GIT);
}

/* The marks of two random texts: without the changed lines both are the same. */
static void line_differences_are_right(void **state)
{
	(void)state;
	unsigned seed = 7;

	for (int round = 0; round < 3000; round++) {
		char text[2][600];
		struct lines l[2];
		for (int s = 0; s < 2; s++) {
			size_t n = 0;
			for (int k = (int)(rand_r(&seed) % 40); k > 0; k--)
				n += (size_t)sprintf(text[s] + n, "%c%s", (char)('a' + rand_r(&seed) % 4), k > 1 || seed & 1 ? "\n" : "");
			assert_int_equal(lines_split(text[s], n, &l[s]), 0);
		}
		assert_int_equal(lines_compare(&l[0], &l[1]), 0);
		size_t i = 0, k = 0;
		for (;; i++, k++) {
			while (i < l[0].n && l[0].changed[i])
				i++;
			while (k < l[1].n && l[1].changed[k])
				k++;
			if (i == l[0].n || k == l[1].n)
				break;
			size_t len = l[0].start[i + 1] - l[0].start[i];
			assert_int_equal(len, l[1].start[k + 1] - l[1].start[k]);
			assert_memory_equal(text[0] + l[0].start[i], text[1] + l[1].start[k], len);
		}
		assert_true(i == l[0].n && k == l[1].n);
		lines_free(&l[0]);
		lines_free(&l[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_that_lead_out),
		cmocka_unit_test(names_that_are_executed),
		cmocka_unit_test(protected_names_are_marked),
		cmocka_unit_test(line_differences_are_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
