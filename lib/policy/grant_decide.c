/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions of the policy and a grant together. Nothing here allocates or fails, but for the questions at the end. */
#include <stdio.h>

#include "policy/grant_internal.h"

/* The first for the same place: it misses by method or path. */
static bool match_near(const struct net_rule *r, const struct net_target *t, void *arg)
{
	if (!rule_matches_endpoint(r->rule, t))
		return false;
	*(const struct net_rule **)arg = r;
	return true;
}

static void refuse(const struct grant *g, const char *reason, const struct net_rule *r, struct net_verdict *ret)
{
	*ret = (struct net_verdict){ .rule = r ? r->text : "", .origin = r ? r->origin : grant_origin(g), .reason = reason };
}

void grant_decide(const struct policy *p, const struct grant *g, const struct net_target *t, struct net_verdict *ret)
{
	const struct net_rule *rule, *near = NULL;

	policy_decide(p, t, ret);
	if (!ret->allowed)
		return;
	rule = rules_match(&g->deny, t, NULL);
	if (rule) {
		refuse(g, "grant-deny", rule, ret);
		return;
	}
	if (!g->allow_set)
		return;
	rule = rules_match(&g->allow, t, NULL);
	if (!rule) {
		rules_each_kind(&g->allow, t, match_near, &near);
		refuse(g, "grant", near, ret);
		return;
	}
	/* The narrower of the two says more about what the call was trusted with. */
	ret->rule = rule->text;
	ret->origin = rule->origin;
}

bool grant_addr_denied(const struct policy *p, const struct grant *g, enum net_proto proto, const struct in6_addr *addr,
		       uint16_t port)
{
	const struct net_target t = { .proto = proto, .addr = addr, .port = port };

	return policy_addr_denied(p, proto, addr, port) || rules_match(&g->deny, &t, NULL);
}

bool grant_host_possible(const struct policy *p, const struct grant *g, enum net_proto proto, const char *host,
			 const struct in6_addr *addr, uint16_t port)
{
	struct net_target t = { .proto = proto, .host = host, .addr = addr, .port = port };

	return policy_host_possible(p, proto, host, addr, port) && !rules_match_whole(&g->deny, &t) &&
	       (!g->allow_set || rules_match_endpoint(&g->allow, &t));
}

/* ---- questions of `nsbox grant check` ---- */

static void refuse_path(const struct grant *g, const struct grant_path *entry, const char *key, struct path_verdict *ret)
{
	*ret = (struct path_verdict){ .reason = "grant" };
	if (entry)
		snprintf(ret->rule, sizeof(ret->rule), "%s %s", key, entry->path);
	else if (g->read_only && g->base == GRANT_READ)
		snprintf(ret->rule, sizeof(ret->rule), "read_only");
	snprintf(ret->origin, sizeof(ret->origin), "%s",
		 entry ? entry->origin : ret->rule[0] ? g->read_only : grant_origin(g));
}

int grant_check_path(const struct policy *p, const struct grant *g, const char *path, bool write,
		     struct path_verdict *ret, struct error *e)
{
	_cleanup_free_ char *real = NULL;

	int r = policy_check_path(p, path, write, ret, e);
	if (r == 0)
		r = check_canonical(path, &real, e);
	if (r < 0 || !ret->allowed)
		return r;
	const struct grant_path *hide = path_list_find(&g->hides, real), *file = path_list_find(&g->files, real);
	if (hide) {
		refuse_path(g, hide, "hide", ret);
		return 0;
	}
	/* What no path of the policy names, and what is the sandbox's own, is no file of the grant. */
	const struct policy_path *entry = effective_path(p, real);
	if (!entry || entry->kind == PATH_TMPFS)
		return 0;
	if (write && entry->kind == PATH_OVERLAY && grant_view(g) == GRANT_VIEW_COMMITTED) {
		*ret = (struct path_verdict){ .reason = "grant", .rule = "view = committed" };
		snprintf(ret->origin, sizeof(ret->origin), "%s", g->value[VALUE_VIEW].origin);
		return 0;
	}
	if (grant_path_level(g, real) < (write ? GRANT_WRITE : GRANT_READ))
		refuse_path(g, file, file && file->level == GRANT_WRITE ? "write" : "read", ret);
	return 0;
}
