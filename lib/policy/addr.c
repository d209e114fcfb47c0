/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: prefixes, text, and which of them never count as the public internet. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/rule.h"

bool addr_from_text(const char *text, struct in6_addr *ret)
{
	struct in_addr v4;

	/* Nearly always a name. */
	if (!(text[0] >= '0' && text[0] <= '9') && !strchr(text, ':'))
		return false;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		memset(ret, 0, 10);
		memset(ret->s6_addr + 10, 0xff, 2);
		memcpy(ret->s6_addr + 12, &v4, 4);
		return true;
	}
	return inet_pton(AF_INET6, text, ret) == 1;
}

/* inet_ntop() does it with printf, and every record of a request has one. */
static void text4(const uint8_t octets[4], char *ret)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned v = octets[i];
		if (i)
			*ret++ = '.';
		if (v >= 100)
			*ret++ = (char)('0' + v / 100);
		if (v >= 10)
			*ret++ = (char)('0' + v / 10 % 10);
		*ret++ = (char)('0' + v % 10);
	}
	*ret = '\0';
}

int addr_text(const struct in6_addr *addr, char ret[64])
{
	if (!IN6_IS_ADDR_V4MAPPED(addr))
		return inet_ntop(AF_INET6, addr, ret, 64) ? 0 : -EINVAL;
	text4(addr->s6_addr + 12, ret);
	return 0;
}

void addr_mask(struct in6_addr *addr, unsigned prefix)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = prefix > i * 8 ? prefix - i * 8 : 0;
		if (keep < 8)
			addr->s6_addr[i] &= (uint8_t)(0xff00u >> keep);
	}
}

bool addr_in_prefix(const struct in6_addr *addr, const struct in6_addr *net, unsigned prefix)
{
	unsigned bytes = prefix / 8, bits = prefix % 8;

	if (memcmp(addr, net, bytes) != 0)
		return false;
	return bits == 0 || ((addr->s6_addr[bytes] ^ net->s6_addr[bytes]) & (0xff00u >> bits) & 0xff) == 0;
}

struct net4 {
	uint32_t net;
	uint8_t prefix;
};

/* IANA special-purpose registry, multicast and reserved space, and metadata services outside of them. */
static const struct net4 private4[] = {
	{ 0x00000000, 8 },  { 0x0a000000, 8 },	{ 0x64400000, 10 }, { 0x7f000000, 8 },	{ 0xa9fe0000, 16 },
	{ 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0586300, 24 }, { 0xc0a80000, 16 },
	{ 0xc6120000, 15 }, { 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 3 },	{ 0xa83f8110, 32 },
};

static bool v4_is_private(const uint8_t *bytes)
{
	uint32_t a = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];

	for (size_t i = 0; i < sizeof(private4) / sizeof(private4[0]); i++) {
		if ((a ^ private4[i].net) >> (32 - private4[i].prefix) == 0)
			return true;
	}
	return false;
}

struct net6 {
	uint8_t bytes[8];
	uint8_t prefix;
};

/* Inside 2000::/3; everything outside of that is not the public internet to begin with. */
static const struct net6 private6[] = {
	{ { 0x20, 0x01, 0x00, 0x00 }, 23 },	/* protocol assignments: Teredo, benchmarking, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },	/* documentation */
	{ { 0x3f, 0xff, 0x00, 0x00 }, 20 },	/* documentation */
};

bool addr_is_private(const struct in6_addr *addr)
{
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	const uint8_t *b = addr->s6_addr;

	if (IN6_IS_ADDR_V4MAPPED(addr))
		return v4_is_private(b + 12);
	/* A translator on the way would carry the embedded address out. */
	if (memcmp(b, nat64, sizeof(nat64)) == 0)
		return v4_is_private(b + 12);
	if (b[0] >> 5 != 1)
		return true;
	if (b[0] == 0x20 && b[1] == 0x02 && v4_is_private(b + 2)) /* 6to4 */
		return true;
	if ((b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe && v4_is_private(b + 12)) /* ISATAP */
		return true;
	for (size_t i = 0; i < sizeof(private6) / sizeof(private6[0]); i++) {
		struct in6_addr net = { 0 };
		memcpy(&net, private6[i].bytes, sizeof(private6[i].bytes));
		if (addr_in_prefix(addr, &net, private6[i].prefix))
			return true;
	}
	return false;
}
