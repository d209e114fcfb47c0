/* SPDX-License-Identifier: Apache-2.0 */
/* [quota NAME] and --quota LIMIT=VALUE[,LIMIT=VALUE][@RULE]: how much goes out by some rules, of all calls together. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

#define SPEC_FORM "accepted: max_requests=N, max_up=SIZE and rate=N/s (or /m, /h), with commas between, then @RULE"

const char *const quota_keys[QUOTA_LIMITS] = { "max_requests", "max_up", "rate" };

void quota_done(struct policy_quota *q)
{
	free(q->name);
	free(q->origin);
	for (size_t i = 0; i < QUOTA_LIMITS; i++)
		free(q->limit_origins[i]);
	rules_free(q->match, q->n_match);
}

void quota_limit_text(enum quota_limit which, uint64_t v, char ret[32])
{
	if (which == QUOTA_UP)
		format_size(v, ret);
	else if (which == QUOTA_RATE)
		format_rate(v, ret);
	else
		snprintf(ret, 32, "%llu", (unsigned long long)v);
}

static struct policy_quota *find_quota(struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_quotas; i++) {
		if (strcmp(p->quotas[i].name, name) == 0)
			return &p->quotas[i];
	}
	return NULL;
}

static struct policy_quota *get_quota(struct policy *p, const struct setting *s, struct error *e)
{
	struct policy_quota *q = find_quota(p, s->name);

	if (q)
		return q;
	q = grow(&p->quotas, &p->n_quotas, sizeof(*q), QUOTAS_MAX, "quotas", s->origin, e);
	if (!q)
		return NULL;
	q->name = strdup(s->name);
	q->origin = strdup(s->origin);
	if (q->name && q->origin)
		return q;
	quota_done(q);
	p->n_quotas--;
	out_of_memory(e);
	return NULL;
}

/* Read as a denial is: whatever it would deny counts, so no protocol, port or letter case goes round it. */
static int add_match(struct policy_quota *q, const struct setting *s, struct error *e)
{
	struct rule *rule;
	struct error why;

	int r = rule_parse(s->value, RULE_DENY, true, &rule, &why);
	if (r < 0)
		return bad_setting_why(s, e, -r, &why);
	struct rule **slot = grow(&q->match, &q->n_match, sizeof(*slot), TARGETS_MAX, "rules of a quota", s->origin, e);
	if (!slot) {
		rule_free(rule);
		return -e->err;
	}
	*slot = rule;
	return 0;
}

static int set_limit_of(struct policy_quota *q, enum quota_limit which, const struct setting *s, struct error *e)
{
	uint32_t count = 0;
	uint64_t v = 0;
	int r;

	if (which == QUOTA_UP) {
		r = parse_size(s->value, &v);
		if (r < 0)
			return bad_setting(s, e, -r, "accepted: a size above 0: digits and K, M, G or T, as in 512K");
	} else if (which == QUOTA_RATE) {
		r = parse_rate(s->value, &v);
		if (r < 0)
			return bad_setting(s, e, -r, RATE_FORM);
	} else {
		r = parse_count(s->value, QUOTA_REQUESTS_MAX, &count);
		if (r < 0)
			return bad_setting(s, e, -r, "accepted: a whole number from 1 to %u", QUOTA_REQUESTS_MAX);
		v = count;
	}
	q->limits[which] = v;
	return replace(&q->limit_origins[which], s->origin, e);
}

int set_quota(struct policy *p, const struct setting *s, struct error *e)
{
	struct policy_quota *q = get_quota(p, s, e);

	if (!q)
		return -ENOMEM;
	for (unsigned i = 0; i < QUOTA_LIMITS; i++) {
		if (strcmp(s->key, quota_keys[i]) == 0)
			return set_limit_of(q, (enum quota_limit)i, s, e);
	}
	return add_match(q, s, e);
}

static int add_part(struct policy *p, struct setting *part, char *text, const struct setting *whole, struct error *e)
{
	char *equals = strchr(text, '=');

	if (!equals)
		return bad_setting(whole, e, EINVAL, "'%.40s' has no '='; " SPEC_FORM, text);
	*equals = '\0';
	text += strspn(text, " ");
	for (unsigned i = 0; i < QUOTA_LIMITS; i++) {
		if (strcmp(text, quota_keys[i]) != 0)
			continue;
		part->key = quota_keys[i];
		part->value = equals + 1;
		return policy_apply(p, part, e);
	}
	return bad_setting(whole, e, EINVAL, "'%.40s' is no limit; " SPEC_FORM, text);
}

int policy_add_quota_spec(struct policy *p, const char *spec, const char *base, const char *origin, struct error *e)
{
	const char *at = strchr(spec, '@');
	char section[32], name[16];
	struct setting whole = { "quota", "spec", spec, "", base, base, origin, false, 0 };
	struct setting part = { section, "match", at ? at + 1 : "", "", base, base, origin, false, 0 };

	_cleanup_free_ char *limits = at ? strndup(spec, (size_t)(at - spec)) : strdup(spec);
	if (!limits)
		return out_of_memory(e);
	/* A name that no file has taken. */
	for (unsigned i = 1;; i++) {
		snprintf(name, sizeof(name), "flag%u", i);
		if (!find_quota(p, name))
			break;
	}
	snprintf(section, sizeof(section), "quota %s", name);
	int r = at ? policy_apply(p, &part, e) : 0;
	for (char *rest = limits, *one; r == 0 && (one = strsep(&rest, ","));)
		r = add_part(p, &part, one, &whole, e);
	return r;
}
