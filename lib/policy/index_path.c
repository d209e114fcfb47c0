/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of one host by path.
 *
 * Sorted by the tokens of their patterns, the rules are a tree that needs no memory of its own: a node is the range of
 * the rules that begin with the same tokens, and its child is found by binary search at the next token. The walk runs
 * the automata of all patterns at once over the path, with nodes of the tree for states. It only chooses: each rule that
 * it comes to is asked itself, so that a node may be given up at any time by asking all of its rules.
 */
#include <string.h>

#include "policy/index.h"

#define NODES_MAX 32u
#define FEW 4 /* rules that are asked at once instead of being told apart */
#define END (-1)

struct node {
	const struct path_entry *lo, *hi;
	size_t depth;
	bool loop; /* all have the same wildcard at depth, and it takes more */
};

struct walk {
	struct group_match *match;
	struct node now[NODES_MAX], next[NODES_MAX];
	size_t n_now, n_next;
};

static int token(const struct path_entry *entry, size_t depth)
{
	return depth < entry->pattern->n ? entry->pattern->token[depth] : END;
}

static int by_path(const void *x, const void *y)
{
	const struct path_entry *a = x, *b = y;
	int r = 0;

	for (size_t i = 0; r == 0 && (token(a, i) != END || token(b, i) != END); i++)
		r = token(a, i) - token(b, i);
	return r ? r : (a->rule > b->rule) - (a->rule < b->rule);
}

/* All that rule_matches() looks at, but for the host, which is the same, and the path itself. */
static int compare_kind(const struct net_rule *a, const struct net_rule *b)
{
	int r = memcmp(a->rule->ports, b->rule->ports, sizeof(a->rule->ports));

	if (r == 0)
		r = (a->rule->methods > b->rule->methods) - (a->rule->methods < b->rule->methods);
	if (r == 0)
		r = (int)a->allow_private - (int)b->allow_private;
	return r ? r : !!a->rule->n_paths - !!b->rule->n_paths;
}

static int by_kind(const void *x, const void *y)
{
	const struct net_rule *a = *(const struct net_rule *const *)x, *b = *(const struct net_rule *const *)y;

	int r = compare_kind(a, b);
	return r ? r : (a > b) - (a < b);
}

static int as_given(const void *x, const void *y)
{
	const struct net_rule *a = *(const struct net_rule *const *)x, *b = *(const struct net_rule *const *)y;
	return (a > b) - (a < b);
}

void host_group_sort(struct host_group *g)
{
	g->n_paths = g->n_kinds = 0;
	memcpy(g->kinds, g->rules, g->n * sizeof(g->rules[0]));
	qsort(g->kinds, g->n, sizeof(g->kinds[0]), by_kind);
	for (size_t i = 0; i < g->n; i++) {
		if (g->n_kinds == 0 || compare_kind(g->kinds[g->n_kinds - 1], g->kinds[i]) != 0)
			g->kinds[g->n_kinds++] = g->kinds[i];
		if (g->rules[i]->rule->n_paths)
			g->paths[g->n_paths++] = (struct path_entry){ g->rules[i]->rule->paths[0], g->rules[i] };
	}
	qsort(g->kinds, g->n_kinds, sizeof(g->kinds[0]), as_given);
	qsort(g->paths, g->n_paths, sizeof(g->paths[0]), by_path);
}

static void ask(struct group_match *m, const struct net_rule *r)
{
	if (!rule_matches(r->rule, m->t))
		return;
	if (!m->first || r < m->first)
		m->first = r;
	/* Whoever wrote the address itself knows where it is. */
	m->private |= r->allow_private || r->rule->host.kind == HOST_ADDR;
}

static void ask_all(struct group_match *m, const struct path_entry *lo, const struct path_entry *hi)
{
	for (; lo < hi; lo++)
		ask(m, lo->rule);
}

