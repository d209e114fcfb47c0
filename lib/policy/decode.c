/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what encode.c wrote. The bytes come from the host application's process, which the supervisor and the
 * gateway do not trust to have used our encoder: every value is checked as if it had just been parsed.
 */
#include <limits.h>
#include <string.h>

#include "audit/auditor_spec.h"
#include "base/wire.h"
#include "policy/encode.h"

/* A count, refused when even empty elements of that many bytes could not follow. */
uint32_t checked_count(struct wire_reader *r, uint32_t max, size_t element)
{
	uint32_t n = wire_get_u32(r);

	if (r->bad || n > max || n > (size_t)(r->end - r->p) / element) {
		r->bad = true;
		return 0;
	}
	return n;
}

static bool checked_bool(struct wire_reader *r)
{
	uint8_t v = wire_get_u8(r);

	r->bad = r->bad || v > 1;
	return v == 1;
}

char *checked_text(struct wire_reader *r, size_t max)
{
	char *s = wire_get_str(r);

	if (s && (strlen(s) > max || (*s && check_path_bytes(s) < 0)))
		r->bad = true;
	return s;
}

/* NULL for "". */
char *checked_optional(struct wire_reader *r, size_t max)
{
	char *s = checked_text(r, max);

	if (s && *s)
		return s;
	free(s);
	return NULL;
}

char *checked_path(struct wire_reader *r)
{
	char *s = checked_text(r, PATH_MAX);

	if (!s || s[0] != '/') {
		r->bad = true;
		return s;
	}
	for (const char *part = s; *part; part += strcspn(part, "/")) {
		part++;
		size_t n = strcspn(part, "/");
		/* Canonical: nothing in it can lead elsewhere than it says. */
		if ((n == 0 && s[1]) || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
			r->bad = true;
	}
	return s;
}

char *checked_host(struct wire_reader *r, bool optional)
{
	char *s = checked_text(r, 255), again[256];

	if (s && optional && !*s) {
		free(s);
		return NULL;
	}
	if (!s || host_canonical(s, strlen(s), false, again) < 0 || strcmp(s, again) != 0)
		r->bad = true;
	return s;
}

uint16_t checked_port(struct wire_reader *r)
{
	uint32_t v = wire_get_u32(r);

	r->bad = r->bad || v == 0 || v > 65535;
	return (uint16_t)v;
}

static void get_paths(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, ENTRIES_MAX + 1024, 38);

	p->paths = calloc(n ? n : 1, sizeof(*p->paths));
	r->bad = r->bad || !p->paths;
	for (uint32_t i = 0, overlays = 0; i < n && !r->bad; i++) {
		struct policy_path *path = &p->paths[p->n_paths++];
		uint8_t kind = wire_get_u8(r);
		overlays += kind == PATH_OVERLAY;
		r->bad = r->bad || kind > PATH_TMPFS || overlays > POLICY_OVERLAYS_MAX;
		path->kind = (enum path_kind)kind;
		path->path = checked_path(r);
		path->given = checked_path(r);
		path->dev = wire_get_u64(r);
		path->ino = wire_get_u64(r);
		path->is_dir = checked_bool(r);
		path->size = wire_get_u64(r);
		path->origin = checked_text(r, ORIGIN_MAX);
	}
}

/* The text must parse, be canonical, and name what it is counted as. */
struct rule *checked_rule(struct wire_reader *r, enum rule_kind kind, const char *text)
{
	_cleanup_buf_ struct buf again = { 0 };
	struct rule *rule = NULL;

	if (r->bad || !text || rule_parse(text, kind, false, &rule, NULL) < 0 || rule_text(rule, &again) < 0 ||
	    !buf_str(&again) || strcmp(buf_str(&again), text) != 0)
		r->bad = true;
	return rule;
}

static void get_rules(struct wire_reader *r, struct net_rules *rules, bool deny)
{
	uint32_t n = checked_count(r, RULES_MAX, 10);

	rules->rule = calloc(n ? n : 1, sizeof(*rules->rule));
	r->bad = r->bad || !rules->rule;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct net_rule *rule = &rules->rule[rules->n++];
		uint8_t kind = wire_get_u8(r);
		if (deny ? kind != RULE_DENY : kind != RULE_ALLOW && kind != RULE_PASSTHROUGH)
			r->bad = true;
		rule->allow_private = checked_bool(r);
		r->bad = r->bad || (rule->allow_private && kind != RULE_ALLOW);
		rule->text = checked_text(r, 2 * RULE_TEXT_MAX);
		rule->origin = checked_text(r, ORIGIN_MAX);
		rule->rule = checked_rule(r, (enum rule_kind)kind, rule->text);
	}
}

static struct rule **get_rule_texts(struct wire_reader *r, enum rule_kind kind, size_t *ret_n)
{
	uint32_t n = checked_count(r, TARGETS_MAX, 4);
	struct rule **rules = calloc(n ? n : 1, sizeof(*rules));

