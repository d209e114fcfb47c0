/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the person at the terminal: what waits is given here, what is decided is noted. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "asking.h"
#include "base/util.h"
#include "nsbox.h"

#include <cmocka.h>

#define SECOND 1000000u

static char waiting[32768], decided[4096];

int sandbox_approvals(sandbox *box, char **ret, sandbox_error **error)
{
	(void)box;
	(void)error;
	*ret = strdup(waiting);
	return *ret ? 0 : -ENOMEM;
}

int sandbox_decide(sandbox *box, const char *ticket, const char *digest, int decision, sandbox_error **error)
{
	size_t n = strlen(decided);

	(void)box;
	(void)error;
	snprintf(decided + n, sizeof(decided) - n, "%s/%s:%d ", ticket, digest, decision);
	return 0;
}

const char *sandbox_error_message(const sandbox_error *error) { (void)error; return ""; }
void sandbox_error_free(sandbox_error *error) { (void)error; }

/* Tickets 1, 2, ... for these rules; then it is looked at. */
static void wait_for(struct asking *a, uint64_t now, const char *const *rules)
{
	size_t n = 0;

	for (unsigned i = 0; rules[i]; i++)
		n += (size_t)snprintf(waiting + n, sizeof(waiting) - n,
				      "%s{\"ticket\":\"%u\",\"digest\":\"d%u\",\"question\":{\"grant\":{\"allow\":[\"%s\"]}}}",
				      n ? "," : "[", i + 1, i + 1, rules[i]);
	snprintf(waiting + n, sizeof(waiting) - n, "%s]", n ? "" : "[");
	decided[0] = '\0';
	a->look = true;
	asking_look(a, now);
}
#define WAIT(a, now, ...) wait_for(a, now, (const char *const[]){ __VA_ARGS__, NULL })

static void type(struct asking *a, const char *text, uint64_t now)
{
	asking_take(a, text, strlen(text), now);
	asking_look(a, now);
}

static void asking_free(struct asking *a)
{
	asking_end(a);
	json_decref(a->answers);
}
#define _cleanup_asking_ _cleanup_(asking_free)

static void test_answers(void **state)
{
	_cleanup_asking_ struct asking a = { .answers = json_object() };
	(void)state;

	WAIT(&a, SECOND, "GET https://a.example:443/x", "GET https://a.example:443/y", "GET http://b.example:80/");
	assert_non_null(a.shown);
	assert_string_equal(decided, "");
	type(&a, "yes\r", 3 * SECOND);
	assert_string_equal(decided, "1/d1:1 ");
	/* Another path of it is a question again, the same path is none. */
	WAIT(&a, 3 * SECOND, "GET https://a.example:443/y", "POST https://a.example:443/x", "GET https://a.example:443/x");
	assert_string_equal(decided, "3/d3:1 ");
	type(&a, "always\n", 5 * SECOND);
	assert_string_equal(decided, "3/d3:1 1/d1:1 2/d2:1 3/d3:1 ");
	/* Another scheme or port is another place. */
	WAIT(&a, 6 * SECOND, "GET http://a.example:80/x", "GET https://a.example:8443/x", "PUT https://a.example:443/z");
	assert_string_equal(decided, "3/d3:1 ");
	type(&a, "no\r", 8 * SECOND);
	assert_string_equal(decided, "3/d3:1 1/d1:0 3/d3:1 ");
	WAIT(&a, 8 * SECOND, "GET http://a.example:80/other");
	assert_string_equal(decided, "1/d1:0 ");
	assert_null(a.shown);
	const char *said = json_string_value(json_object_get(json_object_get(a.answers, "https://a.example"), "answer"));
	assert_string_equal(said, "always");
	said = json_string_value(json_object_get(json_object_get(a.answers, "http://a.example"), "answer"));
	assert_string_equal(said, "no");
}

/* What is no HTTP is its host and port, whatever the yes is. */
static void test_connections(void **state)
{
	_cleanup_asking_ struct asking a = { .answers = json_object() };
	(void)state;

	WAIT(&a, SECOND, "tcp://a.example:22", "tcp://a.example:22", "tcp://a.example:23", "GET https://a.example:22/");
	type(&a, "yes\r", 3 * SECOND);
	assert_string_equal(decided, "1/d1:1 2/d2:1 ");
	type(&a, "no\r", 5 * SECOND);
	assert_string_equal(decided, "1/d1:1 2/d2:1 1/d1:1 2/d2:1 3/d3:0 ");
}

