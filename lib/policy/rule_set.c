/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subset and intersection of unions of rules. A rule may be covered by several others together (two halves of a range,
 * methods from one and the rest from another), so its set is cut at every border of the others into cells within which
 * only the path varies, and each cell is decided as one inclusion of patterns.
 */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/rule.h"

/* What is to be covered: a, cut down to what the denial takes (NULL: all of a); and the rules still in play for the
 * cell. Denials among those take what they match, which is more than the same text allows. */
struct cover {
	const struct rule **b;
	size_t n;
	const struct rule *a, *cut;
};

static struct pattern_list paths_of(const struct rule *r)
{
	return (struct pattern_list){ r->paths, r->n_paths, r->kind == RULE_DENY };
}

static int cell_paths(const struct cover *c)
{
	struct pattern_list *lists = calloc(c->n ? c->n : 1, sizeof(*lists));
	if (!lists)
		return -ENOMEM;
	for (size_t i = 0; i < c->n; i++)
		lists[i] = paths_of(c->b[i]);
	struct pattern_list a[2] = { paths_of(c->a) };
	if (c->cut)
		a[1] = paths_of(c->cut);
	int r = pattern_pair_included(a, lists, c->n);
	free(lists);
	return r;
}

/* A method as it is written, or in other letter case, which only denials take for the same. */
static bool has_method(const struct rule *r, unsigned bit, bool folded)
{
	return r->methods >> (folded && r->kind != RULE_DENY ? 31 : bit) & 1;
}

/* One host, one protocol, one port: by methods. */
static int cell_methods(const struct cover *c, enum net_proto proto, unsigned port)
{
	const struct rule **b = calloc(c->n ? 2 * c->n : 1, sizeof(*b)), **last = b ? b + c->n : NULL;
	size_t n_last = SIZE_MAX;
	int r = 1;

	if (!b)
		return -ENOMEM;
	for (unsigned m = 0; m < 64 && r == 1; m++) {
		struct cover cell = { b, 0, c->a, c->cut };
		unsigned bit = m % 32;
		bool folded = m >= 32;
		if (!has_method(c->a, bit, folded) || (c->cut && !has_method(c->cut, bit, folded)))
			continue;
		for (size_t i = 0; i < c->n; i++) {
			const struct port_range *p = &c->b[i]->ports[proto];
			if (p->lo && port >= p->lo && port <= p->hi && has_method(c->b[i], bit, folded))
				b[cell.n++] = c->b[i];
		}
		/* Most methods are alike: decided with the one before. */
		if (cell.n == n_last && memcmp(b, last, cell.n * sizeof(*b)) == 0)
			continue;
		r = cell_paths(&cell);
		memcpy(last, b, cell.n * sizeof(*b));
		n_last = cell.n;
	}
	free(b);
	return r;
}

/* One host: one port of each stretch between borders stands for the stretch. */
static int cell_ports(const struct cover *c)
{
	for (int p = 0; p < PROTO_COUNT; p++) {
		struct port_range range = c->a->ports[p];
		if (c->cut && c->cut->ports[p].lo > range.lo)
			range.lo = c->cut->ports[p].lo;
		if (c->cut && c->cut->ports[p].hi < range.hi)
			range.hi = c->cut->ports[p].hi;
		if (!c->a->ports[p].lo || (c->cut && !c->cut->ports[p].lo) || range.lo > range.hi)
			continue;
		int r = cell_methods(c, (enum net_proto)p, range.lo);
		for (size_t i = 0; i < c->n && r == 1; i++) {
			unsigned lo = c->b[i]->ports[p].lo, after = c->b[i]->ports[p].hi + 1u;
			if (!lo)
				continue;
			if (lo > range.lo && lo <= range.hi)
				r = cell_methods(c, (enum net_proto)p, lo);
			if (r == 1 && after > range.lo && after <= range.hi)
				r = cell_methods(c, (enum net_proto)p, after);
		}
		if (r != 1)
			return r;
	}
	return 1;
}

/* Addresses of a prefix: halve it until every rule of b covers all of the part or none of it. */
static int cover_addr(const struct cover *c, struct host_pattern part)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool split = false;

	/* The mapped addresses inside a v6 prefix belong to v4: nothing is there to be covered. */
	if (!part.v4 && part.prefix == 96 && memcmp(&part.addr, mapped, sizeof(mapped)) == 0)
		return 1;
	const struct rule **b = calloc(c->n ? c->n : 1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	struct cover cell = { b, 0, c->a, c->cut };
	for (size_t i = 0; i < c->n; i++) {
		if (host_pattern_is_subset(&part, &c->b[i]->host))
			b[cell.n++] = c->b[i];
		else if (host_pattern_is_subset(&c->b[i]->host, &part))
			split = true;
	}
	/* Covered by those that hold all of it already: then no need to look into the halves. */
	int r = cell_ports(&cell);
	free(b);
	if (r != 0 || !split)
		return r;
	part.prefix++;
	r = cover_addr(c, part);
	if (r != 1)
		return r;
	part.addr.s6_addr[(part.prefix - 1) / 8] |= (uint8_t)(0x80u >> ((part.prefix - 1) % 8));
	return cover_addr(c, part);
}

/*
 * Names: nobody can use up the endless set below a suffix by naming some of it, so only rules that contain all of a's
 * names count; any narrower one merely covers some names twice.
 */
static int cover_names(const struct cover *c, const struct host_pattern *names)
{
	const struct rule **b = calloc(c->n ? c->n : 1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	struct cover cell = { b, 0, c->a, c->cut };
	for (size_t i = 0; i < c->n; i++) {
		if (host_pattern_is_subset(names, &c->b[i]->host))
			b[cell.n++] = c->b[i];
	}
	int r = cell_ports(&cell);
	free(b);
	return r;
}

int rule_is_covered(const struct rule *a, const struct rule *cut, struct rule *const *rules, size_t n)
{
	const struct host_pattern *host = cut ? host_pattern_intersect(&a->host, &cut->host) : &a->host;
	if (!host)
		return 1;
	const struct rule **b = calloc(n ? n : 1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	struct cover c = { b, 0, a, cut };
	for (size_t i = 0; i < n; i++) {
		if (host_pattern_intersect(host, &rules[i]->host))
			b[c.n++] = rules[i];
	}
	int r = host->kind == HOST_ADDR ? cover_addr(&c, *host) : cover_names(&c, host);
	free(b);
	return r;
}

void rules_free(struct rule **rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		rule_free(rules[i]);
	free(rules);
}
