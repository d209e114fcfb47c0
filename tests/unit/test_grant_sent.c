/* SPDX-License-Identifier: Apache-2.0 */
/* Grants as they are printed, and sent to another process. */
#include "grant_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RICH                                                                                                      \
	POLICY "[grant push]\nargv = git push *\nargv = hg push\nallow = POST https://git.example.com/acme/**\n"       \
	       "deny = POST https://git.example.com/acme/old\npassthrough = pinned.example.com\nsecret = OTHER, API_KEY\n" \
	       "write = src\nread = src/vendor\nread = .\nhide = docs\nexec = /usr/bin\nexec = /usr/lib\nttl = 60s\n"     \
	       "timeout = 1500ms\nuses = 20\nbytes_up = 64K\nrate = 90/m\nopen_files = 99\nbackground = yes\nisolation = full\n"      \
	       "credentials = any\nview = committed\n[grant empty]\n[grant ro]\nread_only = yes\nexec = none\n"           \
	       "[grant none]\nread = none\n[grant write]\nwrite = src\n"

static void test_dump_loads_again(void **state)
{
	struct policy *p = finished(RICH), *again;
	char *first = dump(p), *same = dump(p), *second;
	size_t n, m;

	(void)state;
	assert_string_equal(first, same);
	assert_non_null(strstr(first, "\n[grant push]\nargv = git push * ; bound to this command/"));
	assert_non_null(strstr(first, "\nallow = none ; no network/"));
	assert_non_null(strstr(first, "\nread_only = yes ; nothing is writable/"));
	assert_non_null(strstr(first, "\nexec = none ; nothing/"));
	assert_non_null(strstr(first, "\nread = none ; nothing but what is named here/"));
	assert_non_null(strstr(first, "p.ini:24\n")); /* origins */
	again = finished(first);
	second = dump(again);
	const struct grant *const *a = policy_grants(p, &n), *const *b = policy_grants(again, &m);
	assert_int_equal(n, m);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(grant_is_subset(a[i], b[i], NULL), 1);
		assert_int_equal(grant_is_subset(b[i], a[i], NULL), 1);
	}
	strip_comments(first);
	strip_comments(second);
	assert_string_equal(first, second);
	free(first);
	free(same);
	free(second);
	policy_free(p);
	policy_free(again);
}

static void flip_all(struct buf *bytes, const uint8_t *data, size_t len)
{
	struct buf second = { 0 };
	struct grant *again;

	for (size_t n = 0; n < len; n++) {
		assert_int_equal(grant_decode(data, n, &again, &e), -EBADMSG);
		for (unsigned flip = 1; flip < 256; flip += 51) {
			bytes->data[n] ^= (uint8_t)flip;
			if (grant_decode(bytes->data, len, &again, &e) == 0) {
				second.len = 0;
				assert_int_equal(grant_encode(again, &second), 0);
				assert_int_equal(second.len, len);
				assert_memory_equal(second.data, bytes->data, len);
				grant_free(again);
			}
			bytes->data[n] ^= (uint8_t)flip;
		}
	}
	buf_free(&second);
}

static void test_encoding(void **state)
{
	struct policy *p = finished(RICH), *again;
	const struct grant *g = policy_grant(p, "push");
	struct buf bytes = { 0 }, second = { 0 };
	size_t n;

	(void)state;
	assert_int_equal(grant_encode(g, &bytes), 0);
	flip_all(&bytes, bytes.data, bytes.len);
	/* Inside a policy. */
	bytes.len = 0;
	assert_int_equal(policy_encode(p, &bytes), 0);
	assert_int_equal(policy_decode(bytes.data, bytes.len, &again, &e), 0);
	assert_int_equal((policy_grants(again, &n), n), 5);
	assert_string_equal(grant_name(policy_grant_for_argv(again, (const char *const[]){ "hg", "push", NULL })), "push");
	char *a = dump(p), *b = dump(again);
	assert_string_equal(a, b);
	free(a);
	free(b);
	assert_int_equal(policy_encode(again, &second), 0);
	assert_int_equal(bytes.len, second.len);
	assert_memory_equal(bytes.data, second.data, bytes.len);
	policy_free(again);
	/* One that is no template does not belong there, nor one that is not finished anywhere. */
	struct grant *own;
	assert_int_equal(grant_new(&own), 0);
	assert_int_equal(grant_encode(own, &second), -EINVAL);
	grant_free(own);
	buf_free(&bytes);
	buf_free(&second);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRANT_TEST(test_dump_loads_again),
		GRANT_TEST(test_encoding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
