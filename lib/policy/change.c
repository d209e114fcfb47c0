/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a finished policy while a sandbox runs by it. All or nothing: what fails leaves it as it was. */
#include <errno.h>
#include <string.h>

#include "policy/encode.h"

static const char *const keys[] = { [RULE_KEY_ALLOW] = "allow", [RULE_KEY_PRIVATE] = "allow_private",
				    [RULE_KEY_PASSTHROUGH] = "passthrough" };

enum rule_key policy_rule_key(const char *key)
{
	enum rule_key k = RULE_KEY_PASSTHROUGH;

	while (k != RULE_KEY_NONE && strcmp(keys[k], key) != 0)
		k--;
	return k;
}

static enum rule_key key_of(const struct net_rule *o)
{
	return o->rule->kind == RULE_PASSTHROUGH ? RULE_KEY_PASSTHROUGH : o->allow_private ? RULE_KEY_PRIVATE : RULE_KEY_ALLOW;
}

static int parse_text(enum rule_key key, const char *text, bool idna, struct rule **ret, struct buf *canonical,
		      struct error *e)
{
	struct error why;

	int r = rule_parse(text, key == RULE_KEY_PASSTHROUGH ? RULE_PASSTHROUGH : RULE_ALLOW, idna, ret, &why);
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_POLICY, text, "%.200s: %s", text, why.message);
	return rule_text(*ret, canonical) < 0 || !buf_str(canonical) ? out_of_memory(e) : 0;
}

static int parse(enum rule_key key, const char *text, struct rule **ret, struct buf *canonical, struct error *e)
{
	return parse_text(key, text, false, ret, canonical, e);
}

int policy_rule_canonical(enum rule_key key, const char *text, struct buf *ret, struct error *e)
{
	_cleanup_(rule_freep) struct rule *rule = NULL;

	return parse_text(key, text, true, &rule, ret, e);
}

/* Takes the array over, also when it fails. What is in it stays the caller's then. */
static int replace_allow(struct policy *p, struct net_rule *array, size_t n, struct error *e)
{
	struct net_rules old = p->allow, now = { .rule = array, .n = n };

	int r = rules_index(&now) < 0 ? out_of_memory(e) : 0;
	if (r == 0) {
		p->allow = now;
		r = check_contradictions(p, e);
		if (r < 0)
			p->allow = old;
	}
	struct net_rules *gone = r < 0 ? &now : &old;
	rules_index_free(gone->index);
	free(gone->rule);
	return r;
}

int policy_rule_ports(enum rule_key key, const char *text, uint16_t ports[PROTO_COUNT], size_t *ret_n, struct error *e)
{
	_cleanup_(rule_freep) struct rule *rule = NULL;
	_cleanup_buf_ struct buf canonical = { 0 };

	int r = parse(key, text, &rule, &canonical, e);
	*ret_n = 0;
	for (int i = 0; r == 0 && i < PROTO_COUNT; i++) {
		bool single = rule->ports[i].lo && rule->ports[i].lo == rule->ports[i].hi;
		for (size_t k = 0; k < *ret_n && single; k++)
			single = ports[k] != rule->ports[i].lo;
		if (single)
			ports[(*ret_n)++] = rule->ports[i].lo;
	}
	return r;
}

int policy_add_rule(struct policy *p, enum rule_key key, const char *text, const char *origin, struct error *e)
{
	_cleanup_(rule_freep) struct rule *rule = NULL;
	_cleanup_buf_ struct buf canonical = { 0 };

	int r = parse(key, text, &rule, &canonical, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->allow.n; i++) {
		const struct net_rule *o = &p->allow.rule[i];
		if (key_of(o) == key && strcmp(o->text, buf_str(&canonical)) == 0)
			return fail(e, EEXIST, SANDBOX_STAGE_POLICY, text, "%.200s is allowed already, by %.200s", text,
				    o->origin);
	}
	if (p->allow.n >= ENTRIES_MAX)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, text, "more than %d rules in one policy", ENTRIES_MAX);
	struct net_rule *all = calloc(p->allow.n + 1, sizeof(*all));
	char *own = strdup(buf_str(&canonical)), *by = strdup(origin);
	if (!all || !own || !by) {
		r = out_of_memory(e);
		free(all);
	} else {
		if (p->allow.n)
			memcpy(all, p->allow.rule, p->allow.n * sizeof(*all));
		all[p->allow.n] = (struct net_rule){ .rule = rule, .text = own, .origin = by,
							 .allow_private = key == RULE_KEY_PRIVATE };
		r = replace_allow(p, all, p->allow.n + 1, e);
	}
	if (r < 0) {
		free(own);
		free(by);
		return r;
	}
	TAKE_PTR(rule);
	return 0;
}

