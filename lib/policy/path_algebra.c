/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inclusion of path patterns: all automata are run side by side over every possible path until a path is found that
 * the left side takes and the right side does not, or no new combination of states appears. Exact; the number of
 * combinations is bounded, and past the bound the answer is an error, which callers take for "no".
 *
 * A loose list takes what its patterns match in READ_FOLDED and in READ_LOOSE (path_next). The latter is a small automaton
 * too: it runs once, beside the others.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/path_pattern.h"

#define STATES_MAX 16384
#define BYTES_MAX (24u << 20)

/* Where the loose reading of the path stands, kept as the first set of a state. */
enum { SLASH_WAITS = 1, IN_PARAMETERS = 2 };

/* A search is bounded by its states; many small ones, about rules that somebody else wrote, by this. */
static _Thread_local uint64_t budget;

bool pattern_budget_begin(uint64_t steps)
{
	if (budget)
		return false;
	budget = steps;
	return true;
}

void pattern_budget_end(void)
{
	budget = 0;
}

/* False when it is used up: 1 is left then, because 0 means that there is none. */
static bool spend(uint64_t steps)
{
	if (budget == 0)
		return true;
	if (steps >= budget) {
		budget = 1;
		return false;
	}
	budget -= steps;
	return true;
}

struct search {
	const struct pattern_list *a, *b;
	size_t n_a, n_b;
	bool loose;
	size_t width; /* sets in one state: the loose reading, then of a's patterns, then of b's; loose patterns have two */
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
			unsigned t = l->p[i]->token[k];
			if (t < 256)
				used[t] = true;
			if (l->loose && t >= 'a' && t <= 'z')
				used[t - 'a' + 'A'] = true;
		}
	}
}

/* Bytes that no pattern names are all alike, so one of them stands for the rest. */
static void make_alphabet(struct search *s)
{
	bool used[256] = { ['/'] = true };
	bool other = false;

	used[';'] = s->loose;
	for (size_t i = 0; i < s->n_a; i++)
		mark_bytes(&s->a[i], used);
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

static size_t sets_of(const struct pattern_list *l)
{
	return l->loose ? 2 * l->n : l->n;
}

static bool list_accepts(const struct pattern_list *l, const struct pattern_set *sets)
{
	for (size_t i = 0; i < l->n; i++) {
		bool accepts = pattern_accepts(l->p[i], sets++);
		if (l->loose)
			accepts = pattern_accepts_loose(l->p[i], sets++) || accepts;
		if (!accepts)
			return false;
	}
	return true;
}

/* Is the path that led here in a and in no b? */
static bool is_counterexample(const struct search *s, const struct pattern_set *sets)
{
	sets += s->loose;
	for (size_t i = 0; i < s->n_a; sets += sets_of(&s->a[i]), i++) {
		if (!list_accepts(&s->a[i], sets))
			return false;
	}
	for (size_t j = 0; j < s->n_b; sets += sets_of(&s->b[j]), j++) {
		if (list_accepts(&s->b[j], sets))
			return false;
	}
	return true;
}

/* Each byte moves each position. */
static uint64_t n_positions(const struct pattern_set *sets, size_t n)
{
	uint64_t positions = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t w = 0; w < PATTERN_WORDS; w++)
			positions += (uint64_t)__builtin_popcountll(sets[i].w[w]);
	}
	return positions;
}

static bool is_empty(const struct pattern_set *set)
{
	for (size_t w = 0; w < PATTERN_WORDS; w++) {
		if (set->w[w])
			return false;
	}
	return true;
}

/* What the loose reading makes of this byte: as path_next() in path_pattern.c. */
struct loose_step {
	bool skip;  /* nothing yet */
	bool slash; /* a '/' before it */
};

static struct loose_step read_loose(struct pattern_set *reader, uint8_t c)
{
	uint64_t was = reader->w[0];

	if (c == '/')
		reader->w[0] = SLASH_WAITS;
	else if (c == ';')
		reader->w[0] |= IN_PARAMETERS;
	else if (!(was & IN_PARAMETERS))
		reader->w[0] = 0;
	return (struct loose_step){ reader->w[0] != 0, was & SLASH_WAITS };
}

