/* SPDX-License-Identifier: Apache-2.0 */
/* Substitution in headers, Basic credentials and query; everything else is misuse. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "gateway/placeholder_base64.h"
#include "gateway/placeholder_inject.h"

#include <cmocka.h>

struct world {
	struct placeholder_table table;
	const struct placeholder *mine, *other; /* other: may go nowhere */
	unsigned places;			/* where mine may go */
	const char *value;
	size_t value_len;
	struct inject in;
	struct buf out;
};

static bool decide(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	struct world *w = data;

	if (p != w->mine || !(w->places & place))
		return false;
	*ret = (struct secret_value){ .data = w->value, .len = w->value_len ? w->value_len : strlen(w->value) };
	return true;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(placeholder_add(&w->table, NULL, 20, w, 0, &w->mine), 0);
	assert_int_equal(placeholder_add(&w->table, "{random:32}", 20, w, 1, &w->other), 0);
	w->places = PLACE_HEADER | PLACE_BASIC | PLACE_QUERY;
	w->value = "s3cr3t/+&value";
	w->in = (struct inject){ .table = &w->table, .decide = decide, .data = w };
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	placeholder_table_free(&w->table);
	buf_wipe(&w->out);
	free(w);
	return 0;
}

/* M in a template becomes the placeholder, O the other one. */
static const char *fill(const struct world *w, const char *template, struct buf *to)
{
	to->len = 0;
	for (const char *c = template; *c; c++) {
		if (*c == 'M' || *c == 'O')
			assert_int_equal(buf_puts(to, *c == 'M' ? w->mine->text : w->other->text), 0);
		else
			assert_int_equal(buf_putc(to, *c), 0);
	}
	return buf_str(to);
}

static int header(struct world *w, const char *name, const char *template)
{
	_cleanup_buf_ struct buf text = { 0 };
	const char *value = fill(w, template, &text);

	w->out.len = 0;
	return inject_header(&w->in, name, strlen(name), value, strlen(value), &w->out);
}

static int query(struct world *w, const char *template)
{
	_cleanup_buf_ struct buf text = { 0 };
	const char *value = fill(w, template, &text);

	w->out.len = 0;
	return inject_query(&w->in, value, strlen(value), &w->out);
}

static void out_is(struct world *w, const char *wanted)
{
	assert_string_equal(buf_str(&w->out), wanted);
}

static void headers(void **state)
{
	struct world *w = *state;

	assert_int_equal(header(w, "Authorization", "Bearer M"), 1);
	out_is(w, "Bearer s3cr3t/+&value");
	assert_int_equal(header(w, "X-Api-Key", "M"), 1);
	out_is(w, "s3cr3t/+&value");
	assert_int_equal(header(w, "X", "a M b;M,MM"), 1);
	out_is(w, "a s3cr3t/+&value b;s3cr3t/+&value,s3cr3t/+&values3cr3t/+&value");
	assert_int_equal(header(w, "X", "nsbox_ nothing here %41 \\u0041"), 0);
	assert_int_equal(header(w, "X", ""), 0);
	assert_int_equal(w->out.len, 0);
}

static void refused_headers(void **state)
{
	static const char *const cases[] = { "O", "M O", "O M", "a=MO" };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(header(w, "X", cases[i]), -EACCES);
		assert_ptr_equal(w->in.misuse.placeholder, w->other);
		assert_int_equal(w->in.misuse_place, PLACE_HEADER);
		/* No part of a value stays behind. */
		assert_int_equal(w->out.len, 0);
	}
	w->places = PLACE_QUERY;
	assert_int_equal(header(w, "X", "M"), -EACCES);
	assert_ptr_equal(w->in.misuse.placeholder, w->mine);
	/* In the name of a field, where no value goes. */
	w->places = PLACE_HEADER;
	assert_int_equal(inject_header(&w->in, w->mine->text, w->mine->len, "v", 1, &w->out), -EACCES);
}

/* Other forms than raw are no use of a secret in a header, whoever asks. */
static void encoded_in_headers(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf text = { 0 };

	buf_printf(&text, "%%%02x%s", w->mine->text[0], w->mine->text + 1);
	assert_int_equal(header(w, "X", buf_str(&text)), -EACCES);
	assert_int_equal(w->in.misuse.form, PLACEHOLDER_PERCENT);
	text.len = 0;
	buf_printf(&text, "\\u%04x%s", w->mine->text[0], w->mine->text + 1);
	assert_int_equal(header(w, "X", buf_str(&text)), -EACCES);
	assert_int_equal(w->in.misuse.form, PLACEHOLDER_JSON);
	text.len = 0;
	base64_encode(&text, w->mine->text, w->mine->len, false, true);
	assert_int_equal(inject_header(&w->in, "X", 1, (char *)text.data, text.len, &w->out), -EACCES);
	assert_int_equal(w->in.misuse.form, PLACEHOLDER_BASE64);
}

