/* SPDX-License-Identifier: Apache-2.0 */
/* Making placeholders. */
#include "gateway/placeholder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/placeholder_private.h"

#define DEFAULT_PREFIX "nsbox_"
#define SHORT_VALUE 16u	 /* below it a placeholder of the same length could be met by chance */
#define SHORT_LENGTH 24u
#define SCRUB_MIN 8u
#define RANDOM_MIN 16u /* 36^16 = 2^82; the same as lib/policy asks for */
#define RANDOM_MAX 1024u
#define FIXED_MAX 256u
#define ATTEMPTS 16

/* A shape taken apart: fixed text, random characters, fixed text. */
struct shape {
	const char *prefix, *suffix;
	size_t prefix_len, random, suffix_len;
};

static bool fixed_valid(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= '0' && s[i] <= '9');
		/* '%', '\\' and quotes would be changed by the encodings that it may go through. */
		if (!alnum && s[i] != '-' && s[i] != '_' && s[i] != '.')
			return false;
	}
	return len <= FIXED_MAX;
}

static int parse_shape(const char *text, size_t value_len, struct shape *ret)
{
	static const char open[] = "{random:";

	if (!text) {
		size_t len = value_len < SHORT_VALUE ? SHORT_LENGTH : value_len;
		if (len > PLACEHOLDER_MAX)
			return -EINVAL;
		*ret = (struct shape){ DEFAULT_PREFIX, "", strlen(DEFAULT_PREFIX), len - strlen(DEFAULT_PREFIX), 0 };
		return 0;
	}
	const char *brace = strstr(text, open);
	if (!brace)
		return -EINVAL;
	const char *digits = brace + strlen(open), *p = digits;
	size_t n = 0;
	while (*p >= '0' && *p <= '9' && n <= RANDOM_MAX)
		n = n * 10 + (size_t)(*p++ - '0');
	if (p == digits || *p != '}' || n < RANDOM_MIN || n > RANDOM_MAX)
		return -EINVAL;
	*ret = (struct shape){ text, p + 1, (size_t)(brace - text), n, strlen(p + 1) };
	return fixed_valid(text, ret->prefix_len) && fixed_valid(ret->suffix, ret->suffix_len) ? 0 : -EINVAL;
}

int placeholder_check(const char *name, const char *shape, size_t value_len, bool scrub, struct error *e)
{
	struct shape s;

	if (value_len < SCRUB_MIN && scrub)
		return fail(e, EINVAL, SANDBOX_STAGE_SECRET, name,
			    "Secret %s is shorter than 8 bytes, so it cannot be told from other text in responses; give a longer "
			    "value, or set scrub = no in [secret %s].", name, name);
	if (parse_shape(shape, value_len, &s) < 0)
		return fail(e, EINVAL, SANDBOX_STAGE_SECRET, name,
			    "Secret %s cannot have the placeholder %s; accepted: letters, digits, '-', '_', '.' around one "
			    "{random:N}, N from 16 to 1024.", name, shape ? shape : "of its length");
	return 0;
}

size_t placeholder_length(const char *shape, size_t value_len)
{
	struct shape s;

	return parse_shape(shape, value_len, &s) < 0 ? 0 : s.prefix_len + s.random + s.suffix_len;
}

/* Characters [a-z0-9], each as likely: bytes above the last multiple of 36 are thrown away. */
static int fill_random(char *to, size_t len)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t bytes[256];

	while (len) {
		ssize_t n = getrandom(bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (ssize_t i = 0; i < n && len; i++) {
			if (bytes[i] < 252) {
				*to++ = alphabet[bytes[i] % 36];
				len--;
			}
		}
	}
	return 0;
}

int placeholder_add(struct placeholder_table *t, const char *shape, size_t value_len, void *call, size_t secret,
		    const struct placeholder **ret)
{
	struct shape s;

	int r = parse_shape(shape, value_len, &s);
	if (r < 0)
		return r;
	if (t->n >= PLACEHOLDERS_MAX)
		return -ENOSPC;
	size_t len = placeholder_length(shape, value_len);
	struct placeholder *p = calloc(1, sizeof(*p) + len + 1);
	if (!p)
		return -ENOMEM;
	p->call = call;
	p->secret = secret;
	p->len = len;
	memcpy(p->text, s.prefix, s.prefix_len);
	memcpy(p->text + s.prefix_len + s.random, s.suffix, s.suffix_len);
	for (int i = 0; i < ATTEMPTS; i++) {
		r = fill_random(p->text + s.prefix_len, s.random);
		if (r == 0)
			r = table_conflict(t, p);
		if (r <= 0)
			break;
		r = -EAGAIN; /* never seen: it would take a collision of 2^50 sixteen times over */
	}
	if (r == 0)
		r = table_insert(t, p, s.prefix_len + s.random);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}
