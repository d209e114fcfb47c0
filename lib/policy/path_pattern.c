/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing, writing and matching of path patterns. */
#include "policy/path_pattern.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/path_canonical.h"

#define PATTERN_FORM "a path starts with '/', '*' stands for bytes inside one segment, '/**' for all below"

static int push(struct path_pattern *p, unsigned token, struct error *e)
{
	if (p->n == PATTERN_MAX)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "the path is over %d bytes", PATTERN_MAX);
	p->token[p->n++] = (uint16_t)token;
	return 0;
}

static int bad(struct error *e, const char *what)
{
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "%s; " PATTERN_FORM, what);
}

/* One segment, after its '/': refused where a request could never carry it, because it would silently never match. */
static int parse_segment(struct path_pattern *p, const char *s, size_t len, struct error *e)
{
	size_t start = p->n, literals = 0, dots = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		unsigned token = c;
		if (c == '*') {
			if (i + 1 < len && s[i + 1] == '*')
				return bad(e, "'**' must be a whole segment, as in /v1/**");
			token = TOKEN_STAR;
		} else if (c == '%') {
			int v = percent_decode(s + i, len - i);
			if (v < 0)
				return bad(e, "'%' must be followed by two hexadecimal digits");
			token = (unsigned)v;
			i += 2;
		} else if (c == ',' || c == '?' || c == '#' || c == ';') {
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL,
				    "a path in a rule has no query and no '%c': write %%%02X if the byte itself is meant", c, c);
		}
		if (token < 256 && path_byte_refused((unsigned char)token))
			return bad(e, "'\\', encoded '/', spaces and control bytes never match");
		if (token < 256)
			literals++;
		if (token == '.')
			dots++;
		int r = push(p, token, e);
		if (r < 0)
			return r;
	}
	if (dots == literals && dots == p->n - start && (dots == 1 || dots == 2))
		return bad(e, "'.' and '..' segments are removed from requests before matching");
	return 0;
}

int path_pattern_parse(const char *s, size_t len, struct path_pattern **ret, struct error *e)
{
	if (len == 0 || s[0] != '/')
		return bad(e, "the path does not start with '/'");
	_cleanup_free_ struct path_pattern *p = malloc(sizeof(*p) + (PATTERN_MAX + 1) * sizeof(p->token[0]));
	if (!p)
		return fail_errno(e, ENOMEM, SANDBOX_STAGE_POLICY, NULL, "cannot store a path pattern");
	p->n = 0;

	for (size_t i = 0; i < len;) {
		size_t end = i + 1;
		while (end < len && s[end] != '/')
			end++;
		int r;
		if (end - i == 3 && memcmp(s + i, "/**", 3) == 0) {
			/* Twice in a row means the same as once; one form keeps canonical text unique. */
			if (p->n && p->token[p->n - 1] == TOKEN_ANY)
				r = 0;
			else if ((r = push(p, TOKEN_DEEP, e)) == 0)
				r = push(p, TOKEN_ANY, e);
		} else if ((r = push(p, '/', e)) == 0) {
			r = parse_segment(p, s + i + 1, end - i - 1, e);
		}
		if (r < 0)
			return r;
		i = end;
	}

	*ret = path_pattern_copy(p);
	return *ret ? 0 : fail_errno(e, ENOMEM, SANDBOX_STAGE_POLICY, NULL, "cannot store a path pattern");
}

int path_pattern_text(const struct path_pattern *p, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < p->n && r == 0; i++) {
		unsigned t = p->token[i];
		if (t == TOKEN_STAR)
			r = buf_putc(out, '*');
		else if (t == TOKEN_DEEP)
			r = buf_puts(out, "/**");
		else if (t == TOKEN_ANY)
			continue;
		else if (t <= ' ' || t >= 0x7f || strchr("*%,?#;\"<>[]^`{|}", (int)t))
			r = buf_printf(out, "%%%02X", t);
		else
			r = buf_putc(out, (char)t);
	}
	return r;
}

bool path_pattern_equal(const struct path_pattern *a, const struct path_pattern *b)
{
	return a->n == b->n && memcmp(a->token, b->token, a->n * sizeof(a->token[0])) == 0;
}

struct path_pattern *path_pattern_copy(const struct path_pattern *p)
{
	size_t size = sizeof(*p) + p->n * sizeof(p->token[0]);
	struct path_pattern *copy = malloc(size);
	if (copy)
		memcpy(copy, p, size);
	return copy;
}

static bool has(const struct pattern_set *set, size_t i)
{
	return set->w[i / 64] >> (i % 64) & 1;
}