	r->bad = r->bad || !rules;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		_cleanup_free_ char *text = checked_text(r, 2 * RULE_TEXT_MAX);
		rules[(*ret_n)++] = checked_rule(r, kind, text);
	}
	return rules;
}

static void get_secret(struct wire_reader *r, struct policy_secret *s)
{
	s->name = checked_text(r, 64);
	uint8_t source = wire_get_u8(r);
	s->source = (enum secret_source)source;
	s->source_arg = checked_text(r, VALUE_MAX);
	s->revoke = checked_optional(r, VALUE_MAX);
	s->key_id = checked_optional(r, 64);
	s->placeholder = checked_optional(r, 256);
	s->inject = wire_get_u32(r);
	s->insecure = checked_bool(r);
	s->scrub = checked_bool(r);
	uint8_t on_misuse = wire_get_u8(r);
	s->on_misuse = (enum secret_misuse)on_misuse;
	s->origin = checked_text(r, ORIGIN_MAX);
	if (r->bad || !variable_name_valid(s->name, strlen(s->name)) || source > SOURCE_VALUE ||
	    on_misuse > MISUSE_PASS ||
	    (s->source == SOURCE_ENV && !variable_name_valid(s->source_arg, strlen(s->source_arg))) ||
	    (s->source == SOURCE_FILE && s->source_arg[0] != '/') || (s->revoke && s->source != SOURCE_EXEC) ||
	    (s->placeholder && !placeholder_valid(s->placeholder)) || s->inject == 0 ||
	    s->inject > INJECT_SIGV4 || !(s->inject & INJECT_SIGV4) != !s->key_id)
		r->bad = true;
	s->allow = get_rule_texts(r, RULE_SECRET, &s->n_allow);
	r->bad = r->bad || s->n_allow == 0;
}

int policy_secret_decode(const void *data, size_t len, struct policy_secret **ret)
{
	struct wire_reader r = wire_reader(data, len);
	struct policy_secret *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	get_secret(&r, s);
	if (!wire_done(&r)) {
		policy_secret_free(s);
		return -EBADMSG;
	}
	*ret = s;
	return 0;
}

static void get_secrets(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, SECRETS_MAX, 31);

	p->secrets = calloc(n ? n : 1, sizeof(*p->secrets));
	r->bad = r->bad || !p->secrets;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		get_secret(r, &p->secrets[p->n_secrets++]);
		for (uint32_t k = 0; k < i && !r->bad; k++)
			r->bad = strcmp(p->secrets[k].name, p->secrets[i].name) == 0;
	}
}

static void get_dialling(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, ENTRIES_MAX, 20);

	p->connect_tos = calloc(n ? n : 1, sizeof(*p->connect_tos));
	r->bad = r->bad || !p->connect_tos;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct policy_connect_to *c = &p->connect_tos[p->n_connect_tos++], *before = i ? c - 1 : NULL;
		c->host = checked_host(r, false);
		c->port = checked_port(r);
		c->addr = checked_host(r, false);
		c->addr_port = checked_port(r);
		c->origin = checked_text(r, ORIGIN_MAX);
		if (r->bad || !before)
			continue;
		/* Sorted without repeats, or the search in policy_connect_to() would miss some. */
		int order = strcmp(before->host, c->host);
		r->bad = order > 0 || (order == 0 && before->port >= c->port);
	}
	n = checked_count(r, ENTRIES_MAX, 12);
	p->cas = calloc(n ? n : 1, sizeof(*p->cas));
	r->bad = r->bad || !p->cas;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct policy_upstream_ca *ca = &p->cas[p->n_cas++];
		ca->path = checked_path(r);
		ca->host = checked_host(r, true);
		ca->origin = checked_text(r, ORIGIN_MAX);
	}
	get_client_certs(r, p);
	get_upstream_proxy(r, p);
}

static void get_envs(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, ENTRIES_MAX, 13);

	p->envs = calloc(n ? n : 1, sizeof(*p->envs));
	r->bad = r->bad || !p->envs;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct policy_env *env = &p->envs[p->n_envs++];
		env->name = checked_text(r, 64);
		bool set = checked_bool(r);
		char *value = wire_get_str(r);
		env->origin = checked_text(r, ORIGIN_MAX);
		r->bad = r->bad || !variable_name_valid(env->name, strlen(env->name)) || strlen(value) > VALUE_MAX ||
			 (!set && *value);
		if (set)
			env->value = value;
		else
			free(value);
	}
}

static void get_limits(struct wire_reader *r, struct policy *p)
{
	struct policy_limits *l = &p->limits;

	l->memory = wire_get_u64(r);
	l->disk = wire_get_u64(r);
	l->cpus_milli = wire_get_u64(r);
	l->timeout_us = wire_get_u64(r);
	l->pids = wire_get_u32(r);
	l->open_files = wire_get_u32(r);
	if (l->memory > INT64_MAX || l->disk > INT64_MAX || l->cpus_milli > 1000000000 || l->timeout_us > INT64_MAX ||
	    l->pids > 4194304 || l->open_files > 1048576)
		r->bad = true;
	for (int i = 0; i < LIMIT_COUNT; i++)
		p->limit_origins[i] = checked_optional(r, ORIGIN_MAX);
}

