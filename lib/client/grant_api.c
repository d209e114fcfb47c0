/* SPDX-License-Identifier: Apache-2.0 */
/* The public grant handle over lib/policy. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"
#include "policy/grant.h"

static int publish(int r, struct error *e, sandbox_error **error)
{
	if (r >= 0)
		return r;
	/* Functions of the algebra return a bare number. */
	if (e->err == 0 && r == -E2BIG)
		fail(e, E2BIG, SANDBOX_STAGE_POLICY, "grant",
		     "the result has more rules or paths than a grant may have; narrow one of the two first");
	else if (e->err == 0)
		fail(e, -r, SANDBOX_STAGE_INTERNAL, "grant", r == -ENOMEM ? "out of memory" : "the grant cannot be used");
	return error_publish(e, error);
}

/* Takes the grant over, also when it fails. */
static int wrap(struct grant *grant, sandbox_grant **ret, struct error *e)
{
	struct sandbox_grant *g = calloc(1, sizeof(*g));

	if (!g) {
		grant_free(grant);
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
	}
	g->grant = grant;
	*ret = g;
	return 0;
}

int sandbox_grant_new(sandbox_grant **ret_grant, sandbox_error **error)
{
	struct error e = { 0 };
	struct grant *grant;

	int r = grant_new(&grant);
	return publish(r < 0 ? r : wrap(grant, ret_grant, &e), &e, error);
}

void sandbox_grant_free(sandbox_grant *grant)
{
	if (!grant)
		return;
	grant_free(grant->grant);
	free(grant);
}

static int no_template(const struct policy *p, const char *name, struct error *e)
{
	char names[400] = "";
	size_t n, len = 0;
	const struct grant *const *all = policy_grants(p, &n);

	for (size_t i = 0; i < n && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "", grant_name(all[i]));
	return fail(e, ENOENT, SANDBOX_STAGE_POLICY, name, "the policy has no grant %.64s; it has: %s", name,
		    n ? names : "none (a [grant NAME] of a policy file makes one)");
}

int sandbox_grant_from_template(sandbox_policy *policy, const char *name, sandbox_grant **ret_grant,
				sandbox_error **error)
{
	struct error e = { 0 };
	struct grant *copy;

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	const struct grant *found = policy_grant(policy->policy, name);
	r = found ? grant_effective(policy->policy, found, &copy) : no_template(policy->policy, name, &e);
	return publish(r < 0 ? r : wrap(copy, ret_grant, &e), &e, error);
}

int sandbox_grant_for_argv(sandbox_policy *policy, const char *const *argv, char **ret_name, sandbox_error **error)
{
	struct error e = { 0 };

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	const struct grant *found = policy_grant_for_argv(policy->policy, argv);
	*ret_name = found ? strdup(grant_name(found)) : NULL;
	return publish(found && !*ret_name ? -ENOMEM : 0, &e, error);
}

int sandbox_grant_set(sandbox_grant *grant, const char *key, const char *value, const char *origin,
		      sandbox_error **error)
{
	struct error e = { 0 };
	return publish(grant_set(grant->grant, key, value, NULL, origin ? origin : "api", &e), &e, error);
}

/* What every question about a grant and a policy needs. */
static int finish_both(sandbox_grant *grant, sandbox_policy *policy, sandbox_error **error)
{
	struct error e = { 0 };

	int r = sandbox_policy_check(policy, error);
	return r < 0 ? r : publish(grant_finish(grant->grant, &e), &e, error);
}

int sandbox_grant_check(sandbox_grant *grant, sandbox_policy *policy, sandbox_error **error)
{
	struct error e = { 0 };
	struct grant_excess first;

	int r = finish_both(grant, policy, error);
	if (r < 0)
		return r;
	r = grant_within(policy->policy, grant->grant, &first);
	if (r == 0)
		r = grant_excess_error(&first, "the grant", "the policy", &e);
	r = publish(r, &e, error);
	return r < 0 ? r : 0;
}

