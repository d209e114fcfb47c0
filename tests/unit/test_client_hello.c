/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos: names, ALPN, ECH, any cutting into records and reads, malformed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "gateway/client_hello.h"

#include <cmocka.h>

static struct client_hello hello; /* 64 KiB */

static void put(struct buf *b, size_t bytes, size_t v)
{
	while (bytes--)
		buf_putc(b, (char)(v >> (8 * bytes)));
}

static void put_vector(struct buf *b, size_t bytes, const void *data, size_t len)
{
	put(b, bytes, len);
	buf_append(b, data, len);
}

static void put_extension(struct buf *b, unsigned type, const void *data, size_t len)
{
	put(b, 2, type);
	put_vector(b, 2, data, len);
}

static void put_sni(struct buf *b, const void *name, size_t len)
{
	struct buf body = { 0 };

	put(&body, 2, len + 3);
	put(&body, 1, 0);
	put_vector(&body, 2, name, len);
	put_extension(b, 0, body.data, body.len);
	buf_free(&body);
}

/* The handshake message around these extensions. */
static struct buf message(const struct buf *extensions)
{
	struct buf body = { 0 }, all = { 0 };

	put(&body, 2, 0x0303);
	for (int i = 0; i < 32; i++)
		put(&body, 1, 0xaa);
	put_vector(&body, 1, "\0\1\2\3", 4);
	put_vector(&body, 2, "\x13\x01\x13\x02", 4);
	put_vector(&body, 1, "", 1);
	if (extensions)
		put_vector(&body, 2, extensions->data, extensions->len);
	put(&all, 1, 1);
	put_vector(&all, 3, body.data, body.len);
	buf_free(&body);
	return all;
}

/* Cut into records of at most n bytes. */
static struct buf records(const struct buf *m, size_t n)
{
	struct buf out = { 0 };

	for (size_t at = 0; at < m->len; at += n) {
		put(&out, 3, 0x160301);
		put_vector(&out, 2, m->data + at, m->len - at < n ? m->len - at : n);
	}
	return out;
}

static enum client_hello_status parse(const void *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, data, len);
	enum client_hello_status s = client_hello_parse(copy, len, &hello);
	/* What it found points into its own copy. */
	free(copy);
	return s;
}

static enum client_hello_status parse_extensions(struct buf *extensions)
{
	struct buf m = message(extensions), r = records(&m, 16384);
	enum client_hello_status s = parse(r.data, r.len);

	buf_free(&m);
	buf_free(&r);
	buf_free(extensions);
	return s;
}

static struct buf typical(void)
{
	struct buf e = { 0 };

	put_extension(&e, 0x0a0a, "", 0);
	put_sni(&e, "api.example.com", 15);
	put_extension(&e, 16, "\0\x0c\x02h2\x08http/1.1", 14);
	put_extension(&e, 43, "\x04\x03\x04\x03\x03", 5);
	put_extension(&e, 0xfe0d, "\0", 1);
	return e;
}

static void facts(void **state)
{
	struct buf e = typical();
	(void)state;

	assert_int_equal(parse_extensions(&e), CLIENT_HELLO_OK);
	assert_int_equal(hello.sni_len, 15);
	assert_memory_equal(hello.sni, "api.example.com", 15);
	assert_true(hello.alpn);
	assert_true(hello.ech);
	assert_true(hello.tls13);
	/* The next one inherits nothing. */
	struct buf none = { 0 };
	assert_int_equal(parse_extensions(&none), CLIENT_HELLO_OK);
	assert_null(hello.sni);
	assert_false(hello.ech || hello.tls13 || hello.alpn);
	struct buf m = message(NULL), r = records(&m, 16384);
	assert_int_equal(parse(r.data, r.len), CLIENT_HELLO_OK);
	buf_free(&m);
	buf_free(&r);
}

static void any_cutting(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 7, 64, 16384 };
	struct buf e = typical(), m = message(&e);
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct buf r = records(&m, sizes[i]);
		for (size_t len = 0; len < r.len; len++)
			assert_int_equal(parse(r.data, len), CLIENT_HELLO_MORE);
		assert_int_equal(parse(r.data, r.len), CLIENT_HELLO_OK);
		assert_memory_equal(hello.sni, "api.example.com", 15);
		buf_free(&r);
	}
	buf_free(&e);
	buf_free(&m);
}

static void refused(const void *data, size_t len, const char *error)
{
	enum client_hello_status s = parse(data, len);

	if (s != CLIENT_HELLO_BAD || strcmp(hello.error, error) != 0)
		fail_msg("status %d, %s; wanted %s", (int)s, hello.error ? hello.error : "no error", error);
	/* A prefix may still be undecided, but is never taken. */
	for (size_t n = 0; n < len; n++)
		assert_int_not_equal(parse(data, n), CLIENT_HELLO_OK);
}
#define REFUSED(bytes, error) refused(bytes, sizeof(bytes) - 1, error)

