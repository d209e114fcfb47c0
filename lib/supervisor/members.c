/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check of the JSON members that a gateway wants in a record. A gateway that was taken over must not be able to forge
 * lines, end the object early, write a member that is ours, or make a line that a reader of JSON or a terminal chokes
 * on. So only a flat list of `"key":value` passes, where a value is a string as json_text() writes it, an integer,
 * true, or an array of such strings. In a question to the auditor it may be an object of these, too.
 */
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/members.h"

struct cursor {
	const char *p, *end; /* end: the NUL */
};

static bool skip(struct cursor *c, char expected)
{
	if (*c->p != expected)
		return false;
	c->p++;
	return true;
}

/* Length of the escape at p, 0 when there is none. Halves of a pair are never written. */
static size_t escape(const char *p)
{
	if (p[0] != '\\' || !p[1])
		return 0;
	if (p[1] != 'u')
		return strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
	bool surrogate = (p[2] == 'd' || p[2] == 'D') && !strchr("01234567", p[3]);
	return strspn(p + 2, "0123456789abcdefABCDEF") >= 4 && !surrogate ? 6 : 0;
}

static bool skip_string(struct cursor *c, const char **ret_start, size_t *ret_len)
{
	if (!skip(c, '"'))
		return false;
	const char *start = c->p;
	while (*c->p != '"') {
		/* Nearly all of it is what stands for itself. */
		size_t n = json_run(c->p, (size_t)(c->end - c->p));
		if (n == 0)
			n = escape(c->p);
		if (n == 0 && c->p < c->end)
			n = json_plain(c->p, (size_t)(c->end - c->p));
		if (n == 0)
			return false;
		c->p += n;
	}
	if (ret_start) {
		*ret_start = start;
		*ret_len = (size_t)(c->p - start);
	}
	c->p++;
	return true;
}

static bool skip_integer(struct cursor *c)
{
	const char *start = c->p;

	if (*c->p == '-')
		c->p++;
	size_t digits = strspn(c->p, "0123456789");
	bool padded = digits > 1 && *c->p == '0';
	c->p += digits;
	return digits > 0 && !padded && c->p - start <= 20;
}

static bool skip_members(struct cursor *c, bool objects);

static bool skip_value(struct cursor *c, bool objects)
{
	if (*c->p == '"')
		return skip_string(c, NULL, NULL);
	if (objects && skip(c, '{'))
		return skip_members(c, false) && skip(c, '}');
	if (strncmp(c->p, "true", 4) == 0) {
		c->p += 4;
		return true;
	}
	if (!skip(c, '['))
		return skip_integer(c);
	if (skip(c, ']'))
		return true;
	do {
		if (!skip_string(c, NULL, NULL))
			return false;
	} while (skip(c, ','));
	return skip(c, ']');
}

static bool key_is_free(const char *key, size_t len)
{
	static const char *const ours[] = { "seq", "time", "event", "sandbox", "call", "reason", "prev", "hash",
					    "id",  "op",   "deadline_ms" };

	for (size_t i = 0; i < len; i++) {
		if (!(key[i] >= 'a' && key[i] <= 'z') && key[i] != '_')
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (strlen(ours[i]) == len && memcmp(ours[i], key, len) == 0)
			return false;
	}
	return len > 0;
}

/* objects: a value may be an object of members too, without another in it. */
static bool skip_members(struct cursor *c, bool objects)
{
	do {
		const char *key;
		size_t len;
		if (!skip_string(c, &key, &len) || !key_is_free(key, len) || !skip(c, ':') || !skip_value(c, objects))
			return false;
	} while (skip(c, ','));
	return true;
}

static bool all_members(const char *text, bool objects)
{
	struct cursor c = { .p = text, .end = text + strlen(text) };

	return !*text || (skip_members(&c, objects) && *c.p == '\0');
}

bool members_are_flat(const char *text)
{
	return all_members(text, false);
}

bool members_are_question(const char *text)
{
	return all_members(text, true);
}
