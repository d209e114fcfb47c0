/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules grouped by host, so that a decision looks at those that can matter: one binary search for the name, one for each
 * parent of it, and for an address one for each prefix length in use. Within the group of a host the path leads on
 * (index_path.c).
 */
#include <errno.h>
#include <string.h>

#include "policy/index.h"

struct rule_index {
	const struct net_rule **rules; /* room for the arrays of all groups */
	struct path_entry *paths;
	struct host_group *groups;
	struct host_group *names; /* by name, exact before suffix */
	struct host_group *addrs; /* by prefix (longest first), v4 before v6, address */
	struct host_group *any;
	size_t n_names, n_addrs, n_any;
};

static int compare_net(const struct host_pattern *h, const struct host_pattern *k)
{
	if (h->prefix != k->prefix)
		return h->prefix > k->prefix ? -1 : 1;
	if (h->v4 != k->v4)
		return h->v4 ? -1 : 1;
	return memcmp(&h->addr, &k->addr, sizeof(h->addr));
}

static int compare_name(const struct host_pattern *h, const char *name, enum host_kind kind)
{
	int r = strcmp(h->name, name);
	return r ? r : (int)h->kind - (int)kind;
}

/* Names, addresses, any. */
static int section(enum host_kind kind)
{
	return kind == HOST_ADDR ? 1 : kind == HOST_ANY ? 2 : 0;
}

static int compare_host(const struct host_pattern *h, const struct host_pattern *k)
{
	int r = section(h->kind) - section(k->kind);

	if (r || h->kind == HOST_ANY)
		return r;
	return h->kind == HOST_ADDR ? compare_net(h, k) : compare_name(h, k->name, k->kind);
}

static int by_host(const void *x, const void *y)
{
	const struct net_rule *a = *(const struct net_rule *const *)x, *b = *(const struct net_rule *const *)y;

	int r = compare_host(&a->rule->host, &b->rule->host);
	return r ? r : (a > b) - (a < b);
}

static const struct host_pattern *host_of(const struct host_group *g)
{
	return &g->rules[0]->rule->host;
}

void rules_index_free(struct rule_index *index)
{
	if (!index)
		return;
	free(index->rules);
	free(index->paths);
	free(index->groups);
	free(index);
}

static void cut_groups(struct rule_index *x, size_t n_rules)
{
	size_t *const counts[] = { &x->n_names, &x->n_addrs, &x->n_any };
	struct host_group *g = x->groups;

	for (size_t i = 0; i < n_rules; g++) {
		const struct net_rule **from = x->rules + i;
		size_t n = 1;
		while (i + n < n_rules && compare_host(&from[0]->rule->host, &from[n]->rule->host) == 0)
			n++;
		/* Behind the rules themselves there is as much room. */
		*g = (struct host_group){ .rules = from, .n = n, .kinds = from + n_rules, .paths = x->paths + i };
		host_group_sort(g);
		++*counts[section(host_of(g)->kind)];
		i += n;
	}
	x->names = x->groups;
	x->addrs = x->names + x->n_names;
	x->any = x->addrs + x->n_addrs;
}

int rules_index(struct net_rules *rules)
{
	size_t room = rules->n ? rules->n : 1;
	struct rule_index *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->rules = calloc(2 * room, sizeof(x->rules[0]));
	x->paths = calloc(room, sizeof(x->paths[0]));
	x->groups = calloc(room, sizeof(x->groups[0]));
	if (!x->rules || !x->paths || !x->groups) {
		rules_index_free(x);
		return -ENOMEM;
	}
	for (size_t i = 0; i < rules->n; i++)
		x->rules[i] = &rules->rule[i];
	qsort(x->rules, rules->n, sizeof(x->rules[0]), by_host);
	cut_groups(x, rules->n);
	rules_index_free(rules->index);
	rules->index = x;
	return 0;
}

/* What is done with each group that has the host; true: no more of them. */
typedef bool (*group_visitor)(const struct host_group *g, const struct net_target *t, void *arg);

static bool visit_name(const struct rule_index *x, const char *name, enum host_kind kind, const struct net_target *t,
		       group_visitor f, void *arg)
{
	size_t lo = 0, hi = x->n_names;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int r = compare_name(host_of(&x->names[mid]), name, kind);
		if (r == 0)
			return f(&x->names[mid], t, arg);
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* Index of the first group at or behind `from` that is not before this net. */
static size_t lower_net(const struct rule_index *x, size_t from, const struct host_pattern *net)
{
	size_t hi = x->n_addrs;

	while (from < hi) {
		size_t mid = (from + hi) / 2;
		if (compare_net(host_of(&x->addrs[mid]), net) < 0)
			from = mid + 1;
		else
			hi = mid;
	}
	return from;
}

static bool visit_addr(const struct rule_index *x, const struct in6_addr *addr, const struct net_target *t,
		       group_visitor f, void *arg)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(addr);

	for (size_t at = 0; at < x->n_addrs;) {
		uint8_t prefix = host_of(&x->addrs[at])->prefix;
		struct host_pattern net = { .prefix = prefix, .v4 = v4, .addr = *addr };
		addr_mask(&net.addr, prefix);
		at = lower_net(x, at, &net);
		if (at < x->n_addrs && compare_net(host_of(&x->addrs[at]), &net) == 0 && f(&x->addrs[at], t, arg))
			return true;
		if (prefix == 0)
			break;
		at = lower_net(x, at, &(struct host_pattern){ .prefix = (uint8_t)(prefix - 1), .v4 = true });
	}
	return false;
}

