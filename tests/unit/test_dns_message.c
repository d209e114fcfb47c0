/* SPDX-License-Identifier: Apache-2.0 */
/* DNS: classification of questions, malformed messages, form of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "gateway/dns_message.h"

#include <cmocka.h>

enum { A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, OPT = 41, SVCB = 64, HTTPS = 65,
       IXFR = 251, AXFR = 252, ANY = 255 };

static void put16(struct buf *b, unsigned v)
{
	buf_putc(b, (char)(v >> 8));
	buf_putc(b, (char)v);
}

static void put_name(struct buf *b, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		buf_putc(b, (char)n);
		buf_append(b, name, n);
		name += n + (name[n] == '.');
	}
	buf_putc(b, 0);
}

static struct buf query(const char *name, unsigned type, unsigned class)
{
	struct buf b = { 0 };

	buf_append(&b, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
	put_name(&b, name);
	put16(&b, type);
	put16(&b, class);
	return b;
}

/* Parsed from memory of exactly its length, so that ASan sees any byte too many. */
static struct dns_query parse(const struct buf *b, uint8_t **copy)
{
	struct dns_query q;

	*copy = malloc(b->len ? b->len : 1);
	memcpy(*copy, b->data, b->len);
	dns_parse(*copy, b->len, &q);
	return q;
}

static enum dns_kind kind_of(const char *name, unsigned type, unsigned class)
{
	struct buf b = query(name, type, class);
	uint8_t *copy;
	struct dns_query q = parse(&b, &copy);

	free(copy);
	buf_free(&b);
	return q.kind;
}

static void kinds(void **state)
{
	static const unsigned empty[] = { NS, CNAME, SOA, MX, TXT, AAAA, SRV, SVCB, HTTPS, ANY, 10, 65535 };
	static const char *const none[] = { "", "single", "localhost", "LOCALHOST", "a.localhost", "a.b.LocalHost",
					    "1.2.3.4", "a.127", "a.0x7f", "2852039166", "_dmarc.example.com", "-a.example.com",
					    "a-.example.com", "a b.example.com", "a\\b.example.com", "\x80.example.com" };
	(void)state;

	assert_int_equal(kind_of("www.example.com", A, 1), DNS_ADDRESS);
	assert_int_equal(kind_of("a.b", A, 1), DNS_ADDRESS);
	assert_int_equal(kind_of("xn--bcher-kva.example", A, 1), DNS_ADDRESS);
	assert_int_equal(kind_of("1.example", A, 1), DNS_ADDRESS);
	assert_int_equal(kind_of("a.0xfg", A, 1), DNS_ADDRESS);
	assert_int_equal(kind_of("notlocalhost.example", A, 1), DNS_ADDRESS);
	assert_int_equal(kind_of("a.notlocalhost", A, 1), DNS_ADDRESS);
	for (size_t i = 0; i < ARRAY_LEN(empty); i++)
		assert_int_equal(kind_of("www.example.com", empty[i], 1), DNS_NODATA);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		if (kind_of(none[i], A, 1) != DNS_NXDOMAIN || kind_of(none[i], AAAA, 1) != DNS_NXDOMAIN)
			fail_msg("%s has an answer", none[i]);
	}
	assert_int_equal(kind_of("1.0.0.127.in-addr.arpa", PTR, 1), DNS_NXDOMAIN);
	assert_int_equal(kind_of("www.example.com", A, 3), DNS_REFUSED);
	assert_int_equal(kind_of("www.example.com", A, 255), DNS_REFUSED);
	assert_int_equal(kind_of("www.example.com", AXFR, 1), DNS_REFUSED);
	assert_int_equal(kind_of("www.example.com", IXFR, 1), DNS_REFUSED);
}

static void lengths_of_names(void **state)
{
	char label[65] = "", name[300] = "";
	(void)state;

	memset(label, 'a', 63);
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s", label, label, label, label);
	assert_int_equal(strlen(name), 253);
	assert_int_equal(kind_of(name, A, 1), DNS_ADDRESS);
	snprintf(name, sizeof(name), "%s.%s.%s.%.62s", label, label, label, label);
	assert_int_equal(kind_of(name, A, 1), DNS_FORMERR);
	/* 64 is the first byte of no label. */
	memset(label, 'a', 64);
	snprintf(name, sizeof(name), "%s.example", label);
	assert_int_equal(kind_of(name, A, 1), DNS_FORMERR);
}

/* A message in hexadecimal, by hand. */
static void kind_is(const char *bytes, size_t len, enum dns_kind kind)
{
	struct buf b = { (uint8_t *)(uintptr_t)bytes, len, len };
	uint8_t *copy;
	struct dns_query q = parse(&b, &copy);

	if (q.kind != kind)
		fail_msg("kind %d, wanted %d", (int)q.kind, (int)kind);
	free(copy);
}
#define KIND(bytes, kind) kind_is(bytes, sizeof(bytes) - 1, kind)
#define HEAD(flags, qd, an, ns, ar) "\x12\x34" flags "\0" qd "\0" an "\0" ns "\0" ar
#define Q "\1a\1b\0\0\1\0\1"
#define OPT_RECORD "\0\0\x29\x10\0\0\0\0\0"

