/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a request, between the form that rules are compared with and the one that is sent. */
#include <stdlib.h>
#include <string.h>

#include "gateway/exchange.h"

bool request_path_is_plain(const char *raw, size_t len, const char *canonical)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++, at++) {
		unsigned c = (unsigned char)raw[i];
		if (c == '%' && i + 2 < len) {
			char hex[3] = { raw[i + 1], raw[i + 2], '\0' };
			c = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		}
		if ((unsigned char)canonical[at] != c)
			return false;
	}
	return canonical[at] == '\0';
}

int request_encode_path(const char *path, bool in_rule, struct buf *out)
{
	/* What has a meaning in a rule comes last. */
	static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()+=:@/*,;";
	const size_t n_safe = strlen(all) - (in_rule ? 3 : 0);
	int r = 0;

	for (const char *p = path; *p && r == 0; p++)
		r = memchr(all, *p, n_safe) ? buf_putc(out, *p) : buf_printf(out, "%%%02X", (unsigned char)*p);
	return r;
}
