/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network part of grants: rules without denials. a is within b exactly when
 *   1. each rule of a is covered by the rules of b and the denials of a,
 *   2. what a denial of b takes of a rule of a, a denies as well,
 *   3. an address that b denies, a denies as well wherever it lets a name through, since a name may resolve to it.
 * Not against the policy and not for a request: there the denials of addresses on the other side hold anyway.
 * Where a denies every address, it denies every name too.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

#define RULES_BETWEEN ENTRIES_MAX /* while two lists are intersected; most of it is found to be said twice */
#define PATTERNS_MAX 32    /* of one rule: each intersection may add one */

#define EVERY_PORT { { 1, 65535 }, { 1, 65535 }, { 1, 65535 }, { 1, 65535 } }

/* Everything there is, for sides that name no rule. */
static const struct rule everything[] = {
	{ .kind = RULE_ALLOW, .host = { .kind = HOST_ANY }, .ports = EVERY_PORT, .methods = RULE_METHODS_ANY },
	{ .kind = RULE_ALLOW,
	  .host = { .kind = HOST_ADDR, .prefix = 96, .v4 = true, .addr = { { { [10] = 0xff, [11] = 0xff } } } },
	  .ports = EVERY_PORT, .methods = RULE_METHODS_ANY },
	{ .kind = RULE_ALLOW, .host = { .kind = HOST_ADDR }, .ports = EVERY_PORT, .methods = RULE_METHODS_ANY },
};

/* One side of a comparison. */
struct side {
	bool all;
	const struct net_rules *allow, *deny;
	/* What it denies; made by side_denials(), for the side that may be within the other. */
	struct rule **denied;
	size_t n_denied;
	struct rule **addresses; /* of it what holds for the address that a name resolves to */
	size_t n_addresses;
	struct rule *made; /* what is in neither of the lists */
	size_t n_made;
};

static struct side side_of(const struct grant *g)
{
	return (struct side){ .all = !g->allow_set, .allow = &g->allow, .deny = &g->deny };
}

static void side_done(struct side *s)
{
	free(s->denied);
	free(s->addresses);
	free(s->made);
}

static size_t n_rules(const struct side *s)
{
	return s->all ? ARRAY_LEN(everything) : s->allow->n;
}

static const struct rule *rule_at(const struct side *s, size_t i)
{
	return s->all ? &everything[i] : s->allow->rule[i].rule;
}

static const char *text_at(const struct side *s, size_t i)
{
	return s->all ? "" : s->allow->rule[i].text;
}

static const char *origin_at(const struct side *s, size_t i)
{
	return s->all ? "" : s->allow->rule[i].origin;
}

static const char *key_of(const struct side *s, size_t i)
{
	return !s->all && s->allow->rule[i].rule->kind == RULE_PASSTHROUGH ? "passthrough" : "allow";
}

static bool has_port(const struct rule *r, int proto, unsigned port)
{
	return r->ports[proto].lo && port >= r->ports[proto].lo && port <= r->ports[proto].hi;
}

static struct rule at_port(const struct rule *rule, int proto, uint16_t lo, uint16_t hi)
{
	struct rule r = *rule;

	memset(r.ports, 0, sizeof(r.ports));
	r.ports[proto] = (struct port_range){ lo, hi };
	return r;
}

/* What policy_addr_denied() makes of a denial: methods and paths are not known then. */
static struct rule address_part(const struct rule *deny)
{
	struct rule r = *deny;

	r.methods = RULE_METHODS_ANY;
	r.paths = NULL;
	r.n_paths = 0;
	return r;
}

/* ---- what a side denies ---- */

/* Where the next stretch of ports begins, within which no denial of an address begins or ends. */
static unsigned next_border(const struct side *s, int proto, unsigned port)
{
	unsigned next = 65536;

	for (size_t i = 0; i < s->n_addresses; i++) {
		const struct port_range *p = &s->addresses[i]->ports[proto];
		if (p->lo > port && p->lo < next)
			next = p->lo;
		if (p->lo && p->hi + 1u > port && p->hi + 1u < next)
			next = p->hi + 1u;
	}
	return next;
}

