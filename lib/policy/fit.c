/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the parts of a policy fit together: what contradicts itself is refused, not resolved by a guess. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

int warn(struct policy *p, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* A second policy_finish() after a failed one says nothing twice. */
	const char *all = buf_str(&p->warnings);
	if (!all || strstr(all, line))
		return 0;
	return buf_printf(&p->warnings, "%s%s", p->warnings.len ? "\n" : "", line);
}

static int check_mode(const struct policy *p, struct error *e)
{
	const char *mode = p->mode == NET_NONE ? "none" : "host", *what = NULL, *origin = "";

	if (p->mode == NET_GATEWAY)
		return 0;
	if (p->allow.n) {
		what = p->allow.rule[0].text;
		origin = p->allow.rule[0].origin;
	} else if (p->deny.n) {
		what = p->deny.rule[0].text;
		origin = p->deny.rule[0].origin;
	} else if (p->n_secrets) {
		what = p->secrets[0].name;
		origin = p->secrets[0].origin;
	} else if (p->n_quotas) {
		what = p->quotas[0].name;
		origin = p->quotas[0].origin;
	} else if (p->n_connect_tos) {
		what = p->connect_tos[0].host;
		origin = p->connect_tos[0].origin;
	} else if (p->n_cas) {
		what = p->cas[0].path;
		origin = p->cas[0].origin;
	} else if (p->n_client_certs) {
		what = "client_cert";
		origin = p->client_certs[0].origin;
	} else if (p->proxy.host) {
		what = "upstream_proxy";
		origin = p->proxy.origin;
	}
	if (!what)
		return 0;
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, what,
		    "%s: %s needs the gateway, but the network mode is %s (%s): rules and secrets need mode gateway", origin,
		    what, mode, p->mode_origin ? p->mode_origin : "default");
}

/* Same hosts, and a port on which one relays bytes unseen and the other looks into them. */
static bool opaque_overlap(const struct rule *opaque, const struct rule *http)
{
	const struct port_range *o = &opaque->ports[opaque->kind == RULE_PASSTHROUGH ? PROTO_PASSTHROUGH : PROTO_TCP];

	if (!host_pattern_intersect(&opaque->host, &http->host))
		return false;
	for (int k = PROTO_HTTP; k <= PROTO_HTTPS; k++) {
		const struct port_range *h = &http->ports[k];
		if (h->lo && o->lo <= h->hi && h->lo <= o->hi)
			return true;
	}
	return false;
}

static int opaque_conflict(const struct net_rule *opaque, const char *other, const char *other_origin, struct error *e)
{
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, opaque->text,
		    "%s: %s %s relays bytes unseen and cannot stand beside %s (%s), which needs them opened, for the same "
		    "host and port: drop one of the two",
		    opaque->origin, opaque->rule->kind == RULE_PASSTHROUGH ? "passthrough" : "allow", opaque->text, other,
		    other_origin);
}

/*
 * The same HOST:PORT twice is a contradiction. So is a restriction or a secret on a wider pattern: it would silently
 * not hold for the relayed host. A plain wider allow beside a narrower passthrough is fine.
 */
static int check_opaque_with(const struct net_rule *opaque, const struct net_rules *others, struct error *e)
{
	for (size_t i = 0; i < others->n; i++) {
		const struct net_rule *o = &others->rule[i];
		bool deny = o->rule->kind == RULE_DENY;
		if (!opaque_overlap(opaque->rule, o->rule))
			continue;
		if (!rule_is_unrestricted(o->rule) ||
		    (!deny && host_pattern_is_subset(&o->rule->host, &opaque->rule->host)))
			return opaque_conflict(opaque, o->text, o->origin, e);
	}
	return 0;
}

static int check_opaque(const struct policy *p, struct error *e)
{
	for (size_t i = 0; i < p->allow.n; i++) {
		const struct net_rule *r = &p->allow.rule[i];
		if (r->rule->kind != RULE_PASSTHROUGH && !r->rule->ports[PROTO_TCP].lo)
			continue;
		int ret = check_opaque_with(r, &p->allow, e);
		if (ret == 0)
			ret = check_opaque_with(r, &p->deny, e);
		for (size_t s = 0; s < p->n_secrets && ret == 0; s++) {
			for (size_t k = 0; k < p->secrets[s].n_allow && ret == 0; k++) {
				if (opaque_overlap(r->rule, p->secrets[s].allow[k]))
					ret = opaque_conflict(r, p->secrets[s].name, p->secrets[s].origin, e);
			}
		}
		if (ret < 0)
			return ret;
	}
	return 0;
}

static bool target_reachable(const struct policy *p, const struct rule *target)
{
	for (size_t i = 0; i < p->allow.n; i++) {
		struct rule *both = NULL;
		int r = rule_intersect(target, p->allow.rule[i].rule, &both);
		rule_free(both);
		if (r != 0)
			return true;
	}
	return false;
}

