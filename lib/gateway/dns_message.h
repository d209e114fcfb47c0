/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages as the gateway's resolver needs them: one question in, one answer out, nothing forwarded. Bytes in,
 * bytes out; no socket, no allocation.
 */
#ifndef NSBOX_GATEWAY_DNS_MESSAGE_H
#define NSBOX_GATEWAY_DNS_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define DNS_MAX_QUERY 4096u
#define DNS_MAX_ANSWER 512u /* every answer of ours fits the oldest limit, so none is ever truncated */
#define DNS_TTL 60u

enum dns_kind {
	DNS_DROP,	/* too short for an id, or itself an answer: no reply (it could make a loop) */
	DNS_FORMERR,	/* not one well-formed question */
	DNS_NOTIMP,	/* opcode other than QUERY */
	DNS_REFUSED,	/* class other than IN, zone transfer */
	DNS_NXDOMAIN,	/* PTR, single label, localhost, not a host name */
	DNS_NODATA,	/* any other type of a well-formed name: NOERROR, empty */
	DNS_ADDRESS,	/* type A of a well-formed name of two or more labels */
};

struct dns_query {
	enum dns_kind kind;
	uint16_t id, type;
	char name[256];	      /* lower case, without the last dot; "" unless NXDOMAIN, NODATA or ADDRESS */
	const uint8_t *question; /* as sent (0x20 case), to be echoed; NULL when it could not be read */
	size_t question_len;
	uint8_t recursion_desired;
	uint8_t edns;
};

/* data stays valid as long as the query is used. */
void dns_parse(const uint8_t *data, size_t len, struct dns_query *ret);

enum dns_rcode { DNS_RCODE_OK = 0, DNS_RCODE_FORMERR = 1, DNS_RCODE_SERVFAIL = 2, DNS_RCODE_NXDOMAIN = 3,
		 DNS_RCODE_NOTIMP = 4, DNS_RCODE_REFUSED = 5 };

/*
 * The answer to q with this code. addr: host byte order, 0 = no record; only for DNS_ADDRESS. Length of the answer, 0
 * when nothing is to be sent. out has DNS_MAX_ANSWER bytes.
 */
size_t dns_answer(const struct dns_query *q, enum dns_rcode rcode, uint32_t addr, uint8_t *out);
/* The code that belongs to a kind other than DNS_ADDRESS. */
enum dns_rcode dns_rcode_of(enum dns_kind kind);

#endif
