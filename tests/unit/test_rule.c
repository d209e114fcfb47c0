/* SPDX-License-Identifier: Apache-2.0 */
/* The rule language: forms, canonical text, paths; its sets are in test_rule_sets.c. */
#include "rule_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static void assert_text(const struct rule *r, const char *expected)
{
	_cleanup_buf_ struct buf b = { 0 };
	assert_int_equal(rule_text(r, &b), 0);
	assert_string_equal(buf_str(&b), expected);
}

static void test_canonical(void **state)
{
	static const struct {
		enum rule_kind kind;
		const char *text, *canonical;
	} cases[] = {
		{ RULE_ALLOW, "Example.ORG.", "example.org" },
		{ RULE_ALLOW, "*.Example.org", "*.example.org" },
		{ RULE_ALLOW, "*", "*" },
		{ RULE_ALLOW, "example.org:8080", "example.org:8080" },
		{ RULE_ALLOW, "http://example.org:80/", "http://example.org/" },
		{ RULE_ALLOW, "https://example.org:443", "https://example.org" },
		{ RULE_ALLOW, "https://example.org/**", "https://example.org" },
		{ RULE_ALLOW, "https://example.org/v1/**/**", "https://example.org/v1/**" },
		{ RULE_ALLOW, "https://example.org/a%20b/%2A/*", "https://example.org/a%20b/%2A/*" },
		{ RULE_ALLOW, "https://example.org/%61", "https://example.org/a" },
		{ RULE_ALLOW, "POST,GET  https://example.org/x", "GET,POST https://example.org/x" },
		{ RULE_ALLOW, "HEAD example.org", "HEAD example.org" },
		{ RULE_ALLOW, "tcp://db.example.com:5432", "tcp://db.example.com:5432" },
		{ RULE_ALLOW, "10.0.0.0/8:5432", "10.0.0.0/8:5432" },
		{ RULE_ALLOW, "[fd00::]/8:53", "[fd00::]/8:53" },
		{ RULE_ALLOW, "[FD00::/8]:53", "[fd00::]/8:53" },
		{ RULE_ALLOW, "10.0.0.1/32:22", "tcp://10.0.0.1:22" },
		{ RULE_ALLOW, "[::ffff:10.0.0.1]:80", "10.0.0.1:80" },
		{ RULE_ALLOW, "http://[2001:DB8::1]:81/x", "http://[2001:db8::1]:81/x" },
		{ RULE_ALLOW, "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
		{ RULE_DENY, "example.org", "example.org" },
		{ RULE_DENY, "example.org:22", "example.org:22" },
		{ RULE_DENY, "DELETE example.org", "DELETE example.org" },
		{ RULE_DENY, "10.0.0.0/8", "10.0.0.0/8" },
		{ RULE_DENY, "https://example.org/A/%5A*", "https://example.org/a/z*" },
		{ RULE_ALLOW, "https://example.org/A/%5A*", "https://example.org/A/Z*" },
		{ RULE_DENY, "https://example.org", "https://example.org" },
		{ RULE_DENY, "tcp://example.org:1", "tcp://example.org:1" },
		{ RULE_PASSTHROUGH, "example.org", "example.org" },
		{ RULE_PASSTHROUGH, "example.org:8443", "example.org:8443" },
		{ RULE_SECRET, "https://example.org/x", "https://example.org/x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rule *r = parse(cases[i].text, cases[i].kind), *again;
		assert_text(r, cases[i].canonical);
		again = parse(cases[i].canonical, cases[i].kind);
		assert_text(again, cases[i].canonical);
		assert_int_equal(rule_is_subset(r, again), 1);
		assert_int_equal(rule_is_subset(again, r), 1);
		rule_free(r);
		rule_free(again);
	}
}

static const struct refusal {
	enum rule_kind kind;
	const char *text, *message;
} refusals[] = {
	{ RULE_ALLOW, "", "the host is empty" },
	{ RULE_ALLOW, "https://", "the host is empty" },
	{ RULE_ALLOW, ":80", "the host is empty" },
	{ RULE_ALLOW, "*x.org", "'*' stands alone" },
	{ RULE_ALLOW, "a.*.org", "'*' stands alone" },
	{ RULE_ALLOW, "**.org", "'*' stands alone" },
	{ RULE_ALLOW, "*.10.0.0.1", "'*' stands alone" },
	{ RULE_ALLOW, "a_b.org", "is not a host" },
	{ RULE_ALLOW, "-a.org", "is not a host" },
	{ RULE_ALLOW, "a..org", "is not a host" },
	{ RULE_ALLOW, "127.1", "is not a host" },
	{ RULE_ALLOW, "0x7f.0.0.1", "is not a host" },
	{ RULE_ALLOW, "2852039166", "is not a host" },
	{ RULE_ALLOW, "user@a.org", "is not a host" },
	{ RULE_ALLOW, "[::1", "'[' without ']'" },
	{ RULE_ALLOW, "::1", "IPv6 address is written in brackets" },
	{ RULE_ALLOW, "[fe80::1%25eth0]", "is not a host" },
	{ RULE_ALLOW, "a.org:0", "not a number from 1 to 65535" },
	{ RULE_ALLOW, "a.org:65536", "not a number from 1 to 65535" },
	{ RULE_ALLOW, "a.org:", "not a number from 1 to 65535" },
	{ RULE_ALLOW, "a.org:+80", "not a number from 1 to 65535" },
	{ RULE_ALLOW, "a.org:080000", "not a number from 1 to 65535" },
	{ RULE_ALLOW, "a.org/v1", "a path needs a scheme" },
	{ RULE_ALLOW, "ftp://a.org", "unknown scheme" },
	{ RULE_ALLOW, "HTTPS://a.org", "unknown scheme" },
	{ RULE_ALLOW, "get https://a.org", "methods are upper case" },
	{ RULE_ALLOW, "GET,,POST a.org", "unknown method" },
	{ RULE_ALLOW, "FETCH a.org", "unknown method" },
	{ RULE_ALLOW, "CONNECT a.org", "unknown method" },
	{ RULE_ALLOW, "GET https://a.org x", "only one space" },
	{ RULE_ALLOW, "GET tcp://a.org:1", "methods and paths are for HTTP only" },
	{ RULE_ALLOW, "tcp://a.org:1/x", "methods and paths are for HTTP only" },
	{ RULE_ALLOW, "tcp://a.org", "needs a port" },
	{ RULE_ALLOW, "10.0.0.0/8", "a range needs a port" },
	{ RULE_ALLOW, "10.0.0.1/8:1", "write 10.0.0.0/8" },
	{ RULE_ALLOW, "10.0.0.0/33:1", "ADDRESS/N" },
	{ RULE_ALLOW, "10.0.0.0/:1", "ADDRESS/N" },
	{ RULE_ALLOW, "https://a.org/x?y", "no query" },
	{ RULE_ALLOW, "https://a.org/x#y", "no query" },
	{ RULE_ALLOW, "https://a.org/a,b", "%2C" },
	{ RULE_ALLOW, "https://a.org?x", "does not start with '/'" },
	{ RULE_ALLOW, "https://a.org/x%2fy", "never match" },
	{ RULE_ALLOW, "https://a.org/x%00", "never match" },
	{ RULE_ALLOW, "https://a.org/x%zz", "hexadecimal" },
	{ RULE_ALLOW, "https://a.org/x\\y", "never match" },
	{ RULE_ALLOW, "https://a.org/../y", "removed from requests" },
	{ RULE_ALLOW, "https://a.org/%2e%2e/y", "removed from requests" },
	{ RULE_ALLOW, "https://a.org/v1**", "whole segment" },
	{ RULE_ALLOW, "https://a.org/***", "whole segment" },
	{ RULE_PASSTHROUGH, "https://a.org", "accepted: HOST[:PORT]" },
	{ RULE_PASSTHROUGH, "10.0.0.1", "accepted: HOST[:PORT]" },
	{ RULE_PASSTHROUGH, "GET a.org", "methods are not accepted here" },
	{ RULE_SECRET, "GET https://a.org", "methods are not accepted here" },
	{ RULE_SECRET, "*", "named hosts" },
	{ RULE_SECRET, "tcp://a.org:1", "only to http(s)" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct rule *r = NULL;
		struct error e = { 0 };
		if (rule_parse(refusals[i].text, refusals[i].kind, true, &r, &e) == 0)
			fail_msg("'%s' was accepted", refusals[i].text);
		if (!strstr(e.message, refusals[i].message))
			fail_msg("'%s': %s", refusals[i].text, e.message);
	}
	char path[600];
	memset(path, 'a', sizeof(path));
	memcpy(path, "https://a.org/", 14);
	path[sizeof(path) - 1] = '\0';
	struct rule *r;
	struct error e = { 0 };
	assert_int_equal(rule_parse(path, RULE_ALLOW, true, &r, &e), -EINVAL);
	assert_non_null(strstr(e.message, "over 383 bytes"));
}

/* Canonical text is longer than what was written when bytes need encoding; it must still be accepted (found by fuzzing). */
static void test_longest_text(void **state)
{
	char text[700] = "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS https://";
	struct rule *r, *again;
	struct buf b = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++)
		strcat(text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.");
	strcat(text, "org/");
	size_t n = strlen(text);
	memset(text + n, 0xae, PATTERN_MAX - 1);
	text[n + PATTERN_MAX - 1] = '\0';
	r = parse(text, RULE_ALLOW);
	assert_int_equal(rule_text(r, &b), 0);
	assert_non_null(buf_str(&b));
	assert_true(b.len > 1024);
	again = parse(buf_str(&b), RULE_ALLOW);
	assert_int_equal(rule_is_subset(r, again), 1);
	rule_free(r);
	rule_free(again);
	buf_free(&b);
}

static void test_paths(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool match;
	} cases[] = {
		{ "/v1/**", "/v1", true },	    { "/v1/**", "/v1/", true },	     { "/v1/**", "/v1/a/b", true },
		{ "/v1/**", "/v10", false },	    { "/v1/**", "/V1/a", false },     { "/v1/*", "/v1/a", true },
		{ "/v1/*", "/v1/a/b", false },	    { "/v1/*", "/v1/", true },	      { "/v1/*", "/v1", false },
		{ "/v1", "/v1/", false },	    { "/a/**/b", "/a/b", true },      { "/a/**/b", "/a/x/y/b", true },
		{ "/a/**/b", "/a/xb", false },	    { "/**/b", "/b", true },	      { "/a*c/d", "/abbc/d", true },
		{ "/a*c/d", "/ab/c/d", false },	    { "/*.git/**", "/x.git/y", true }, { "/%2A", "/*", true },
		{ "/%2A", "/a", false },	    { "/", "/", true },		      { "/", "/a", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct path_pattern *p = NULL;
		assert_int_equal(path_pattern_parse(cases[i].pattern, strlen(cases[i].pattern), &p, NULL), 0);
		if (path_pattern_matches(p, cases[i].path, false) != cases[i].match)
			fail_msg("%s %s", cases[i].pattern, cases[i].path);
		free(p);
	}
}

/* What lax servers behind us may make of a path must not get around a denial. */
static void test_denied_widely(void **state)
{
	static const char *const paths[] = {
		"/v1/admin", "/v1//admin/x", "//v1/admin", "/v1;a=b/admin;c/d", "/v1/admin;x", "/V1/Admin", "/v1/;/admin",
		"//v1/;a//;b/ADMIN;c/", "/v1/;a;b/admin/",
	};
	struct rule *deny = parse("GET https://a.org/v1/admin/**", RULE_DENY);
	struct rule *allow = parse("GET https://a.org/v1/admin/**", RULE_ALLOW);
	struct net_target t = { .proto = PROTO_HTTPS, .host = "a.org", .port = 443, .method = "GET" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		t.path = paths[i];
		assert_true(rule_matches(deny, &t));
		assert_int_equal(rule_matches(allow, &t), i == 0);
	}
	t.path = "/v1/admin";
	t.method = "get";
	assert_true(rule_matches(deny, &t));
	assert_false(rule_matches(allow, &t));
	t.path = t.method = NULL; /* unknown yet */
	assert_true(rule_matches(deny, &t));
	assert_false(rule_matches(allow, &t));
	rule_free(deny);
	rule_free(allow);
}

/* Also one that ends where the server's route does. */
static void test_denied_at_the_end(void **state)
{
	static const struct {
		const char *rule, *path;
		bool match;
	} cases[] = {
		{ "/v1/admin", "/v1/admin/", true },	{ "/v1/admin", "/v1/ADMIN//;x/", true },
		{ "/v1/Admin/", "/v1/admin", true },	{ "/v1/admin", "/v1/admin/x", false },
		{ "/v1/admin", "/v1/admins", false },	{ "/v1/*", "/v1", true },
		{ "/", "//", true },			{ "/", "/;x", true },
		{ "/", "/x", false },			{ "/a//B", "/A//b", true },
		{ "/a/%3Bx", "/a/;X", true },		{ "/a%3Bb", "/a", false },
		{ "/v1/*/x", "/v1/;y/x", true },	{ "/v1/[", "/v1/{", false }, /* 0x20 apart, and no letters */
		{ "/v1/@", "/v1/`", false },		{ "/\xc3\x84", "/\xc3\xa4", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[64];
		snprintf(text, sizeof(text), "https://a.org%s", cases[i].rule);
		struct rule *deny = parse(text, RULE_DENY);
		struct net_target t = { .proto = PROTO_HTTPS, .host = "a.org", .port = 443, .method = "GET", .path = cases[i].path };
		if (rule_matches(deny, &t) != cases[i].match)
			fail_msg("deny %s, %s", cases[i].rule, cases[i].path);
		rule_free(deny);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_longest_text),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_denied_widely),
		cmocka_unit_test(test_denied_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
