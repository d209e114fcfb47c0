/* SPDX-License-Identifier: Apache-2.0 */
/* The one form of a host name or address literal that rules, DNS, SNI and Host are compared in. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "policy/idna.h"
#include "policy/policy.h"
#include "policy/rule.h"

#define HOST_MAX 253

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int literal6(const char *s, size_t len, char ret[256])
{
	char text[64];
	struct in6_addr addr;

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, len);
	text[len] = '\0';
	if (memchr(text, '\0', len) || inet_pton(AF_INET6, text, &addr) != 1)
		return -EINVAL;
	return addr_text(&addr, ret);
}

/* Letters, digits, hyphens; labels of 1-63 bytes that neither begin nor end with a hyphen. */
static int check_labels(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, ".");
		if (n < 1 || n > 63 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
			return -EINVAL;
		for (size_t i = 0; i < n; i++) {
			if (!is_alnum(s[i]) && s[i] != '-')
				return -EINVAL;
		}
		if (!s[n])
			return 0;
		s += n + 1;
	}
}

/* Last labels that some resolvers read as (part of) an address: only numbers, or 0x and hexadecimal digits. */
static bool looks_numeric(const char *host)
{
	const char *dot = strrchr(host, '.');
	const char *last = dot ? dot + 1 : host;

	return last[strspn(last, "0123456789")] == '\0' ||
	       (last[0] == '0' && last[1] == 'x' && last[2 + strspn(last + 2, "0123456789abcdef")] == '\0');
}

int host_canonical(const char *s, size_t len, bool idna, char ret[256])
{
	char name[1024];
	bool ascii = true;

	if (len >= 2 && s[0] == '[' && s[len - 1] == ']')
		return literal6(s + 1, len - 2, ret);
	if (len && memchr(s, ':', len))
		return literal6(s, len, ret);
	if (len == 0 || len >= sizeof(name) || memchr(s, '\0', len))
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		ascii = ascii && (unsigned char)s[i] < 0x80;
	if (!ascii && !idna)
		return -EINVAL;
	memcpy(name, s, len);
	name[len] = '\0';
	if (!ascii) {
		char label[256];
		int r = idna_to_a_label(name, label);
		if (r < 0)
			return r;
		len = strlen(label);
		memcpy(name, label, len + 1);
	}

	/* Some characters map to nothing at all. */
	if (len && name[len - 1] == '.')
		name[--len] = '\0';
	if (len == 0 || len > HOST_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		/* Not tolower(): the locale of the host application must not change what a name is. */
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] + 32);
	}
	if (check_labels(name) < 0)
		return -EINVAL;
	struct in_addr v4;
	if (looks_numeric(name) && inet_pton(AF_INET, name, &v4) != 1)
		return -EINVAL;
	memcpy(ret, name, len + 1);
	return 0;
}
