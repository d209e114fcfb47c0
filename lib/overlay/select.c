/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the changes are meant. */
#include <errno.h>
#include <string.h>

#include "overlay/changes.h"

static bool is_at_or_below(const char *path, size_t len, const char *dir)
{
	size_t n = strlen(dir);

	return len >= n && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Whether root and path together are at or below the absolute path. */
static bool is_meant(const struct changes *c, const struct change *change, const char *path)
{
	const char *root = c->layer->roots[change->root].path;
	size_t n = strlen(root);

	if (is_at_or_below(root, n, path))
		return true;
	return strncmp(path, root, n) == 0 && path[n] == '/' &&
	       is_at_or_below(change->path, strlen(change->path), path + n + 1);
}

/* A directory that is new, or new as a directory: what is in it cannot be without it. */
static bool is_new_dir(const struct change *c)
{
	return S_ISDIR(c->now.st_mode) && (c->kind == CHANGE_ADDED || c->kind == CHANGE_TYPE || c->kind == CHANGE_RENAMED);
}

/* A directory stands right before all that is in it, so those above an entry are the ones still open. */
static bool select_above(struct changes *c)
{
	size_t above[CHANGES_DEPTH_MAX + 2], depth = 0;
	bool more = false;

	for (size_t i = 0; i < c->n; i++) {
		struct change *change = &c->v[i];
		while (depth > 0 && !change_is_below(change, &c->v[above[depth - 1]]))
			depth--;
		for (size_t k = 0; k < depth && change->selected; k++) {
			struct change *dir = &c->v[above[k]];
			more |= is_new_dir(dir) && !dir->selected;
			dir->selected |= is_new_dir(dir);
		}
		if (S_ISDIR(change->now.st_mode) && depth < CHANGES_DEPTH_MAX + 2)
			above[depth++] = i;
	}
	return more;
}

static bool select_partners(struct changes *c)
{
	bool more = false;

	for (size_t i = 0; i < c->n; i++) {
		struct change *change = &c->v[i];
		if (!change->selected)
			continue;
		/* A name of a file whose mode is to change: it is one mode. */
		if (change->leader != CHANGES_NO_OTHER && c->v[change->leader].kind == CHANGE_MODE) {
			more |= !c->v[change->leader].selected;
			c->v[change->leader].selected = true;
		}
		if (change->other == CHANGES_NO_OTHER)
			continue;
		more |= !c->v[change->other].selected;
		c->v[change->other].selected = true;
		/* Of a renamed directory also what is in it. */
		for (size_t k = i + 1; S_ISDIR(change->now.st_mode) && k < c->n && change_is_below(&c->v[k], change); k++) {
			more |= !c->v[k].selected;
			c->v[k].selected = true;
		}
	}
	return more;
}

int changes_select(struct changes *c, const char *const *paths, struct error *e)
{
	for (size_t i = 0; i < c->n; i++)
		c->v[i].selected = !paths;
	if (!paths)
		return 0;
	for (; *paths; paths++) {
		bool found = false;
		for (size_t i = 0; i < c->n; i++) {
			if (!is_meant(c, &c->v[i], *paths))
				continue;
			c->v[i].selected = found = true;
		}
		if (!found)
			return fail(e, ENOENT, SANDBOX_STAGE_OVERLAY, *paths, "sandbox %s changed nothing at or below %s",
				    c->layer->id, *paths);
	}
	while (select_above(c) | select_partners(c))
		;
	return 0;
}
