/* SPDX-License-Identifier: Apache-2.0 */
/*
 * u32 magic, u32 version, u32 count, the entries, SHA-1 of a password, a name and all before. The entries stay the bytes they
 * are: which of them Java can read is its own affair. Java itself asks for no password here and checks no sum; tools do.
 */
#include "gateway/key_store.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

#include "base/key_stores.h"

#define HEAD_LEN 12u
#define TRUSTED 2u /* an entry that is a certificate, and not a key */

/* "changeit" as Java's characters, and what it adds. */
static const char SUM_BEGIN[] = "\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite";

static const char ALIAS[] = "nsbox", TYPE[] = "X.509";

static int put(struct buf *out, uint64_t value, unsigned bytes)
{
	int r = 0;

	while (bytes-- && r == 0)
		r = buf_putc(out, (char)(value >> 8 * bytes));
	return r;
}

static int put_text(struct buf *out, const char *text)
{
	int r = put(out, strlen(text), 2);
	return r < 0 ? r : buf_puts(out, text);
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

int key_store_add(const struct buf *host, const uint8_t *der, size_t len, struct buf *out)
{
	const uint8_t *data = (const uint8_t *)host->data;
	uint8_t sum[SHA_DIGEST_LENGTH];
	size_t begin = out->len;
	SHA_CTX sha;

	if (host->len < HEAD_LEN + sizeof(sum) || get_u32(data) != KEY_STORE_MAGIC || get_u32(data + 4) != KEY_STORE_VERSION ||
	    get_u32(data + 8) == UINT32_MAX)
		return -EBADMSG;
	int r = buf_reserve(out, host->len + len + 64);
	if (r == 0)
		r = buf_append(out, data, 8);
	if (r == 0)
		r = put(out, get_u32(data + 8) + 1, 4);
	if (r == 0)
		r = put(out, TRUSTED, 4);
	if (r == 0)
		r = put_text(out, ALIAS);
	if (r == 0)
		r = put(out, 0, 8); /* made when: nobody asks */
	if (r == 0)
		r = put_text(out, TYPE);
	if (r == 0)
		r = put(out, len, 4);
	if (r == 0)
		r = buf_append(out, der, len);
	if (r == 0)
		r = buf_append(out, data + HEAD_LEN, host->len - HEAD_LEN - sizeof(sum));
	if (r < 0)
		return r;
	SHA1_Init(&sha);
	SHA1_Update(&sha, SUM_BEGIN, sizeof(SUM_BEGIN) - 1);
	SHA1_Update(&sha, out->data + begin, out->len - begin);
	SHA1_Final(sum, &sha);
	return buf_append(out, sum, sizeof(sum));
}
