/* SPDX-License-Identifier: Apache-2.0 */
/* The paths of grants: levels by the longest path, and unions of trees. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

void path_list_done(struct path_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->path[i].path);
		free(l->path[i].origin);
	}
	free(l->path);
	*l = (struct path_list){ 0 };
}

int path_list_add(struct path_list *l, const char *path, enum grant_level level, const char *origin)
{
	struct grant_path *more = reallocarray(l->path, l->n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	l->path = more;
	more[l->n] = (struct grant_path){ strdup(path), level, strdup(origin) };
	if (more[l->n].path && more[l->n].origin) {
		l->n++;
		return 0;
	}
	free(more[l->n].path);
	free(more[l->n].origin);
	return -ENOMEM;
}

/* Keep or free the entry at i, behind the n that were kept. */
static void keep_if(struct path_list *l, size_t i, size_t *n, bool keep)
{
	if (keep) {
		l->path[(*n)++] = l->path[i];
		return;
	}
	free(l->path[i].path);
	free(l->path[i].origin);
}

static int by_path(const void *x, const void *y)
{
	return strcmp(((const struct grant_path *)x)->path, ((const struct grant_path *)y)->path);
}

static void path_list_sort(struct path_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		bool later = false;
		for (size_t k = i + 1; k < l->n && !later; k++)
			later = strcmp(l->path[i].path, l->path[k].path) == 0;
		keep_if(l, i, &n, !later);
	}
	l->n = n;
	if (n)
		qsort(l->path, n, sizeof(*l->path), by_path);
}

/* Among the first n: the longest stands last, because it lies in the others. */
static const struct grant_path *find_in(const struct path_list *l, size_t n, const char *path)
{
	while (n-- > 0) {
		if (path_below(path, l->path[n].path))
			return &l->path[n];
	}
	return NULL;
}

const struct grant_path *path_list_find(const struct path_list *l, const char *path)
{
	return find_in(l, l->n, path);
}

static void path_list_reduce(struct path_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		keep_if(l, i, &n, !find_in(l, n, l->path[i].path));
	l->n = n;
}

static void files_reduce(struct path_list *files, enum grant_level base, const struct path_list *hides)
{
	size_t n = 0;

	for (size_t i = 0; i < files->n; i++) {
		const struct grant_path *above = find_in(files, n, files->path[i].path);
		bool same = files->path[i].level == (above ? above->level : base);
		keep_if(files, i, &n, !same && !path_list_find(hides, files->path[i].path));
	}
	files->n = n;
}

static void drop_hidden(struct path_list *l, const struct path_list *hides)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		keep_if(l, i, &n, !path_list_find(hides, l->path[i].path));
	l->n = n;
}

void paths_reduce(struct grant *g)
{
	path_list_sort(&g->files);
	path_list_sort(&g->hides);
	path_list_sort(&g->execs);
	path_list_reduce(&g->hides);
	path_list_reduce(&g->execs);
	drop_hidden(&g->execs, &g->hides);
	files_reduce(&g->files, g->base, &g->hides);
}

static bool is_sorted(const struct path_list *l)
{
	for (size_t i = 1; i < l->n; i++) {
		if (strcmp(l->path[i - 1].path, l->path[i].path) >= 0)
			return false;
	}
	return true;
}

static bool is_reduced(const struct path_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->path[i].level != GRANT_NONE || find_in(l, i, l->path[i].path))
			return false;
	}
	return is_sorted(l);
}

bool paths_are_reduced(const struct grant *g)
{
	for (size_t i = 0; i < g->files.n; i++) {
		const struct grant_path *path = &g->files.path[i], *above = find_in(&g->files, i, path->path);
		if (path->level == GRANT_NONE || path->level == (above ? above->level : g->base) ||
		    path_list_find(&g->hides, path->path))
			return false;
		/* What the keys can say: `read` makes the base none, `write` alone names no READ. */
		if (g->base == GRANT_WRITE || (g->base == GRANT_READ && path->level == GRANT_READ))
			return false;
	}
	for (size_t i = 0; i < g->execs.n; i++) {
		if (path_list_find(&g->hides, g->execs.path[i].path))
			return false;
	}
	return is_sorted(&g->files) && is_reduced(&g->hides) && is_reduced(&g->execs);
}