static void not_one(void **state)
{
	struct buf m = message(NULL);
	(void)state;

	REFUSED("GET / HTTP/1.1\r\n", "not-tls");
	REFUSED("\x80\x2e\x01\x03\x01", "not-tls");
	REFUSED("\x15\x03\x01\x00\x02\x02\x28", "not-tls");
	REFUSED("\x16\x02\x01\x00\x05", "not-tls");
	REFUSED("\x16\x03\x01\x00\x00", "record-length");
	REFUSED("\x16\x03\x01\x40\x01", "record-length");
	REFUSED("\x16\x03\x01\x00\x04\x02\x00\x00\x00", "not-client-hello");
	REFUSED("\x16\x03\x01\x00\x04\x01\x01\x00\x00", "too-long");
	/* Another record type between the pieces. */
	struct buf r = records(&m, 10);
	r.data[15] = 0x17;
	refused(r.data, r.len, "not-tls");
	buf_free(&r);
	buf_append(&m, "x", 1);
	r = records(&m, 16384);
	refused(r.data, r.len, "trailing-bytes");
	buf_free(&r);
	buf_free(&m);
}

static void bad_extension(const char *error, struct buf e)
{
	assert_int_equal(parse_extensions(&e), CLIENT_HELLO_BAD);
	assert_string_equal(hello.error, error);
}

static struct buf one(unsigned type, const void *data, size_t len)
{
	struct buf e = { 0 };
	put_extension(&e, type, data, len);
	return e;
}
#define ONE(type, bytes) one(type, bytes, sizeof(bytes) - 1)

static void bad_extensions(void **state)
{
	struct buf e = { 0 };
	char name[256];
	(void)state;

	memset(name, 'a', sizeof(name));
	put_sni(&e, name, 255);
	assert_int_equal(parse_extensions(&e), CLIENT_HELLO_OK);
	put_sni(&e, name, 256);
	bad_extension("sni-form", e);
	e = (struct buf){ 0 };
	put_sni(&e, "", 0);
	bad_extension("sni-form", e);
	e = (struct buf){ 0 };
	put_sni(&e, "a.example", 9);
	put_sni(&e, "b.example", 9);
	bad_extension("sni-twice", e);
	bad_extension("sni-form", ONE(0, ""));
	bad_extension("sni-form", ONE(0, "\0\0"));
	bad_extension("sni-form", ONE(0, "\0\4\1\0\1a"));	   /* no host_name */
	bad_extension("sni-form", ONE(0, "\0\x08\0\0\1a\0\0\1b")); /* two names */
	bad_extension("sni-form", ONE(0, "\0\4\0\0\1ax"));
	bad_extension("sni-form", ONE(0, "\0\4\0\0\2a"));
	bad_extension("alpn-form", ONE(16, "\0\0"));
	bad_extension("alpn-form", ONE(16, "\0\1\0"));
	bad_extension("alpn-form", ONE(16, "\0\3\3h2"));
	bad_extension("alpn-form", ONE(16, "\0\3\2h2x"));
	e = ONE(16, "\0\3\2h2");
	put_extension(&e, 16, "\0\3\2h2", 5);
	bad_extension("alpn-twice", e);
	bad_extension("versions-form", ONE(43, "\3\3\4\3"));
	bad_extension("versions-form", ONE(43, "\2\3"));
	e = (struct buf){ 0 };
	put(&e, 3, 0);
	bad_extension("extension-form", e);
	e = (struct buf){ 0 };
	put(&e, 4, 0x00170001);
	bad_extension("extension-form", e);
}

/* Each byte of a good one changed in turn: never a crash, and lengths that lie are noticed. */
static void every_byte_changed(void **state)
{
	struct buf e = typical(), m = message(&e), r = records(&m, 50);
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	size_t bad = 0;
	(void)state;

	for (size_t i = 0; i < r.len; i++) {
		for (size_t k = 0; k < ARRAY_LEN(values); k++) {
			uint8_t was = r.data[i];
			r.data[i] = values[k];
			bad += parse(r.data, r.len) == CLIENT_HELLO_BAD;
			r.data[i] = was;
		}
	}
	assert_true(bad > 100);
	assert_int_equal(parse(r.data, r.len), CLIENT_HELLO_OK);
	buf_free(&e);
	buf_free(&m);
	buf_free(&r);
}

static void size_limit(void **state)
{
	struct buf e = { 0 };
	char *fill = calloc(1, 65000);
	(void)state;

	put_extension(&e, 21, fill, 60000);
	put_sni(&e, "a.example", 9);
	struct buf m = message(&e);
	for (size_t n = 16384; n; n = n > 64 ? n / 4 : 0) {
		struct buf r = records(&m, n);
		/* Headers count too: many small records are over the limit though the message is not. */
		assert_int_equal(parse(r.data, r.len), r.len <= CLIENT_HELLO_MAX ? CLIENT_HELLO_OK : CLIENT_HELLO_BAD);
		buf_free(&r);
	}
	buf_free(&m);
	buf_free(&e);
	free(fill);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts),	  cmocka_unit_test(any_cutting),	cmocka_unit_test(not_one),
		cmocka_unit_test(bad_extensions), cmocka_unit_test(every_byte_changed), cmocka_unit_test(size_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
