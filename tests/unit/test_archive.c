/* SPDX-License-Identifier: Apache-2.0 */
/* Archives as only an attacker makes them, read on the host. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive.h"
#include "base/util.h"
#include "nsbox.h"
#include "test_cli_fake.h"

#include <cmocka.h>

static char root[] = "/tmp/test_archive.XXXXXX";

struct entry {
	const char *name;
	char type;
	const char *link, *data, *mode;
};

/* What reading it as the tree "t" says, in a child whose stderr is not of interest. Makes it in root/to under "n". */
static int read_archive(const struct entry *entries, bool whole)
{
	static const char end[2 * ARCHIVE_BLOCK];
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	for (const struct entry *e = entries; e->name; e++) {
		struct archive_header h = { .type = e->type, .magic = "ustar", .version = { '0', '0' } };
		char data[ARCHIVE_BLOCK] = "";
		memcpy(h.name, e->name, strlen(e->name));
		memcpy(h.link, e->link ? e->link : "", strlen(e->link ? e->link : ""));
		snprintf(h.mode, sizeof(h.mode), "%s", e->mode ? e->mode : "0000644");
		snprintf(h.size, sizeof(h.size), "%011o", e->data ? (unsigned)strlen(e->data) : 0);
		snprintf(h.checksum, sizeof(h.checksum), "%06o", archive_checksum(&h));
		h.checksum[7] = ' ';
		assert_int_equal(write_all(pipes[1], &h, sizeof(h)), 0);
		if (e->data) {
			memcpy(data, e->data, strlen(e->data));
			assert_int_equal(write_all(pipes[1], data, sizeof(data)), 0);
		}
	}
	if (whole)
		assert_int_equal(write_all(pipes[1], end, sizeof(end)), 0);
	close(pipes[1]);
	pid_t pid = fork();
	if (pid == 0) {
		char path[64];
		snprintf(path, sizeof(path), "%s/to", root);
		int dir = open(path, O_PATH | O_DIRECTORY), null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		_exit(archive_read(pipes[0], dir, "n", "t"));
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pipes[0]);
	return WEXITSTATUS(status);
}

/* Everything below root, in order: "PATH MODE" of each, with what is in a file or what a link leads to. */
static void assert_tree(const char *want)
{
	char command[256], text[2048] = "";

	snprintf(command, sizeof(command),
		 "cd %s && LC_ALL=C find . -mindepth 1 -printf '%%P %%m %%l' \\( -type f -exec head -c 20 {} \\; -o -true \\) "
		 "-printf '\\n' | sed 's/ *$//' | LC_ALL=C sort", root);
	FILE *f = popen(command, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	pclose(f);
	text[n] = '\0';
	assert_string_equal(text, want);
}

static int set_up(void **state)
{
	char command[256];

	(void)state;
	memcpy(root + strlen(root) - 6, "XXXXXX", 6);
	if (!mkdtemp(root))
		return -1;
	snprintf(command, sizeof(command), "cd %s && umask 022 && mkdir to && printf outside >out && ln -s ../out to/planted && ln -s .. to/n0", root);
	return system(command);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

#define BEFORE "out 644 outside\nto 755\n"
#define PLANTED "to/n0 777 ..\nto/planted 777 ../out\n"

static void test_good(void **state)
{
	(void)state;
	umask(022);
	assert_int_equal(read_archive((const struct entry[]){ { "t", '5', NULL, NULL, "0000755" },
							      { "t/d/", '5', NULL, NULL, "0000700" },
							      { "t/d/f", '0', NULL, "data", "0006755" },
							      { "t/d/l", '2', "../x", NULL, NULL },
							      { "t/x", '0', NULL, "x", NULL },
							      { "t/x", '0', NULL, "y", NULL },
							      { "t/p", '6', NULL, NULL, NULL },
							      { "L", 'L', NULL, "t/long", NULL },
							      { "K", 'K', NULL, "d/f", NULL },
							      { "t/cut", '2', "cut", NULL, NULL },
							      { 0 } },
				      true),
			 EXIT_NO);
	assert_tree("out 644 outside\nto 755\nto/n 755\nto/n/d 700\nto/n/d/f 755 data\nto/n/d/l 777 ../x\nto/n/long 777 d/f\nto/n/x 644 y\n" PLANTED);
}

static void test_links_left_out(void **state)
{
	static const char *const targets[] = { "/etc/passwd", "..", "../x", "a/../../x", "d/..", "./../x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		assert_int_equal(read_archive((const struct entry[]){ { "t", '5', NULL, NULL, "0000755" },
								      { "t/l", '2', targets[i], NULL, NULL }, { 0 } }, true), EXIT_NO);
	assert_int_equal(read_archive((const struct entry[]){ { "t", '2', "x", NULL, NULL }, { 0 } }, true), EXIT_NO);
	assert_tree("out 644 outside\nto 755\nto/n 755\n" PLANTED);
}