static enum grant_level file_level(const struct grant *g, const char *path)
{
	const struct grant_path *entry = path_list_find(&g->files, path);

	return entry ? entry->level : g->base;
}

bool grant_path_hidden(const struct grant *g, const char *path)
{
	return path_list_find(&g->hides, path) != NULL;
}

enum grant_level grant_path_level(const struct grant *g, const char *path)
{
	return grant_path_hidden(g, path) ? GRANT_NONE : file_level(g, path);
}

bool grant_may_execute(const struct grant *g, const char *path)
{
	return !grant_path_hidden(g, path) && (!g->exec_set || path_list_find(&g->execs, path));
}

/* ---- intersection ---- */

/* The level below both, at every path that one of them names: between those it does not change. */
static int add_levels(const struct path_list *at, const struct grant *a, const struct grant *b, struct path_list *to)
{
	int r = 0;

	for (size_t i = 0; i < at->n && r == 0; i++) {
		enum grant_level x = file_level(a, at->path[i].path), y = file_level(b, at->path[i].path);
		r = path_list_add(to, at->path[i].path, x < y ? x : y, at->path[i].origin);
	}
	return r;
}

/* Trees lie in one another or apart. */
static int add_inside(const struct path_list *l, const struct path_list *other, struct path_list *to)
{
	int r = 0;

	for (size_t i = 0; i < l->n && r == 0; i++) {
		if (!other || path_list_find(other, l->path[i].path))
			r = path_list_add(to, l->path[i].path, GRANT_NONE, l->path[i].origin);
	}
	return r;
}

int paths_intersect(const struct grant *a, const struct grant *b, struct grant *ret)
{
	ret->base = a->base < b->base ? a->base : b->base;
	ret->exec_set = a->exec_set || b->exec_set;
	/* The first named counts as the last given below: its origin stays where both name a path. */
	int r = add_levels(&b->files, a, b, &ret->files);
	if (r == 0)
		r = add_levels(&a->files, a, b, &ret->files);
	if (r == 0)
		r = add_inside(&b->hides, NULL, &ret->hides);
	if (r == 0)
		r = add_inside(&a->hides, NULL, &ret->hides);
	if (r == 0 && b->exec_set)
		r = add_inside(&b->execs, a->exec_set ? &a->execs : NULL, &ret->execs);
	if (r == 0 && a->exec_set)
		r = add_inside(&a->execs, b->exec_set ? &b->execs : NULL, &ret->execs);
	if (r < 0)
		return r;
	paths_reduce(ret);
	bool over = ret->files.n > GRANT_PATHS_MAX || ret->hides.n > GRANT_PATHS_MAX || ret->execs.n > GRANT_PATHS_MAX;
	return over ? -E2BIG : 0;
}

/* ---- order ---- */

static const char *level_key(enum grant_level level)
{
	return level == GRANT_WRITE ? "write" : "read";
}

/* "at or below X, Y": the trees in which a level is given. */
static void list_text(const struct path_list *l, enum grant_level level, char *ret, size_t size)
{
	size_t n = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < l->n && n < size; i++) {
		if (l->path[i].level >= level)
			n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? ", " : "at or below ", l->path[i].path);
	}
	if (n == 0)
		snprintf(ret, size, "nothing");
}

static void level_excess(const struct grant *b, const char *path, enum grant_level level, const char *origin,
			 struct grant_excess *first)
{
	char text[480];

	if (*path && level == GRANT_WRITE && grant_path_level(b, path) == GRANT_READ) {
		excess(first, "write", path, origin, "read = %s", path);
		return;
	}
	list_text(&b->files, level, text, sizeof(text));
	excess(first, level_key(level), path, origin, "%s", text);
}

