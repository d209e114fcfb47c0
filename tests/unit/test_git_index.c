/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of git's index, in each of its forms. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "policy/git_index.h"

#include <cmocka.h>

static void put_u32(struct buf *b, uint32_t v)
{
	const uint8_t bytes[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	assert_int_equal(buf_append(b, bytes, sizeof(bytes)), 0);
}

static void put_zeros(struct buf *b, size_t n)
{
	while (n-- > 0)
		assert_int_equal(buf_putc(b, '\0'), 0);
}

static void begin(struct buf *b, uint32_t version, uint32_t n)
{
	b->len = 0;
	buf_puts(b, "DIRC");
	put_u32(b, version);
	put_u32(b, n);
}

/* strip: in version 4, of the name before. len: of the whole name. */
static void put_entry(struct buf *b, uint32_t version, size_t hash, uint32_t mode, size_t strip, const char *name, size_t len)
{
	size_t at = b->len;

	put_zeros(b, 24);
	put_u32(b, mode);
	put_zeros(b, 12 + hash);
	buf_putc(b, (char)((len < 0xfff ? len : 0xfff) >> 8));
	buf_putc(b, (char)(len < 0xfff ? len : 0xfff));
	if (version == 4)
		buf_putc(b, (char)strip);
	buf_puts(b, name);
	put_zeros(b, version == 4 ? 1 : 8 - (b->len - at) % 8);
}

static int check(struct buf *b, size_t hash, char shared[GIT_SHARED_NAME])
{
	put_zeros(b, hash);
	return git_index_check(b->data, b->len, hash, shared, NULL);
}

static void paths(void **state)
{
	static const struct {
		const char *name;
		bool safe;
	} rows[] = {
		{ "a", true }, { ".gitignore", true }, { "a/.github/x", true }, { "a.git/x", true }, { "..a/b..", true },
		{ ".git/hooks/pre-commit", false }, { "a/.git/config", false }, { "a/.GIT/config", false }, { ".git", false },
		{ "../a", false }, { "a/../../b", false }, { "a/..", false }, { "/etc/x", false }, { "a//b", false },
		{ "./a", false }, { "a/.", false }, { "a/", false },
	};
	char shared[GIT_SHARED_NAME];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (uint32_t version = 2; version <= 4; version++) {
			for (size_t hash = GIT_SHA1; hash <= GIT_SHA256; hash += GIT_SHA256 - GIT_SHA1) {
				_cleanup_buf_ struct buf b = { 0 };
				begin(&b, version, 2);
				put_entry(&b, version, hash, 0100644, 0, "A", 1);
				put_entry(&b, version, hash, 0100644, 1, rows[i].name, strlen(rows[i].name));
				if (check(&b, hash, shared) != (rows[i].safe ? 0 : -EPERM))
					fail_msg("%s, version %u", rows[i].name, version);
			}
		}
	}
}

/* In version 4 a name is put together out of two. */
static void names_in_parts(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	char shared[GIT_SHARED_NAME];
	(void)state;

	begin(&b, 4, 2);
	put_entry(&b, 4, GIT_SHA1, 0100644, 0, ".gitx", 5);
	put_entry(&b, 4, GIT_SHA1, 0100644, 1, "/hooks/x", 12);
	assert_int_equal(check(&b, GIT_SHA1, shared), -EPERM);
	begin(&b, 4, 1);
	put_entry(&b, 4, GIT_SHA1, 0100644, 1, "a", 1);
	assert_int_equal(check(&b, GIT_SHA1, shared), -EBADMSG);
}

static void long_names(void **state)
{
	_cleanup_free_ char *name = calloc(1, 6000);
	char shared[GIT_SHARED_NAME];
	(void)state;

	memset(name, 'x', 5000);
	for (int safe = 0; safe < 2; safe++) {
		for (uint32_t version = 2; version <= 4; version++) {
			_cleanup_buf_ struct buf b = { 0 };
			begin(&b, version, 1);
			put_entry(&b, version, GIT_SHA1, 0100644, 0, name, strlen(name));
			assert_int_equal(check(&b, GIT_SHA1, shared), safe ? -EPERM : 0);
		}
		strcpy(name + 5000, "/../a");
	}
}

