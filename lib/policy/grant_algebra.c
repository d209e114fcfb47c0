/* SPDX-License-Identifier: Apache-2.0 */
/* Order and intersection of whole grants: part by part, each exact, so the whole is. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

/* Half a second of patterns: grants that are asked for may be written to be slow. */
#define PATTERN_STEPS (UINT64_C(1) << 25)

static const char open_files_default[] = "4096, the policy's default";

void excess(struct grant_excess *first, const char *field, const char *item, const char *origin, const char *accepted,
	    ...)
{
	va_list ap;

	if (!first)
		return;
	*first = (struct grant_excess){ .field = field };
	snprintf(first->item, sizeof(first->item), "%s", item);
	snprintf(first->origin, sizeof(first->origin), "%s", origin);
	va_start(ap, accepted);
	vsnprintf(first->accepted, sizeof(first->accepted), accepted, ap);
	va_end(ap);
}

int grant_excess_error(const struct grant_excess *x, const char *what, const char *than, struct error *e)
{
	const char *origin = x->origin, *colon = *origin ? ": " : "";

	/* A flag is its own key; what is missing was written nowhere. */
	if (!*x->item)
		return fail(e, EPERM, SANDBOX_STAGE_POLICY, x->field,
			    "%s%s%s sets no bound with '%s', which is more than %s allows; accepted: %s", origin, colon, what,
			    x->field, than, x->accepted);
	return fail(e, EPERM, SANDBOX_STAGE_POLICY, x->item, "%s%s%s %s = %s is more than %s allows; accepted: %s", origin,
		    colon, what, x->field, x->item, than, x->accepted);
}

/* ---- secrets ---- */

static const struct grant_secret *find_secret(const struct grant *g, const char *name)
{
	size_t lo = 0, hi = g->n_secrets;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int r = strcmp(g->secrets[mid].name, name);
		if (r == 0)
			return &g->secrets[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool grant_has_secret(const struct grant *g, const char *name)
{
	return !g->secrets_set || find_secret(g, name);
}

bool grant_secret_allowed(const struct grant *g, const struct policy_secret *s, const struct net_target *t)
{
	return grant_has_secret(g, s->name) && secret_allowed(s, t);
}

/* Names one after the other, as accepted text. */
static void name_text(char *text, size_t size, size_t *n, const char *name)
{
	if (*n < size)
		*n += (size_t)snprintf(text + *n, size - *n, "%s%s", *n ? ", " : "", name);
}

static int secrets_are_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first)
{
	char text[480] = "nothing";
	size_t n = 0;

	if (!b->secrets_set || (request && !a->secrets_set))
		return 1;
	for (size_t i = 0; i < b->n_secrets; i++)
		name_text(text, sizeof(text), &n, b->secrets[i].name);
	if (!a->secrets_set) {
		excess(first, "secret", "", "", "%s", text);
		return 0;
	}
	for (size_t i = 0; i < a->n_secrets; i++) {
		if (find_secret(b, a->secrets[i].name))
			continue;
		excess(first, "secret", a->secrets[i].name, a->secrets[i].origin, "%s", text);
		return 0;
	}
	return 1;
}

static int secrets_within(const struct policy *p, const struct grant *g, struct grant_excess *first)
{
	char text[480] = "nothing: the policy has no secret";

	for (size_t i = 0; i < g->n_secrets; i++) {
		bool found = false;
		size_t n = 0;
		for (size_t k = 0; k < p->n_secrets; k++) {
			found = found || strcmp(p->secrets[k].name, g->secrets[i].name) == 0;
			name_text(text, sizeof(text), &n, p->secrets[k].name);
		}
		if (found)
			continue;
		excess(first, "secret", g->secrets[i].name, g->secrets[i].origin, "%s", text);
		return 0;
	}
	return 1;
}

static int secrets_intersect(const struct grant *a, const struct grant *b, struct grant *ret)
{
	const struct grant *from = a->secrets_set ? a : b, *other = a->secrets_set ? b : a;

	ret->secrets_set = from->secrets_set;
	ret->secrets = calloc(from->n_secrets + 1, sizeof(*ret->secrets));
	if (!ret->secrets)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_secrets; i++) {
		if (!grant_has_secret(other, from->secrets[i].name))
			continue;
		struct grant_secret *s = &ret->secrets[ret->n_secrets++];
		s->name = strdup(from->secrets[i].name);
		s->origin = strdup(from->secrets[i].origin);
		if (!s->name || !s->origin)
			return -ENOMEM;
	}
	return 0;
}

/* ---- numbers and choices ---- */

static int values_are_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first)
{
	for (int i = 0; i < VALUE_COUNT; i++) {
		enum grant_value which = (enum grant_value)i;
		uint64_t x = grant_value_of(a, which), y = grant_value_of(b, which);
		bool number = value_kinds[i].form != FORM_CHOICE;
		char item[32] = "", text[32];
		if ((request && x == 0) || value_is_within(which, x, y))
			continue;
		if (x)
			value_text(which, x, item);
		value_text(which, y, text);
		excess(first, value_kinds[i].key, item, a->value[i].origin ? a->value[i].origin : "", "%s%s",
		       number ? "at most " : "", text);
		return 0;
	}
	return 1;
}