/* The first of the node's rules whose next token is not less than this one. */
static const struct path_entry *lower(const struct node *n, int next)
{
	const struct path_entry *lo = n->lo, *hi = n->hi;

	/* Most have one child only, or no wildcard. */
	if (token(&hi[-1], n->depth) < next)
		return hi;
	while (lo < hi) {
		const struct path_entry *mid = lo + (hi - lo) / 2;
		if (token(mid, n->depth) < next)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Those with this token next. */
static struct node child(const struct node *n, int next)
{
	struct node c = { n->lo, n->hi, n->depth + 1, false };

	if (token(c.lo, n->depth) != next)
		c.lo = lower(n, next);
	if (c.lo < c.hi && token(&c.hi[-1], n->depth) != next)
		c.hi = lower(&(struct node){ c.lo, c.hi, n->depth, false }, next + 1);
	return c;
}

static void enter(struct walk *w, struct node n)
{
	if (n.hi - n.lo <= FEW || w->n_next == NODES_MAX) {
		ask_all(w->match, n.lo, n.hi);
		return;
	}
	for (size_t i = 0; i < w->n_next; i++) {
		const struct node *have = &w->next[i];
		if (have->lo == n.lo && have->hi == n.hi && have->depth == n.depth && have->loop == n.loop)
			return;
	}
	w->next[w->n_next++] = n;
	/* A wildcard may also take nothing, or nothing more. */
	if (n.loop) {
		enter(w, (struct node){ n.lo, n.hi, n.depth + 1, false });
		return;
	}
	/* They come last in the order. */
	n.lo = lower(&n, TOKEN_STAR);
	if (n.lo == n.hi)
		return;
	struct node star = child(&n, TOKEN_STAR), any = child(&n, TOKEN_ANY), deep = child(&n, TOKEN_DEEP);
	star.loop = any.loop = true;
	star.depth = any.depth = n.depth;
	deep.depth = n.depth + 2;
	enter(w, star);
	enter(w, any);
	enter(w, deep);
}

static void step(struct walk *w, const struct node *n, uint8_t c)
{
	if (n->loop) {
		if (c != '/' || token(n->lo, n->depth) == TOKEN_ANY)
			enter(w, *n);
		return;
	}
	enter(w, child(n, c));
	if (c == '/')
		enter(w, child(n, TOKEN_DEEP));
}

static void take_next(struct walk *w)
{
	memcpy(w->now, w->next, w->n_next * sizeof(w->now[0]));
	w->n_now = w->n_next;
	w->n_next = 0;
}

static void step_all(struct walk *w, uint8_t c)
{
	for (size_t i = 0; i < w->n_now; i++)
		step(w, &w->now[i], c);
	take_next(w);
}

/* Those that take no more. */
static void ask_ended(const struct walk *w)
{
	for (size_t i = 0; i < w->n_now; i++) {
		if (!w->now[i].loop)
			ask_all(w->match, w->now[i].lo, lower(&w->now[i], 0));
	}
}

static void walk(const struct host_group *g, struct group_match *m, enum path_reading reading)
{
	struct walk w;
	struct path_reader path = { .path = m->t->path, .reading = reading };

	w.match = m;
	w.n_next = 0;
	enter(&w, (struct node){ g->paths, g->paths + g->n_paths, 0, false });
	take_next(&w);
	for (uint8_t c; w.n_now && (c = path_next(&path));)
		step_all(&w, c);
	ask_ended(&w);
	if (reading == READ_LOOSE) {
		step_all(&w, '/');
		ask_ended(&w);
	}
}

void host_group_match(const struct host_group *g, struct group_match *m)
{
	const struct net_target *t = m->t;
	const bool by_path = t->path && (t->proto == PROTO_HTTP || t->proto == PROTO_HTTPS);

	for (size_t i = 0; i < g->n_kinds; i++) {
		/* Where no path is looked at, one of a kind speaks for all. */
		if (!by_path || !g->kinds[i]->rule->n_paths)
			ask(m, g->kinds[i]);
	}
	if (!by_path || !g->n_paths)
		return;
	/* A list holds denials only, or none. */
	if (g->paths[0].rule->rule->kind != RULE_DENY) {
		walk(g, m, READ_EXACT);
		return;
	}
	walk(g, m, READ_FOLDED);
	walk(g, m, READ_LOOSE);
}