static void malformed(void **state)
{
	(void)state;
	KIND("", DNS_DROP);
	KIND("\x12\x34\1\0\0\1\0\0\0\0\0", DNS_DROP);
	KIND(HEAD("\x81\0", "\1", "\0", "\0", "\0") Q, DNS_DROP);
	KIND(HEAD("\x09\0", "\1", "\0", "\0", "\0") Q, DNS_NOTIMP);
	KIND(HEAD("\x28\0", "\1", "\0", "\0", "\0") Q, DNS_NOTIMP);
	KIND(HEAD("\1\0", "\0", "\0", "\0", "\0"), DNS_FORMERR);
	KIND(HEAD("\1\0", "\2", "\0", "\0", "\0") Q Q, DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\1", "\0", "\0") Q, DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\1", "\0") Q, DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0"), DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\1a", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\1a\1b\0\0\1\0", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") Q "x", DNS_FORMERR);
	/* Compression: to itself, to the header, forward; and the two reserved label types. */
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\xc0\x0c\0\1\0\1", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\1a\xc0\x00\0\1\0\1", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\1a\xc0\x14\0\1\0\1\1b\0", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\x41\1b\0\0\1\0\1", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\x81\1b\0\0\1\0\1", DNS_FORMERR);
	/* NUL inside a label: not the end of the name. */
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\3a\0b\3com\0\0\1\0\1", DNS_NXDOMAIN);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") "\3a.b\3com\0\0\1\0\1", DNS_NXDOMAIN);
	/* Additional records: one OPT whose length fits. */
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\1") Q OPT_RECORD "\0\0", DNS_ADDRESS);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\1") Q OPT_RECORD "\0\2ab", DNS_ADDRESS);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\1") Q OPT_RECORD "\0\2a", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\1") Q OPT_RECORD "\0\0x", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\1") Q, DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\2") Q OPT_RECORD "\0\0" OPT_RECORD "\0\0", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\1") Q "\0\0\1\0\1\0\0\0\0\0\0", DNS_FORMERR);
	KIND(HEAD("\1\0", "\1", "\0", "\0", "\0") Q OPT_RECORD "\0\0", DNS_FORMERR);
}

static size_t answer(const struct buf *b, enum dns_rcode rcode, uint32_t addr, uint8_t out[DNS_MAX_ANSWER])
{
	uint8_t *copy;
	struct dns_query q = parse(b, &copy);

	size_t n = dns_answer(&q, rcode, addr, out);
	free(copy);
	return n;
}

static void address_answer(void **state)
{
	static const uint8_t wanted[] = "\x12\x34\x85\x80\0\1\0\1\0\0\0\0"
					"\3WwW\2Ex\3oRg\0\0\1\0\1"
					"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\0\1";
	struct buf b = query("WwW.Ex.oRg", A, 1);
	uint8_t out[DNS_MAX_ANSWER], *copy;
	(void)state;

	/* The case is echoed as it came (0x20), the name as others compare it is lower case. */
	assert_int_equal(answer(&b, DNS_RCODE_OK, 0xc6120001, out), sizeof(wanted) - 1);
	assert_memory_equal(out, wanted, sizeof(wanted) - 1);
	struct dns_query q = parse(&b, &copy);
	assert_string_equal(q.name, "www.ex.org");
	free(copy);
	buf_free(&b);
}

static void other_answers(void **state)
{
	static const struct {
		enum dns_rcode rcode;
		uint8_t low;
	} codes[] = { { DNS_RCODE_OK, 0x80 }, { DNS_RCODE_FORMERR, 0x81 }, { DNS_RCODE_SERVFAIL, 0x82 },
		      { DNS_RCODE_NXDOMAIN, 0x83 }, { DNS_RCODE_NOTIMP, 0x84 }, { DNS_RCODE_REFUSED, 0x85 } };
	struct buf b = query("a.b", AAAA, 1);
	uint8_t out[DNS_MAX_ANSWER];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		/* An address is for questions of type A only. */
		assert_int_equal(answer(&b, codes[i].rcode, 0xc6120001, out), b.len);
		assert_int_equal(out[3], codes[i].low);
		assert_int_equal(out[7], 0);
	}
	buf_free(&b);
	b = query("a.b", A, 1);
	assert_int_equal(answer(&b, DNS_RCODE_SERVFAIL, 0xc6120001, out), b.len);
	b.data[11] = 1;
	buf_append(&b, OPT_RECORD "\0\0", 11);
	assert_int_equal(answer(&b, DNS_RCODE_OK, 0xc6120001, out), b.len + 16);
	assert_int_equal(out[11], 1);
	/* Nothing of a malformed question is echoed. */
	buf_append(&b, "x", 1);
	assert_int_equal(answer(&b, DNS_RCODE_FORMERR, 0, out), 12 + 11);
	assert_int_equal(out[5], 0);
	b.data[2] |= 0x80;
	assert_int_equal(answer(&b, DNS_RCODE_FORMERR, 0, out), 0);
	buf_free(&b);
}

static void codes_of_kinds(void **state)
{
	(void)state;
	assert_int_equal(dns_rcode_of(DNS_FORMERR), DNS_RCODE_FORMERR);
	assert_int_equal(dns_rcode_of(DNS_NOTIMP), DNS_RCODE_NOTIMP);
	assert_int_equal(dns_rcode_of(DNS_REFUSED), DNS_RCODE_REFUSED);
	assert_int_equal(dns_rcode_of(DNS_NXDOMAIN), DNS_RCODE_NXDOMAIN);
	assert_int_equal(dns_rcode_of(DNS_NODATA), DNS_RCODE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),	  cmocka_unit_test(lengths_of_names), cmocka_unit_test(malformed),
		cmocka_unit_test(address_answer), cmocka_unit_test(other_answers),    cmocka_unit_test(codes_of_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
