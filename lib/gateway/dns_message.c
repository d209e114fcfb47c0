/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages (RFC 1035, EDNS of RFC 6891). */
#include "gateway/dns_message.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define HEADER 12u
#define TYPE_A 1
#define TYPE_PTR 12
#define TYPE_OPT 41
#define TYPE_IXFR 251
#define TYPE_AXFR 252
#define CLASS_IN 1
#define FLAG_RESPONSE 0x80
#define FLAG_AUTHORITATIVE 0x04
#define FLAG_RECURSION_DESIRED 0x01
#define FLAG_RECURSION_AVAILABLE 0x80
#define OPCODE_MASK 0x78

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/*
 * The question's name as text; returns the offset behind it, 0 when it is malformed. A compression pointer has nothing
 * to point at in a question: refused, so there is no loop to guard against.
 */
static size_t read_name(const uint8_t *data, size_t len, size_t at, char ret[256], bool *ret_host, unsigned *ret_labels)
{
	size_t n = 0;

	*ret_host = true;
	*ret_labels = 0;
	for (;;) {
		if (at >= len)
			return 0;
		size_t label = data[at++];
		if (label == 0)
			break;
		if (label > 63 || at + label > len || n + (n > 0) + label > 253)
			return 0;
		if (n)
			ret[n++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t c = data[at + i];
			bool edge = i == 0 || i == label - 1;
			/* Letters, digits, hyphen: what a rule can name. Anything else has no address here. */
			*ret_host &= isalnum(c) || (c == '-' && !edge);
			ret[n++] = (char)(c < 0x80 ? tolower(c) : c);
		}
		at += label;
		(*ret_labels)++;
	}
	ret[n] = '\0';
	return at;
}

static bool is_localhost(const char *name)
{
	size_t n = strlen(name), l = strlen("localhost");
	return n >= l && strcasecmp(name + n - l, "localhost") == 0 && (n == l || name[n - l - 1] == '.');
}

/* "1.2.3.4" and "a.0x7f" are addresses to some resolvers (and host_canonical() takes the first for one): no names. */
static bool is_numeric(const char *name)
{
	const char *dot = strrchr(name, '.');
	const char *last = dot ? dot + 1 : name;
	const char *digits = last[0] == '0' && last[1] == 'x' ? last + 2 : last;

	return digits[strspn(digits, digits == last ? "0123456789" : "0123456789abcdef")] == '\0';
}

static enum dns_kind classify(const struct dns_query *q, uint16_t class, bool host, unsigned labels)
{
	if (class != CLASS_IN || q->type == TYPE_AXFR || q->type == TYPE_IXFR)
		return DNS_REFUSED;
	if (q->type == TYPE_PTR || !host || labels < 2 || is_localhost(q->name) || is_numeric(q->name))
		return DNS_NXDOMAIN;
	return q->type == TYPE_A ? DNS_ADDRESS : DNS_NODATA;
}

/* Additional records: one OPT at most, nothing else, and its length has to end the message. */
static bool read_additional(const uint8_t *data, size_t len, size_t at, unsigned count, struct dns_query *q)
{
	if (count == 0)
		return at == len;
	if (count != 1 || len - at < 11 || data[at] != 0 || u16(data + at + 1) != TYPE_OPT)
		return false;
	q->edns = 1;
	return len - at - 11 == u16(data + at + 9);
}

void dns_parse(const uint8_t *data, size_t len, struct dns_query *q)
{
	bool host;
	unsigned labels;

	memset(q, 0, sizeof(*q));
	if (len < HEADER || len > DNS_MAX_QUERY || (data[2] & FLAG_RESPONSE)) {
		q->kind = DNS_DROP;
		return;
	}
	q->id = u16(data);
	q->recursion_desired = data[2] & FLAG_RECURSION_DESIRED;
	if (data[2] & OPCODE_MASK) {
		q->kind = DNS_NOTIMP;
		return;
	}
	q->kind = DNS_FORMERR;
	if (u16(data + 4) != 1 || u16(data + 6) != 0 || u16(data + 8) != 0)
		return;
	size_t at = read_name(data, len, HEADER, q->name, &host, &labels);
	if (at == 0 || len - at < 4) {
		q->name[0] = '\0';
		return;
	}
	q->type = u16(data + at);
	uint16_t class = u16(data + at + 2);
	at += 4;
	if (!read_additional(data, len, at, u16(data + 10), q)) {
		q->name[0] = '\0';
		return;
	}
	q->question = data + HEADER;
	q->question_len = at - HEADER;
	q->kind = classify(q, class, host, labels);
	if (q->kind == DNS_REFUSED)
		q->name[0] = '\0';
}

enum dns_rcode dns_rcode_of(enum dns_kind kind)
{
	static const enum dns_rcode codes[] = {
		[DNS_DROP] = DNS_RCODE_REFUSED,	    [DNS_FORMERR] = DNS_RCODE_FORMERR,
		[DNS_NOTIMP] = DNS_RCODE_NOTIMP,    [DNS_REFUSED] = DNS_RCODE_REFUSED,
		[DNS_NXDOMAIN] = DNS_RCODE_NXDOMAIN, [DNS_NODATA] = DNS_RCODE_OK,
		[DNS_ADDRESS] = DNS_RCODE_OK,
	};
	return codes[kind];
}

static uint8_t *put16(uint8_t *p, unsigned v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

/* name 255 + type and class 4, header 12, record 16, OPT 11: 298 bytes at most. */
size_t dns_answer(const struct dns_query *q, enum dns_rcode rcode, uint32_t addr, uint8_t *out)
{
	uint8_t *p = out;
	bool has_record = q->kind == DNS_ADDRESS && rcode == DNS_RCODE_OK && addr;

	if (q->kind == DNS_DROP)
		return 0;
	p = put16(p, q->id);
	*p++ = (uint8_t)(FLAG_RESPONSE | FLAG_AUTHORITATIVE | q->recursion_desired);
	*p++ = (uint8_t)(FLAG_RECURSION_AVAILABLE | rcode);
	p = put16(p, q->question ? 1 : 0);
	p = put16(p, has_record ? 1 : 0);
	p = put16(p, 0);
	p = put16(p, q->edns ? 1 : 0);
	if (q->question) {
		memcpy(p, q->question, q->question_len);
		p += q->question_len;
	}
	if (has_record) {
		p = put16(p, 0xc000u | HEADER); /* the name of the question */
		p = put16(p, TYPE_A);
		p = put16(p, CLASS_IN);
		p = put16(p, 0);
		p = put16(p, DNS_TTL);
		p = put16(p, 4);
		p = put16(p, addr >> 16);
		p = put16(p, addr & 0xffff);
	}
	if (q->edns) {
		*p++ = 0;
		p = put16(p, TYPE_OPT);
		p = put16(p, 1232); /* what every path carries unfragmented */
		p = put16(p, 0);
		p = put16(p, 0);
		p = put16(p, 0);
	}
	return (size_t)(p - out);
}
