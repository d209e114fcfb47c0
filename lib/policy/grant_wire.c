/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finished grant as bytes, and back. As with policies every value is checked again, and each grant has only one
 * encoding. A rule that was intersected may have several paths, which no text has: they follow it.
 */
#include <stdio.h>
#include <string.h>

#include "policy/encode.h"

#define PATTERN_TEXT_MAX (3 * PATTERN_MAX + 1)
#define RULE_PATTERNS_MAX 64

enum { TEMPLATE = 1, ALLOW_SET = 2, SECRETS_SET = 4, EXEC_SET = 8, READ_ONLY = 16, FLAGS = 31 };

/* ---- writing ---- */

static int put_optional(struct buf *out, const char *s)
{
	return wire_put_str(out, s ? s : "");
}

static int put_rules(struct buf *out, const struct net_rules *rules)
{
	int r = wire_put_u32(out, (uint32_t)rules->n);

	for (size_t i = 0; i < rules->n && r == 0; i++) {
		const struct rule *rule = rules->rule[i].rule;
		_cleanup_buf_ struct buf text = { 0 };
		struct rule head = *rule;
		head.n_paths = rule->n_paths ? 1 : 0;
		r = rule_text(&head, &text);
		PUT(r, wire_put_u8(out, (uint8_t)rule->kind));
		PUT(r, wire_put_bytes(out, text.data, text.len));
		PUT(r, wire_put_u32(out, (uint32_t)(rule->n_paths - head.n_paths)));
		for (size_t k = 1; k < rule->n_paths && r == 0; k++) {
			text.len = 0;
			r = path_pattern_text(rule->paths[k], &text);
			PUT(r, wire_put_bytes(out, text.data, text.len));
		}
		PUT(r, wire_put_str(out, rules->rule[i].origin));
	}
	return r;
}

static int put_paths(struct buf *out, const struct path_list *l)
{
	int r = wire_put_u32(out, (uint32_t)l->n);

	for (size_t i = 0; i < l->n; i++) {
		PUT(r, wire_put_str(out, l->path[i].path));
		PUT(r, wire_put_u8(out, (uint8_t)l->path[i].level));
		PUT(r, wire_put_str(out, l->path[i].origin));
	}
	return r;
}

int grant_encode(const struct grant *g, struct buf *out)
{
	uint8_t flags = (uint8_t)((g->template ? TEMPLATE : 0) | (g->allow_set ? ALLOW_SET : 0) |
				  (g->secrets_set ? SECRETS_SET : 0) | (g->exec_set ? EXEC_SET : 0) |
				  (g->read_only ? READ_ONLY : 0));
	size_t before = out->len;

	if (!g->finished)
		return -EINVAL;
	int r = wire_put_u32(out, GRANT_MAGIC);
	PUT(r, wire_put_u8(out, flags));
	PUT(r, put_optional(out, g->name));
	PUT(r, put_optional(out, g->origin));
	PUT(r, put_rules(out, &g->allow));
	PUT(r, put_rules(out, &g->deny));
	PUT(r, wire_put_u32(out, (uint32_t)g->n_secrets));
	for (size_t i = 0; i < g->n_secrets; i++) {
		PUT(r, wire_put_str(out, g->secrets[i].name));
		PUT(r, wire_put_str(out, g->secrets[i].origin));
	}
	PUT(r, wire_put_u8(out, (uint8_t)g->base));
	PUT(r, put_optional(out, g->read_only));
	PUT(r, put_paths(out, &g->files));
	PUT(r, put_paths(out, &g->hides));
	PUT(r, put_paths(out, &g->execs));
	for (int i = 0; i < VALUE_COUNT; i++) {
		PUT(r, wire_put_u64(out, g->value[i].v));
		PUT(r, put_optional(out, g->value[i].origin));
	}
	PUT(r, wire_put_u32(out, (uint32_t)g->n_argv));
	for (size_t i = 0; i < g->n_argv; i++) {
		PUT(r, wire_put_str(out, g->argv[i].text));
		PUT(r, wire_put_str(out, g->argv[i].origin));
	}
	PUT(r, out->len - before > GRANT_BYTES_MAX ? -E2BIG : 0);
	return r;
}

