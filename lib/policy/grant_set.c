/* SPDX-License-Identifier: Apache-2.0 */
/* One line of [grant NAME], or of a grant that a program builds: its form, stored unresolved. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

const struct value_kind value_kinds[VALUE_COUNT] = {
	[VALUE_TIMEOUT] = { "timeout", "TERM after this time", FORM_DURATION, 0, { NULL } },
	[VALUE_TTL] = { "ttl", "the grant ends after this time", FORM_DURATION, 0, { NULL } },
	[VALUE_OPEN_FILES] = { "open_files", "limit", FORM_COUNT, 1048576, { NULL } },
	[VALUE_USES] = { "uses", "requests in all", FORM_COUNT, 1000000000, { NULL } },
	[VALUE_BYTES_UP] = { "bytes_up", "bytes sent in all", FORM_SIZE, 0, { NULL } },
	[VALUE_RATE] = { "rate", "requests, evenly", FORM_RATE, RATE_MAX, { NULL } },
	[VALUE_ISOLATION] = { "isolation", "from other calls", FORM_CHOICE, 0, { "light", "full" } },
	[VALUE_BACKGROUND] = { "background", "what the call leaves running", FORM_CHOICE, 0, { "yes", "no" } },
	[VALUE_CREDENTIALS] = { "credentials", "in requests", FORM_CHOICE, 0, { "any", "placeholders-only" } },
	[VALUE_VIEW] = { "view", "of overlaid directories", FORM_CHOICE, 0, { "working", "scratch", "committed" } },
};

void value_text(enum grant_value which, uint64_t v, char ret[32])
{
	const struct value_kind *kind = &value_kinds[which];

	if (kind->form == FORM_DURATION)
		format_duration(v, ret);
	else if (kind->form == FORM_SIZE)
		format_size(v, ret);
	else if (kind->form == FORM_RATE)
		format_rate(v, ret);
	else if (kind->form == FORM_COUNT)
		snprintf(ret, 32, "%" PRIu64, v);
	else
		snprintf(ret, 32, "%s", kind->choices[v ? v - 1 : 0]);
}

static uint64_t n_choices(const struct value_kind *kind)
{
	uint64_t n = 0;

	while (kind->choices[n])
		n++;
	return n;
}

uint64_t value_max(enum grant_value which)
{
	const struct value_kind *kind = &value_kinds[which];

	return kind->form == FORM_CHOICE ? n_choices(kind) : kind->max ? kind->max : INT64_MAX;
}

bool value_is_within(enum grant_value which, uint64_t a, uint64_t b)
{
	if (value_kinds[which].form == FORM_CHOICE)
		return (a ? a : 1) >= (b ? b : 1);
	return b == 0 || (a && a <= b);
}

bool grant_name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n > 0 && n <= 64 && !name[n];
}

static int bad_choice(const struct setting *s, const struct value_kind *kind, struct error *e)
{
	const char *third = n_choices(kind) > 2 ? kind->choices[2] : NULL;

	return bad_setting(s, e, EINVAL, "accepted: %s, %s%s%s", kind->choices[0], kind->choices[1], third ? ", " : "",
			   third ? third : "");
}

static int set_value(struct grant *g, enum grant_value which, const struct setting *s, struct error *e)
{
	const struct value_kind *kind = &value_kinds[which];
	uint64_t v = 0;
	uint32_t count;
	int r = -EINVAL;

	if (kind->form == FORM_DURATION) {
		r = parse_duration(s->value, &v);
		if (r < 0)
			return bad_setting(s, e, -r,
					   "accepted: a time above 0: digits and ms, s, m, h or d, as in 10m; without unit seconds");
	} else if (kind->form == FORM_SIZE) {
		r = parse_size(s->value, &v);
		if (r < 0)
			return bad_setting(s, e, -r, "accepted: a size above 0: digits and K, M, G or T, as in 512K");
	} else if (kind->form == FORM_RATE) {
		r = parse_rate(s->value, &v);
		if (r < 0)
			return bad_setting(s, e, -r, RATE_FORM);
	} else if (kind->form == FORM_COUNT) {
		r = parse_count(s->value, kind->max, &count);
		if (r < 0)
			return bad_setting(s, e, -r, "accepted: a whole number from 1 to %" PRIu64, kind->max);
		v = count;
	} else {
		for (unsigned i = 0; kind->choices[i]; i++) {
			if (strcmp(s->value, kind->choices[i]) == 0)
				v = i + 1;
		}
		if (v == 0)
			return bad_choice(s, kind, e);
	}
	g->value[which].v = v;
	return replace(&g->value[which].origin, s->origin, e);
}

static bool is_none(const struct setting *s)
{
	return strcmp(s->value, "none") == 0;
}

static int set_rule(struct grant *g, const struct setting *s, struct error *e)
{
	bool deny = strcmp(s->key, "deny") == 0;
	enum rule_kind kind = deny ? RULE_DENY : strcmp(s->key, "passthrough") == 0 ? RULE_PASSTHROUGH : RULE_ALLOW;
	struct net_rules *to = deny ? &g->deny : &g->allow;
	struct rule *rule;
	struct error why;

	if (!deny)
		g->allow_set = true;
	if (!deny && is_none(s))
		return 0;
	if (to->n >= GRANT_RULES_MAX)
		return bad_setting(s, e, E2BIG, "more than %d rules in one grant", GRANT_RULES_MAX);
	int r = rule_parse(s->value, kind, true, &rule, &why);
	return r < 0 ? bad_setting_why(s, e, -r, &why) : add_net_rule(to, rule, false, s->origin, e);
}

static int add_secret(struct grant *g, const struct setting *s, const char *name, size_t len, struct error *e)
{
	size_t at = 0;

	if (!variable_name_valid(name, len))
		return bad_setting(s, e, EINVAL, "accepted: NAME[,NAME] of secrets of the policy, or none");
	_cleanup_free_ char *copy = strndup(name, len), *origin = strdup(s->origin);
	if (!copy || !origin)
		return out_of_memory(e);
	while (at < g->n_secrets && strcmp(g->secrets[at].name, copy) < 0)
		at++;
	if (at < g->n_secrets && strcmp(g->secrets[at].name, copy) == 0)
		return 0;
	if (g->n_secrets == GRANT_SECRETS_MAX)
		return bad_setting(s, e, E2BIG, "more than %d secrets in one grant", GRANT_SECRETS_MAX);
	struct grant_secret *more = reallocarray(g->secrets, g->n_secrets + 1, sizeof(*more));
	if (!more)
		return out_of_memory(e);
	g->secrets = more;
	memmove(&more[at + 1], &more[at], (g->n_secrets - at) * sizeof(*more));
	more[at] = (struct grant_secret){ TAKE_PTR(copy), TAKE_PTR(origin) };
	g->n_secrets++;
	return 0;
}

static int set_secrets(struct grant *g, const struct setting *s, struct error *e)
{
	int r = 0;

	g->secrets_set = true;
	if (is_none(s))
		return 0;
	for (const char *at = s->value; r == 0; at++) {
		size_t n = strcspn(at, ","), blank = strspn(at, " ");
		const char *next = at + n;
		n -= blank < n ? blank : n;
		at += blank;
		while (n && at[n - 1] == ' ')
			n--;
		r = add_secret(g, s, at, n, e);
		at = next;
		if (!*at)
			break;
	}
	return r;
}

static int set_path(struct grant *g, enum raw_kind kind, const struct setting *s, struct error *e)
{
	static const size_t lists = 4;
	_cleanup_free_ char *text = NULL;
	bool *set = kind == RAW_READ ? &g->read_set : kind == RAW_WRITE ? &g->write_set : &g->exec_set;

	if (kind != RAW_HIDE) {
		*set = true;
		if (is_none(s))
			return 0;
	}
	if (s->value[0] == '~' && s->value[1] && s->value[1] != '/')
		return bad_setting(s, e, EINVAL, "accepted: a path, absolute, relative, or below ~/ (your own home directory)");
	int r = absolute_path(s->base, s->value, &text);
	if (r < 0)
		return bad_setting(s, e, -r, r == -ENAMETOOLONG ? "the path is too long" : "no home directory to put for '~'");
	struct raw_grant_path *raw = grow(&g->raw, &g->n_raw, sizeof(*raw), lists * GRANT_PATHS_MAX, "paths of a grant",
					  s->origin, e);
	if (!raw)
		return -e->err;
	*raw = (struct raw_grant_path){ kind, TAKE_PTR(text), strdup(s->origin) };
	return raw->origin ? 0 : out_of_memory(e);
}

static int set_read_only(struct grant *g, const struct setting *s, struct error *e)
{
	if (strcmp(s->value, "yes") == 0)
		return replace(&g->read_only, s->origin, e);
	if (strcmp(s->value, "no") != 0)
		return bad_setting(s, e, EINVAL, "accepted: yes, no");
	free(TAKE_PTR(g->read_only));
	return 0;
}

/* What was finished, or came finished from elsewhere, as if it had just been written, so that more can be added. */
static int thaw(struct grant *g, struct error *e)
{
	const struct path_list *lists[] = { &g->files, &g->hides, &g->execs };

	if (!g->finished || g->n_raw > 0)
		return 0;
	g->read_set = g->base == GRANT_NONE;
	g->write_set = g->base == GRANT_READ;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			const struct grant_path *path = &lists[l]->path[i];
			enum raw_kind named = path->level == GRANT_WRITE ? RAW_WRITE : RAW_READ;
			enum raw_kind kind = l == 0 ? named : l == 1 ? RAW_HIDE : RAW_EXEC;
			struct raw_grant_path *raw = grow(&g->raw, &g->n_raw, sizeof(*raw), SIZE_MAX, "paths", "", e);
			if (!raw)
				return -e->err;
			*raw = (struct raw_grant_path){ kind, strdup(path->path), strdup(path->origin) };
			if (!raw->text || !raw->origin)
				return out_of_memory(e);
		}
	}
	return 0;
}