/* Add a denial of all names for the ports at which every address is denied. */
static int deny_dead_names(struct side *s, size_t room)
{
	for (int proto = 0; proto < PROTO_COUNT; proto++) {
		for (unsigned port = 1, next; port < 65536; port = next) {
			int r = 1;
			next = next_border(s, proto, port);
			for (size_t i = 1; i < ARRAY_LEN(everything) && r == 1; i++) {
				struct rule one = at_port(&everything[i], proto, (uint16_t)port, (uint16_t)port);
				r = rule_is_covered(&one, NULL, s->addresses, s->n_addresses);
			}
			if (r == -ENOMEM)
				return r;
			if (r != 1 || s->n_made == room)
				continue;
			struct rule *dead = &s->made[s->n_made++];
			*dead = at_port(&everything[0], proto, (uint16_t)port, (uint16_t)(next - 1));
			dead->kind = RULE_DENY;
			s->denied[s->n_denied++] = dead;
		}
	}
	return 0;
}

static int side_denials(struct side *s)
{
	/* Stretches between the borders of the denials, for each protocol. */
	size_t stretches = PROTO_COUNT * (2 * s->deny->n + 1);
	bool v4 = false, v6 = false;

	s->denied = calloc(s->deny->n + stretches, sizeof(*s->denied));
	s->addresses = calloc(s->deny->n + 1, sizeof(*s->addresses));
	s->made = calloc(s->deny->n + stretches, sizeof(*s->made));
	if (!s->denied || !s->addresses || !s->made)
		return -ENOMEM;
	for (size_t i = 0; i < s->deny->n; i++) {
		struct rule *deny = s->denied[s->n_denied++] = s->deny->rule[i].rule;
		if (deny->host.kind != HOST_ADDR)
			continue;
		s->made[s->n_made] = address_part(deny);
		s->addresses[s->n_addresses++] = &s->made[s->n_made++];
		v4 = v4 || deny->host.v4;
		v6 = v6 || !deny->host.v4;
	}
	return v4 && v6 ? deny_dead_names(s, s->deny->n + stretches) : 0;
}

/* ---- 1. rules ---- */

/* What b has for that host. */
static void rule_excess(const struct side *a, size_t i, const struct side *b, struct grant_excess *first)
{
	char text[480] = "";
	size_t n = 0;

	for (size_t k = 0; !b->all && k < b->allow->n && n < sizeof(text); k++) {
		const struct net_rule *r = &b->allow->rule[k];
		if (a->all || host_pattern_intersect(&r->rule->host, &rule_at(a, i)->host))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", n ? ", " : "",
					      r->rule->kind == RULE_PASSTHROUGH ? "passthrough = " : "", r->text);
	}
	excess(first, key_of(a, i), text_at(a, i), origin_at(a, i), "%s", n ? text : "nothing: no rule there is for this host");
}

static int rules_are_covered(const struct side *a, const struct side *b, struct grant_excess *first)
{
	_cleanup_free_ struct rule **cover = calloc(n_rules(b) + a->n_denied + 1, sizeof(*cover));
	int r = cover ? 1 : -ENOMEM;

	for (size_t i = 0; i < n_rules(a) && r == 1; i++) {
		size_t n = 0;
		if (!b->all)
			n = rules_meeting(b->allow, &rule_at(a, i)->host, cover);
		for (size_t k = 0; b->all && k < n_rules(b); k++)
			cover[n++] = (struct rule *)rule_at(b, k);
		for (size_t k = 0; k < a->n_denied; k++)
			cover[n++] = a->denied[k];
		r = rule_is_covered(rule_at(a, i), NULL, cover, n);
		if (r == -E2BIG)
			r = 0;
		if (r == 0)
			rule_excess(a, i, b, first);
	}
	return r;
}

/* ---- 2. denials ---- */

static void deny_excess(const struct side *a, size_t i, const struct side *b, const struct rule *rule,
			struct grant_excess *first)
{
	const struct net_rule *deny = b->deny->rule;

	while (deny->rule != rule)
		deny++;
	excess(first, key_of(a, i), text_at(a, i), origin_at(a, i), "the same with deny = %s beside it (%s)", deny->text,
	       deny->origin);
}