int sandbox_grant_is_subset(sandbox_grant *a, sandbox_grant *b, int *ret_subset, char **ret_excess,
			    sandbox_error **error)
{
	struct error e = { 0 };
	struct grant_excess first;

	int r = grant_finish(a->grant, &e);
	if (r == 0)
		r = grant_finish(b->grant, &e);
	if (r == 0)
		r = grant_is_subset(a->grant, b->grant, &first);
	if (r < 0)
		return publish(r, &e, error);
	if (ret_excess)
		*ret_excess = NULL;
	if (r == 0 && ret_excess) {
		grant_excess_error(&first, "the grant", "the other", &e);
		*ret_excess = strdup(e.message);
		e.err = 0;
		if (!*ret_excess)
			return publish(-ENOMEM, &e, error);
	}
	*ret_subset = r;
	return 0;
}

int sandbox_grant_intersect(sandbox_grant *a, sandbox_grant *b, sandbox_grant **ret_grant, sandbox_error **error)
{
	struct error e = { 0 };
	struct grant *both;

	int r = grant_finish(a->grant, &e);
	if (r == 0)
		r = grant_finish(b->grant, &e);
	if (r == 0)
		r = grant_intersect(a->grant, b->grant, &both);
	return publish(r < 0 ? r : wrap(both, ret_grant, &e), &e, error);
}

int sandbox_grant_dump(sandbox_grant *grant, char **ret_text, sandbox_error **error)
{
	struct error e = { 0 };
	struct buf b = { 0 };

	int r = grant_finish(grant->grant, &e);
	if (r == 0)
		r = grant_dump(grant->grant, &b);
	if (r == 0 && !buf_str(&b))
		r = -ENOMEM;
	if (r < 0) {
		buf_free(&b);
		return publish(r, &e, error);
	}
	*ret_text = (char *)b.data;
	return 0;
}

int sandbox_grant_check_url(sandbox_grant *grant, sandbox_policy *policy, const char *url, const char *method,
			    int *ret_allowed, char **ret_json, sandbox_error **error)
{
	_cleanup_buf_ struct buf quotas = { 0 };
	struct error e = { 0 };
	struct net_verdict v;

	int r = finish_both(grant, policy, error);
	if (r < 0)
		return r;
	r = grant_check_url(policy->policy, grant->grant, url, method, &v, &e);
	if (r < 0)
		return publish(r, &e, error);
	return decision_json(v.allowed, v.rule, v.origin, v.reason, quotas_json(policy->policy, v.quotas, &quotas),
			     ret_allowed, ret_json, error);
}

int sandbox_grant_check_path(sandbox_grant *grant, sandbox_policy *policy, const char *path, int write,
			     int *ret_allowed, char **ret_json, sandbox_error **error)
{
	struct error e = { 0 };
	struct path_verdict v;

	int r = finish_both(grant, policy, error);
	if (r < 0)
		return r;
	r = grant_check_path(policy->policy, grant->grant, path, write != 0, &v, &e);
	if (r < 0)
		return publish(r, &e, error);
	return decision_json(v.allowed, v.rule, v.origin, v.reason, NULL, ret_allowed, ret_json, error);
}

int sandbox_grant_check_secret(sandbox_grant *grant, sandbox_policy *policy, const char *name, int *ret_allowed,
			       char **ret_json, sandbox_error **error)
{
	const struct policy_secret *secret = NULL;
	size_t n;

	int r = finish_both(grant, policy, error);
	if (r < 0)
		return r;
	const struct policy_secret *all = policy_secrets(policy->policy, &n);
	for (size_t i = 0; i < n && !secret; i++) {
		if (strcmp(all[i].name, name) == 0)
			secret = &all[i];
	}
	if (!secret)
		return decision_json(false, "", "", "no-secret", NULL, ret_allowed, ret_json, error);
	if (!grant_has_secret(grant->grant, name))
		return decision_json(false, "", grant_origin(grant->grant), "grant", NULL, ret_allowed, ret_json, error);
	return decision_json(true, secret->name, secret->origin, "rule", NULL, ret_allowed, ret_json, error);
}
