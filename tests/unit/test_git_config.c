/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of git's configuration that execute, with git itself as the oracle of what is a key. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "policy/git_config.h"

#include <cmocka.h>

static int filter_of(git_reader read, const char *before, const char *now, struct buf *left, size_t *n, char **removed)
{
	_cleanup_git_keys_ struct git_keys keys = { 0 };

	assert_int_equal(read(before, strlen(before), &keys), 0);
	return git_config_filter(read, now, strlen(now), &keys, left, n, removed, 4);
}

static int filter(const char *before, const char *now, struct buf *left, size_t *n, char **removed)
{
	return filter_of(git_config_read, before, now, left, n, removed);
}

static void expect_of(git_reader read, const char *before, const char *now, const char *left)
{
	_cleanup_buf_ struct buf b = { 0 };
	char *removed[4] = { 0 };
	size_t n = 0;

	assert_int_equal(filter_of(read, before, now, &b, &n, removed), 0);
	assert_string_equal(buf_str(&b), left);
	assert_int_equal(n > 0, strcmp(now, left) != 0);
	for (size_t i = 0; i < 4; i++)
		free(removed[i]);
}

static void expect(const char *before, const char *now, const char *left)
{
	expect_of(git_config_read, before, now, left);
}

/* The list of a rebase that is under way. */
static void new_commands_of_a_rebase(void **state)
{
	static const char *const same[] = { "", "pick 1 exec\n# exec a\nexecute\nxx y\nbreak\nlabel x\n", "edit 1\n\n" };
	struct git_keys keys = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		expect_of(git_todo_read, "", same[i], same[i]);
	expect_of(git_todo_read, "", "pick 1\nexec evil\npick 2\n", "pick 1\n\npick 2\n");
	expect_of(git_todo_read, "", " \tx evil\nx\tevil\nexec\nx\r\nx evil", " \t\n\n\n\n");
	/* Those of the user stay, as they were, in their order. */
	expect_of(git_todo_read, "exec a\nx b\n", "pick 1\nx b\n", "pick 1\nx b\n");
	expect_of(git_todo_read, "exec a\nx b\n", "x b\nexec a\nx b c\n", "x b\n\n\n");
	assert_int_equal(git_todo_read("pick\0exec", 9, &keys), -EBADMSG);
	expect_of(git_apply_options_read, "", " '--whitespace=fix' '-C1' '--directory=a'\n", " '--whitespace=fix' '-C1' '--directory=a'\n");
	expect_of(git_apply_options_read, "", " '-p1' '--buil=/x'\n", "");
	expect_of(git_strategy_read, "", "resolve\n", "resolve\n");
	expect_of(git_strategy_read, "", "/x\n", "");
	expect_of(git_strategy_read, "a/b\n", "a/b\n", "a/b\n");
	expect_of(git_strategy_read, "a/b\n", "a/c\n", "");
	assert_int_equal(git_strategy_read("x\0/", 3, &keys), -EBADMSG);
	expect("", "[options]\n\tstrategy = ort\n", "[options]\n\tstrategy = ort\n");
	expect("", "[options]\n\tstrategy = /x\n\tmainline = 1\n", "[options]\n\t\n\tmainline = 1\n");
}

/* Of programs that keep their settings in git's. */
static void keys_of_other_programs(void **state)
{
	static const char *const taken[] = {
		"annex.post-update-command", "annex.x-store-hook", "annex.ssh-options", "remote.a.b.annex-rsync-transport",
		"remote.a.annex-externaltype", "gitflow.path.hooks", "stgit.alias.x", "tig.bind.generic", "delta.pager",
		"delta.x.pager", "lfs.url", "lfs.pushurl", "remote.o.lfsurl", "remote.o.lfspushurl", "hook.x.command",
	};
	static const char *const left[] = { "annex.uuid", "remote.o.url", "remote.o.fetch", "remote.o.annexed", "lfs.https://a.access",
					    "lfs.fetchexclude", "delta.side-by-side", "gitflow.branch.master", "annex" };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		assert_true(git_key_executes(taken[i], "x"));
	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		assert_false(git_key_executes(left[i], "x"));
}