/* A no is to what had no yes; Ctrl-C is no part of an answer, nor what stands before it. */
static void test_no_beside_a_yes(void **state)
{
	_cleanup_asking_ struct asking a = { .answers = json_object() };
	(void)state;

	WAIT(&a, SECOND, "GET https://a.example:443/x", "GET https://a.example:443/y");
	type(&a, "yes\r", 3 * SECOND);
	assert_string_equal(decided, "1/d1:1 ");
	type(&a, "n\003o\r", 5 * SECOND);
	assert_string_equal(decided, "1/d1:1 ");
	type(&a, "x\003no\r", 5 * SECOND);
	assert_string_equal(decided, "1/d1:1 1/d1:1 2/d2:0 ");
}

/* What is typed for the command when the question comes is not for the question. */
static void test_first_second(void **state)
{
	_cleanup_asking_ struct asking a = { .answers = json_object() };
	(void)state;

	WAIT(&a, 10 * SECOND, "GET https://a.example:443/");
	type(&a, "yes\r", 10 * SECOND);
	type(&a, "yes\r", 11 * SECOND - 1);
	assert_non_null(a.shown);
	type(&a, "y", 11 * SECOND);
	type(&a, "\r", 11 * SECOND);
	type(&a, "YES\ryes \r yes\ryes, please\ryesyesyesyesyesyesyes\ryes\x1b\r\x1b[1;1Ryes\r\0yes\r", 11 * SECOND);
	assert_string_equal(decided, "");
	/* The next one has its own second. */
	WAIT(&a, 12 * SECOND, "GET https://a.example:443/", "GET https://b.example:443/");
	type(&a, "yex\x7fs\ryes\r", 12 * SECOND);
	assert_string_equal(decided, "1/d1:1 ");
	assert_non_null(a.shown);
	type(&a, "yes\r", 12 * SECOND + 1);
	assert_string_equal(decided, "1/d1:1 ");
	type(&a, "no\r", 13 * SECOND);
	assert_string_equal(decided, "1/d1:1 1/d1:1 2/d2:0 ");
}

/* More places than a person reads with care, and what is no question of this kind. */
static void test_denied_unasked(void **state)
{
	_cleanup_asking_ struct asking a = { .answers = json_object() };
	char rule[64];
	(void)state;

	WAIT(&a, SECOND, "", "GET", "GET https://", "https://a.example/", "GET tcp://a.example:22");
	assert_string_equal(decided, "1/d1:0 2/d2:0 3/d3:0 4/d4:0 5/d5:0 ");
	assert_null(a.shown);
	for (unsigned i = 0; i < 64; i++) {
		snprintf(rule, sizeof(rule), "GET https://h%u.example:443/", i);
		WAIT(&a, SECOND, rule);
		assert_non_null(a.shown);
		type(&a, "yes\r", 2 * SECOND);
	}
	WAIT(&a, 3 * SECOND, "GET https://new.example:443/", "GET https://h3.example:443/", "GET https://h3.example:443/more");
	assert_string_equal(decided, "1/d1:0 2/d2:1 ");
	assert_non_null(a.shown);
}

static void test_taken_back(void **state)
{
	_cleanup_asking_ struct asking a = { .answers = json_object() };
	(void)state;

	WAIT(&a, SECOND, "GET https://a.example:443/");
	wait_for(&a, 2 * SECOND, (const char *const[]){ NULL });
	assert_null(a.shown);
	type(&a, "yes\r", 4 * SECOND);
	assert_string_equal(decided, "");
	assert_int_equal(json_object_size(a.answers), 0);
}

/* The questions go to stdout, where cmocka writes too. */
static int quiet(void **state)
{
	static int out;
	_cleanup_close_ int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	fflush(stdout);
	out = dup(STDOUT_FILENO);
	*state = &out;
	return out < 0 || null < 0 || dup2(null, STDOUT_FILENO) < 0;
}

static int loud(void **state)
{
	int out = *(int *)*state;

	fflush(stdout);
	int r = dup2(out, STDOUT_FILENO);
	fd_close(out);
	return r < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, quiet, loud),
		cmocka_unit_test_setup_teardown(test_connections, quiet, loud),
		cmocka_unit_test_setup_teardown(test_no_beside_a_yes, quiet, loud),
		cmocka_unit_test_setup_teardown(test_first_second, quiet, loud),
		cmocka_unit_test_setup_teardown(test_denied_unasked, quiet, loud),
		cmocka_unit_test_setup_teardown(test_taken_back, quiet, loud),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
