/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of answers, against a server that does what it is asked and a whole that is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "gateway/range.h"

#include <cmocka.h>
#include <errno.h>

static void forms(void **state)
{
	static const struct {
		const char *text;
		enum range_form form;
		uint64_t first, last;
	} cases[] = {
		{ "bytes=0-0", RANGE_BETWEEN, 0, 0 },	 { "Bytes=10-99", RANGE_BETWEEN, 10, 99 },
		{ "bytes=7-", RANGE_FROM, 7, 0 },	 { "bytes=-5", RANGE_LAST, 0, 5 },
		{ "bytes=007-8", RANGE_BETWEEN, 7, 8 },	 { "bytes=999999999999999999-", RANGE_FROM, 999999999999999999, 0 },
		{ "", RANGE_NONE, 0, 0 },		 { "bytes=", RANGE_NONE, 0, 0 },
		{ "bytes=-", RANGE_NONE, 0, 0 },	 { "bytes=-0", RANGE_NONE, 0, 0 },
		{ "bytes=5-4", RANGE_NONE, 0, 0 },	 { "bytes=1-2,4-5", RANGE_NONE, 0, 0 },
		{ "bytes= 1-2", RANGE_NONE, 0, 0 },	 { "bytes=1-2 ", RANGE_NONE, 0, 0 },
		{ "bytes=1--2", RANGE_NONE, 0, 0 },	 { "bytes=+1-2", RANGE_NONE, 0, 0 },
		{ "lines=1-2", RANGE_NONE, 0, 0 },	 { "bytes=0x1-2", RANGE_NONE, 0, 0 },
		{ "bytes=1000000000000000000-", RANGE_NONE, 0, 0 }, { "bytes=1-18446744073709551616", RANGE_NONE, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct range r = { 0 };
		bool good = range_parse(cases[i].text, strlen(cases[i].text), &r);
		if (good != (cases[i].form != RANGE_NONE))
			fail_msg("%s: %d", cases[i].text, good);
		if (good && (r.form != cases[i].form || r.first != cases[i].first || r.last != cases[i].last))
			fail_msg("%s", cases[i].text);
	}
}

static void parts(void **state)
{
	static const char *const bad[] = { "", "bytes", "bytes 1-2", "bytes 2-1/9", "bytes 1-9/9", "bytes */9", "bytes 1-2/",
					   "bytes 1-2/9 ", "bytes  1-2/9", "bytes=1-2/9", "bytes 1-2/9, bytes 3-4/9",
					   "bytes 1-2/0", "items 1-2/9", "bytes 1-2/1000000000000000000" };
	struct range_part p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(range_part_parse(bad[i], strlen(bad[i]), &p), -EBADMSG);
	assert_int_equal(range_part_parse("bytes 3-8/9", 11, &p), 0);
	assert_true(p.first == 3 && p.last == 8 && p.size == 9);
	assert_int_equal(range_part_parse("BYTES 3-8/*", 11, &p), 0);
	assert_true(p.first == 3 && p.last == 8 && p.size == 0);
}

/* Of a whole of so many bytes; false: it has none of those. */
static bool select_of(const struct range *r, uint64_t size, uint64_t *first, uint64_t *last)
{
	*first = r->form == RANGE_LAST ? (r->last < size ? size - r->last : 0) : r->first;
	*last = r->form == RANGE_BETWEEN && r->last < size ? r->last : size - 1;
	return size && *first < size;
}

/* Every range of every small whole: what goes on is what was asked for, and the server's part has the margin around it. */
static void one(const struct range *r, uint64_t size)
{
	struct range wide;
	char text[RANGE_TEXT_MAX], want[RANGE_TEXT_MAX];
	uint64_t first, last, got_first, got_last;
	struct range_cut cut;

	range_widened(r, text);
	assert_true(range_parse(text, strlen(text), &wide));
	bool any = select_of(r, size, &first, &last);
	if (!select_of(&wide, size, &got_first, &got_last)) {
		assert_false(any);
		return;
	}
	struct range_part part = { got_first, got_last, size };
	assert_int_equal(range_cut(r, &part, &cut), any ? 0 : -ERANGE);
	if (!any)
		return;
	snprintf(want, sizeof(want), "bytes %d-%d/%d", (int)first, (int)last, (int)size);
	assert_string_equal(cut.content_range, want);
	assert_int_equal(part.first + cut.skip, first);
	assert_int_equal(first + cut.left - 1, last);
	assert_true(cut.skip == r->margin || part.first == 0);
	assert_true(last + r->margin <= part.last || part.last == size - 1);
	/* A server that sends another part, whatever it says of it. */
	for (int step = -1; step <= 1; step += 2) {
		struct range_part other = part;
		if (part.last < size - 1 || step < 0) {
			other.last += (uint64_t)step;
			if (other.last >= other.first && other.last < size)
				assert_true(range_cut(r, &other, &cut) < 0 || other.last == size - 1);
		}
		other = part;
		other.first += (uint64_t)step;
		if (other.first <= other.last)
			assert_true(range_cut(r, &other, &cut) < 0);
	}
}

static void widened_and_cut(void **state)
{
	(void)state;
	for (uint64_t margin = 0; margin < 5; margin++) {
		for (uint64_t size = 1; size < 12; size++) {
			for (uint64_t a = 0; a < 14; a++) {
				one(&(struct range){ RANGE_FROM, a, 0, margin }, size);
				if (a)
					one(&(struct range){ RANGE_LAST, 0, a, margin }, size);
				for (uint64_t b = a; b < 14; b++)
					one(&(struct range){ RANGE_BETWEEN, a, b, margin }, size);
			}
		}
	}
}

static void parts_of_stored_objects(void **state)
{
	const uint64_t mib = 1 << 20;
	static const struct {
		unsigned first, end, size; /* MiB */
		bool sound, by_number;
	} cases[] = {
		{ 0, 9, 9, true, true },  { 0, 5, 9, false, true }, { 5, 9, 9, false, true }, { 5, 10, 12, false, true },
		{ 0, 4, 9, false, false }, { 4, 9, 9, false, false }, { 5, 9, 12, false, false }, { 8, 9, 9, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct range_part p = { cases[i].first * mib, cases[i].end * mib - 1, cases[i].size * mib };
		assert_int_equal(range_part_is_sound(&p, false), cases[i].sound);
		assert_int_equal(range_part_is_sound(&p, true), cases[i].by_number);
	}
	assert_false(range_part_is_sound(&(struct range_part){ 0, 9, 0 }, false));
	assert_false(range_part_is_sound(&(struct range_part){ 0, 9, 0 }, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(parts),
		cmocka_unit_test(widened_and_cut),
		cmocka_unit_test(parts_of_stored_objects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