static int denials_are_kept(const struct side *a, const struct side *b, struct grant_excess *first)
{
	_cleanup_free_ struct rule **deny = calloc(b->deny->n + 1, sizeof(*deny));
	int r = deny ? 1 : -ENOMEM;

	for (size_t i = 0; i < n_rules(a) && r == 1; i++) {
		size_t n = rules_meeting(b->deny, &rule_at(a, i)->host, deny);
		for (size_t k = 0; k < n && r == 1; k++) {
			r = rule_is_covered(rule_at(a, i), deny[k], a->denied, a->n_denied);
			if (r == -E2BIG)
				r = 0;
			if (r == 0)
				deny_excess(a, i, b, deny[k], first);
		}
	}
	return r;
}

/* ---- 3. addresses that names resolve to ---- */

/* One rule of a, one protocol, one port. */
static int addresses_at(const struct side *a, const struct side *b, size_t i, int proto, uint16_t port,
			struct grant_excess *first)
{
	struct rule one = at_port(rule_at(a, i), proto, port, port);

	/* All of it denied by name: nothing resolves there. */
	int r = rule_is_covered(&one, NULL, a->denied, a->n_denied);
	if (r == 1 || r == -ENOMEM)
		return r;
	for (size_t k = 0; k < b->deny->n; k++) {
		const struct rule *deny = b->deny->rule[k].rule;
		if (deny->host.kind != HOST_ADDR || !has_port(deny, proto, port))
			continue;
		struct rule whole = address_part(deny), part = at_port(&whole, proto, port, port);
		r = rule_is_covered(&part, NULL, a->addresses, a->n_addresses);
		if (r == 1)
			continue;
		deny_excess(a, i, b, deny, first);
		return r == -ENOMEM ? r : 0;
	}
	return 1;
}

/* Between the borders of denials nothing changes. */
static int addresses_of(const struct side *a, const struct side *b, size_t i, struct grant_excess *first)
{
	const struct net_rules *lists[] = { a->deny, b->deny };
	const struct rule *rule = rule_at(a, i);
	int r = 1;

	for (int proto = 0; proto < PROTO_COUNT && r == 1; proto++) {
		if (rule->ports[proto].lo)
			r = addresses_at(a, b, i, proto, rule->ports[proto].lo, first);
		for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
			for (size_t k = 0; k < lists[l]->n && r == 1; k++) {
				const struct port_range *p = &lists[l]->rule[k].rule->ports[proto];
				unsigned after = p->hi + 1u;
				if (p->lo > rule->ports[proto].lo && has_port(rule, proto, p->lo))
					r = addresses_at(a, b, i, proto, p->lo, first);
				if (r == 1 && p->lo && after > rule->ports[proto].lo && has_port(rule, proto, after))
					r = addresses_at(a, b, i, proto, (uint16_t)after, first);
			}
		}
	}
	return r;
}

static int addresses_are_kept(const struct side *a, const struct side *b, struct grant_excess *first)
{
	bool any = false;
	int r = 1;

	for (size_t k = 0; k < b->deny->n; k++)
		any = any || b->deny->rule[k].rule->host.kind == HOST_ADDR;
	for (size_t i = 0; any && i < n_rules(a) && r == 1; i++) {
		if (rule_at(a, i)->host.kind != HOST_ADDR)
			r = addresses_of(a, b, i, first);
	}
	return r;
}

/* ---- order ---- */

int net_is_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first)
{
	_cleanup_(side_done) struct side x = side_of(a);
	struct side y = side_of(b);

	if (request && x.all)
		return 1;
	int r = side_denials(&x);
	if (r == 0)
		r = rules_are_covered(&x, &y, first);
	if (r == 1)
		r = denials_are_kept(&x, &y, first);
	return r == 1 && !request ? addresses_are_kept(&x, &y, first) : r;
}

int net_within(const struct policy *p, const struct grant *g, struct grant_excess *first)
{
	_cleanup_(side_done) struct side x = side_of(g);
	struct side y = { .allow = &p->allow, .deny = &p->deny };

	if (x.all)
		return 1;
	int r = side_denials(&x);
	if (r == 0)
		r = rules_are_covered(&x, &y, first);
	return r == 1 ? denials_are_kept(&x, &y, first) : r;
}

/* ---- intersection ---- */

static int add_rule(struct net_rules *to, struct rule *rule, const char *origin, size_t max)
{
	struct error e = { 0 };

	if (to->n < max && rule->n_paths <= PATTERNS_MAX)
		return add_net_rule(to, rule, false, origin, &e);
	rule_free(rule);
	return -E2BIG;
}