static int grant_apply(struct grant *g, const struct setting *s, struct error *e)
{
	static const char *const paths[] = { "read", "write", "hide", "exec" };
	int r = thaw(g, e);

	if (r < 0)
		return r;
	g->finished = false;
	for (int i = 0; i < VALUE_COUNT; i++) {
		if (strcmp(s->key, value_kinds[i].key) == 0)
			return set_value(g, (enum grant_value)i, s, e);
	}
	for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
		if (strcmp(s->key, paths[i]) == 0)
			return set_path(g, (enum raw_kind)i, s, e);
	}
	if (strcmp(s->key, "secret") == 0)
		return set_secrets(g, s, e);
	if (strcmp(s->key, "read_only") == 0)
		return set_read_only(g, s, e);
	if (strcmp(s->key, "argv") != 0)
		return set_rule(g, s, e);
	if (!g->template)
		return bad_setting(s, e, EINVAL, "only a [grant NAME] of a policy is bound to commands");
	return argv_parse(g, s, e);
}

int grant_set(struct grant *g, const char *key, const char *value, const char *base, const char *origin,
	      struct error *e)
{
	_cleanup_free_ char *cwd = NULL;

	if (!base) {
		base = cwd = getcwd(NULL, 0);
		if (!cwd)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, ".", "cannot find the current directory");
	}
	origin = origin && *origin ? origin : "api";
	struct setting s = { g->section, key, value, g->name ? g->name : "", base, base, origin, false, 0 };
	if (strlen(origin) > ORIGIN_MAX)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, key, "the origin of a setting is over %d bytes", ORIGIN_MAX);
	int r = check_grant_line(&s, e);
	return r < 0 ? r : grant_apply(g, &s, e);
}

