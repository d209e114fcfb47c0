/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a grant, finishing it, templates of a policy, and reading. */
#include "policy/grant.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

int grant_new(struct grant **ret)
{
	_cleanup_(grant_freep) struct grant *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->section = strdup("grant");
	g->base = GRANT_WRITE;
	if (!g->section)
		return -ENOMEM;
	*ret = TAKE_PTR(g);
	return 0;
}

void grant_free(struct grant *g)
{
	if (!g || g->more_users-- > 0)
		return;
	net_rules_done(&g->allow);
	net_rules_done(&g->deny);
	for (size_t i = 0; i < g->n_secrets; i++) {
		free(g->secrets[i].name);
		free(g->secrets[i].origin);
	}
	for (size_t i = 0; i < g->n_raw; i++) {
		free(g->raw[i].text);
		free(g->raw[i].origin);
	}
	for (size_t i = 0; i < g->n_argv; i++) {
		free(g->argv[i].text);
		free(g->argv[i].origin);
	}
	for (int i = 0; i < VALUE_COUNT; i++)
		free(g->value[i].origin);
	path_list_done(&g->files);
	path_list_done(&g->hides);
	path_list_done(&g->execs);
	free(g->secrets);
	free(g->raw);
	free(g->argv);
	free(g->read_only);
	free(g->name);
	free(g->origin);
	free(g->section);
	free(g);
}

struct grant *grant_ref(struct grant *g)
{
	g->more_users++;
	return g;
}

void grant_freep(struct grant **g)
{
	grant_free(*g);
}

int grant_copy(const struct grant *g, struct grant **ret)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = grant_encode(g, &bytes);
	return r < 0 ? r : grant_decode(bytes.data, bytes.len, ret, NULL);
}

/* The policy's limits where the grant names none. */
static int take_limits(const struct policy *p, struct grant *g)
{
	for (int i = 0; i < 2; i++) {
		const char *origin = p->limit_origins[i ? LIMIT_OPEN_FILES : LIMIT_TIMEOUT];
		struct value *value = &g->value[i ? VALUE_OPEN_FILES : VALUE_TIMEOUT];
		uint64_t v = i ? p->limits.open_files : p->limits.timeout_us;
		if (value->v || v == 0)
			continue;
		value->v = v;
		value->origin = origin ? strdup(origin) : NULL;
		if (origin && !value->origin)
			return -ENOMEM;
	}
	return 0;
}

int grant_of_policy(const struct policy *p, struct grant **ret)
{
	_cleanup_(grant_freep) struct grant *g = NULL;

	int r = grant_new(&g);
	if (r == 0)
		r = grant_finish(g, NULL);
	if (r == 0)
		r = take_limits(p, g);
	if (r == 0)
		*ret = TAKE_PTR(g);
	return r;
}

int grant_effective(const struct policy *p, const struct grant *g, struct grant **ret)
{
	_cleanup_(grant_freep) struct grant *copy = NULL;

	int r = grant_copy(g, &copy);
	if (r == 0)
		r = take_limits(p, copy);
	if (r == 0)
		*ret = TAKE_PTR(copy);
	return r;
}

/* ---- finishing ---- */

static const char *const raw_keys[] = { "read", "write", "hide", "exec" };

static int resolve_one(struct grant *g, const struct raw_grant_path *raw, const char *workdir, struct error *e)
{
	_cleanup_free_ char *given = NULL;
	_cleanup_object_ struct object at = { 0 };
	const char *key = raw_keys[raw->kind];
	struct error why;

	int r = absolute_path(workdir, raw->text, &given);
	if (r == 0 && given[0] != '/')
		r = -EINVAL;
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, raw->text, "%s: [%s] %s = %s", raw->origin, g->section, key,
				  raw->text);
	r = resolve_path(given, &at, &why);
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_POLICY, given, "%s: [%s] %s = %s: the path must exist: %s", raw->origin,
			    g->section, key, raw->text, why.message);
	if (strcmp(at.path, "/") == 0)
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, at.path,
			    "%s: [%s] %s = %s: the root as a whole cannot be named, only directories in it", raw->origin,
			    g->section, key, raw->text);
	if (raw->kind == RAW_HIDE || raw->kind == RAW_EXEC)
		r = path_list_add(raw->kind == RAW_HIDE ? &g->hides : &g->execs, at.path, GRANT_NONE, raw->origin);
	else
		r = path_list_add(&g->files, at.path, raw->kind == RAW_READ ? GRANT_READ : GRANT_WRITE, raw->origin);
	return r < 0 ? out_of_memory(e) : 0;
}

static int check_read_only(const struct grant *g, struct error *e)
{
	for (size_t i = 0; g->read_only && i < g->n_raw; i++) {
		if (g->raw[i].kind == RAW_WRITE)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, g->raw[i].text,
				    "%s: [%s] write = %s and read_only = yes (%s) contradict each other: drop one; with write "
				    "alone nothing else is writable",
				    g->raw[i].origin, g->section, g->raw[i].text, g->read_only);
	}
	return 0;
}

