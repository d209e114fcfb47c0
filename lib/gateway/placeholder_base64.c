/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648). */
#include "gateway/placeholder_base64.h"

#include <errno.h>
#include <string.h>

static const char STANDARD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int base64_encode(struct buf *out, const void *data, size_t len, bool url, bool padded)
{
	const char *alphabet = url ? URL : STANDARD;
	const uint8_t *p = data;

	int r = buf_reserve(out, len / 3 * 4 + 4);
	if (r < 0)
		return r;
	uint8_t *to = out->data + out->len;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0u);
		for (size_t k = 0; k < 4; k++) {
			if (k <= n)
				*to++ = (uint8_t)alphabet[v >> (18 - 6 * k) & 63];
			else if (padded)
				*to++ = '=';
		}
	}
	out->len = (size_t)(to - out->data);
	return 0;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

int base64_decode(struct buf *out, const char *text, size_t len)
{
	size_t n = len;
	uint32_t v = 0;
	bool standard = false, url = false;

	while (n && len - n < 2 && text[n - 1] == '=')
		n--;
	if ((n < len && len % 4) || n % 4 == 1)
		return -EINVAL;
	int r = buf_reserve(out, n / 4 * 3 + 3);
	if (r < 0)
		return r;
	uint8_t *to = out->data + out->len;
	for (size_t i = 0; i < n; i++) {
		int d = digit(text[i]);
		standard |= text[i] == '+' || text[i] == '/';
		url |= text[i] == '-' || text[i] == '_';
		if (d < 0 || (standard && url))
			return -EINVAL;
		v = v << 6 | (uint32_t)d;
		if (i % 4 == 1)
			*to++ = (uint8_t)(v >> 4);
		else if (i % 4 == 2)
			*to++ = (uint8_t)(v >> 2);
		else if (i % 4 == 3)
			*to++ = (uint8_t)v;
	}
	out->len = (size_t)(to - out->data);
	return 0;
}
