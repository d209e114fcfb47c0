/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: every answer fits, echoes the question, and is no question itself; names are what a rule can name. */
#include <stdlib.h>
#include <string.h>

#include "gateway/dns_message.h"
#include "fuzz.h"

static void check_answer(const struct dns_query *q, const uint8_t *data, enum dns_rcode rcode, uint32_t addr)
{
	uint8_t *out = malloc(DNS_MAX_ANSWER);
	struct dns_query back;

	size_t n = dns_answer(q, rcode, addr, out);
	CHECK(n <= DNS_MAX_ANSWER && (n == 0) == (q->kind == DNS_DROP));
	if (n) {
		CHECK(n >= 12 && memcmp(out, data, 2) == 0);
		CHECK((out[3] & 15) == (int)rcode);
		CHECK(!q->question || memcmp(out + 12, q->question, q->question_len) == 0);
		CHECK(out[7] == (q->kind == DNS_ADDRESS && rcode == DNS_RCODE_OK && addr));
		dns_parse(out, n, &back);
		CHECK(back.kind == DNS_DROP);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query q;

	dns_parse(data, size, &q);
	if (q.kind == DNS_ADDRESS || q.kind == DNS_NODATA) {
		size_t len = strlen(q.name);
		CHECK(len >= 3 && len <= 253 && strchr(q.name, '.') && q.name[len - 1] != '.');
		CHECK(strspn(q.name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len);
		CHECK(q.question && q.question_len == len + 2 + 4);
	}
	for (int rcode = DNS_RCODE_OK; rcode <= DNS_RCODE_REFUSED; rcode++) {
		check_answer(&q, data, (enum dns_rcode)rcode, 0xc6120001);
		check_answer(&q, data, (enum dns_rcode)rcode, 0);
	}
	(void)dns_rcode_of(q.kind);
	return 0;
}