static void extensions(void **state)
{
	char shared[GIT_SHARED_NAME];
	(void)state;

	/* what: 0 nothing, 1 the end as it is, 2 elsewhere, 3 hidden in another one, 4 blocks, 5 blocks elsewhere, 6 a
	 * shared index, 7 cut. */
	static const int want[] = { 0, 0, -EBADMSG, -EBADMSG, 0, -EBADMSG, 0, -EBADMSG };
	for (size_t what = 0; what < ARRAY_LEN(want); what++) {
		_cleanup_buf_ struct buf b = { 0 };
		begin(&b, 2, 1);
		put_entry(&b, 2, GIT_SHA1, 0100644, 0, "a", 1);
		uint32_t end = (uint32_t)b.len;
		if (what == 3) {
			buf_puts(&b, "ZZZZ");
			put_u32(&b, 8 + 24);
		}
		if (what >= 1 && what <= 3) {
			buf_puts(&b, "EOIE");
			put_u32(&b, 24);
			put_u32(&b, what == 1 ? end : end - 8);
			put_zeros(&b, 20);
		}
		if (what == 4 || what == 5) {
			buf_puts(&b, "IEOT");
			put_u32(&b, 12);
			put_u32(&b, 1);
			put_u32(&b, what == 4 ? 12 : 20);
			put_u32(&b, 1);
		}
		if (what >= 6) {
			buf_puts(&b, "link");
			put_u32(&b, what == 6 ? 20 : 200);
			put_zeros(&b, 20);
		}
		if (check(&b, GIT_SHA1, shared) != want[what])
			fail_msg("%zu", what);
		assert_string_equal(shared, what == 6 ? "sharedindex.0000000000000000000000000000000000000000" : "");
	}
}

static void special_entries(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	char shared[GIT_SHARED_NAME];
	(void)state;

	/* A directory that a sparse index does not go into. */
	begin(&b, 2, 1);
	put_entry(&b, 2, GIT_SHA1, 0040000, 0, "a/", 2);
	assert_int_equal(check(&b, GIT_SHA1, shared), 0);
	/* Without a name only beside a shared one. */
	begin(&b, 2, 1);
	put_entry(&b, 2, GIT_SHA1, 0100644, 0, "", 0);
	size_t end = b.len;
	assert_int_equal(check(&b, GIT_SHA1, shared), -EBADMSG);
	b.len = end;
	buf_puts(&b, "link");
	put_u32(&b, 20);
	put_zeros(&b, 20);
	assert_int_equal(check(&b, GIT_SHA1, shared), 0);
	assert_int_equal(git_index_check(b.data, b.len, GIT_SHA1, NULL, NULL), -EBADMSG);
}

static void broken_ones(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	char shared[GIT_SHARED_NAME];
	(void)state;

	/* An extension is cut off within its length. */
	for (size_t n = 1; n < 8; n++) {
		begin(&b, 2, 0);
		buf_append(&b, "link\0\0\0\0", n);
		assert_int_equal(check(&b, GIT_SHA1, shared), -EBADMSG);
	}
	begin(&b, 2, 2);
	put_entry(&b, 2, GIT_SHA1, 0100644, 0, "a", 1);
	put_entry(&b, 2, GIT_SHA1, 0100644, 0, "b", 1);
	assert_int_equal(check(&b, GIT_SHA1, shared), 0);
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(git_index_check(b.data, n, GIT_SHA1, shared, NULL), -EBADMSG);
	/* Its length says less than its name is, or more. */
	for (int len = 0; len < 4; len += 3) {
		begin(&b, 2, 1);
		put_entry(&b, 2, GIT_SHA1, 0100644, 0, "ab", (size_t)len);
		assert_int_equal(check(&b, GIT_SHA1, shared), -EBADMSG);
	}
	begin(&b, 5, 0);
	assert_int_equal(check(&b, GIT_SHA1, shared), -EBADMSG);
	begin(&b, 2, UINT32_MAX);
	assert_int_equal(check(&b, GIT_SHA1, shared), -EBADMSG);
}