/* "Basic " and the base64 of the template. */
static int basic(struct world *w, const char *name, const char *scheme, const char *template, bool padded)
{
	_cleanup_buf_ struct buf plain = { 0 }, text = { 0 };

	fill(w, template, &plain);
	buf_puts(&text, scheme);
	base64_encode(&text, plain.data, plain.len, false, padded);
	w->out.len = 0;
	return inject_header(&w->in, name, strlen(name), (char *)text.data, text.len, &w->out);
}

static void basic_is(struct world *w, const char *scheme, const char *plain)
{
	_cleanup_buf_ struct buf text = { 0 };

	buf_puts(&text, scheme);
	base64_encode(&text, plain, strlen(plain), false, true);
	assert_string_equal(buf_str(&w->out), buf_str(&text));
}

static void basic_credentials(void **state)
{
	struct world *w = *state;

	for (int padded = 0; padded < 2; padded++) {
		assert_int_equal(basic(w, "Authorization", "Basic ", "user:M", padded), 1);
		basic_is(w, "Basic ", "user:s3cr3t/+&value");
		assert_int_equal(basic(w, "authorization", "bAsIc  ", "M:", padded), 1);
		basic_is(w, "bAsIc  ", "s3cr3t/+&value:");
		assert_int_equal(basic(w, "Authorization", "Basic ", "x-access-token:M", padded), 1);
		basic_is(w, "Basic ", "x-access-token:s3cr3t/+&value");
		assert_int_equal(basic(w, "Authorization", "Basic ", "M:M", padded), 1);
		basic_is(w, "Basic ", "s3cr3t/+&value:s3cr3t/+&value");
	}
	assert_int_equal(basic(w, "Authorization", "Basic ", "user:password", true), 0);
	assert_int_equal(header(w, "Authorization", "Basic !!!"), 0);
	assert_int_equal(header(w, "Authorization", "Basic "), 0);
	assert_int_equal(header(w, "Authorization", "Basic dXNlcjpwYXNz=="), 0);
	/* The secret may be the credentials themselves. */
	assert_int_equal(header(w, "Authorization", "Basic M"), 1);
	out_is(w, "Basic s3cr3t/+&value");
}

static void refused_basic(void **state)
{
	struct world *w = *state;

	assert_int_equal(basic(w, "Authorization", "Basic ", "user:O", true), -EACCES);
	assert_ptr_equal(w->in.misuse.placeholder, w->other);
	assert_int_equal(w->in.misuse_place, PLACE_BASIC);
	assert_int_equal(basic(w, "Authorization", "Basic ", "M:O", true), -EACCES);
	assert_int_equal(w->out.len, 0);
	/* base64 elsewhere than in Basic credentials. */
	assert_int_equal(basic(w, "Authorization", "Bearer ", "user:M", true), -EACCES);
	assert_int_equal(basic(w, "X-Authorization", "Basic ", "user:M", true), -EACCES);
	assert_int_equal(basic(w, "Authorization", "Basic x", "user:M", false), -EACCES);
	w->places = PLACE_HEADER | PLACE_QUERY;
	assert_int_equal(basic(w, "Authorization", "Basic ", "user:M", true), -EACCES);
	assert_int_equal(w->in.misuse_place, PLACE_BASIC);
	/* base64 in base64 */
	_cleanup_buf_ struct buf inner = { 0 };
	w->places = PLACE_BASIC;
	base64_encode(&inner, w->mine->text, w->mine->len, false, true);
	_cleanup_buf_ struct buf outer = { 0 };
	buf_puts(&outer, "Basic ");
	base64_encode(&outer, inner.data, inner.len, false, true);
	assert_int_equal(inject_header(&w->in, "Authorization", 13, (char *)outer.data, outer.len, &w->out), -EACCES);
}

static void queries(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf text = { 0 };

	assert_int_equal(query(w, "key=M&b=%20+"), 1);
	out_is(w, "key=s3cr3t%2F%2B%26value&b=%20+");
	assert_int_equal(query(w, "M=M"), 1);
	out_is(w, "s3cr3t%2F%2B%26value=s3cr3t%2F%2B%26value");
	assert_int_equal(query(w, "a=b"), 0);
	buf_printf(&text, "a=%%%02X%.*s%%%02x%s&c", w->mine->text[0], 5, w->mine->text + 1, w->mine->text[6],
		   w->mine->text + 7);
	assert_int_equal(query(w, buf_str(&text)), 1);
	out_is(w, "a=s3cr3t%2F%2B%26value&c");
	w->value = "\xff \"'<>~-._%#";
	assert_int_equal(query(w, "M"), 1);
	out_is(w, "%FF%20%22%27%3C%3E~-._%25%23");
}

