/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of AWS: the examples that AWS has published, and claims out of form. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "gateway/sigv4.h"

#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SUITE_KEY "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_KEY "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SUITE "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
#define S3 "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders="
#define SUITE_HOST "host:example.amazonaws.com\n"
#define SUITE_DATE "X-Amz-Date:20150830T123600Z\n"
#define S3_HOST "Host:examplebucket.s3.amazonaws.com\n"
#define S3_DATE "x-amz-date:20130524T000000Z\n"

static struct sigv4_text text(const char *s)
{
	return (struct sigv4_text){ s, strlen(s) };
}

/* "name:value" lines. */
static void set_fields(struct sigv4_request *r, const char *lines)
{
	r->n_fields = 0;
	while (*lines) {
		const char *colon = strchr(lines, ':'), *end = strchr(lines, '\n');
		r->fields[r->n_fields++] = (struct sigv4_field){ { lines, (size_t)(colon - lines) },
								 { colon + 1, (size_t)(end - colon - 1) } };
		lines = end + 1;
	}
}

static const struct example {
	const char *method, *path, *query, *fields, *head, *signed_headers, *payload, *key, *signature;
} examples[] = {
	/* General reference: the example of IAM. */
	{ "GET", "/", "Action=ListUsers&Version=2010-05-08",
	  "Content-Type:application/x-www-form-urlencoded; charset=utf-8\nHost:iam.amazonaws.com\n" SUITE_DATE,
	  "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=",
	  "content-type;host;x-amz-date", EMPTY, SUITE_KEY, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
	/* The test suite: get-vanilla, get-vanilla-query-order-key-case, post-vanilla. */
	{ "GET", "/", "", SUITE_HOST SUITE_DATE, SUITE, "host;x-amz-date", EMPTY, SUITE_KEY,
	  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	{ "GET", "/", "Param2=value2&Param1=value1", SUITE_HOST SUITE_DATE, SUITE, "host;x-amz-date", EMPTY, SUITE_KEY,
	  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
	{ "POST", "/", "", SUITE_HOST SUITE_DATE, SUITE, "host;x-amz-date", EMPTY, SUITE_KEY,
	  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
	/* post-x-www-form-urlencoded: "Param1=value1" */
	{ "POST", "/", "", "Content-Type:application/x-www-form-urlencoded\n" SUITE_HOST SUITE_DATE, SUITE,
	  "content-type;host;x-amz-date", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e", SUITE_KEY,
	  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
	/* S3: GET of a part, PUT of a name to be encoded, GET of a setting, a list. */
	{ "GET", "/test.txt", "", S3_HOST "Range:bytes=0-9\nx-amz-content-sha256:" EMPTY "\n" S3_DATE, S3,
	  "host;range;x-amz-content-sha256;x-amz-date", EMPTY, S3_KEY,
	  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "PUT", "/test%24file.text", "",
	  "Date:Fri, 24 May 2013 00:00:00 GMT\n" S3_HOST S3_DATE "x-amz-storage-class:REDUCED_REDUNDANCY\n"
	  "x-amz-content-sha256:44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n", S3,
	  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	  "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072", S3_KEY,
	  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "GET", "/", "lifecycle", S3_HOST S3_DATE "x-amz-content-sha256:" EMPTY "\n", S3,
	  "host;x-amz-content-sha256;x-amz-date", EMPTY, S3_KEY,
	  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "GET", "/", "max-keys=2&prefix=J", S3_HOST S3_DATE "x-amz-content-sha256:" EMPTY "\n", S3,
	  "host;x-amz-content-sha256;x-amz-date", EMPTY, S3_KEY,
	  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static void published_examples(void **state)
{
	static struct sigv4_request r;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
		const struct example *x = &examples[i];
		_cleanup_buf_ struct buf claim = { 0 };
		struct sigv4_claim c;
		char signature[SIGV4_HEX + 1];
		assert_int_equal(buf_printf(&claim, "%s%s, Signature=%s", x->head, x->signed_headers, x->signature), 0);
		assert_int_equal(sigv4_claim_header(text(buf_str(&claim)), &c), 1);
		r.method = text(x->method);
		r.path = text(x->path);
		r.query = text(x->query);
		set_fields(&r, x->fields);
		assert_int_equal(sigv4_sign(&c, &r, text(x->payload), x->key, strlen(x->key), signature), 0);
		if (strcmp(signature, x->signature) != 0)
			print_message("example %zu\n", i);
		assert_string_equal(signature, x->signature);
		/* Another key, another signature. */
		assert_int_equal(sigv4_sign(&c, &r, text(x->payload), "x", 1, signature), 0);
		assert_string_not_equal(signature, x->signature);
		sigv4_claim_free(&c);
	}
}

/* S3: a link that lasts a day. */
static void published_presigned(void **state)
{
	static const char query[] = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
				    "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
				    "X-Amz-SignedHeaders=host&X-Amz-Signature="
				    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
	static struct sigv4_request r;
	struct sigv4_claim c;
	char signature[SIGV4_HEX + 1];
	(void)state;

	assert_int_equal(sigv4_claim_query(text(query), &c), 1);
	assert_true(c.presigned && sigv4_is_s3(&c));
	assert_memory_equal(c.key_id.p, "AKIAIOSFODNN7EXAMPLE", c.key_id.len);
	r = (struct sigv4_request){ .method = text("GET"), .path = text("/test.txt"), .query = text(query) };
	set_fields(&r, S3_HOST);
	assert_int_equal(sigv4_sign(&c, &r, text("UNSIGNED-PAYLOAD"), S3_KEY, strlen(S3_KEY), signature), 0);
	assert_memory_equal(signature, c.signature.p, SIGV4_HEX);
	sigv4_claim_free(&c);
}

#define SIG "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"

static void claims(void **state)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{ "", 0 },
		{ "Bearer x", 0 },
		{ "AWS4-ECDSA-P256-SHA256 Credential=x", 0 },
		{ SUITE "host, Signature=" SIG, 1 },
		{ "AWS4-HMAC-SHA256 Signature=" SIG ",SignedHeaders=host,Credential=a/b/20150830/r/s/aws4_request", 1 },
		{ "AWS4-HMAC-SHA256 ", -EINVAL },
		{ SUITE "host", -EINVAL },
		{ SUITE "Host, Signature=" SIG, -EINVAL },
		{ SUITE "host, Signature=5fa0", -EINVAL },
		{ SUITE "host, Signature=" SIG ", Signature=" SIG, -EINVAL },
		{ SUITE "host, Signature=" SIG ", More=1", -EINVAL },
		{ "AWS4-HMAC-SHA256 Credential=a/20150830/r/aws4_request,SignedHeaders=host,Signature=" SIG, -EINVAL },
		{ "AWS4-HMAC-SHA256 Credential=/20150830/r/s/aws4_request,SignedHeaders=host,Signature=" SIG, -EINVAL },
		{ "AWS4-HMAC-SHA256 Credential=a/2015083/r/s/aws4_request,SignedHeaders=host,Signature=" SIG, -EINVAL },
		{ "AWS4-HMAC-SHA256 Credential=a/20150830/r/s/aws5_request,SignedHeaders=host,Signature=" SIG, -EINVAL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sigv4_claim c;
		int r = sigv4_claim_header(text(cases[i].text), &c);
		if (r != cases[i].result)
			print_message("%s\n", cases[i].text);
		assert_int_equal(r, cases[i].result);
		sigv4_claim_free(&c);
	}
}

/* What is not there cannot be signed, the host has to be, and a time of another day is none of the scope's. */
static void missing_parts(void **state)
{
	static const struct {
		const char *headers, *fields;
		int result;
	} cases[] = {
		{ "host;x-amz-date", SUITE_HOST SUITE_DATE, 0 },
		{ "host;x-amz-date;x-amz-more", SUITE_HOST SUITE_DATE, -ENOENT },
		{ "x-amz-date", SUITE_HOST SUITE_DATE, -EINVAL },
		{ "host", SUITE_HOST, -ENOENT },
		{ "host", SUITE_HOST "x-amz-date:20150831T123600Z\n", -EINVAL },
	};
	static struct sigv4_request r;
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf claim = { 0 };
		struct sigv4_claim c;
		char signature[SIGV4_HEX + 1];
		assert_int_equal(buf_printf(&claim, SUITE "%s, Signature=" SIG, cases[i].headers), 0);
		assert_int_equal(sigv4_claim_header(text(buf_str(&claim)), &c), 1);
		r = (struct sigv4_request){ .method = text("GET"), .path = text("/") };
		set_fields(&r, cases[i].fields);
		assert_int_equal(sigv4_sign(&c, &r, text(EMPTY), "k", 1, signature), cases[i].result);
		sigv4_claim_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_examples),
		cmocka_unit_test(published_presigned),
		cmocka_unit_test(claims),
		cmocka_unit_test(missing_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