int grants_encode(const struct policy *p, struct buf *out)
{
	int r = wire_put_u32(out, (uint32_t)p->n_grants);

	for (size_t i = 0; i < p->n_grants && r == 0; i++) {
		_cleanup_buf_ struct buf one = { 0 };
		r = grant_encode(p->grants[i], &one);
		PUT(r, wire_put_bytes(out, one.data, one.len));
	}
	return r;
}

/* ---- reading ---- */

static void get_patterns(struct wire_reader *r, struct rule *rule)
{
	uint32_t n = checked_count(r, RULE_PATTERNS_MAX, 4);

	if (r->bad || n == 0)
		return;
	struct path_pattern **more = reallocarray(rule->paths, n + 1, sizeof(*more));
	/* The first one stands in the rule's text. */
	r->bad = !more || rule->n_paths != 1;
	if (more)
		rule->paths = more;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		_cleanup_free_ char *text = checked_text(r, PATTERN_TEXT_MAX);
		_cleanup_buf_ struct buf again = { 0 };
		struct path_pattern *pattern;
		if (r->bad || path_pattern_parse(text, strlen(text), &pattern, NULL) < 0) {
			r->bad = true;
			return;
		}
		rule->paths[rule->n_paths++] = pattern;
		if (path_pattern_text(pattern, &again) < 0 || !buf_str(&again) || strcmp(buf_str(&again), text) != 0)
			r->bad = true;
	}
}

static void get_rules(struct wire_reader *r, struct net_rules *rules, bool deny)
{
	uint32_t n = checked_count(r, GRANT_RULES_MAX, 13);

	rules->rule = calloc(n ? n : 1, sizeof(*rules->rule));
	r->bad = r->bad || !rules->rule;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct net_rule *rule = &rules->rule[rules->n++];
		_cleanup_buf_ struct buf text = { 0 };
		uint8_t kind = wire_get_u8(r);
		if (deny ? kind != RULE_DENY : kind != RULE_ALLOW && kind != RULE_PASSTHROUGH)
			r->bad = true;
		_cleanup_free_ char *head = checked_text(r, RULE_TEXT_MAX);
		rule->rule = checked_rule(r, (enum rule_kind)kind, head);
		if (!r->bad)
			get_patterns(r, rule->rule);
		rule->origin = checked_text(r, ORIGIN_MAX);
		if (r->bad || (deny && rule->rule->n_paths > 1) || rule_text(rule->rule, &text) < 0 || !buf_str(&text))
			r->bad = true;
		else
			rule->text = strdup(buf_str(&text));
		r->bad = r->bad || !rule->text;
	}
}

static void get_secrets(struct wire_reader *r, struct grant *g)
{
	uint32_t n = checked_count(r, GRANT_SECRETS_MAX, 8);

	g->secrets = calloc(n ? n : 1, sizeof(*g->secrets));
	r->bad = r->bad || !g->secrets;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct grant_secret *s = &g->secrets[g->n_secrets++];
		s->name = checked_text(r, 64);
		s->origin = checked_text(r, ORIGIN_MAX);
		/* Sorted without repeats: they are searched. */
		r->bad = r->bad || !variable_name_valid(s->name, strlen(s->name)) || (i && strcmp(s[-1].name, s->name) >= 0);
	}
}

static void get_paths(struct wire_reader *r, struct path_list *l)
{
	uint32_t n = checked_count(r, GRANT_PATHS_MAX, 9);

	l->path = calloc(n ? n : 1, sizeof(*l->path));
	r->bad = r->bad || !l->path;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct grant_path *path = &l->path[l->n++];
		path->path = checked_path(r);
		uint8_t level = wire_get_u8(r);
		path->level = (enum grant_level)level;
		path->origin = checked_text(r, ORIGIN_MAX);
		r->bad = r->bad || level > GRANT_WRITE || !path->path[1];
	}
}

