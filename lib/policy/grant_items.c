/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A grant for those who decide about it and for the record: the keys of its section, each once with all its values, as
 * they are. grant_dump() is for files, where some values cannot stand.
 */
#include "policy/grant_internal.h"

struct taker {
	grant_item_fn fn;
	void *context;
	const char *key;
};

static int take(const struct taker *t, const char *value)
{
	return t->fn(t->context, t->key, value);
}

static int take_rules(struct taker *t, const struct net_rules *rules, bool relayed)
{
	int r = 0;

	for (size_t i = 0; i < rules->n && r == 0; i++) {
		if ((rules->rule[i].rule->kind == RULE_PASSTHROUGH) == relayed)
			r = take(t, rules->rule[i].text);
	}
	return r;
}

static int take_network(struct taker *t, const struct grant *g)
{
	t->key = "allow";
	int r = g->allow_set && g->allow.n == 0 ? take(t, "none") : take_rules(t, &g->allow, false);
	t->key = "passthrough";
	if (r == 0)
		r = take_rules(t, &g->allow, true);
	t->key = "deny";
	return r < 0 ? r : take_rules(t, &g->deny, false);
}

static int take_paths(struct taker *t, const char *key, const struct path_list *l)
{
	int r = 0;

	t->key = key;
	for (size_t i = 0; i < l->n && r == 0; i++)
		r = take(t, l->path[i].path);
	return r;
}

static int take_level(struct taker *t, const char *key, const struct path_list *l, enum grant_level level)
{
	int r = 0;

	t->key = key;
	for (size_t i = 0; i < l->n && r == 0; i++) {
		if (l->path[i].level == level)
			r = take(t, l->path[i].path);
	}
	return r;
}

static int take_files(struct taker *t, const struct grant *g)
{
	bool read = false, write = false;
	int r = 0;

	for (size_t i = 0; i < g->files.n; i++) {
		read |= g->files.path[i].level == GRANT_READ;
		write |= g->files.path[i].level == GRANT_WRITE;
	}
	t->key = "read_only";
	if (g->base == GRANT_READ && !write)
		r = take(t, "yes");
	t->key = "read";
	if (r == 0 && g->base == GRANT_NONE && !read)
		r = take(t, "none");
	if (r == 0)
		r = take_level(t, "read", &g->files, GRANT_READ);
	if (r == 0)
		r = take_level(t, "write", &g->files, GRANT_WRITE);
	return r < 0 ? r : take_paths(t, "hide", &g->hides);
}

static int take_secrets(struct taker *t, const struct grant *g)
{
	t->key = "secret";
	int r = g->secrets_set && g->n_secrets == 0 ? take(t, "none") : 0;
	for (size_t i = 0; i < g->n_secrets && r == 0; i++)
		r = take(t, g->secrets[i].name);
	return r;
}

static int take_values(struct taker *t, const struct grant *g)
{
	char text[32];
	int r = 0;

	for (int i = 0; i < VALUE_COUNT && r == 0; i++) {
		uint64_t v = grant_value_of(g, (enum grant_value)i);
		if (v == 0)
			continue;
		t->key = value_kinds[i].key;
		value_text((enum grant_value)i, v, text);
		r = take(t, text);
	}
	return r;
}

int grant_items(const struct grant *g, grant_item_fn fn, void *context)
{
	struct taker t = { fn, context, "argv" };
	int r = 0;

	for (size_t i = 0; i < g->n_argv && r == 0; i++)
		r = take(&t, g->argv[i].text);
	if (r == 0)
		r = take_network(&t, g);
	if (r == 0)
		r = take_secrets(&t, g);
	if (r == 0)
		r = take_files(&t, g);
	t.key = "exec";
	if (r == 0 && g->exec_set && g->execs.n == 0)
		r = take(&t, "none");
	if (r == 0)
		r = take_paths(&t, "exec", &g->execs);
	return r < 0 ? r : take_values(&t, g);
}
