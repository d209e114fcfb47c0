/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inclusion of path patterns: all automata are run side by side over every possible path until a path is found that
 * the left side takes and the right side does not, or no new combination of states appears. Exact; the number of
 * combinations is bounded, and past the bound the answer is an error, which callers take for "no".
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/path_pattern.h"

#define STATES_MAX 16384
#define BYTES_MAX (24u << 20)

struct search {
	struct pattern_list a;
	const struct pattern_list *b;
	size_t n_b;
	size_t width; /* sets in one state: of a's patterns, then of each of b's */
	struct pattern_set *states;
	size_t n_states, cap;
	uint32_t *table; /* open addressing: index + 1 of a state */
	size_t table_size;
	uint8_t alphabet[256];
	size_t n_alphabet;
};

static void search_done(struct search *s)
{
	free(s->states);
	free(s->table);
}

static void mark_bytes(const struct pattern_list *l, bool used[256])
{
	for (size_t i = 0; i < l->n; i++) {
		for (size_t k = 0; k < l->p[i]->n; k++) {
			if (l->p[i]->token[k] < 256)
				used[l->p[i]->token[k]] = true;
		}
	}
}

/* Bytes that no pattern names are all alike, so one of them stands for the rest. */
static void make_alphabet(struct search *s)
{
	bool used[256] = { ['/'] = true };
	bool other = false;

	mark_bytes(&s->a, used);
	for (size_t j = 0; j < s->n_b; j++)
		mark_bytes(&s->b[j], used);
	for (unsigned c = 0x21; c < 256 + 0x21; c++) {
		if (used[c & 0xff] || !other)
			s->alphabet[s->n_alphabet++] = (uint8_t)c;
		other = other || !used[c & 0xff];
	}
}

static uint64_t hash(const struct pattern_set *sets, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++) {
		for (size_t w = 0; w < PATTERN_WORDS; w++) {
			h = (h ^ sets[i].w[w]) * 0x9e3779b97f4a7c15u;
			h ^= h >> 29;
		}
	}
	return h;
}

/* The new state lies behind the last one; keep it if it was not seen before. */
static int keep_state(struct search *s)
{
	const struct pattern_set *fresh = s->states + s->n_states * s->width;
	size_t at = hash(fresh, s->width) & (s->table_size - 1);

	while (s->table[at]) {
		if (memcmp(s->states + (s->table[at] - 1) * s->width, fresh, s->width * sizeof(*fresh)) == 0)
			return 0;
		at = (at + 1) & (s->table_size - 1);
	}
	s->table[at] = (uint32_t)++s->n_states;
	if (s->n_states < s->cap)
		return 0;
	size_t cap = s->cap * 4;
	if (s->n_states >= STATES_MAX || cap * s->width * sizeof(*fresh) > BYTES_MAX)
		return -E2BIG;
	struct pattern_set *more = realloc(s->states, cap * s->width * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->states = more;
	s->cap = cap;
	return 0;
}

static bool list_accepts(const struct pattern_list *l, const struct pattern_set *sets)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!pattern_accepts(l->p[i], &sets[i]))
			return false;
	}
	return true;
}

/* Is the path that led here in a and in no b? */
static bool is_counterexample(const struct search *s, const struct pattern_set *sets)
{
	if (!list_accepts(&s->a, sets))
		return false;
	sets += s->a.n;
	for (size_t j = 0; j < s->n_b; sets += s->b[j].n, j++) {
		if (list_accepts(&s->b[j], sets))
			return false;
	}
	return true;
}

/* Step every set of from; false when a can take nothing from here on. */
static bool step_all(const struct search *s, const struct pattern_set *from, struct pattern_set *to, uint8_t c)
{
	memcpy(to, from, s->width * sizeof(*to));
	for (size_t i = 0; i < s->a.n; i++) {
		if (!pattern_step(s->a.p[i], &to[i], c))
			return false;
	}
	to += s->a.n;
	for (size_t j = 0; j < s->n_b; j++) {
		for (size_t i = 0; i < s->b[j].n; i++)
			pattern_step(s->b[j].p[i], to++, c);
	}
	return true;
}

static int run_search(struct search *s)
{
	struct pattern_set *first = s->states;

	for (size_t i = 0; i < s->a.n; i++)
		pattern_start(s->a.p[i], first++);
	for (size_t j = 0; j < s->n_b; j++) {
		for (size_t i = 0; i < s->b[j].n; i++)
			pattern_start(s->b[j].p[i], first++);
	}
	s->n_states = 1;
	for (size_t at = 0; at < s->n_states; at++) {
		for (size_t c = 0; c < s->n_alphabet; c++) {
			/* A path always begins with '/'. */
			if (at == 0 && s->alphabet[c] != '/')
				continue;
			struct pattern_set *to = s->states + s->n_states * s->width;
			if (!step_all(s, s->states + at * s->width, to, s->alphabet[c]))
				continue;
			if (is_counterexample(s, to))
				return 0;
			int r = keep_state(s);
			if (r < 0)
				return r;
		}
	}
	return 1;
}

int pattern_lists_included(struct pattern_list a, const struct pattern_list *b, size_t n_b)
{
	_cleanup_(search_done) struct search s = { .a = a, .b = b, .n_b = n_b, .width = a.n };

	for (size_t j = 0; j < n_b; j++) {
		if (b[j].n == 0)
			return 1;
		/* The usual case: literally the same pattern. */
		if (b[j].n == 1 && a.n == 1 && path_pattern_equal(a.p[0], b[j].p[0]))
			return 1;
		s.width += b[j].n;
	}
	if (s.width == 0)
		return 0;
	make_alphabet(&s);
	s.cap = 16;
	s.states = calloc(s.cap * s.width, sizeof(*s.states));
	s.table_size = STATES_MAX * 4;
	s.table = calloc(s.table_size, sizeof(*s.table));
	if (!s.states || !s.table)
		return -ENOMEM;
	return run_search(&s);
}