/* Paths that are repositories of their own, each once, with all kinds of flags. */
static void links(void **state)
{
	_cleanup_buf_ struct buf found = { 0 }, b = { 0 };
	char shared[GIT_SHARED_NAME];
	(void)state;

	for (uint32_t version = 2; version <= 4; version++) {
		found.len = 0;
		begin(&b, version, 6);
		put_entry(&b, version, GIT_SHA1, 0100644, 0, "a", 1);
		put_entry(&b, version, GIT_SHA1, 0160000, 1, "b/s", 3);
		put_entry(&b, version, GIT_SHA1, 0160000, 3, "b/s", 3);
		put_entry(&b, version, GIT_SHA1, 0120000, 3, "c", 1);
		put_entry(&b, version, GIT_SHA1, 0040000, 1, "d/", 2);
		put_entry(&b, version, GIT_SHA1, 0160000, 2, "e", 1);
		put_zeros(&b, GIT_SHA1);
		assert_int_equal(git_index_check(b.data, b.len, GIT_SHA1, shared, &found), 0);
		assert_int_equal(found.len, 9);
		assert_memory_equal(found.data, "b/s\0d/\0e", 9);
	}
}

/* One that names no path takes that of an entry of the other file; one of another mode git would take all the same. */
static void links_elsewhere(void **state)
{
	char shared[GIT_SHARED_NAME];
	(void)state;

	for (int link = 0; link < 2; link++) {
		_cleanup_buf_ struct buf found = { 0 }, b = { 0 };
		begin(&b, 2, 1);
		put_entry(&b, 2, GIT_SHA1, link ? 0160000 : 0100644, 0, "", 0);
		buf_puts(&b, "link");
		put_u32(&b, 20);
		put_zeros(&b, 20 + GIT_SHA1);
		assert_int_equal(git_index_check(b.data, b.len, GIT_SHA1, shared, &found), link ? -EPERM : 0);
		assert_int_equal(git_index_check(b.data, b.len, GIT_SHA1, shared, NULL), 0);
		begin(&b, 2, 1);
		put_entry(&b, 2, GIT_SHA1, link ? 0160755 : 0160000, 0, "a", 1);
		put_zeros(&b, GIT_SHA1);
		assert_int_equal(git_index_check(b.data, b.len, GIT_SHA1, shared, &found), link ? -EPERM : 0);
	}
}

static void too_many_links(void **state)
{
	char shared[GIT_SHARED_NAME], name[8];
	(void)state;

	for (uint32_t n = GIT_LINKS_MAX; n <= GIT_LINKS_MAX + 1; n++) {
		_cleanup_buf_ struct buf found = { 0 }, b = { 0 };
		begin(&b, 2, n);
		for (uint32_t i = 0; i < n; i++)
			put_entry(&b, 2, GIT_SHA1, 0160000, 0, name, (size_t)snprintf(name, sizeof(name), "%05u", i));
		put_zeros(&b, GIT_SHA1);
		assert_int_equal(git_index_check(b.data, b.len, GIT_SHA1, shared, &found), n > GIT_LINKS_MAX ? -E2BIG : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),      cmocka_unit_test(names_in_parts),	 cmocka_unit_test(long_names),
		cmocka_unit_test(extensions), cmocka_unit_test(special_entries), cmocka_unit_test(broken_ones),
		cmocka_unit_test(links),      cmocka_unit_test(links_elsewhere), cmocka_unit_test(too_many_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
