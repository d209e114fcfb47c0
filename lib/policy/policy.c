/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a policy, policy_finish(), and reading a finished one. */
#include "policy/policy.h"

#include <errno.h>
#include <string.h>

#include "base/wire.h"
#include "policy/grant_internal.h"

int policy_new(struct policy **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void net_rules_done(struct net_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++) {
		rule_free(rules->rule[i].rule);
		free(rules->rule[i].text);
		free(rules->rule[i].origin);
	}
	free(rules->rule);
	rules_index_free(rules->index);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_raw_paths; i++) {
		free(p->raw_paths[i].text);
		free(p->raw_paths[i].origin);
	}
	for (size_t i = 0; i < p->n_secrets; i++)
		secret_done(&p->secrets[i]);
	for (size_t i = 0; i < p->n_connect_tos; i++) {
		free(p->connect_tos[i].host);
		free(p->connect_tos[i].addr);
		free(p->connect_tos[i].origin);
	}
	for (size_t i = 0; i < p->n_cas; i++) {
		free(p->cas[i].path);
		free(p->cas[i].host);
		free(p->cas[i].origin);
	}
	client_certs_free(p);
	upstream_proxy_done(&p->proxy);
	for (size_t i = 0; i < p->n_envs; i++) {
		free(p->envs[i].name);
		free(p->envs[i].value);
		free(p->envs[i].origin);
	}
	for (size_t i = 0; i < p->n_quotas; i++)
		quota_done(&p->quotas[i]);
	for (size_t i = 0; i < p->n_grants; i++)
		grant_free(p->grants[i]);
	for (size_t i = 0; i < p->n_files; i++)
		free(p->files[i].path);
	for (size_t i = 0; i < p->n_registries; i++)
		free(p->registries[i].origin);
	for (size_t i = 0; i < p->n_profiles; i++)
		free(p->profiles[i]);
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		free(p->limit_origins[i]);
	net_rules_done(&p->allow);
	net_rules_done(&p->deny);
	paths_free(p->paths, p->n_paths);
	strv_free(p->degraded);
	free(p->raw_paths);
	free(p->secrets);
	free(p->connect_tos);
	free(p->cas);
	free(p->envs);
	free(p->quotas);
	free(p->grants);
	free(p->files);
	free(p->registries);
	free(p->profiles);
	free(p->workdir);
	free(p->home);
	free(p->mode_origin);
	free(p->auditor.spec);
	free(p->auditor.origin);
	free(p->auditor.deadline_origin);
	buf_free(&p->warnings);
	free(p);
}

int policy_set_workdir(struct policy *p, const char *dir, bool force, struct error *e)
{
	_cleanup_free_ char *cwd = NULL, *path = NULL;

	if (p->finished)
		return fail(e, EBUSY, SANDBOX_STAGE_POLICY, dir, "the policy is finished and cannot be changed");
	if (check_path_bytes(dir) < 0)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, "--workdir", "the working directory's path is empty or has control "
			    "bytes");
	if (dir[0] != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, ".", "cannot find the current directory");
	}
	int r = absolute_path(cwd, dir, &path);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, dir, "the working directory %s", dir);
	free(p->workdir);
	p->workdir = TAKE_PTR(path);
	p->workdir_force = force;
	return 0;
}

/* What a built-in profile offers is taken as far as there is a use for it: no rule and no secret without a gateway, no
 * secret whose variable is not set. */
static void drop_offers(struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_secrets; i++) {
		struct policy_secret *s = &p->secrets[i];
		const char *value = s->source == SOURCE_ENV ? getenv(s->source_arg) : "given";
		if (s->optional && (p->mode != NET_GATEWAY || !value || !*value))
			secret_done(s);
		else
			p->secrets[n++] = *s;
	}
	p->n_secrets = n;
	n = 0;
	for (size_t i = 0; i < p->allow.n; i++) {
		struct net_rule *r = &p->allow.rule[i];
		if (!r->optional || p->mode == NET_GATEWAY) {
			p->allow.rule[n++] = *r;
			continue;
		}
		rule_free(r->rule);
		free(r->text);
		free(r->origin);
	}
	p->allow.n = n;
}

/* Same rule, same effect, twice (a profile and a file): the first stays. */
static int by_what_it_says(const struct net_rule *a, const struct net_rule *b)
{
	int r = strcmp(a->text, b->text);

	if (r == 0)
		r = (int)a->rule->kind - (int)b->rule->kind;
	return r ? r : (int)a->allow_private - (int)b->allow_private;
}