static void get_quota(struct wire_reader *r, struct policy_quota *q)
{
	static const uint64_t most[QUOTA_LIMITS] = { QUOTA_REQUESTS_MAX, INT64_MAX, RATE_MAX };

	q->name = checked_text(r, 64);
	q->origin = checked_text(r, ORIGIN_MAX);
	for (size_t i = 0; i < QUOTA_LIMITS; i++) {
		q->limits[i] = wire_get_u64(r);
		q->limit_origins[i] = checked_optional(r, ORIGIN_MAX);
		r->bad = r->bad || q->limits[i] > most[i] || !q->limits[i] == !!q->limit_origins[i];
	}
	q->match = get_rule_texts(r, RULE_DENY, &q->n_match);
	r->bad = r->bad || !grant_name_valid(q->name);
}

static void get_quotas(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, QUOTAS_MAX, 48);

	p->quotas = calloc(n ? n : 1, sizeof(*p->quotas));
	r->bad = r->bad || !p->quotas;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		get_quota(r, &p->quotas[p->n_quotas++]);
		for (uint32_t k = 0; k < i && !r->bad; k++)
			r->bad = strcmp(p->quotas[k].name, p->quotas[i].name) == 0;
	}
}

static void get_auditor(struct wire_reader *r, struct policy_auditor *a)
{
	struct auditor_spec spec;

	a->spec = checked_optional(r, VALUE_MAX);
	a->origin = checked_optional(r, ORIGIN_MAX);
	a->deadline_us = wire_get_u64(r);
	a->deadline_origin = checked_optional(r, ORIGIN_MAX);
	if ((a->spec && auditor_spec_parse(a->spec, &spec, NULL) < 0) ||
	    (a->deadline_us && (a->deadline_us < AUDITOR_MIN_DEADLINE_US || a->deadline_us > AUDITOR_MAX_DEADLINE_US)))
		r->bad = true;
}

/* Not whether they are within the policy: every decision asks that as well, so one that is not allows nothing more. */
static void get_grants(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, GRANT_TEMPLATES_MAX, 32);

	p->grants = calloc(n ? n : 1, sizeof(*p->grants));
	r->bad = r->bad || !p->grants;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		size_t len;
		const void *bytes = wire_get_bytes(r, &len);
		struct grant *g;
		if (!bytes || grant_decode(bytes, len, &g, NULL) < 0) {
			r->bad = true;
			return;
		}
		p->grants[p->n_grants++] = g;
		r->bad = !g->template || p->mode == NET_HOST;
		for (uint32_t k = 0; k < i && !r->bad; k++)
			r->bad = strcmp(p->grants[k]->name, g->name) == 0;
	}
}

static void get_policy(struct wire_reader *r, struct policy *p)
{
	r->bad = r->bad || wire_get_u32(r) != POLICY_MAGIC;
	uint8_t mode = wire_get_u8(r);
	r->bad = r->bad || mode > NET_HOST;
	p->mode = (enum net_mode)mode;
	p->mode_origin = checked_optional(r, ORIGIN_MAX);
	p->workdir = checked_path(r);
	p->home = checked_optional(r, 4095);
	get_paths(r, p);
	get_rules(r, &p->allow, false);
	get_rules(r, &p->deny, true);
	get_secrets(r, p);
	get_dialling(r, p);
	get_envs(r, p);
	get_limits(r, p);
	get_quotas(r, p);
	get_auditor(r, &p->auditor);
	p->degraded = wire_get_strv(r, 64);
	p->n_degraded = strv_len(p->degraded);
	for (size_t i = 0; i < p->n_degraded; i++)
		r->bad = r->bad || check_path_bytes(p->degraded[i]) < 0;
	get_grants(r, p);
}

int policy_decode(const void *data, size_t len, struct policy **ret, struct error *e)
{
	struct wire_reader r = wire_reader(data, len);
	struct policy *p;
	struct error why = { 0 };

	if (policy_new(&p) < 0)
		return out_of_memory(e);
	if (len > POLICY_BYTES_MAX)
		r.bad = true;
	else
		get_policy(&r, p);
	int err = wire_done(&r) ? check_contradictions(p, &why) : -EBADMSG;
	if (err < 0) {
		policy_free(p);
		return fail(e, -err, SANDBOX_STAGE_PROTOCOL, "policy", "the encoded policy is not valid%s%s",
			    why.message[0] ? ": " : "", why.message);
	}
	if (rules_index(&p->allow) < 0 || rules_index(&p->deny) < 0) {
		policy_free(p);
		return out_of_memory(e);
	}
	p->finished = true;
	*ret = p;
	return 0;
}
