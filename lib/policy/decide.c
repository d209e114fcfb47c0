/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions on a finished policy. Nothing here allocates or fails. */
#include <string.h>

#include "policy/internal.h"

struct missed {
	bool method, path;
};

/* What a rule for the same place says no to. */
static bool note_missed(const struct net_rule *r, const struct net_target *t, void *arg)
{
	struct missed *missed = arg;

	if (rule_matches_endpoint(r->rule, t)) {
		bool method = r->rule->methods == RULE_METHODS_ANY ||
			      (t->method && (r->rule->methods & rule_method_bit(t->method, false)));
		missed->method |= !method;
		missed->path |= method;
	}
	return missed->path;
}

void policy_decide(const struct policy *p, const struct net_target *t, struct net_verdict *ret)
{
	const struct net_rule *rule = rules_match(&p->deny, t, NULL);
	struct missed missed = { 0 };
	bool private;

	*ret = (struct net_verdict){ .rule = "", .origin = "", .reason = "no-rule" };
	if (rule) {
		*ret = (struct net_verdict){ .rule = rule->text, .origin = rule->origin, .reason = "deny-rule" };
		return;
	}
	/* Another rule for the same request may add that a private address is fine. */
	rule = rules_match(&p->allow, t, &private);
	if (rule) {
		*ret = (struct net_verdict){
			.allowed = true,
			.allow_private = private,
			.rule = rule->text,
			.origin = rule->origin,
			.reason = rule->rule->kind == RULE_PASSTHROUGH ? "passthrough" : "rule",
		};
		return;
	}
	rules_each_kind(&p->allow, t, note_missed, &missed);
	if (missed.path)
		ret->reason = "path";
	else if (missed.method)
		ret->reason = "method";
}

bool policy_addr_denied(const struct policy *p, enum net_proto proto, const struct in6_addr *addr, uint16_t port)
{
	const struct net_target t = { .proto = proto, .addr = addr, .port = port };

	return rules_match(&p->deny, &t, NULL);
}

bool policy_host_possible(const struct policy *p, enum net_proto proto, const char *host, const struct in6_addr *addr,
			  uint16_t port)
{
	struct net_target t = { .proto = proto, .host = host, .addr = addr, .port = port };

	return rules_match_endpoint(&p->allow, &t) && !rules_match_whole(&p->deny, &t);
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