static void refused_queries(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf text = { 0 };

	assert_int_equal(query(w, "a=O"), -EACCES);
	assert_int_equal(w->in.misuse_place, PLACE_QUERY);
	assert_int_equal(query(w, "a=M&b=O"), -EACCES);
	assert_int_equal(w->out.len, 0);
	base64_encode(&text, w->mine->text, w->mine->len, true, false);
	assert_int_equal(inject_query(&w->in, (char *)text.data, text.len, &w->out), -EACCES);
	text.len = 0;
	buf_printf(&text, "\\u%04x%s", w->mine->text[0], w->mine->text + 1);
	assert_int_equal(query(w, buf_str(&text)), -EACCES);
	w->places = PLACE_HEADER;
	assert_int_equal(query(w, "M"), -EACCES);
}

static void values_are_not_scanned_again(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf value = { 0 };

	w->value = fill(w, "M-O", &value);
	assert_int_equal(header(w, "X", "M"), 1);
	out_is(w, w->value);
	assert_int_equal(basic(w, "Authorization", "Basic ", "u:M", true), 1);
}

/* A value that would end the line (or, hidden in an encoding, end it at the other side) goes nowhere. */
static void values_that_break_lines(void **state)
{
	static const char *const bad[] = { "a\r\nX: y", "a\nb", "a\rb" };
	struct world *w = *state;

	for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
		w->value = i < ARRAY_LEN(bad) ? bad[i] : "a\0b";
		w->value_len = i < ARRAY_LEN(bad) ? 0 : 3;
		assert_int_equal(header(w, "X", "a M"), -EINVAL);
		assert_int_equal(w->out.len, 0);
		assert_int_equal(basic(w, "Authorization", "Basic ", "u:M", true), -EINVAL);
		assert_int_equal(query(w, "M"), -EINVAL);
		assert_int_equal(w->out.len, 0);
	}
	w->value_len = 0;
	w->value = "a\x01";
	assert_int_equal(header(w, "X", "M"), -EINVAL);
}

static void what_stood_in_out_stays(void **state)
{
	struct world *w = *state;

	w->out.len = 0;
	buf_puts(&w->out, "before ");
	assert_int_equal(inject_header(&w->in, "X", 1, w->mine->text, w->mine->len, &w->out), 1);
	out_is(w, "before s3cr3t/+&value");
	assert_int_equal(inject_header(&w->in, "X", 1, w->other->text, w->other->len, &w->out), -EACCES);
	out_is(w, "before s3cr3t/+&value");
}

static void places_without_values(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf text = { 0 };

	fill(w, "/v1/M/x", &text);
	assert_int_equal(inject_nothing(&w->in, PLACE_PATH, text.data, text.len), -EACCES);
	assert_int_equal(w->in.misuse_place, PLACE_PATH);
	assert_ptr_equal(w->in.misuse.placeholder, w->mine);
	assert_int_equal(w->in.misuse.start, 4);
	assert_int_equal(inject_nothing(&w->in, PLACE_PATH, "/v1/x", 5), 0);
}

/* A small header must not become a huge one. */
static void growth_is_bounded(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf text = { 0 };

	for (size_t i = 0; i < 64; i++)
		buf_puts(&text, w->mine->text);
	assert_int_equal(inject_query(&w->in, (char *)text.data, text.len, &w->out), 1);
	buf_puts(&text, w->mine->text);
	assert_int_equal(inject_query(&w->in, (char *)text.data, text.len, &w->out), -EACCES);
}

static void base64_vectors(void **state)
{
	/* RFC 4648 10 */
	static const char *const v[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
					    { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Z", "Zg=", "Zg===", "Z===", "=", "====", "Zg==Zg==", "Zm 9v", "Zm9v\n", "+_==", "Zm9vY" };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		_cleanup_buf_ struct buf text = { 0 }, back = { 0 };
		base64_encode(&text, v[i][0], strlen(v[i][0]), false, true);
		assert_string_equal(buf_str(&text), v[i][1]);
		assert_int_equal(base64_decode(&back, v[i][1], strlen(v[i][1])), 0);
		assert_string_equal(buf_str(&back), v[i][0]);
		back.len = text.len = 0;
		base64_encode(&text, v[i][0], strlen(v[i][0]), false, false);
		assert_int_equal(base64_decode(&back, (char *)text.data, text.len), 0);
		assert_string_equal(buf_str(&back), v[i][0]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_buf_ struct buf out = { 0 };
		if (base64_decode(&out, bad[i], strlen(bad[i])) != -EINVAL || out.len)
			fail_msg("%s was taken", bad[i]);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(headers), TEST(refused_headers), TEST(encoded_in_headers), TEST(basic_credentials), TEST(refused_basic),
		TEST(queries), TEST(refused_queries), TEST(values_are_not_scanned_again), TEST(values_that_break_lines),
		TEST(what_stood_in_out_stays), TEST(places_without_values), TEST(growth_is_bounded),
		cmocka_unit_test(base64_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
