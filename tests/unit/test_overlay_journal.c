/* SPDX-License-Identifier: Apache-2.0 */
/* What a killed command had written into a layer, read back: what a merging began with, and modes that were lifted. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/journal.h"
#include "overlay/lifted.h"

#include <cmocka.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct layer layer = LAYER_NONE;

static void put(const char *name, const char *data, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void broken_ones_are_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
#define ROW(text) { text, sizeof(text) - 1 }
		ROW(""), ROW("x"), ROW(HEX), ROW("\0w 0 " HEX " p"), ROW("\0w 0 " HEX "\0"), ROW("\0w 0 short p\0"),
		ROW("\0w 0 " HEX "0 p\0"), ROW("\0x 0 " HEX " p\0"), ROW("\0w x " HEX " p\0"), ROW("\0\0"), ROW("\0w\0"),
		ROW("\0w 0 " HEX " p\0w 0\0"),
#undef ROW
	};
	struct journal *j = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put("journal", rows[i].text, rows[i].len);
		if (journal_load(&layer, &j) != -EPROTO || j)
			fail_msg("row %zu", i);
	}
	journal_remove(&layer);
	assert_int_equal(journal_load(&layer, &j), 0);
	assert_null(j);
	assert_false(journal_exists(&layer));
}

static bool has(const struct journal *j, size_t root, const char *path, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(layer.dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return journal_has(j, root, path, layer.dir, name, &st);
}

/* By its place and by all of it; the time can be set. */
static void files_are_told(void **state)
{
	char digest[CHANGES_DIGEST_TEXT], text[256] = "" HEX;
	struct journal *j = NULL;
	struct stat st;

	(void)state;
	put("f", "one", 3);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(digest_object(layer.dir, "f", &st, digest), 0);
	int n = snprintf(text + 65, sizeof(text) - 65, "w 1 %s d/f and more", digest);
	put("journal", text, 65 + (size_t)n + 1);
	assert_int_equal(journal_load(&layer, &j), 0);
	assert_non_null(j);
	assert_true(journal_is_of(j, HEX) && !journal_is_of(j, digest) && !journal_is_of(j, ""));
	assert_true(has(j, 1, "d/f and more", "f"));
	assert_false(has(j, 0, "d/f and more", "f") || has(j, 1, "d/f", "f"));
	put("f", "two", 3);
	assert_int_equal(utimensat(layer.dir, "f", (const struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
	assert_false(has(j, 1, "d/f and more", "f"));
	put("f", "one", 3);
	assert_true(has(j, 1, "d/f and more", "f"));
	assert_int_equal(chmod("f", 0600), 0);
	assert_false(has(j, 1, "d/f and more", "f"));
	assert_int_equal(unlink("f"), 0);
	assert_int_equal(symlink("one", "f"), 0);
	assert_false(has(j, 1, "d/f and more", "f"));
	journal_free(j);
	unlink("f");
	journal_remove(&layer);
}

/* Whatever the path begins with. */
static void modes_are_given_back(void **state)
{
	static const char *const names[] = { "  lead", "\tlead", "7 x", "0" };
	const int upper[] = { -EBADF, layer.dir };
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(mkdir(names[i], 0700), 0);
		assert_int_equal(lifted_note(&layer, 1, names[i], 0750), 0);
	}
	assert_int_equal(lifted_restore(&layer, upper), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(stat(names[i], &st), 0);
		if ((st.st_mode & 07777) != 0750)
			fail_msg("'%s' has mode %o", names[i], st.st_mode & 07777);
		assert_int_equal(rmdir(names[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broken_ones_are_refused),
		cmocka_unit_test(files_are_told),
		cmocka_unit_test(modes_are_given_back),
	};
	char dir[] = "/tmp/nsbox-journal-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0 || (layer.dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 1;
	layer.n_roots = 2;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	close(layer.dir);
	return rmdir(dir) < 0 && failed == 0 ? 1 : failed;
}