static int check_signing(const struct policy *p, const struct policy_secret *s, struct error *e)
{
	bool found = false;

	if (!(s->inject & INJECT_SIGV4))
		return !s->key_id ? 0 : fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->name,
					     "%s: the secret %s has a 'key_id', which is for 'inject = sigv4'", s->origin, s->name);
	if (s->inject != INJECT_SIGV4)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->name,
			    "%s: the secret %s signs requests: 'inject = sigv4' stands alone, since the value goes nowhere", s->origin,
			    s->name);
	for (size_t i = 0; i < p->n_secrets && s->key_id; i++)
		found |= strcmp(p->secrets[i].name, s->key_id) == 0 && !(p->secrets[i].inject & INJECT_SIGV4);
	return found ? 0 : fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->name,
				"%s: the secret %s signs requests: say with 'key_id = NAME' which other secret of the policy is "
				"the id of the key", s->origin, s->name);
}

static int check_secret(struct policy *p, const struct policy_secret *s, struct error *e)
{
	if (s->n_allow == 0)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->name,
			    "%s: the secret %s has no 'allow = TARGET': say which hosts it is for", s->origin, s->name);
	if (s->revoke && s->source != SOURCE_EXEC)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->name,
			    "%s: the secret %s has a 'revoke' command, but no 'source = exec:COMMAND' whose output it could end",
			    s->origin, s->name);
	int r = check_signing(p, s, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->n_allow; i++) {
		_cleanup_buf_ struct buf text = { 0 };
		if (rule_text(s->allow[i], &text) < 0 || !buf_str(&text))
			return out_of_memory(e);
		if (!s->insecure && !s->allow[i]->ports[PROTO_HTTPS].lo)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->name,
				    "%s: the secret %s may not go to %s unencrypted: write https://, or 'insecure = yes'", s->origin,
				    s->name, buf_str(&text));
		if (!target_reachable(p, s->allow[i]))
			warn(p, "%s: the secret %s is for %s, which no rule allows: add --allow %s", s->origin, s->name,
			     buf_str(&text), buf_str(&text));
	}
	/* A value that a variable carries in would be beside its own placeholder. */
	for (size_t i = 0; i < p->n_envs; i++) {
		const struct policy_env *env = &p->envs[i];
		bool source = !env->value && s->source == SOURCE_ENV && strcmp(env->name, s->source_arg) == 0;
		if (source || strcmp(env->name, s->name) == 0)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, env->name,
				    "%s: the variable %s belongs to the secret %s (%s): its value must not enter the sandbox",
				    env->origin, env->name, s->name, s->origin);
	}
	return 0;
}

static int check_quota(const struct policy_quota *q, struct error *e)
{
	for (size_t i = 0; i < QUOTA_LIMITS; i++) {
		if (q->limits[i])
			return 0;
	}
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, q->name,
		    "%s: the quota %s limits nothing: give it max_requests, max_up or rate", q->origin, q->name);
}

static int check_cas(const struct policy *p, struct error *e)
{
	for (size_t i = 0; i < p->n_cas; i++) {
		const struct policy_upstream_ca *ca = &p->cas[i];
		_cleanup_object_ struct object file = { 0 };
		struct error why;
		int r = resolve_path(ca->path, &file, &why);
		if (r < 0 || file.is_dir)
			return fail(e, r < 0 ? -r : EISDIR, SANDBOX_STAGE_POLICY, ca->path,
				    "%s: upstream_ca %s: accepted: an existing file with PEM certificates%s%s", ca->origin, ca->path,
				    r < 0 ? ": " : "", r < 0 ? why.message : "");
		if (!ca->host && p->n_connect_tos == 0)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, ca->path,
				    "%s: upstream_ca %s without a host is for the hosts of connect_to, and there are none: name "
				    "the host",
				    ca->origin, ca->path);
	}
	return 0;
}

int check_contradictions(struct policy *p, struct error *e)
{
	uint16_t ports[PORTS_MAX];

	int r = check_mode(p, e);
	if (r == 0)
		r = check_opaque(p, e);
	for (size_t i = 0; i < p->n_secrets && r == 0; i++)
		r = check_secret(p, &p->secrets[i], e);
	for (size_t i = 0; i < p->n_quotas && r == 0; i++)
		r = check_quota(&p->quotas[i], e);
	if (r == 0 && policy_ports(p, ports, PORTS_MAX) > PORTS_MAX)
		r = fail(e, E2BIG, SANDBOX_STAGE_POLICY, "ports", "the rules name more than %d different ports", PORTS_MAX);
	return r;
}

int check_fit(struct policy *p, struct error *e)
{
	int r = check_contradictions(p, e);

	if (r == 0)
		r = check_cas(p, e);
	if (r == 0)
		r = check_client_certs(p, e);
	return r < 0 ? r : check_upstream_proxy(p, e);
}
