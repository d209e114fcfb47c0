/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts, addresses and request paths: the forms that are compared, and those that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "policy/rule.h"

#include <cmocka.h>

static void test_host_accepted(void **state)
{
	static const char *const cases[][2] = {
		{ "example.org", "example.org" },    { "EXAMPLE.Org.", "example.org" }, { "a", "a" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "r1---sn-x.example", "r1---sn-x.example" },
		{ "1.2.3.4", "1.2.3.4" },	     { "[::1]", "::1" },		 { "::1", "::1" },
		{ "[2001:DB8:0:0::1]", "2001:db8::1" }, { "::ffff:1.2.3.4", "1.2.3.4" }, { "1a.2b", "1a.2b" },
		{ "B\xc3\x9c" "CHER.example", "xn--bcher-kva.example" },
		{ "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah" },
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (host_canonical(cases[i][0], strlen(cases[i][0]), true, out) != 0)
			fail_msg("%s refused", cases[i][0]);
		assert_string_equal(out, cases[i][1]);
	}
}

static void test_host_refused(void **state)
{
#define CASE(s) { s, sizeof(s) - 1 }
	static const struct {
		const char *s;
		size_t len;
	} cases[] = {
		CASE(""), CASE("."), CASE("a..b"), CASE(".a"), CASE("a.b.."), CASE("a\0.b"), CASE("evil.org\0.good.org"),
		CASE("a%00.b"), CASE("a b"), CASE("a\r.b"), CASE("a\n"), CASE("a_b.c"), CASE("-a.b"), CASE("a-.b"),
		CASE("*"), CASE("*.a"), CASE("a@b"), CASE("a:80"), CASE("a/b"), CASE("[a]"), CASE("[]"), CASE("[::1"),
		CASE("[1.2.3.4]"), CASE("fe80::1%eth0"), CASE("[fe80::1%25eth0]"), CASE("127.1"), CASE("0177.0.0.1"),
		CASE("0x7f.0.0.1"), CASE("0x7f000001"), CASE("2130706433"), CASE("1.2.3.4.5"), CASE("256.1.1.1"),
		CASE("1.2.3"), CASE("01.2.3.4"), CASE("a.0x1f"), CASE("a.123"), CASE("\xff.org"),
		CASE("\xe3\x80\x82"), CASE("a\xe2\x80\xa8.b"), CASE("\xef\xbb\xbf"), CASE("\xc2\xad"),
	};
	char out[256], label[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (host_canonical(cases[i].s, cases[i].len, true, out) == 0)
			fail_msg("%zu: %s accepted as %s", i, cases[i].s, out);
	}
	/* Not ASCII is for the client only. */
	assert_int_equal(host_canonical("b\xc3\xbc.org", 7, false, out), -EINVAL);
	memset(label, 'a', sizeof(label));
	assert_int_equal(host_canonical(label, 63, false, out), 0);
	assert_int_equal(host_canonical(label, 64, false, out), -EINVAL);
	for (size_t i = 50; i < sizeof(label); i += 50)
		label[i] = '.';
	assert_int_equal(host_canonical(label, 253, false, out), 0);
	assert_int_equal(host_canonical(label, 254, false, out), -EINVAL);
}