static int check_sizes(const struct grant *g, struct error *e)
{
	const struct path_list *lists[] = { &g->files, &g->hides, &g->execs };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		if (lists[i]->n > GRANT_PATHS_MAX)
			return fail(e, E2BIG, SANDBOX_STAGE_POLICY, g->section, "%s: more than %d paths in one list of a grant",
				    lists[i]->path[GRANT_PATHS_MAX].origin, GRANT_PATHS_MAX);
	}
	return 0;
}

int grant_resolve(struct grant *g, const char *workdir, struct error *e)
{
	int r = check_read_only(g, e);

	if (g->finished || r < 0)
		return r;
	/* What came finished and got nothing more has no raw paths, and was not unfinished by grant_apply(). */
	path_list_done(&g->files);
	path_list_done(&g->hides);
	path_list_done(&g->execs);
	for (size_t i = 0; i < g->n_raw && r == 0; i++)
		r = resolve_one(g, &g->raw[i], workdir, e);
	if (r < 0)
		return r;
	g->base = g->read_set ? GRANT_NONE : g->write_set || g->read_only ? GRANT_READ : GRANT_WRITE;
	paths_reduce(g);
	r = check_sizes(g, e);
	if (r < 0)
		return r;
	if (rules_index(&g->allow) < 0 || rules_index(&g->deny) < 0)
		return out_of_memory(e);
	g->finished = true;
	return 0;
}

int grant_finish(struct grant *g, struct error *e)
{
	return grant_resolve(g, NULL, e);
}

int finish_grants(struct policy *p, struct error *e)
{
	struct grant_excess first;

	for (size_t i = 0; i < p->n_grants; i++) {
		struct grant *g = p->grants[i];
		char what[96];
		if (p->mode == NET_HOST)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, g->name,
				    "%s: [%s] narrows the network, but in mode host (%s) every call has the host's own: grants "
				    "need mode gateway or none",
				    g->origin, g->section, p->mode_origin ? p->mode_origin : "default");
		int r = grant_resolve(g, p->workdir, e);
		if (r < 0)
			return r;
		r = grant_within(p, g, &first);
		if (r == -ENOMEM)
			return out_of_memory(e);
		snprintf(what, sizeof(what), "[%s]", g->section);
		if (r != 1)
			return grant_excess_error(&first, what, "the policy", e);
	}
	argv_warn(p);
	return 0;
}

/* ---- templates ---- */

const struct grant *policy_grant(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_grants; i++) {
		if (strcmp(p->grants[i]->name, name) == 0)
			return p->grants[i];
	}
	return NULL;
}

const struct grant *const *policy_grants(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_grants;
	return (const struct grant *const *)p->grants;
}

const struct grant *policy_grant_for_argv(const struct policy *p, const char *const *argv)
{
	for (size_t i = 0; i < p->n_grants; i++) {
		for (size_t k = 0; k < p->grants[i]->n_argv; k++) {
			if (argv_matches(p->grants[i]->argv[k].text, argv))
				return p->grants[i];
		}
	}
	return NULL;
}

/* ---- reading ---- */

uint64_t grant_value_of(const struct grant *g, enum grant_value which)
{
	uint64_t v = g->value[which].v;

	/* Unless it says otherwise, a call that is trusted with more than others brings no credentials of its own, and one
	 * that was bound by a template leaves nothing behind. */
	if (v == 0 && which == VALUE_CREDENTIALS && (g->template || g->n_secrets || g->allow.n))
		return 2;
	if (v == 0 && which == VALUE_BACKGROUND && g->template)
		return 2;
	return v;
}

const char *grant_name(const struct grant *g)
{
	return g->name ? g->name : "";
}

const char *grant_origin(const struct grant *g)
{
	return g->origin ? g->origin : "";
}

bool grant_inherits_files(const struct grant *g)
{
	return g->base == GRANT_WRITE;
}

bool grant_inherits_exec(const struct grant *g)
{
	return !g->exec_set;
}

const struct grant_path *grant_files(const struct grant *g, size_t *ret_n)
{
	*ret_n = g->files.n;
	return g->files.path;
}

const struct grant_path *grant_hides(const struct grant *g, size_t *ret_n)
{
	*ret_n = g->hides.n;
	return g->hides.path;
}

const struct grant_path *grant_execs(const struct grant *g, size_t *ret_n)
{
	*ret_n = g->execs.n;
	return g->execs.path;
}

uint64_t grant_number(const struct grant *g, enum grant_number which)
{
	return g->value[which].v;
}

bool grant_full(const struct grant *g)
{
	return grant_value_of(g, VALUE_ISOLATION) == 2;
}

bool grant_background(const struct grant *g)
{
	return grant_value_of(g, VALUE_BACKGROUND) != 2;
}

bool grant_placeholders_only(const struct grant *g)
{
	return grant_value_of(g, VALUE_CREDENTIALS) == 2;
}

enum grant_view grant_view(const struct grant *g)
{
	uint64_t v = grant_value_of(g, VALUE_VIEW);

	return v ? (enum grant_view)(v - 1) : GRANT_VIEW_WORKING;
}