static bool each_group(const struct net_rules *rules, const struct net_target *t, group_visitor f, void *arg)
{
	const struct rule_index *x = rules->index;
	struct in6_addr literal;

	if (!t->host)
		return t->addr && visit_addr(x, t->addr, t, f, arg);
	if (addr_from_text(t->host, &literal))
		return visit_addr(x, &literal, t, f, arg);
	if (visit_name(x, t->host, HOST_NAME, t, f, arg))
		return true;
	for (const char *dot = strchr(t->host, '.'); dot; dot = strchr(dot + 1, '.')) {
		if (visit_name(x, dot + 1, HOST_SUFFIX, t, f, arg))
			return true;
	}
	return x->n_any && f(x->any, t, arg);
}

struct each {
	bool (*f)(const struct net_rule *rule, const struct net_target *t, void *arg);
	void *arg;
};

static bool each_rule(const struct host_group *g, const struct net_target *t, void *arg)
{
	const struct each *each = arg;

	for (size_t i = 0; i < g->n; i++) {
		if (each->f(g->rules[i], t, each->arg))
			return true;
	}
	return false;
}

static bool each_kind(const struct host_group *g, const struct net_target *t, void *arg)
{
	const struct each *each = arg;

	for (size_t i = 0; i < g->n_kinds; i++) {
		if (each->f(g->kinds[i], t, each->arg))
			return true;
	}
	return false;
}

bool rules_each(const struct net_rules *rules, const struct net_target *t,
		bool (*f)(const struct net_rule *rule, const struct net_target *t, void *arg), void *arg)
{
	return each_group(rules, t, each_rule, &(struct each){ f, arg });
}

bool rules_each_kind(const struct net_rules *rules, const struct net_target *t,
		     bool (*f)(const struct net_rule *rule, const struct net_target *t, void *arg), void *arg)
{
	return each_group(rules, t, each_kind, &(struct each){ f, arg });
}

static bool match_endpoint(const struct net_rule *r, const struct net_target *t, void *arg)
{
	(void)arg;
	return rule_matches_endpoint(r->rule, t);
}

static bool match_whole(const struct net_rule *r, const struct net_target *t, void *arg)
{
	(void)arg;
	return rule_is_unrestricted(r->rule) && rule_matches_endpoint(r->rule, t);
}

bool rules_match_endpoint(const struct net_rules *rules, const struct net_target *t)
{
	return rules_each_kind(rules, t, match_endpoint, NULL);
}

bool rules_match_whole(const struct net_rules *rules, const struct net_target *t)
{
	return rules_each_kind(rules, t, match_whole, NULL);
}

struct matched {
	const struct net_rule *first;
	bool *private; /* NULL: not asked for */
};

static bool match_group(const struct host_group *g, const struct net_target *t, void *arg)
{
	struct matched *matched = arg;
	struct group_match m = { .t = t };

	host_group_match(g, &m);
	if (!matched->first)
		matched->first = m.first;
	if (!matched->private)
		return matched->first;
	*matched->private |= m.private;
	return *matched->private;
}

const struct net_rule *rules_match(const struct net_rules *rules, const struct net_target *t, bool *ret_private)
{
	struct matched matched = { .private = ret_private };

	if (ret_private)
		*ret_private = false;
	each_group(rules, t, match_group, &matched);
	return matched.first;
}

struct found_rules {
	struct rule **rule;
	size_t n;
};

static bool note_rule(const struct net_rule *rule, const struct net_target *t, void *arg)
{
	struct found_rules *found = arg;

	(void)t;
	found->rule[found->n++] = rule->rule;
	return false;
}

size_t rules_meeting(const struct net_rules *rules, const struct host_pattern *host, struct rule **ret)
{
	struct found_rules found = { ret, 0 };
	struct net_target t = { .host = host->name };

	/* What lies below a suffix, or in a net, is not together in the index. */
	if (rules->index && host->kind == HOST_NAME) {
		rules_each(rules, &t, note_rule, &found);
		return found.n;
	}
	for (size_t i = 0; i < rules->n; i++) {
		if (host_pattern_intersect(&rules->rule[i].rule->host, host))
			ret[found.n++] = rules->rule[i].rule;
	}
	return found.n;
}