static void test_host_patterns(void **state)
{
	static const struct {
		const char *pattern, *host;
		bool match;
	} cases[] = {
		{ "*.x.org", "a.x.org", true },	   { "*.x.org", "b.a.x.org", true },  { "*.x.org", "x.org", false },
		{ "*.x.org", "evilx.org", false }, { "*.x.org", "x.org.evil", false }, { "x.org", "x.org", true },
		{ "x.org", "a.x.org", false },	   { "*", "x.org", true },	      { "*", "1.2.3.4", false },
		{ "*", "::1", false },		   { "1.2.3.4", "1.2.3.4", true },    { "1.2.3.4", "1.2.3.5", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host_pattern h;
		assert_int_equal(host_pattern_parse(cases[i].pattern, strlen(cases[i].pattern), false, &h, NULL), 0);
		if (host_pattern_matches(&h, cases[i].host, NULL) != cases[i].match)
			fail_msg("%s %s", cases[i].pattern, cases[i].host);
		free(h.name);
	}
}

static void test_private_addresses(void **state)
{
	static const char *const private[] = {
		"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "100.100.100.200", "127.0.0.1",
		"127.255.255.255", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
		"192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
		"64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:db8::1",
		"2002:7f00:1::1", "2002:a9fe:a9fe::", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fec0::1",
		"ff02::1", "3fff::1", "4000::1", "5f00::1", "2606:4700::5efe:7f00:1",
	};
	static const char *const public[] = {
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
		"198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.17", "::ffff:8.8.8.8", "2606:4700::1111",
		"2001:4860:4860::8888", "64:ff9b::808:808", "2002:808:808::1",
	};
	struct in6_addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(private); i++) {
		assert_true(addr_from_text(private[i], &a));
		if (!addr_is_private(&a))
			fail_msg("%s is not private", private[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(public); i++) {
		assert_true(addr_from_text(public[i], &a));
		if (addr_is_private(&a))
			fail_msg("%s is private", public[i]);
	}
}

static void test_request_paths(void **state)
{
	static const char *const accepted[][2] = {
		{ "/", "/" },		      { "/a/b", "/a/b" },	  { "/a/./b", "/a/b" },	    { "/a/../b", "/b" },
		{ "/a/b/..", "/a/" },	      { "/a/.", "/a/" },	  { "/%61", "/a" },	    { "/a%20b", "/a b" },
		{ "/a/%2e%2e/b", "/b" },      { "/a/.%2E/b", "/b" },	  { "/a//b", "/a//b" },	    { "/%2525", "/%25" },
		{ "/a%2520b", "/a%20b" },     { "/%C3%BC", "/\xc3\xbc" }, { "/...", "/..." },	    { "/a;b=c", "/a;b=c" },
		{ "/%3fx", "/?x" },	      { "/.git/x", "/.git/x" },	  { "/a/..b", "/a/..b" },
	};
#define CASE2(s) { s, sizeof(s) - 1 }
	static const struct {
		const char *s;
		size_t len;
	} refused[] = {
		CASE2(""), CASE2("a"), CASE2("/a\\b"), CASE2("/a%5cb"), CASE2("/a%2fb"), CASE2("/a%2Fb"), CASE2("/%00"),
		CASE2("/a\0b"), CASE2("/%0d%0a"), CASE2("/a\nb"), CASE2("/%7f"), CASE2("/%"), CASE2("/%4"), CASE2("/%zz"),
		CASE2("/a b"), CASE2("/a?b"), CASE2("/a#b"), CASE2("/%252f"), CASE2("/%252e%252e/x"), CASE2("/%2561"),
		CASE2("/%c0%af"), CASE2("/%e0%80%af"), CASE2("/%f0%80%80%af"), CASE2("/.."), CASE2("/../x"),
		CASE2("/a/../../x"), CASE2("/a//../x"), CASE2("/a/..;/x"), CASE2("/.;x/y"),
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
		if (path_canonical(accepted[i][0], strlen(accepted[i][0]), out) != 0)
			fail_msg("%s refused", accepted[i][0]);
		assert_string_equal(out, accepted[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		if (path_canonical(refused[i].s, refused[i].len, out) == 0)
			fail_msg("%s accepted", refused[i].s);
	}
}

/* Those that differ from the others in encoded slashes only. */
static void test_opaque_paths(void **state)
{
	static const char *const accepted[] = { "/@scope%2fname", "/%2F", "/a%2fb/c%2Fd%20e", "/%2e%2e%2fx", "/a%2f../b" };
	static const char *const refused[] = { "",	"a%2fb",     "/a%2fb/../c", "/a%2fb/.",	 "/./a%2fb", "/a%2fb%5c",
					       "/%2f%00", "/%252f", "/a%2f%zz",    "/a%2f%4", "/a%2f%c0%af", "/a%2fb c" };
	char out[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
		if (path_opaque(accepted[i], strlen(accepted[i]), out) != 0)
			fail_msg("%s refused", accepted[i]);
		assert_string_equal(out, accepted[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		if (path_opaque(refused[i], strlen(refused[i]), out) == 0)
			fail_msg("%s accepted", refused[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_accepted),	cmocka_unit_test(test_host_refused),
		cmocka_unit_test(test_host_patterns),	cmocka_unit_test(test_private_addresses),
		cmocka_unit_test(test_request_paths),	cmocka_unit_test(test_opaque_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