static void new_keys_are_taken_out(void **state)
{
	(void)state;
	expect("", "[core]\n\tbare = false\n", "[core]\n\tbare = false\n");
	expect("", "[core]\n\tbare = false\n\tfsmonitor = x\n\tfilemode = true\n",
	       "[core]\n\tbare = false\n\t\n\tfilemode = true\n");
	expect("", "[core] fsmonitor = x\nbare = false\n", "[core] \nbare = false\n");
	expect("", "[CORE]FSMONITOR=x", "[CORE]");
	expect("", "[alias]\n\tx = \"!a\\\"\" \\\n more ; comment\ny = z\n[user]\nname = n\n", "[alias]\n\t\n\n[user]\nname = n\n");
	expect("", "[filter \"a.b\"]\nclean = c\n[filter.x]\nsmudge=s\n", "[filter \"a.b\"]\n\n[filter.x]\n\n");
	expect("", "[include]\npath = x\n[includeIf \"gitdir:/\"]\npath = y\n", "[include]\n\n[includeIf \"gitdir:/\"]\n\n");
	expect("", "[credential \"https://a.b\"]\nhelper = x\nprotectProtocol = false\n", "[credential \"https://a.b\"]\n\n\n");
	expect("", "[http]\nproxy = p\nsslVerify\n[http \"https://a.b\"]\nsslCAInfo = c\n", "[http]\n\n\n[http \"https://a.b\"]\n\n");
	expect("", "[url \"https://evil/\"]\ninsteadOf = https://a.b/\npushInsteadOf = x\n", "[url \"https://evil/\"]\n\n\n");
	expect("", "[remote \"o\"]\nurl = u\nproxy = p\nfetch = +r:r\n", "[remote \"o\"]\nurl = u\n\nfetch = +r:r\n");
	expect("", "[branch \"m\"]\nremote = o\nmerge = r\n", "[branch \"m\"]\nremote = o\nmerge = r\n");
	expect("", "[extensions]\nworktreeConfig = true\nobjectFormat = sha256\nx = y\n", "[extensions]\n\n\nx = y\n");
	expect("", "[submodule \"s\"]\nupdate = !x\nupdate = checkout\n", "[submodule \"s\"]\n\nupdate = checkout\n");
	expect("", "[remote \"o\"]\nurl = u\nuploadpack = p\n", "[remote \"o\"]\nurl = u\n\n");
	expect("", "[diff \"x\"]\r\ncommand = c\r\n", "[diff \"x\"]\r\n\r\n");
	expect("", "\xef\xbb\xbf[pager]\nlog\n", "\xef\xbb\xbf[pager]\n\n");
}

static void what_was_there_stays(void **state)
{
	static const char old[] = "[alias]\na = 1\nb = 2\n";
	(void)state;

	expect(old, old, old);
	expect(old, "[alias]\nb = 2\n", "[alias]\nb = 2\n");
	expect(old, "[alias]\na=\"1\" # other words\nb = 2\n", "[alias]\na=\"1\" # other words\nb = 2\n");
	/* The last one of a name counts, so their order matters. */
	expect(old, "[alias]\nb = 2\na = 1\n", "[alias]\nb = 2\n\n");
	expect(old, "[alias]\na = 1\nb = 2\na = 1\n", "[alias]\na = 1\nb = 2\n\n");
	expect(old, "[alias]\na = 3\nb = 2\n", "[alias]\n\nb = 2\n");
	expect("[alias]\na\n", "[alias]\na = \n", "[alias]\n\n");
}

static void names_are_told(void **state)
{
	_cleanup_buf_ struct buf left = { 0 };
	char *removed[4] = { 0 };
	size_t n = 0;
	(void)state;

	assert_int_equal(filter("", "[Filter \"Lf.S\"]\nCLEAN = x\n[core]\nhooksPath = y\n", &left, &n, removed), 0);
	assert_int_equal(n, 2);
	assert_string_equal(removed[0], "filter.Lf.S.clean");
	assert_string_equal(removed[1], "core.hookspath");
	free(removed[0]);
	free(removed[1]);
}

static void long_names_are_told_cut(void **state)
{
	_cleanup_buf_ struct buf left = { 0 }, text = { 0 };
	char *removed[4] = { 0 };
	size_t n = 0;
	(void)state;

	assert_int_equal(buf_printf(&text, "[alias \"%04000d\"]\nx = !evil\n", 0), 0);
	assert_int_equal(filter("", buf_str(&text), &left, &n, removed), 0);
	assert_int_equal(n, 1);
	assert_int_equal(strlen(removed[0]), GIT_KEY_TOLD);
	assert_memory_equal(removed[0], "alias.000", 9);
	assert_string_equal(removed[0] + GIT_KEY_TOLD - 4, "0...");
	free(removed[0]);
}