/* Of those that say the same, as given. */
static int by_text_and_place(const void *x, const void *y)
{
	const struct net_rule *a = *(struct net_rule *const *)x, *b = *(struct net_rule *const *)y;
	int r = by_what_it_says(a, b);

	return r ? r : (a > b) - (a < b);
}

static int drop_repeated(struct net_rules *rules)
{
	_cleanup_free_ struct net_rule **sorted = calloc(rules->n + 1, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < rules->n; i++)
		sorted[i] = &rules->rule[i];
	qsort(sorted, rules->n, sizeof(*sorted), by_text_and_place);
	for (size_t i = 1, first = 0; i < rules->n; i++) {
		if (by_what_it_says(sorted[first], sorted[i]) == 0)
			rule_free(TAKE_PTR(sorted[i]->rule));
		else
			first = i;
	}
	for (size_t i = 0; i < rules->n; i++) {
		struct net_rule *r = &rules->rule[i];
		if (r->rule) {
			rules->rule[n++] = *r;
			continue;
		}
		free(r->text);
		free(r->origin);
	}
	rules->n = n;
	return 0;
}

static int by_host_and_port(const void *x, const void *y)
{
	const struct policy_connect_to *a = x, *b = y;
	int r = strcmp(a->host, b->host);

	return r ? r : (int)a->port - (int)b->port;
}

int policy_finish(struct policy *p, struct error *e)
{
	if (p->finished)
		return 0;
	/* Left by an attempt that failed. */
	paths_free(p->paths, p->n_paths);
	p->paths = NULL;
	p->n_paths = 0;

	drop_offers(p);
	if (drop_repeated(&p->allow) < 0 || drop_repeated(&p->deny) < 0)
		return out_of_memory(e);
	if (p->n_connect_tos)
		qsort(p->connect_tos, p->n_connect_tos, sizeof(*p->connect_tos), by_host_and_port);
	free(p->home);
	p->home = NULL;
	if (home_dir(&p->home) == -ENOMEM)
		return out_of_memory(e);
	int r = check_fit(p, e);
	if (r == 0)
		r = finish_workdir(p, e);
	if (r == 0)
		r = finish_paths(p, e);
	if (r == 0)
		r = finish_registries(p, e);
	if (r == 0 && (rules_index(&p->allow) < 0 || rules_index(&p->deny) < 0))
		return out_of_memory(e);
	if (r == 0)
		r = finish_grants(p, e);
	if (r < 0)
		return r;
	p->finished = true;
	return 0;
}

const char *policy_warnings(const struct policy *p)
{
	/* warn() keeps it terminated. */
	return p->warnings.len ? (const char *)p->warnings.data : "";
}

enum net_mode policy_net_mode(const struct policy *p)
{
	return p->mode;
}

const char *policy_workdir(const struct policy *p)
{
	return p->workdir;
}

const char *policy_home(const struct policy *p)
{
	return p->home;
}

const struct policy_path *policy_paths(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_paths;
	return p->paths;
}

size_t policy_overlays(const struct policy *p, const struct policy_path *ret[POLICY_OVERLAYS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_paths && n < POLICY_OVERLAYS_MAX; i++) {
		if (p->paths[i].kind == PATH_OVERLAY)
			ret[n++] = &p->paths[i];
	}
	return n;
}

const char *policy_file_path(const struct policy *p, size_t n)
{
	return n < p->n_files ? p->files[n].path : NULL;
}

const struct policy_secret *policy_secrets(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_secrets;
	return p->secrets;
}

const struct policy_connect_to *policy_connect_tos(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_connect_tos;
	return p->connect_tos;
}

const struct policy_upstream_ca *policy_upstream_cas(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_cas;
	return p->cas;
}

const struct policy_env *policy_envs(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_envs;
	return p->envs;
}

const struct policy_limits *policy_limits(const struct policy *p)
{
	return &p->limits;
}

const struct policy_quota *policy_quotas(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_quotas;
	return p->quotas;
}

const struct policy_auditor *policy_auditor(const struct policy *p)
{
	return &p->auditor;
}

bool policy_degraded_allowed(const struct policy *p, const char *control)
{
	for (size_t i = 0; i < p->n_degraded; i++) {
		if (strcmp(p->degraded[i], control) == 0)
			return true;
	}
	return false;
}

char *const *policy_degraded(const struct policy *p)
{
	static char *const none[] = { NULL };

	return p->degraded ? p->degraded : none;
}