static bool step_loose(const struct path_pattern *p, struct pattern_set *set, uint8_t c, struct loose_step how)
{
	if (how.skip)
		return !is_empty(set);
	return (!how.slash || pattern_step(p, set, '/')) && pattern_step(p, set, c);
}

/* False when some pattern of the list can take nothing from here on. */
static bool step_list(const struct pattern_list *l, struct pattern_set *to, uint8_t c, struct loose_step how)
{
	uint8_t as_read = l->loose ? path_fold(c) : c;
	bool alive = true;

	for (size_t i = 0; i < l->n; i++) {
		bool any = pattern_step(l->p[i], to++, as_read);
		if (l->loose)
			any = step_loose(l->p[i], to++, as_read, how) || any;
		alive = alive && any;
	}
	return alive;
}

/* Step every set of from; false when a can take nothing from here on. */
static bool step_all(const struct search *s, const struct pattern_set *from, struct pattern_set *to, uint8_t c)
{
	memcpy(to, from, s->width * sizeof(*to));
	struct loose_step how = s->loose ? read_loose(to, c) : (struct loose_step){ 0 };
	to += s->loose;
	for (size_t i = 0; i < s->n_a; to += sets_of(&s->a[i]), i++) {
		if (!step_list(&s->a[i], to, c, how))
			return false;
	}
	for (size_t j = 0; j < s->n_b; to += sets_of(&s->b[j]), j++)
		step_list(&s->b[j], to, c, how);
	return true;
}

static struct pattern_set *start_list(const struct pattern_list *l, struct pattern_set *set)
{
	for (size_t i = 0; i < l->n; i++) {
		pattern_start(l->p[i], set++);
		if (l->loose) {
			*set = set[-1];
			set++;
		}
	}
	return set;
}

static int run_search(struct search *s)
{
	struct pattern_set *first = s->states + s->loose;

	for (size_t i = 0; i < s->n_a; i++)
		first = start_list(&s->a[i], first);
	for (size_t j = 0; j < s->n_b; j++)
		first = start_list(&s->b[j], first);
	s->n_states = 1;
	for (size_t at = 0; at < s->n_states; at++) {
		if (!spend(s->n_alphabet * (s->width + n_positions(s->states + at * s->width, s->width))))
			return -E2BIG;
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

/* The usual case: b is literally one of the patterns that a is cut down to. */
static bool named_by(const struct search *s, const struct pattern_list *b)
{
	for (size_t i = 0; b->n == 1 && i < s->n_a; i++) {
		for (size_t k = 0; k < s->a[i].n && (b->loose || !s->a[i].loose); k++) {
			if (path_pattern_equal(s->a[i].p[k], b->p[0]))
				return true;
		}
	}
	return false;
}

static int included(const struct pattern_list *a, size_t n_a, const struct pattern_list *b, size_t n_b)
{
	_cleanup_(search_done) struct search s = { .a = a, .b = b, .n_a = n_a, .n_b = n_b };

	for (size_t i = 0; i < n_a; i++) {
		s.width += sets_of(&a[i]);
		s.loose = s.loose || (a[i].loose && a[i].n);
	}
	for (size_t j = 0; j < n_b; j++) {
		if (b[j].n == 0 || named_by(&s, &b[j]))
			return 1;
		s.width += sets_of(&b[j]);
		s.loose = s.loose || b[j].loose;
	}
	if (s.width == 0)
		return 0;
	/* The table alone costs as much as a thousand steps. */
	if (!spend(1000))
		return -E2BIG;
	s.width += s.loose;
	make_alphabet(&s);
	s.cap = 16;
	s.states = calloc(s.cap * s.width, sizeof(*s.states));
	s.table_size = STATES_MAX * 4;
	s.table = calloc(s.table_size, sizeof(*s.table));
	if (!s.states || !s.table)
		return -ENOMEM;
	return run_search(&s);
}

int pattern_lists_included(struct pattern_list a, const struct pattern_list *b, size_t n_b)
{
	return included(&a, 1, b, n_b);
}

int pattern_pair_included(const struct pattern_list a[2], const struct pattern_list *b, size_t n_b)
{
	return included(a, 2, b, n_b);
}