static void add(struct pattern_set *set, size_t i)
{
	set->w[i / 64] |= UINT64_C(1) << (i % 64);
}

/* Moves without a byte go only forward, so one pass upwards closes the set. */
static void close_set(const struct path_pattern *p, struct pattern_set *set)
{
	size_t last_any = 0;

	for (size_t word = 0; word <= p->n / 64; word++) {
		uint64_t done = 0;
		for (uint64_t todo; (todo = set->w[word] & ~done) != 0;) {
			unsigned bit = (unsigned)__builtin_ctzll(todo);
			size_t i = word * 64 + bit;
			done |= UINT64_C(1) << bit;
			if (i >= p->n)
				continue;
			if (p->token[i] == TOKEN_STAR || p->token[i] == TOKEN_ANY)
				add(set, i + 1);
			else if (p->token[i] == TOKEN_DEEP)
				add(set, i + 2);
			if (p->token[i] == TOKEN_ANY)
				last_any = i;
		}
	}
	/* Whatever an earlier position could still take, TOKEN_ANY takes too: dropping those keeps sets few. */
	for (size_t i = 0; i < last_any / 64; i++)
		set->w[i] = 0;
	set->w[last_any / 64] &= ~UINT64_C(0) << (last_any % 64);
}

void pattern_start(const struct path_pattern *p, struct pattern_set *set)
{
	*set = (struct pattern_set){ .w = { 1 } };
	close_set(p, set);
}

bool pattern_step(const struct path_pattern *p, struct pattern_set *set, uint8_t c)
{
	struct pattern_set next = { 0 };
	bool any = false;

	for (size_t word = 0; word <= p->n / 64; word++) {
		for (uint64_t todo = set->w[word]; todo; todo &= todo - 1) {
			size_t i = word * 64 + (unsigned)__builtin_ctzll(todo);
			if (i >= p->n)
				break;
			unsigned t = p->token[i];
			if (t == TOKEN_ANY || (t == TOKEN_STAR && c != '/'))
				add(&next, i);
			else if (t == c || (t == TOKEN_DEEP && c == '/'))
				add(&next, i + 1);
			else
				continue;
			any = true;
		}
	}
	*set = next;
	if (any)
		close_set(p, set);
	return any;
}

bool pattern_accepts(const struct path_pattern *p, const struct pattern_set *set)
{
	return has(set, p->n);
}

bool pattern_accepts_loose(const struct path_pattern *p, const struct pattern_set *set)
{
	struct pattern_set next = *set;

	return pattern_accepts(p, set) || (pattern_step(p, &next, '/') && pattern_accepts(p, &next));
}

uint8_t path_fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

void path_pattern_fold(struct path_pattern *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->token[i] < 256)
			p->token[i] = path_fold((uint8_t)p->token[i]);
	}
}

uint8_t path_next(struct path_reader *r)
{
	bool slash = false;

	/* A '/' waits for what follows: it may be merged with the next one, or be the last byte. */
	while (r->reading == READ_LOOSE && (*r->path == '/' || *r->path == ';')) {
		slash = slash || *r->path == '/';
		r->path += *r->path == '/' ? 1 : strcspn(r->path, "/");
	}
	if (!*r->path)
		return 0;
	if (slash)
		return '/';
	uint8_t c = (uint8_t)*r->path++;
	return r->reading == READ_EXACT ? c : path_fold(c);
}

static bool run(const struct path_pattern *p, struct pattern_set *set, const char *path, enum path_reading reading)
{
	struct path_reader r = { .path = path, .reading = reading };

	for (uint8_t c; (c = path_next(&r));) {
		if (!pattern_step(p, set, c))
			return false;
	}
	return reading == READ_LOOSE ? pattern_accepts_loose(p, set) : pattern_accepts(p, set);
}

bool path_pattern_matches(const struct path_pattern *p, const char *path, bool deny)
{
	enum path_reading reading = deny ? READ_FOLDED : READ_EXACT;
	size_t i = 0;

	if (deny) {
		struct pattern_set set;
		pattern_start(p, &set);
		if (run(p, &set, path, READ_LOOSE))
			return true;
	}
	/* The literal beginning decides most requests without building a set. */
	while (i < p->n && p->token[i] < 256) {
		uint8_t c = (uint8_t)path[i];
		if ((deny ? path_fold(c) : c) != p->token[i])
			return false;
		i++;
	}
	if (i == p->n)
		return path[i] == '\0';
	if (p->token[i] == TOKEN_DEEP && i + 2 == p->n)
		return path[i] == '\0' || path[i] == '/';

	struct pattern_set set = { 0 };
	add(&set, i);
	close_set(p, &set);
	return run(p, &set, path + i, reading);
}