int policy_find_rule(const struct policy *p, const char *text, struct error *e)
{
	_cleanup_(rule_freep) struct rule *rule = NULL;
	_cleanup_buf_ struct buf canonical = { 0 };

	int r = parse(RULE_KEY_ALLOW, text, &rule, &canonical, e);
	for (size_t i = 0; r == 0 && i < p->allow.n; i++) {
		if (strcmp(p->allow.rule[i].text, buf_str(&canonical)) == 0)
			return 0;
	}
	return r < 0 ? r : fail(e, ENOENT, SANDBOX_STAGE_POLICY, text,
				"no rule of the sandbox is %.200s; nsbox allow list shows those that are", text);
}

int policy_remove_rule(struct policy *p, enum rule_key key, const char *text, struct error *e)
{
	_cleanup_(rule_freep) struct rule *rule = NULL;
	_cleanup_buf_ struct buf canonical = { 0 };
	size_t n = 0, n_gone = 0;

	int r = parse(key, text, &rule, &canonical, e);
	if (r < 0)
		return r;
	struct net_rule *left = calloc(p->allow.n + 1, sizeof(*left)), *gone = calloc(p->allow.n + 1, sizeof(*gone));
	if (!left || !gone) {
		free(left);
		free(gone);
		return out_of_memory(e);
	}
	for (size_t i = 0; i < p->allow.n; i++) {
		if (strcmp(p->allow.rule[i].text, buf_str(&canonical)) == 0 &&
		    (key == RULE_KEY_NONE || key == key_of(&p->allow.rule[i])))
			gone[n_gone++] = p->allow.rule[i];
		else
			left[n++] = p->allow.rule[i];
	}
	r = replace_allow(p, left, n, e);
	for (size_t i = 0; r == 0 && i < n_gone; i++) {
		rule_free(gone[i].rule);
		free(gone[i].text);
		free(gone[i].origin);
	}
	free(gone);
	return r;
}

int policy_rules_each(const struct policy *p, int (*f)(void *arg, const char *key, const char *text, const char *origin),
		      void *arg)
{
	int r = 0;

	for (size_t i = 0; i < p->allow.n && r == 0; i++) {
		const struct net_rule *o = &p->allow.rule[i];
		r = f(arg, keys[key_of(o)], o->text, o->origin);
	}
	for (size_t i = 0; i < p->deny.n && r == 0; i++)
		r = f(arg, "deny", p->deny.rule[i].text, p->deny.rule[i].origin);
	return r;
}

static int replace_secrets(struct policy *p, struct policy_secret *array, size_t n, struct error *e)
{
	struct policy_secret *old = p->secrets;
	size_t n_old = p->n_secrets;

	p->secrets = array;
	p->n_secrets = n;
	int r = check_contradictions(p, e);
	if (r < 0) {
		p->secrets = old;
		p->n_secrets = n_old;
	}
	free(r < 0 ? array : old);
	return r;
}

static size_t secret_at(const struct policy *p, const char *name)
{
	size_t i = 0;

	while (i < p->n_secrets && strcmp(p->secrets[i].name, name) != 0)
		i++;
	return i;
}

const struct policy_secret *policy_find_secret(const struct policy *p, const char *name)
{
	size_t i = secret_at(p, name);

	return i < p->n_secrets ? &p->secrets[i] : NULL;
}

int policy_add_secret(struct policy *p, struct policy_secret *s, struct error *e)
{
	if (policy_find_secret(p, s->name))
		return fail(e, EEXIST, SANDBOX_STAGE_POLICY, s->name,
			    "there is a secret %s already; rotate or revoke it", s->name);
	if (p->n_secrets >= SECRETS_MAX)
		return fail(e, E2BIG, SANDBOX_STAGE_POLICY, s->name, "more than %d secrets in one policy", SECRETS_MAX);
	struct policy_secret *all = calloc(p->n_secrets + 1, sizeof(*all));
	if (!all)
		return out_of_memory(e);
	if (p->n_secrets)
		memcpy(all, p->secrets, p->n_secrets * sizeof(*all));
	all[p->n_secrets] = *s;
	int r = replace_secrets(p, all, p->n_secrets + 1, e);
	if (r == 0)
		*s = (struct policy_secret){ 0 };
	return r;
}

int policy_remove_secret(struct policy *p, const char *name, struct error *e)
{
	size_t at = secret_at(p, name);

	if (at == p->n_secrets)
		return fail(e, ENOENT, SANDBOX_STAGE_POLICY, name, "the sandbox has no secret %s", name);
	secret_done(&p->secrets[at]);
	memmove(&p->secrets[at], &p->secrets[at + 1], (p->n_secrets - at - 1) * sizeof(*p->secrets));
	p->n_secrets--;
	return 0;
}

void policy_secret_free(struct policy_secret *s)
{
	if (s)
		secret_done(s);
	free(s);
}

void policy_secret_freep(struct policy_secret **s)
{
	policy_secret_free(*s);
}