static int grant_template_new(const char *name, const char *origin, struct grant **ret, struct error *e)
{
	_cleanup_(grant_freep) struct grant *g = NULL;

	if (grant_new(&g) < 0)
		return out_of_memory(e);
	g->template = g->allow_set = g->secrets_set = true;
	free(g->section);
	g->name = strdup(name);
	g->origin = strdup(origin);
	if (asprintf(&g->section, "grant %s", name) < 0)
		g->section = NULL;
	if (!g->name || !g->origin || !g->section)
		return out_of_memory(e);
	*ret = TAKE_PTR(g);
	return 0;
}

int set_grant(struct policy *p, const struct setting *s, struct error *e)
{
	struct grant *g = NULL;

	for (size_t i = 0; i < p->n_grants && !g; i++) {
		if (strcmp(p->grants[i]->name, s->name) == 0)
			g = p->grants[i];
	}
	if (!g) {
		int r = grant_template_new(s->name, s->origin, &g, e);
		if (r < 0)
			return r;
		struct grant **slot = grow(&p->grants, &p->n_grants, sizeof(*slot), GRANT_TEMPLATES_MAX, "grants", s->origin,
					   e);
		if (!slot) {
			grant_free(g);
			return -ENOMEM;
		}
		*slot = g;
	}
	/* Without a key: the section was opened. */
	return *s->key ? grant_apply(g, s, e) : 0;
}
