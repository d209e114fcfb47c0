/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one form of a request's path that rules are compared with. Stricter than RFC 3986 where servers disagree about
 * what the bytes mean: such a path is refused, not guessed at.
 */
#include "policy/path_canonical.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "policy/policy.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_decode(const char *s, size_t len)
{
	if (len < 3 || s[0] != '%' || hex(s[1]) < 0 || hex(s[2]) < 0)
		return -1;
	return hex(s[1]) * 16 + hex(s[2]);
}

bool path_byte_refused(unsigned char c)
{
	return c == '/' || c == '\\' || c < 0x20 || c == 0x7f;
}

/* Forms longer than needed, which lax decoders turn into '/' and '.' (CVE-2000-0884 and its many children). */
static bool overlong_utf8(const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == 0xc0 || s[i] == 0xc1)
			return true;
		if (i + 1 < len && ((s[i] == 0xe0 && s[i + 1] >= 0x80 && s[i + 1] < 0xa0) ||
				    (s[i] == 0xf0 && s[i + 1] >= 0x80 && s[i + 1] < 0x90)))
			return true;
	}
	return false;
}

/*
 * After decoding once a "%XX" is text. No honest client encodes twice what needs no encoding even once, or hides a
 * separator that way; servers that decode twice would see another path than the rules did.
 */
static bool double_encoded(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int v = percent_decode(s + i, len - i);
		if (v >= 0 && (path_byte_refused((unsigned char)v) || v == '.' || v == '-' || v == '_' || v == '~' ||
			       (v < 0x80 && isalnum(v))))
			return true;
	}
	return false;
}

/* Append one decoded segment (its '/' is at ret[start - 1]) or take a dot segment away. */
static int end_segment(char *ret, size_t start, size_t *len)
{
	size_t n = *len - start;
	const char *s = ret + start;

	if (n == 1 && s[0] == '.') {
		*len = start;
		return 0;
	}
	if (n == 2 && s[0] == '.' && s[1] == '.') {
		/* Above the root, or over an empty segment, which servers that merge slashes resolve differently. */
		if (start == 1 || ret[start - 2] == '/')
			return -EINVAL;
		size_t at = start - 2;
		while (ret[at] != '/')
			at--;
		*len = at + 1;
		return 0;
	}
	/* "..;x" is ".." to servers that drop parameters first (CVE-2020-5902). */
	if ((n >= 2 && s[0] == '.' && s[1] == ';') || (n >= 3 && s[0] == '.' && s[1] == '.' && s[2] == ';'))
		return -EINVAL;
	return 1;
}

int path_canonical(const char *path, size_t len, char *ret)
{
	size_t n = 0, start = 1;

	if (len == 0 || path[0] != '/')
		return -EINVAL;
	ret[n++] = '/';
	for (size_t i = 1; i <= len; i++) {
		if (i == len || path[i] == '/') {
			int r = end_segment(ret, start, &n);
			if (r < 0)
				return r;
			if (i < len && r == 1)
				ret[n++] = '/';
			start = n;
			continue;
		}
		unsigned char c = (unsigned char)path[i];
		if (c == ' ' || c == '?' || c == '#')
			return -EINVAL;
		if (c == '%') {
			int v = percent_decode(path + i, len - i);
			if (v < 0)
				return -EINVAL;
			c = (unsigned char)v;
			i += 2;
		}
		if (path_byte_refused(c))
			return -EINVAL;
		ret[n++] = (char)c;
	}
	ret[n] = '\0';
	if (overlong_utf8((const unsigned char *)ret, n) || double_encoded(ret, n))
		return -EINVAL;
	return 0;
}

int path_opaque(const char *path, size_t len, char *ret)
{
	_cleanup_free_ char *plain = malloc(len + 1), *canonical = malloc(len + 1);
	size_t n = 0, decoded = 0;

	if (!plain || !canonical)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++, decoded++) {
		bool encoded = percent_decode(path + i, len - i) == '/';
		plain[n++] = encoded ? '_' : path[i];
		if (encoded)
			i += 2;
		else if (path[i] == '%')
			for (unsigned k = 0; k < 2 && i + 1 < len; k++)
				plain[n++] = path[++i];
	}
	/* Shorter: it had dot segments, which no server may be left to resolve in its own way. */
	if (path_canonical(plain, n, canonical) < 0 || strlen(canonical) != decoded)
		return -EINVAL;
	memcpy(ret, path, len);
	ret[len] = '\0';
	return 0;
}