static int values_within(const struct policy *p, const struct grant *g, struct grant_excess *first)
{
	static const enum grant_value bounded[] = { VALUE_TIMEOUT, VALUE_OPEN_FILES };

	for (size_t i = 0; i < ARRAY_LEN(bounded); i++) {
		enum grant_value which = bounded[i];
		uint64_t v = g->value[which].v;
		/* The hard limit that a command may go up to when the policy names none. */
		uint64_t files = p->limits.open_files ? p->limits.open_files : 4096;
		uint64_t max = which == VALUE_TIMEOUT ? p->limits.timeout_us : files;
		char item[32], text[32];
		if (v == 0 || value_is_within(which, v, max))
			continue;
		value_text(which, v, item);
		value_text(which, max, text);
		excess(first, value_kinds[which].key, item, g->value[which].origin ? g->value[which].origin : "", "at most %s",
		       which == VALUE_OPEN_FILES && !p->limits.open_files ? open_files_default : text);
		return 0;
	}
	return 1;
}

static int values_intersect(const struct grant *a, const struct grant *b, struct grant *ret)
{
	for (int i = 0; i < VALUE_COUNT; i++) {
		enum grant_value which = (enum grant_value)i;
		uint64_t x = grant_value_of(a, which), y = grant_value_of(b, which);
		/* Said by one of them: of the same meaning the one that says it. */
		const struct grant *from = x == 0 || (y && !value_is_within(which, x, y)) ? b : a;
		const char *origin = from->value[i].origin;
		ret->value[i].v = from == a ? x : y;
		ret->value[i].origin = origin ? strdup(origin) : NULL;
		if (origin && !ret->value[i].origin)
			return -ENOMEM;
	}
	return 0;
}

/* ---- whole grants ---- */

void grant_budget_begin(uint64_t steps)
{
	pattern_budget_begin(steps);
}

void grant_budget_end(void)
{
	pattern_budget_end();
}

static int compare(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first)
{
	const bool own = pattern_budget_begin(PATTERN_STEPS);
	int r = net_is_subset(a, b, request, first);
	if (r == 1)
		r = secrets_are_subset(a, b, request, first);
	if (r == 1)
		r = paths_are_subset(a, b, request, first);
	if (r == 1)
		r = values_are_subset(a, b, request, first);
	if (own)
		pattern_budget_end();
	return r;
}

int grant_is_subset(const struct grant *a, const struct grant *b, struct grant_excess *first)
{
	return compare(a, b, false, first);
}

int grant_within(const struct policy *p, const struct grant *g, struct grant_excess *first)
{
	const bool own = pattern_budget_begin(PATTERN_STEPS);
	int r = net_within(p, g, first);
	if (r == 1)
		r = secrets_within(p, g, first);
	if (r == 1)
		r = paths_within(p, g, first);
	if (r == 1)
		r = values_within(p, g, first);
	if (own)
		pattern_budget_end();
	return r;
}

static int intersect(const struct grant *a, const struct grant *b, struct grant *ret)
{
	const struct grant *named = a->name ? a : b;

	ret->name = named->name ? strdup(named->name) : NULL;
	ret->origin = named->origin ? strdup(named->origin) : NULL;
	ret->section = strdup(named->section);
	const char *read_only = a->read_only ? a->read_only : b->read_only;
	ret->read_only = read_only ? strdup(read_only) : NULL;
	if ((read_only && !ret->read_only) || (named->name && !ret->name) || (named->origin && !ret->origin) || !ret->section)
		return -ENOMEM;
	int r = net_intersect(a, b, ret);
	if (r == 0)
		r = secrets_intersect(a, b, ret);
	if (r == 0)
		r = paths_intersect(a, b, ret);
	if (r == 0)
		r = values_intersect(a, b, ret);
	if (r == 0 && (rules_index(&ret->allow) < 0 || rules_index(&ret->deny) < 0))
		r = -ENOMEM;
	ret->finished = true;
	return r;
}

int grant_intersect(const struct grant *a, const struct grant *b, struct grant **ret)
{
	_cleanup_(grant_freep) struct grant *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	const bool own = pattern_budget_begin(PATTERN_STEPS);
	int r = intersect(a, b, g);
	if (own)
		pattern_budget_end();
	if (r == 0)
		*ret = TAKE_PTR(g);
	return r;
}

int grant_narrow(const struct grant *parent, const struct grant *request, struct grant **ret,
		 struct grant_excess *first)
{
	int r = compare(request, parent, true, first);

	if (r != 1)
		return r;
	r = grant_intersect(request, parent, ret);
	return r < 0 ? r : 1;
}
