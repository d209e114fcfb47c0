/* SPDX-License-Identifier: Apache-2.0 */
/* The hash of one record. */
#include "audit/chain.h"

#include <nettle/sha2.h>
#include <string.h>

void chain_hash(const void *data, size_t len, char ret[AUDIT_HASH_TEXT + 1])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	sha256_init(&ctx);
	sha256_update(&ctx, len, data);
	/* The line without its last member is an object of its own, so that anybody can check it with a JSON tool. */
	sha256_update(&ctx, 1, (const uint8_t *)"}");
	sha256_digest(&ctx, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++) {
		ret[2 * i] = hex[digest[i] >> 4];
		ret[2 * i + 1] = hex[digest[i] & 15];
	}
	ret[AUDIT_HASH_TEXT] = '\0';
}

void chain_start(char ret[AUDIT_HASH_TEXT + 1])
{
	memset(ret, '0', AUDIT_HASH_TEXT);
	ret[AUDIT_HASH_TEXT] = '\0';
}