/* Each ends the copy, and nothing outside of the new tree is touched. */
static void test_attacks(void **state)
{
	static const struct entry attacks[][4] = {
		{ { "../out", '0', NULL, "evil", NULL } },
		{ { "/tmp/x", '0', NULL, "evil", NULL } },
		{ { "t/../../out", '0', NULL, "evil", NULL } },
		{ { "t/./x", '0', NULL, "evil", NULL } },
		{ { "other", '0', NULL, "evil", NULL } },
		{ { "planted", '0', NULL, "evil", NULL } },
		{ { "", '0', NULL, "evil", NULL }, { "t", '0', NULL, "evil", NULL } },
		{ { "t/f/x", '0', NULL, "evil", NULL } },
		{ { "t", '5', NULL, NULL, "0000755" }, { "t/l", '2', "d", NULL, NULL }, { "t/l/x", '0', NULL, "evil", NULL } },
		{ { "t", '5', NULL, NULL, "0000755" }, { "t/f", '0', NULL, "f", NULL }, { "t/f/x", '0', NULL, "evil", NULL } },
		{ { "t", '5', NULL, NULL, "0000755" }, { "t", '0', NULL, "evil", NULL } },
		{ { "t", '5', NULL, NULL, "0000755" }, { "t", '5', NULL, "evil", NULL } },
		{ { "t", '0', NULL, "evil", "9" } },
		{ { "L", 'L', NULL, "t/../../out", NULL }, { "t", '0', NULL, "evil", NULL } },
		{ { "L", 'L', NULL, NULL, NULL }, { "t", '0', NULL, "evil", NULL } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		if (read_archive(attacks[i], true) != EXIT_NSBOX)
			fail_msg("attack %zu went through", i);
		char command[128];
		snprintf(command, sizeof(command), "rm -rf %s/to/n", root);
		assert_int_equal(system(command), 0);
		assert_tree(BEFORE PLANTED);
	}
}

/* A link in the place of what is copied is replaced, not written through; one on the way is not followed. */
static void test_planted_links(void **state)
{
	char path[64], target[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/to/n", root);
	snprintf(target, sizeof(target), "%s/out", root);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(read_archive((const struct entry[]){ { "t", '0', NULL, "new", NULL }, { 0 } }, true), 0);
	assert_tree("out 644 outside\nto 755\nto/n 644 new\n" PLANTED);
	unlink(path);
	assert_int_equal(symlink(root, path), 0);
	assert_int_equal(read_archive((const struct entry[]){ { "t/out", '0', NULL, "evil", NULL }, { 0 } }, true), EXIT_NSBOX);
	assert_int_equal(read_archive((const struct entry[]){ { "t", '5', NULL, NULL, NULL }, { 0 } }, true), EXIT_NSBOX);
	unlink(path);
	assert_tree(BEFORE PLANTED);
}

static void test_broken(void **state)
{
	int pipes[2];

	(void)state;
	/* Cut off behind a file: what came is there, and the copy has failed. */
	assert_int_equal(read_archive((const struct entry[]){ { "t", '0', NULL, "x", NULL }, { 0 } }, false), EXIT_NSBOX);
	assert_int_equal(pipe(pipes), 0);
	close(pipes[1]);
	assert_int_equal(archive_read(pipes[0], AT_FDCWD, "n", "t"), EXIT_NSBOX);
	close(pipes[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attacks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_planted_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
