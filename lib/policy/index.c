/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules sorted by host, so that a decision looks at the rules that can matter: one binary search for the name, one for
 * each parent of it, and for an address one for each prefix length in use.
 */
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

struct rule_index {
	const struct net_rule **names; /* by name, exact before suffix, then as given */
	const struct net_rule **addrs; /* by prefix (longest first), v4 before v6, address, then as given */
	const struct net_rule **any;   /* as given */
	size_t n_names, n_addrs, n_any;
};

static int by_name(const void *x, const void *y)
{
	const struct net_rule *a = *(const struct net_rule *const *)x, *b = *(const struct net_rule *const *)y;
	const struct host_pattern *h = &a->rule->host, *k = &b->rule->host;

	int r = strcmp(h->name, k->name);
	if (r == 0)
		r = (int)h->kind - (int)k->kind;
	return r ? r : (a > b) - (a < b);
}

static int compare_net(const struct host_pattern *h, const struct host_pattern *k)
{
	if (h->prefix != k->prefix)
		return h->prefix > k->prefix ? -1 : 1;
	if (h->v4 != k->v4)
		return h->v4 ? -1 : 1;
	return memcmp(&h->addr, &k->addr, sizeof(h->addr));
}

static int by_net(const void *x, const void *y)
{
	const struct net_rule *a = *(const struct net_rule *const *)x, *b = *(const struct net_rule *const *)y;

	int r = compare_net(&a->rule->host, &b->rule->host);
	return r ? r : (a > b) - (a < b);
}

void rules_index_free(struct rule_index *index)
{
	if (!index)
		return;
	free(index->names);
	free(index->addrs);
	free(index->any);
	free(index);
}

int rules_index(struct net_rules *rules)
{
	size_t room = rules->n ? rules->n : 1;
	struct rule_index *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->names = calloc(room, sizeof(*x->names));
	x->addrs = calloc(room, sizeof(*x->addrs));
	x->any = calloc(room, sizeof(*x->any));
	if (!x->names || !x->addrs || !x->any) {
		rules_index_free(x);
		return -ENOMEM;
	}
	for (size_t i = 0; i < rules->n; i++) {
		const struct net_rule *r = &rules->rule[i];
		if (r->rule->host.kind == HOST_ANY)
			x->any[x->n_any++] = r;
		else if (r->rule->host.kind == HOST_ADDR)
			x->addrs[x->n_addrs++] = r;
		else
			x->names[x->n_names++] = r;
	}
	qsort(x->names, x->n_names, sizeof(*x->names), by_name);
	qsort(x->addrs, x->n_addrs, sizeof(*x->addrs), by_net);
	rules_index_free(rules->index);
	rules->index = x;
	return 0;
}

typedef bool (*rule_visitor)(const struct net_rule *rule, const struct net_target *t, void *arg);

static bool visit_name(const struct rule_index *x, const char *name, enum host_kind kind, const struct net_target *t,
		       rule_visitor f, void *arg)
{
	size_t lo = 0, hi = x->n_names;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct host_pattern *h = &x->names[mid]->rule->host;
		int r = strcmp(h->name, name);
		if (r < 0 || (r == 0 && h->kind < kind))
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < x->n_names; lo++) {
		const struct host_pattern *h = &x->names[lo]->rule->host;
		if (h->kind != kind || strcmp(h->name, name) != 0)
			return false;
		if (f(x->names[lo], t, arg))
			return true;
	}
	return false;
}

/* All rules of the net's prefix at or behind *at; *at moves to the next shorter prefix. */
static bool visit_prefix(const struct rule_index *x, const struct host_pattern *net, size_t *at,
			 const struct net_target *t, rule_visitor f, void *arg)
{
	struct host_pattern after = { .prefix = (uint8_t)(net->prefix - 1), .v4 = true };
	size_t lo = *at, hi = x->n_addrs;
	bool done = false;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (compare_net(&x->addrs[mid]->rule->host, net) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < x->n_addrs && !done && compare_net(&x->addrs[lo]->rule->host, net) == 0; lo++)
		done = f(x->addrs[lo], t, arg);
	if (net->prefix == 0) {
		*at = x->n_addrs;
		return done;
	}
	for (hi = x->n_addrs; lo < hi;) {
		size_t mid = (lo + hi) / 2;
		if (compare_net(&x->addrs[mid]->rule->host, &after) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*at = lo;
	return done;
}

static bool visit_addr(const struct rule_index *x, const struct in6_addr *addr, const struct net_target *t,
		       rule_visitor f, void *arg)
{
	bool v4 = IN6_IS_ADDR_V4MAPPED(addr);

	for (size_t at = 0; at < x->n_addrs;) {
		struct host_pattern net = { .prefix = x->addrs[at]->rule->host.prefix, .v4 = v4, .addr = *addr };
		addr_mask(&net.addr, net.prefix);
		if (visit_prefix(x, &net, &at, t, f, arg))
			return true;
	}
	return false;
}

bool rules_each(const struct net_rules *rules, const struct net_target *t, rule_visitor f, void *arg)
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
	for (size_t i = 0; i < x->n_any; i++) {
		if (f(x->any[i], t, arg))
			return true;
	}
	return false;
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