static int copy_rule(const struct rule *from, struct rule **ret)
{
	_cleanup_(rule_freep) struct rule *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = *from;
	r->host.name = NULL;
	r->n_paths = 0;
	r->paths = from->n_paths ? calloc(from->n_paths, sizeof(*r->paths)) : NULL;
	if ((from->n_paths && !r->paths) || host_pattern_copy(&from->host, &r->host) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_paths; i++) {
		r->paths[i] = path_pattern_copy(from->paths[i]);
		if (!r->paths[i])
			return -ENOMEM;
		r->n_paths++;
	}
	*ret = TAKE_PTR(r);
	return 0;
}

static bool has_text(const struct net_rules *rules, const struct net_rule *rule)
{
	for (size_t i = 0; i < rules->n; i++) {
		if (rules->rule[i].rule->kind == rule->rule->kind && strcmp(rules->rule[i].text, rule->text) == 0)
			return true;
	}
	return false;
}

static int copy_rules(const struct net_rules *from, struct net_rules *to)
{
	int r = 0;

	for (size_t i = 0; i < from->n && r == 0; i++) {
		struct rule *rule;
		if (has_text(to, &from->rule[i]))
			continue;
		r = copy_rule(from->rule[i].rule, &rule);
		if (r == 0)
			r = add_rule(to, rule, from->rule[i].origin, GRANT_RULES_MAX);
	}
	return r;
}

/* Does another rule alone say what this one says? Of two that say the same the first stays. */
static int is_said_again(const struct net_rules *rules, size_t i)
{
	const struct rule *rule = rules->rule[i].rule;

	for (size_t k = 0; k < rules->n; k++) {
		const struct rule *other = rules->rule[k].rule;
		int r = k == i ? 0 : rule_is_subset(rule, other);
		if (r == 1 && k > i)
			r = rule_is_subset(other, rule) == 1 ? 0 : 1;
		if (r == 1 || r == -ENOMEM)
			return r;
	}
	return 0;
}

static int drop_repetitions(struct net_rules *rules)
{
	_cleanup_free_ bool *drop = calloc(rules->n + 1, sizeof(*drop));
	size_t n = 0;

	if (!drop)
		return -ENOMEM;
	for (size_t i = 0; i < rules->n; i++) {
		int r = is_said_again(rules, i);
		if (r < 0)
			return r;
		drop[i] = r == 1;
	}
	for (size_t i = 0; i < rules->n; i++) {
		if (!drop[i]) {
			rules->rule[n++] = rules->rule[i];
			continue;
		}
		rule_free(rules->rule[i].rule);
		free(rules->rule[i].text);
		free(rules->rule[i].origin);
	}
	rules->n = n;
	return 0;
}

static int intersect_rules(const struct grant *a, const struct grant *b, struct net_rules *to)
{
	for (size_t i = 0; i < a->allow.n; i++) {
		for (size_t k = 0; k < b->allow.n; k++) {
			struct rule *both;
			int r = rule_intersect(a->allow.rule[i].rule, b->allow.rule[k].rule, &both);
			if (r == 1)
				r = add_rule(to, both, a->allow.rule[i].origin, RULES_BETWEEN);
			if (r < 0)
				return r;
		}
	}
	int r = drop_repetitions(to);
	return r == 0 && to->n > GRANT_RULES_MAX ? -E2BIG : r;
}

/* Only the rules, without what is denied of them. */
static int allows_are_subset(const struct grant *a, const struct grant *b)
{
	struct side x = side_of(a), y = side_of(b);

	return y.all ? 1 : x.all ? 0 : rules_are_covered(&x, &y, NULL);
}

int net_intersect(const struct grant *a, const struct grant *b, struct grant *ret)
{
	const struct grant *lower = NULL;

	ret->allow_set = a->allow_set || b->allow_set;
	/* The usual case, and the one in which the text stays as it was written. */
	int r = allows_are_subset(a, b);
	if (r == 1)
		lower = a;
	else if (r == 0 && (r = allows_are_subset(b, a)) == 1)
		lower = b;
	if (r < 0)
		return r;
	r = lower ? copy_rules(&lower->allow, &ret->allow) : intersect_rules(a, b, &ret->allow);
	if (r == 0)
		r = copy_rules(&a->deny, &ret->deny);
	return r < 0 ? r : copy_rules(&b->deny, &ret->deny);
}