/* What git would not read is not taken apart. */
static void bad_files(void **state)
{
	static const char *const bad[] = {
		"x = y\n",	 "[a\n",	   "[a \"b\n\"]\n",	 "[a \"b\"\n", "[a b]\n",	"[a]\n=x\n",
		"[a]\nb c\n",	 "[a]\nb = \"c\n", "[a]\nb = \\q\n",	 "[a]\n1b = c\n", "[a]\n\fb = c\n", "[a_b]\n",
	};
	struct git_keys keys = { 0 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(git_config_read(bad[i], strlen(bad[i]), &keys), -EBADMSG);
	assert_int_equal(git_config_read("[a]\nb = c\0d\n", 12, &keys), -EBADMSG);
	assert_int_equal(git_config_read(NULL, 0, &keys), 0);

	_cleanup_buf_ struct buf many = { 0 };
	for (size_t i = 0; i <= GIT_KEYS_MAX; i++)
		assert_int_equal(buf_puts(&many, i ? "a\n" : "[alias]\na\n"), 0);
	assert_int_equal(git_config_read((char *)many.data, many.len, &keys), -EBADMSG);
}

/* Each key has the name of its section in its own: a long one, and many keys, would take minutes to read. */
static void names_are_bounded(void **state)
{
	static const struct {
		const char *before, *behind;
		size_t rest; /* of the name */
	} forms[] = {
		{ "[alias \"", "\"]\nx = y\n", sizeof("alias..x") - 1 },
		{ "[x", "]\nx\n", sizeof("x.x") - 1 },
		{ "[alias]\nx", " = y\n", sizeof("alias.x") - 1 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const int longest = (int)(GIT_NAME_MAX - forms[i].rest);
		for (int more = 0; more < 2; more++) {
			_cleanup_buf_ struct buf text = { 0 };
			_cleanup_git_keys_ struct git_keys keys = { 0 };
			assert_int_equal(buf_printf(&text, "%s%0*d%s", forms[i].before, longest + more, 0, forms[i].behind), 0);
			assert_int_equal(git_config_read((char *)text.data, text.len, &keys), more ? -EBADMSG : 0);
			assert_int_equal(keys.n, !more && i != 1);
		}
	}
}

/* A text of pieces that have a meaning, most of them good. */
static void random_text(struct buf *b)
{
	static const char *const pieces[] = {
		"[core]\n", "[alias]", "[Filter \"a.b\"]\n", "[includeIf \"x\\\\y\\\"\"]", "[remote.O]\n", "fsmonitor\n",
		"path = x\n", " clean=\"a;b\" # c\n", "url = u\r\n", "# [alias]\n", "; x = \"\n", "vcs = v\\\n w\n",
		"editor = \"e\\n\\\"\"\t\n", "update = !u\n", "bare = true\n", "hookspath\n", "x = \n", "y = a \t b\"\" c  \n",
	};
	static const char *const junk[] = { "\n", "\r\n", " ", "\t", "\\\n", "x", "=", "\"", "\\", "[", "]", "\r", "\\t" };

	b->len = 0;
	buf_puts(b, "[alias]\n");
	for (int i = rand() % 24; i >= 0; i--)
		buf_puts(b, rand() % 10 ? pieces[(size_t)rand() % ARRAY_LEN(pieces)] : junk[(size_t)rand() % ARRAY_LEN(junk)]);
}

/* Names and values of what git finds in the file, as `git config --list -z` has them; NULL: it cannot read it. */
static char *ask_git(const char *path, size_t *ret_len)
{
	static char out[65536];
	char command[256];

	snprintf(command, sizeof(command), "git config --no-includes -z --list --file %s 2>/dev/null", path);
	FILE *f = popen(command, "re");
	assert_non_null(f);
	*ret_len = fread(out, 1, sizeof(out), f);
	return pclose(f) == 0 ? out : NULL;
}

/* Some versions make each blank in a value a space. */
static char *with_spaces(char *s)
{
	for (char *c = s; *c; c++)
		*c = *c == '\t' || *c == '\r' ? ' ' : *c;
	return s;
}

static void git_sees_the_same(void **state)
{
	char path[] = "/tmp/test_git_config.XXXXXX";
	_cleanup_buf_ struct buf text = { 0 };
	int fd = mkstemp(path), both = 0;
	(void)state;

	if (system("git --version >/dev/null 2>&1") != 0) {
		unlink(path);
		skip();
	}
	srand(1);
	for (int round = 0; round < 400; round++) {
		_cleanup_git_keys_ struct git_keys keys = { 0 };
		size_t len, n = 0;
		random_text(&text);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, text.data, text.len, 0), text.len);
		int r = git_config_read((char *)text.data, text.len, &keys);
		char *git = ask_git(path, &len);
		/* Stricter than git in places, never the other way round. */
		if (!git || r < 0) {
			assert_true(!git || r == -EBADMSG);
			continue;
		}
		both++;
		for (char *at = git; at < git + len; at += strlen(at) + 1) {
			char *value = strchr(at, '\n');
			_cleanup_free_ char *name = strndup(at, value ? (size_t)(value - at) : strlen(at));
			if (!git_key_executes(name, value ? value + 1 : NULL))
				continue;
			assert_true(n < keys.n);
			assert_string_equal(name, keys.v[n].name);
			assert_int_equal(!value, !keys.v[n].value);
			if (value)
				assert_string_equal(with_spaces(value + 1), with_spaces(keys.v[n].value));
			n++;
		}
		assert_int_equal(n, keys.n);
	}
	assert_true(both > 50);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_commands_of_a_rebase), cmocka_unit_test(keys_of_other_programs),
		cmocka_unit_test(new_keys_are_taken_out), cmocka_unit_test(what_was_there_stays),
		cmocka_unit_test(names_are_told),	  cmocka_unit_test(long_names_are_told_cut),
		cmocka_unit_test(bad_files), cmocka_unit_test(names_are_bounded),		  cmocka_unit_test(git_sees_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
