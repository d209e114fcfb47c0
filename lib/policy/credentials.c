/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials below the home directory stay out of view when a directory above them is granted, the home directory as
 * workdir (--workdir-force) among them: only naming the place itself shows it. Where something below it was named, the rest
 * is replaced by an empty directory, which that is mounted into.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "policy/credential_places.h"
#include "policy/internal.h"

static bool named_below(const struct policy *p, const char *path)
{
	for (size_t i = 0; i < p->n_paths; i++) {
		if (path_below(p->paths[i].path, path) && strcmp(p->paths[i].path, path) != 0 &&
		    p->paths[i].kind != PATH_HIDE && p->paths[i].kind != PATH_PROTECT)
			return true;
	}
	return false;
}

static int cover_place(struct policy *p, const char *place, struct error *e)
{
	_cleanup_object_ struct object at = { 0 };

	/* Through links, since it is the object that has to be out of view. */
	int r = resolve_path(place, &at, e);
	if (r == -EACCES && (r = closed_on_way(place, &at, e)) == 0)
		return 0;
	if (r < 0)
		return is_unreachable(r) || r == -EXDEV ? 0 : r;
	const struct policy_path *now = effective_path(p, at.path);
	/* What is only protected nobody has given: a grant above shows it. */
	if (!now || (now->kind != PATH_PROTECT &&
		     (strcmp(now->path, at.path) == 0 ||
		      (now->kind != PATH_READ && now->kind != PATH_WRITE && now->kind != PATH_OVERLAY))))
		return 0;
	return add_object(p, at.is_dir && named_below(p, at.path) ? PATH_TMPFS : PATH_HIDE, &at, at.path, "credentials", e);
}

/* Some grant is above it. */
static bool is_in_view(const struct policy *p, size_t n, const char *home, const char *place)
{
	size_t len = strlen(home);

	for (size_t i = 0; i < n; i++) {
		const struct policy_path *c = &p->paths[i];
		if (!c->is_dir || (c->kind != PATH_READ && c->kind != PATH_WRITE && c->kind != PATH_OVERLAY))
			continue;
		if (path_below(home, c->path) ||
		    (path_below(c->path, home) && path_below(place, c->path + len + 1) && strcmp(place, c->path + len + 1) != 0))
			return true;
	}
	return false;
}

int hide_credentials(struct policy *p, struct error *e)
{
	_cleanup_free_ char *given = NULL;
	_cleanup_object_ struct object home = { 0 };
	char path[PATH_MAX];
	size_t n = p->n_paths;

	int r = home_dir(&given);
	/* Without a home directory nothing is below it. */
	if (r < 0)
		return r == -ENOMEM ? out_of_memory(e) : 0;
	r = resolve_path(given, &home, e);
	if (r < 0 || strcmp(home.path, "/") == 0)
		return is_unreachable(r) || r == -EXDEV ? 0 : r;
	for (size_t i = 0; i < ARRAY_LEN(credential_places) && r == 0; i++) {
		if (!is_in_view(p, n, home.path, credential_places[i]))
			continue;
		int len = snprintf(path, sizeof(path), "%s/%s", home.path, credential_places[i]);
		if (len > 0 && (size_t)len < sizeof(path))
			r = cover_place(p, path, e);
	}
	return r;
}
