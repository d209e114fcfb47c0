/* SPDX-License-Identifier: Apache-2.0 */
/* Java's key store with one more authority, byte by byte; the sums were made by another program. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/key_store.h"

#include <cmocka.h>

#define SUM "01234567890123456789"
#define OURS "\0\0\0\2\0\5nsbox\0\0\0\0\0\0\0\0\0\5X.509\0\0\0\3abc"

static int add(const char *host, size_t len, struct buf *out)
{
	_cleanup_buf_ struct buf b = { 0 };

	assert_int_equal(buf_append(&b, host, len), 0);
	return key_store_add(&b, (const uint8_t *)"abc", 3, out);
}

static void becomes(const char *host, size_t host_len, const char *want, size_t want_len)
{
	_cleanup_buf_ struct buf out = { 0 };

	/* Behind what is there already. */
	assert_int_equal(buf_puts(&out, "before"), 0);
	assert_int_equal(add(host, host_len, &out), 0);
	assert_int_equal(out.len, 6 + want_len);
	assert_memory_equal(out.data + 6, want, want_len);
}

static void test_added(void **state)
{
	static const char none[] = "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\0" SUM;
	static const char one[] = "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1" "entry" SUM;
	static const char want_one[] = "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1" OURS
		"\x92\x86\xc9\x30\xa1\x57\x89\xb2\x51\x6a\x89\xac\xd7\x3a\x4d\x3e\x6d\xe6\xe2\x9b";
	static const char want_two[] = "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\2" OURS "entry"
		"\x17\xaf\xc0\x93\xa1\x87\x65\xf6\xee\x7b\x65\xc6\x0b\x23\x83\xb5\xfa\x9a\x84\x11";

	(void)state;
	becomes(none, sizeof(none) - 1, want_one, sizeof(want_one) - 1);
	becomes(one, sizeof(one) - 1, want_two, sizeof(want_two) - 1);
}

static void test_no_key_store(void **state)
{
	static const char *const heads[] = { "\xfe\xed\xfe\xee\0\0\0\2\0\0\0\0", "\xfe\xed\xfe\xed\0\0\0\1\0\0\0\0",
					     "\xfe\xed\xfe\xed\0\0\0\2\xff\xff\xff\xff" };
	static const char good[] = "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\0" SUM;
	_cleanup_buf_ struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		char bytes[33] = SUM "012345678901";
		memcpy(bytes, heads[i], 12);
		assert_int_equal(add(bytes, sizeof(bytes) - 1, &out), -EBADMSG);
	}
	for (size_t len = 0; len < sizeof(good) - 1; len++)
		assert_int_equal(add(good, len, &out), -EBADMSG);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_added),
		cmocka_unit_test(test_no_key_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
