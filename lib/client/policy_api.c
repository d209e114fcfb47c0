/* SPDX-License-Identifier: Apache-2.0 */
/* The public policy handle over lib/policy, and the values that the caller gives directly. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "client/client.h"
#include "client/registry.h"
#include "client/state.h"

#define MAX_VALUE (32u * 1024u)

static int out_of_memory(sandbox_error **error)
{
	struct error e;
	fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "policy", "out of memory");
	return error_publish(&e, error);
}

int sandbox_policy_new(sandbox_policy **ret_policy, sandbox_error **error)
{
	struct sandbox_policy *p = calloc(1, sizeof(*p));

	if (!p || policy_new(&p->policy) < 0) {
		free(p);
		return out_of_memory(error);
	}
	*ret_policy = p;
	return 0;
}

void sandbox_policy_free(sandbox_policy *policy)
{
	if (!policy)
		return;
	while (policy->values) {
		struct secret_value *v = policy->values;
		policy->values = v->next;
		buf_wipe(&v->value);
		free(v->name);
		free(v);
	}
	policy_free(policy->policy);
	free(policy->audit_log);
	free(policy->fork);
	free(policy);
}

int sandbox_policy_set_workdir(sandbox_policy *policy, const char *dir, int force, sandbox_error **error)
{
	struct error e = { 0 };
	int r = policy_set_workdir(policy->policy, dir ? dir : ".", force != 0, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_policy_load_profile(sandbox_policy *policy, const char *name, sandbox_error **error)
{
	struct error e = { 0 };
	int r = policy_load_profile(policy->policy, name, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_policy_load_file(sandbox_policy *policy, const char *path, sandbox_error **error)
{
	struct error e = { 0 };
	int r = policy_load_file(policy->policy, path, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_policy_set(sandbox_policy *policy, const char *section, const char *key, const char *value,
		       const char *origin, sandbox_error **error)
{
	struct error e = { 0 };
	int r = policy_set(policy->policy, section, key, value, NULL, origin ? origin : "api", &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_policy_set_secret_value(sandbox_policy *policy, const char *name, const void *value,
				    unsigned long length, sandbox_error **error)
{
	struct error e = { 0 };

	if (length == 0 || length > MAX_VALUE || memchr(value, '\r', length) || memchr(value, '\n', length) ||
	    memchr(value, '\0', length)) {
		fail(&e, EINVAL, SANDBOX_STAGE_SECRET, name,
		     "the value of secret %s must have 1 to %u bytes and no CR, LF or NUL", name, MAX_VALUE);
		return error_publish(&e, error);
	}
	struct secret_value *v = calloc(1, sizeof(*v));
	if (v)
		v->name = strdup(name);
	if (!v || !v->name || buf_append(&v->value, value, length) < 0) {
		if (v)
			free(v->name);
		free(v);
		return out_of_memory(error);
	}
	v->next = policy->values; /* found first: the last value given for a name is the one used */
	policy->values = v;
	return 0;
}

int sandbox_policy_set_fork(sandbox_policy *policy, const char *name, sandbox_error **error)
{
	struct error e = { 0 };

	if (name_check(name, &e) < 0)
		return error_publish(&e, error);
	char *copy = strdup(name);
	if (!copy)
		return out_of_memory(error);
	free(policy->fork);
	policy->fork = copy;
	return 0;
}

int sandbox_policy_set_audit_log(sandbox_policy *policy, const char *path, sandbox_error **error)
{
	char *copy = strdup(path);

	if (!copy)
		return out_of_memory(error);
	free(policy->audit_log);
	policy->audit_log = copy;
	return 0;
}

int sandbox_policy_check(sandbox_policy *policy, sandbox_error **error)
{
	struct error e = { 0 };
	int r = policy_finish(policy->policy, &e);
	if (r == 0)
		r = limits_check(policy->policy, &e);
	if (r == 0)
		r = state_hide(policy->policy, false, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_policy_dump(sandbox_policy *policy, char **ret_text, sandbox_error **error)
{
	struct buf b = { 0 };

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	if (policy_dump(policy->policy, &b) < 0 || !buf_str(&b)) {
		buf_free(&b);
		return out_of_memory(error);
	}
	*ret_text = (char *)b.data;
	return 0;
}

const char *quotas_json(const struct policy *p, uint64_t quotas, struct buf *b)
{
	size_t n;
	const struct policy_quota *all = policy_quotas(p, &n);

	for (size_t i = 0; i < n && quotas; i++) {
		if (!(quotas >> i & 1))
			continue;
		if (buf_putc(b, b->len ? ',' : '[') < 0 || json_text(b, all[i].name, strlen(all[i].name)) < 0)
			return NULL;
	}
	return b->len && buf_putc(b, ']') == 0 ? buf_str(b) : NULL;
}

int decision_json(bool allowed, const char *rule, const char *source, const char *reason, const char *quotas,
		  int *ret_allowed, char **ret_json, sandbox_error **error)
{
	struct buf b = { 0 };

	int r = buf_putc(&b, '{');
	if (r == 0)
		r = json_member_string(&b, "decision", allowed ? "allow" : "deny");
	if (r == 0)
		r = json_member_string(&b, "rule", rule);
	if (r == 0)
		r = json_member_string(&b, "source", source);
	if (r == 0)
		r = json_member_string(&b, "reason", reason);
	if (r == 0 && quotas)
		r = json_member_raw(&b, "quotas", quotas);
	if (r == 0)
		r = buf_putc(&b, '}');
	if (r < 0 || !buf_str(&b)) {
		buf_free(&b);
		return out_of_memory(error);
	}
	*ret_allowed = allowed;
	if (ret_json)
		*ret_json = (char *)b.data;
	else
		buf_free(&b);
	return 0;
}

int sandbox_policy_check_url(sandbox_policy *policy, const char *url, const char *method, int *ret_allowed,
			     char **ret_json, sandbox_error **error)
{
	_cleanup_buf_ struct buf quotas = { 0 };
	struct error e = { 0 };
	struct net_verdict v;

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	r = policy_check_url(policy->policy, url, method, &v, &e);
	if (r < 0)
		return error_publish(&e, error);
	return decision_json(v.allowed, v.rule, v.origin, v.reason, quotas_json(policy->policy, v.quotas, &quotas),
			     ret_allowed, ret_json, error);
}

int sandbox_policy_check_path(sandbox_policy *policy, const char *path, int write, int *ret_allowed, char **ret_json,
			      sandbox_error **error)
{
	struct error e = { 0 };
	struct path_verdict v;

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	r = policy_check_path(policy->policy, path, write != 0, &v, &e);
	if (r < 0)
		return error_publish(&e, error);
	return decision_json(v.allowed, v.rule, v.origin, v.reason, NULL, ret_allowed, ret_json, error);
}

const char *sandbox_policy_warnings(const sandbox_policy *policy)
{
	return policy_warnings(policy->policy);
}

const char *sandbox_policy_auditor(const sandbox_policy *policy)
{
	return policy_auditor(policy->policy)->spec;
}
