/* SPDX-License-Identifier: Apache-2.0 */
/* What a repository has for linked worktrees that were not there at the beginning: `git worktree add` of a call makes the
 * same, so that stays, and nothing else that leads git to other configuration. Those that were there are places. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "overlay/tree.h"
#include "watch/internal.h"

#define NAMES_LOOKED_AT 1024u

static const char own_repository[] = "../..\n"; /* as git writes it */

static bool is_place(const struct watch *w, const char *path, const struct object *now)
{
	struct object at;

	for (size_t i = 0; i < w->n; i++) {
		if (strcmp(w->places[i].path, path) != 0)
			continue;
		_cleanup_close_ int opened = w->places[i].dir < 0 ? place_open(w, i) : -EBADF;
		const int dir = w->places[i].dir < 0 ? opened : w->places[i].dir;
		return dir >= 0 && object_look(dir, "", &at) == 0 && object_same(&at, now);
	}
	return false;
}

static bool made_by_git(int dir, const char *name, const struct object *now)
{
	_cleanup_buf_ struct buf text = { 0 };

	if (now->kind != OBJECT_FILE)
		return false;
	if (strcmp(name, "commondir") != 0)
		return strcmp(name, "gitdir") == 0;
	return object_read(dir, name, sizeof(own_repository), &text) == 0 && text.len == sizeof(own_repository) - 1 &&
	       memcmp(text.data, own_repository, text.len) == 0;
}

/* Of what is under way there; name: of a directory. */
static void check_below(const struct check *c, int dir, const char *path, const char *name, const char *file, git_reader read)
{
	struct config none = { .read = read, .readable = true, .mode = 0644 };
	_cleanup_free_ char *below = NULL;
	struct object now;

	int r = object_look(dir, name, &now);
	if (r == 0 && now.kind == OBJECT_MISSING)
		return;
	if (r == 0 && now.kind != OBJECT_DIRECTORY) {
		take_away(c, dir, path, name, "new", NULL);
		return;
	}
	_cleanup_close_ int in = r < 0 ? r : tree_open_up(dir, name);
	if (in < 0 || asprintf(&below, "%s/%s", path, name) < 0) {
		below = NULL;
		if (in != -ENOENT)
			cannot_look(c, path, name, in < 0 ? in : -ENOMEM);
		return;
	}
	config_check(c, &none, in, below, file);
}

static void check_names(const struct check *c, int dir, const char *path)
{
	static const char *const names[] = { "commondir", "gitdir", "hooks" };
	static const char *const configs[] = { "config", "config.worktree" };
	struct object now;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int r = object_look(dir, names[i], &now);
		if (r < 0)
			cannot_look(c, path, names[i], r);
		else if (now.kind != OBJECT_MISSING && !made_by_git(dir, names[i], &now))
			take_away(c, dir, path, names[i], "new", NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(configs); i++) {
		struct config none = { .read = git_config_read, .readable = true, .mode = 0644 };
		config_check(c, &none, dir, path, configs[i]);
	}
	now = (struct object){ 0 };
	index_check(c, NO_PLACE, &now, dir, path);
	check_below(c, dir, path, "rebase-merge", "git-rebase-todo", git_todo_read);
	check_below(c, dir, path, "rebase-merge", "strategy", git_strategy_read);
	check_below(c, dir, path, "sequencer", "opts", git_config_read);
	check_below(c, dir, path, "rebase-apply", "apply-opt", git_apply_options_read);
}

static void check_one(const struct check *c, int all, const char *all_path, const char *name)
{
	_cleanup_free_ char *path = NULL;
	struct object now;

	int r = asprintf(&path, "%s/%s", all_path, name) < 0 ? (path = NULL, -ENOMEM) : object_look(all, name, &now);
	if (r == 0 && now.kind == OBJECT_LINK) {
		take_away(c, all, all_path, name, "new", NULL);
		return;
	}
	if (r == 0 && (now.kind != OBJECT_DIRECTORY || is_place(c->watch, path, &now)))
		return;
	_cleanup_close_ int dir = r < 0 ? -EBADF : tree_open_up(all, name);
	if (r < 0 || (dir < 0 && dir != -ENOENT))
		cannot_look(c, all_path, name, r < 0 ? r : dir);
	else if (dir >= 0)
		check_names(c, dir, path);
}

void worktrees_check(const struct check *c, int git, const char *git_path)
{
	_cleanup_names_ struct names names = { 0 };
	_cleanup_free_ char *path = NULL;

	_cleanup_close_ int all = tree_open_up(git, "worktrees");
	if (all == -ENOENT)
		return;
	int r = all < 0 ? all : asprintf(&path, "%s/worktrees", git_path) < 0 ? (path = NULL, -ENOMEM) : names_read(all, &names);
	if (r == 0 && names.n > NAMES_LOOKED_AT)
		r = -E2BIG;
	/* More than anybody has: made to hide one among them. */
	if (r == -E2BIG)
		take_away(c, git, git_path, "worktrees", "changed", NULL);
	else if (r < 0)
		cannot_look(c, git_path, "worktrees", r);
	for (size_t i = 0; i < names.n && r == 0; i++)
		check_one(c, all, path, names.v[i]);
}
