/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions on a finished policy. Nothing here allocates or fails. */
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

static bool match_deny(const struct net_rule *r, const struct net_target *t, void *arg)
{
	if (!rule_matches(r->rule, t))
		return false;
	*(const struct net_rule **)arg = r;
	return true;
}

struct allow_search {
	const struct net_rule *found;
	bool method_missed, path_missed, private;
};

/* Goes on behind the first match: another rule for the same request may add that a private address is fine. */
static bool match_allow(const struct net_rule *r, const struct net_target *t, void *arg)
{
	struct allow_search *s = arg;

	if (rule_matches(r->rule, t)) {
		if (!s->found)
			s->found = r;
		/* Whoever wrote the address itself knows where it is. */
		s->private = s->private || r->allow_private || r->rule->host.kind == HOST_ADDR;
		return s->private;
	}
	if (rule_matches_endpoint(r->rule, t)) {
		bool method = r->rule->methods == RULE_METHODS_ANY ||
			      (t->method && (r->rule->methods & rule_method_bit(t->method, false)));
		s->method_missed = s->method_missed || !method;
		s->path_missed = s->path_missed || method;
	}
	return false;
}

void policy_decide(const struct policy *p, const struct net_target *t, struct net_verdict *ret)
{
	const struct net_rule *denied = NULL;
	struct allow_search s = { 0 };

	*ret = (struct net_verdict){ .rule = "", .origin = "", .reason = "no-rule" };
	if (rules_each(&p->deny, t, match_deny, &denied)) {
		*ret = (struct net_verdict){ .rule = denied->text, .origin = denied->origin, .reason = "deny-rule" };
		return;
	}
	rules_each(&p->allow, t, match_allow, &s);
	if (s.found)
		*ret = (struct net_verdict){
			.allowed = true,
			.allow_private = s.private,
			.rule = s.found->text,
			.origin = s.found->origin,
			.reason = s.found->rule->kind == RULE_PASSTHROUGH ? "passthrough" : "rule",
		};
	else if (s.path_missed)
		ret->reason = "path";
	else if (s.method_missed)
		ret->reason = "method";
}

bool policy_addr_denied(const struct policy *p, enum net_proto proto, const struct in6_addr *addr, uint16_t port)
{
	struct net_target t = { .proto = proto, .addr = addr, .port = port };
	const struct net_rule *ignored;

	return rules_each(&p->deny, &t, match_deny, &ignored);
}

static bool match_endpoint(const struct net_rule *r, const struct net_target *t, void *arg)
{
	(void)arg;
	return rule_matches_endpoint(r->rule, t);
}

static bool match_whole_deny(const struct net_rule *r, const struct net_target *t, void *arg)
{
	(void)arg;
	return rule_is_unrestricted(r->rule) && rule_matches_endpoint(r->rule, t);
}

bool policy_host_possible(const struct policy *p, enum net_proto proto, const char *host, const struct in6_addr *addr,
			  uint16_t port)
{
	struct net_target t = { .proto = proto, .host = host, .addr = addr, .port = port };

	return rules_each(&p->allow, &t, match_endpoint, NULL) && !rules_each(&p->deny, &t, match_whole_deny, NULL);
}

bool policy_is_passthrough(const struct policy *p, const char *host, uint16_t port)
{
	/* A denied one is opened like any other, so that the refusal can be read. */
	return policy_host_possible(p, PROTO_PASSTHROUGH, host, NULL, port);
}

bool secret_allowed(const struct policy_secret *s, const struct net_target *t)
{
	if (t->proto != PROTO_HTTPS && !(t->proto == PROTO_HTTP && s->insecure))
		return false;
	for (size_t i = 0; i < s->n_allow; i++) {
		if (rule_matches(s->allow[i], t))
			return true;
	}
	return false;
}

bool secret_reaches(const struct policy_secret *s, const struct net_target *t)
{
	for (size_t i = 0; i < s->n_allow; i++) {
		if (rule_matches_endpoint(s->allow[i], t))
			return true;
	}
	return false;
}

uint64_t policy_quotas_of(const struct policy *p, const struct net_target *t)
{
	uint64_t of = 0;

	for (size_t i = 0; i < p->n_quotas; i++) {
		const struct policy_quota *q = &p->quotas[i];
		bool counts = q->n_match == 0;
		for (size_t k = 0; k < q->n_match && !counts; k++)
			counts = rule_matches(q->match[k], t);
		of |= (uint64_t)counts << i;
	}
	return of;
}

const struct policy_connect_to *policy_connect_to(const struct policy *p, const char *host, uint16_t port)
{
	size_t lo = 0, hi = p->n_connect_tos;

	while (lo < hi) { /* sorted by policy_finish and policy_decode */
		size_t mid = (lo + hi) / 2;
		const struct policy_connect_to *c = &p->connect_tos[mid];
		int r = strcmp(c->host, host);
		if (r == 0)
			r = (c->port > port) - (c->port < port);
		if (r == 0)
			return c;
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static size_t add_port(uint16_t *ports, size_t n, size_t max, uint16_t port)
{
	size_t at = 0;

	while (at < n && at < max && ports[at] < port)
		at++;
	if (at < n && at < max && ports[at] == port)
		return n;
	if (n < max) {
		memmove(&ports[at + 1], &ports[at], (n - at) * sizeof(*ports));
		ports[at] = port;
	}
	return n + 1;
}

size_t policy_ports(const struct policy *p, uint16_t *ports, size_t max)
{
	const struct net_rules *lists[] = { &p->allow, &p->deny };
	size_t n = add_port(ports, add_port(ports, 0, max, 80), max, 443);

	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		for (size_t i = 0; i < lists[l]->n && n <= max; i++) {
			const struct port_range *r = lists[l]->rule[i].rule->ports;
			for (int k = 0; k < PROTO_COUNT; k++) {
				if (r[k].lo && r[k].lo == r[k].hi)
					n = add_port(ports, n, max, r[k].lo);
			}
		}
	}
	return n;
}