/* At every path named by either: between those no level changes. */
static int levels_are_subset(const struct grant *a, const struct grant *b, struct grant_excess *first)
{
	const struct path_list *lists[] = { &a->files, &b->files };

	if (a->base > b->base) {
		level_excess(b, "", a->base, "", first);
		return 0;
	}
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		for (size_t i = 0; i < lists[l]->n; i++) {
			const struct grant_path *path = &lists[l]->path[i];
			enum grant_level level = grant_path_level(a, path->path);
			if (level <= grant_path_level(b, path->path))
				continue;
			level_excess(b, path->path, level, l == 0 ? path->origin : "", first);
			return 0;
		}
	}
	for (size_t i = 0; i < b->hides.n; i++) {
		if (grant_path_hidden(a, b->hides.path[i].path))
			continue;
		excess(first, "hide", "", "", "hide = %s", b->hides.path[i].path);
		return 0;
	}
	return 1;
}

static int execs_are_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first)
{
	char text[480];

	if (!b->exec_set || (request && !a->exec_set))
		return 1;
	list_text(&b->execs, GRANT_NONE, text, sizeof(text));
	if (!a->exec_set) {
		excess(first, "exec", "", "", "%s", text);
		return 0;
	}
	for (size_t i = 0; i < a->execs.n; i++) {
		if (path_list_find(&b->execs, a->execs.path[i].path))
			continue;
		excess(first, "exec", a->execs.path[i].path, a->execs.path[i].origin, "%s", text);
		return 0;
	}
	return 1;
}

int paths_are_subset(const struct grant *a, const struct grant *b, bool request, struct grant_excess *first)
{
	for (size_t i = 0; request && i < a->files.n; i++) {
		const struct grant_path *path = &a->files.path[i];
		if (path->level <= grant_path_level(b, path->path))
			continue;
		level_excess(b, path->path, path->level, path->origin, first);
		return 0;
	}
	int r = request ? 1 : levels_are_subset(a, b, first);
	return r == 1 ? execs_are_subset(a, b, request, first) : r;
}

/* ---- within the policy ---- */

static void policy_excess(const struct policy *p, const char *key, const struct grant_path *path,
			  const struct policy_path *entry, struct grant_excess *first)
{
	static const char *const kinds[] = { "read", "write", "overlay", "hide", "protect", "tmpfs" };
	char text[480];
	size_t n = 0;

	if (entry && entry->kind == PATH_HIDE) {
		excess(first, key, path->path, path->origin, "a path that the policy does not hide (hide = %s, %s)",
		       entry->given, entry->origin);
		return;
	}
	if (entry) {
		excess(first, key, path->path, path->origin, "read = %s (the policy has %s = %s, %s)", path->path,
		       kinds[entry->kind], entry->given, entry->origin);
		return;
	}
	text[0] = '\0';
	for (size_t i = 0; i < p->n_paths && n < sizeof(text); i++) {
		enum path_kind kind = p->paths[i].kind;
		if (kind == PATH_WRITE || kind == PATH_OVERLAY || (kind == PATH_READ && path->level != GRANT_WRITE))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "at or below ", p->paths[i].path);
	}
	excess(first, key, path->path, path->origin, "%s", n ? text : "nothing: the policy names no path");
}

static bool policy_has(const struct policy *p, const char *path, bool write, const struct policy_path **ret_entry)
{
	const struct policy_path *entry = effective_path(p, path);

	*ret_entry = entry;
	if (!entry)
		return !write && system_view_has(path);
	if (entry->kind == PATH_HIDE)
		return false;
	return !write || (entry->kind != PATH_READ && entry->kind != PATH_PROTECT);
}

int paths_within(const struct policy *p, const struct grant *g, struct grant_excess *first)
{
	const struct policy_path *entry;

	for (size_t i = 0; i < g->files.n; i++) {
		const struct grant_path *path = &g->files.path[i];
		if (policy_has(p, path->path, path->level == GRANT_WRITE, &entry))
			continue;
		policy_excess(p, level_key(path->level), path, entry, first);
		return 0;
	}
	for (size_t i = 0; i < g->execs.n; i++) {
		if (policy_has(p, g->execs.path[i].path, false, &entry))
			continue;
		policy_excess(p, "exec", &g->execs.path[i], entry, first);
		return 0;
	}
	return 1;
}
