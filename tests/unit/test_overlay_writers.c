/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls ran at a time, from the notes in a layer. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/layer.h"
#include "overlay/writers.h"

#include <cmocka.h>

static unsigned between(const struct writers *w, long from, long to, uint32_t ret[WRITERS_SHOWN], bool *ret_more)
{
	return writers_between(w, &(struct timespec){ from, 0 }, &(struct timespec){ to, 0 }, ret, ret_more);
}

static void writers_are_those_that_ran(void **state)
{
	char dir[] = "/var/tmp/nsbox-writers-XXXXXX", text[400];
	struct layer l = LAYER_NONE;
	uint32_t who[WRITERS_SHOWN];
	struct writers w;
	bool more;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	l.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(writers_read(&l, &w), 0);
	assert_int_equal(between(&w, 0, 100, who, &more), 0);
	/* 1 all the time; 2, then 3 and 4 overlapping, 4 without an end; the rest is no line. */
	snprintf(text, sizeof(text),
		 "start 1 10.000000000\nstart 2 20.000000000\nend 2 30.000000000\nstart 3 40.000000000\nstart 4 45.000000000\n"
		 "garbage\nstart 9 20.0 x\nstart -1\nend 7 1.0\nend 3 50.000000000\nstart 5\nend 1 60.000000000\nstart 8 1");
	int fd = open("calls", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(writers_read(&l, &w), 0);
	assert_int_equal(w.n, 4);
	assert_int_equal(between(&w, 0, 9, who, &more), 0);
	assert_int_equal(between(&w, 15, 15, who, &more), 1);
	assert_int_equal(who[0], 1);
	assert_int_equal(between(&w, 20, 20, who, &more), 2);
	assert_int_equal(who[0], 2);
	assert_int_equal(between(&w, 31, 39, who, &more), 1);
	assert_int_equal(between(&w, 25, 41, who, &more), 3);
	assert_int_equal(between(&w, 46, 46, who, &more), 3);
	assert_false(more);
	assert_int_equal(between(&w, 70, 70, who, &more), 1);
	assert_int_equal(who[0], 4);
	writers_free(&w);
	unlink("calls");
	for (uint32_t i = 1; i < 1000; i++) {
		writers_note(l.dir, i, true);
		if (i > 3)
			writers_note(l.dir, i, false);
	}
	assert_int_equal(writers_read(&l, &w), 0);
	assert_int_equal(w.n, 999);
	assert_int_equal(writers_between(&w, &w.v[0].start, &w.v[998].start, who, &more), WRITERS_SHOWN);
	assert_true(more);
	/* Only those without an end, of which none is in reach. */
	assert_int_equal(between(&w, 1L << 40, 1L << 40, who, &more), 0);
	assert_true(more);
	writers_free(&w);
	unlink("calls");
	close(l.dir);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(writers_are_those_that_ran) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