static void get_values(struct wire_reader *r, struct grant *g)
{
	for (int i = 0; i < VALUE_COUNT; i++) {
		struct value *value = &g->value[i];
		value->v = wire_get_u64(r);
		value->origin = checked_optional(r, ORIGIN_MAX);
		r->bad = r->bad || value->v > value_max((enum grant_value)i) || (value->v == 0 && value->origin);
	}
}

static void get_argv(struct wire_reader *r, struct grant *g)
{
	uint32_t n = checked_count(r, g->template ? GRANT_ARGV_MAX : 0, 8);

	g->argv = calloc(n ? n : 1, sizeof(*g->argv));
	r->bad = r->bad || !g->argv;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct argv_pattern *pattern = &g->argv[g->n_argv++];
		pattern->text = checked_text(r, VALUE_MAX);
		pattern->origin = checked_text(r, ORIGIN_MAX);
		r->bad = r->bad || !argv_text_valid(pattern->text) || strpbrk(pattern->text, "\"'\\");
	}
}

static void get_grant(struct wire_reader *r, struct grant *g)
{
	r->bad = r->bad || wire_get_u32(r) != GRANT_MAGIC;
	uint8_t flags = wire_get_u8(r);
	r->bad = r->bad || flags > FLAGS;
	g->template = flags & TEMPLATE;
	g->allow_set = flags & ALLOW_SET;
	g->secrets_set = flags & SECRETS_SET;
	g->exec_set = flags & EXEC_SET;
	g->name = checked_optional(r, 64);
	g->origin = checked_optional(r, ORIGIN_MAX);
	get_rules(r, &g->allow, false);
	get_rules(r, &g->deny, true);
	get_secrets(r, g);
	uint8_t base = wire_get_u8(r);
	g->base = (enum grant_level)base;
	g->read_only = checked_optional(r, ORIGIN_MAX);
	get_paths(r, &g->files);
	get_paths(r, &g->hides);
	get_paths(r, &g->execs);
	get_values(r, g);
	get_argv(r, g);
	g->read_set = base == GRANT_NONE;
	g->write_set = base == GRANT_READ;
	if (r->bad || base > GRANT_WRITE || !paths_are_reduced(g) || (g->name && !grant_name_valid(g->name)) ||
	    (g->template && (!g->name || !g->allow_set || !g->secrets_set)) || (!g->allow_set && g->allow.n) ||
	    (!g->secrets_set && g->n_secrets) || (!g->exec_set && g->execs.n) || !(flags & READ_ONLY) != !g->read_only)
		r->bad = true;
	for (size_t i = 0; !r->bad && g->read_only && i < g->files.n; i++)
		r->bad = g->files.path[i].level == GRANT_WRITE;
}

int grant_decode(const void *data, size_t len, struct grant **ret, struct error *e)
{
	struct wire_reader r = wire_reader(data, len);
	_cleanup_(grant_freep) struct grant *g = NULL;

	if (grant_new(&g) < 0)
		return out_of_memory(e);
	if (len > GRANT_BYTES_MAX)
		r.bad = true;
	else
		get_grant(&r, g);
	/* read_only with a base that it would have narrowed could not be written. */
	if (!wire_done(&r) || (g->read_only && g->base == GRANT_WRITE))
		return fail(e, EBADMSG, SANDBOX_STAGE_PROTOCOL, "grant", "the encoded grant is not valid");
	if (g->template) {
		free(g->section);
		if (asprintf(&g->section, "grant %s", g->name) < 0)
			g->section = NULL;
	}
	if (!g->section || rules_index(&g->allow) < 0 || rules_index(&g->deny) < 0)
		return out_of_memory(e);
	g->finished = true;
	*ret = TAKE_PTR(g);
	return 0;
}
