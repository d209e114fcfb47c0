/* SPDX-License-Identifier: Apache-2.0 */
/* A finished policy as bytes for the supervisor and the gateway. decode.c reads the same order. */
#include "policy/encode.h"

static int put_rules(struct buf *out, const struct net_rules *rules)
{
	int r = wire_put_u32(out, (uint32_t)rules->n);

	for (size_t i = 0; i < rules->n; i++) {
		PUT(r, wire_put_u8(out, (uint8_t)rules->rule[i].rule->kind));
		PUT(r, wire_put_u8(out, rules->rule[i].allow_private));
		PUT(r, wire_put_str(out, rules->rule[i].text));
		PUT(r, wire_put_str(out, rules->rule[i].origin));
	}
	return r;
}

static int put_paths(struct buf *out, const struct policy *p)
{
	int r = wire_put_u32(out, (uint32_t)p->n_paths);

	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *path = &p->paths[i];
		PUT(r, wire_put_u8(out, (uint8_t)path->kind));
		PUT(r, wire_put_str(out, path->path));
		PUT(r, wire_put_str(out, path->given));
		PUT(r, wire_put_u64(out, path->dev));
		PUT(r, wire_put_u64(out, path->ino));
		PUT(r, wire_put_u8(out, path->is_dir));
		PUT(r, wire_put_u64(out, path->size));
		PUT(r, wire_put_str(out, path->origin));
	}
	return r;
}

static int put_rule_texts(struct buf *out, struct rule *const *rules, size_t n)
{
	int r = wire_put_u32(out, (uint32_t)n);

	for (size_t i = 0; i < n && r == 0; i++) {
		_cleanup_buf_ struct buf text = { 0 };
		r = rule_text(rules[i], &text);
		PUT(r, wire_put_bytes(out, text.data, text.len));
	}
	return r;
}

static int put_secret(struct buf *out, const struct policy_secret *s)
{
	int r = wire_put_str(out, s->name);

	PUT(r, wire_put_u8(out, (uint8_t)s->source));
	PUT(r, wire_put_str(out, s->source_arg));
	PUT(r, wire_put_str(out, s->revoke ? s->revoke : ""));
	PUT(r, wire_put_str(out, s->key_id ? s->key_id : ""));
	PUT(r, wire_put_str(out, s->placeholder ? s->placeholder : ""));
	PUT(r, wire_put_u32(out, s->inject));
	PUT(r, wire_put_u8(out, s->insecure));
	PUT(r, wire_put_u8(out, s->scrub));
	PUT(r, wire_put_u8(out, (uint8_t)s->on_misuse));
	PUT(r, wire_put_str(out, s->origin));
	return r < 0 ? r : put_rule_texts(out, s->allow, s->n_allow);
}

int policy_secret_encode(const struct policy_secret *s, struct buf *out)
{
	return put_secret(out, s);
}

static int put_dialling(struct buf *out, const struct policy *p)
{
	int r = wire_put_u32(out, (uint32_t)p->n_connect_tos);

	for (size_t i = 0; i < p->n_connect_tos; i++) {
		PUT(r, wire_put_str(out, p->connect_tos[i].host));
		PUT(r, wire_put_u32(out, p->connect_tos[i].port));
		PUT(r, wire_put_str(out, p->connect_tos[i].addr));
		PUT(r, wire_put_u32(out, p->connect_tos[i].addr_port));
		PUT(r, wire_put_str(out, p->connect_tos[i].origin));
	}
	PUT(r, wire_put_u32(out, (uint32_t)p->n_cas));
	for (size_t i = 0; i < p->n_cas; i++) {
		PUT(r, wire_put_str(out, p->cas[i].path));
		PUT(r, wire_put_str(out, p->cas[i].host ? p->cas[i].host : ""));
		PUT(r, wire_put_str(out, p->cas[i].origin));
	}
	PUT(r, put_client_certs(out, p));
	PUT(r, put_upstream_proxy(out, p));
	return r;
}

static int put_limits(struct buf *out, const struct policy *p)
{
	const struct policy_limits *l = &p->limits;
	int r = wire_put_u64(out, l->memory);

	PUT(r, wire_put_u64(out, l->disk));
	PUT(r, wire_put_u64(out, l->cpus_milli));
	PUT(r, wire_put_u64(out, l->timeout_us));
	PUT(r, wire_put_u32(out, l->pids));
	PUT(r, wire_put_u32(out, l->open_files));
	for (int i = 0; i < LIMIT_COUNT; i++)
		PUT(r, wire_put_str(out, p->limit_origins[i] ? p->limit_origins[i] : ""));
	return r;
}

static int put_quota(struct buf *out, const struct policy_quota *q)
{
	int r = wire_put_str(out, q->name);

	PUT(r, wire_put_str(out, q->origin));
	for (size_t i = 0; i < QUOTA_LIMITS; i++) {
		PUT(r, wire_put_u64(out, q->limits[i]));
		PUT(r, wire_put_str(out, q->limit_origins[i] ? q->limit_origins[i] : ""));
	}
	return r < 0 ? r : put_rule_texts(out, q->match, q->n_match);
}

static int put_auditor(struct buf *out, const struct policy_auditor *a)
{
	int r = wire_put_str(out, a->spec ? a->spec : "");

	PUT(r, wire_put_str(out, a->origin ? a->origin : ""));
	PUT(r, wire_put_u64(out, a->deadline_us));
	PUT(r, wire_put_str(out, a->deadline_origin ? a->deadline_origin : ""));
	return r;
}

int policy_encode(const struct policy *p, struct buf *out)
{
	if (!p->finished)
		return -EINVAL;
	int r = wire_put_u32(out, POLICY_MAGIC);
	PUT(r, wire_put_u8(out, (uint8_t)p->mode));
	PUT(r, wire_put_str(out, p->mode_origin ? p->mode_origin : ""));
	PUT(r, wire_put_str(out, p->workdir));
	PUT(r, wire_put_str(out, p->home ? p->home : ""));
	PUT(r, put_paths(out, p));
	PUT(r, put_rules(out, &p->allow));
	PUT(r, put_rules(out, &p->deny));
	PUT(r, wire_put_u32(out, (uint32_t)p->n_secrets));
	for (size_t i = 0; i < p->n_secrets; i++)
		PUT(r, put_secret(out, &p->secrets[i]));
	PUT(r, put_dialling(out, p));
	PUT(r, wire_put_u32(out, (uint32_t)p->n_envs));
	for (size_t i = 0; i < p->n_envs; i++) {
		PUT(r, wire_put_str(out, p->envs[i].name));
		PUT(r, wire_put_u8(out, p->envs[i].value != NULL));
		PUT(r, wire_put_str(out, p->envs[i].value ? p->envs[i].value : ""));
		PUT(r, wire_put_str(out, p->envs[i].origin));
	}
	PUT(r, put_limits(out, p));
	PUT(r, wire_put_u32(out, (uint32_t)p->n_quotas));
	for (size_t i = 0; i < p->n_quotas; i++)
		PUT(r, put_quota(out, &p->quotas[i]));
	PUT(r, put_auditor(out, &p->auditor));
	PUT(r, wire_put_strv(out, p->degraded));
	PUT(r, grants_encode(p, out));
	PUT(r, out->len > POLICY_BYTES_MAX ? -E2BIG : 0);
	return r;
}
