/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submodules, in git's words "gitlinks": directories that an index names as repositories of their own, with or without a
 * .gitmodules. The host's git runs in them by itself, with the configuration that they have: `git status` is enough. So each
 * is a place from when an index names it, and so is what a repository holds for them in modules/. Of one that a call
 * names nothing was there before: it keeps what git itself makes. Those that were there at the start are compared with that.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "overlay/tree.h"
#include "watch/internal.h"

#define MODULES_NAMES 1024u /* outside of the repositories; more than anybody has */
#define MODULES_DEPTH 16u   /* names of submodules are paths at times */

/* ---- what was found, until it is a place ---- */

static int note(struct watch *w, char *path, char *worktree, size_t repository, bool git_dir)
{
	struct more *more = reallocarray(w->more, w->n_more + 1, sizeof(*more));

	if (!more) {
		free(path);
		free(worktree);
		return -ENOMEM;
	}
	w->more = more;
	more[w->n_more++] = (struct more){ path, worktree, repository, git_dir };
	return 0;
}

/* Counted before they are looked at, so that whoever named too many loses what names them. */
static int note_new(struct watch *w, char *path, size_t repository, bool git_dir)
{
	if (!path)
		return -ENOMEM;
	if (has_place(w, path) || w->full) {
		free(path);
		return 0;
	}
	if (w->n_submodules + w->n_more >= GIT_LINKS_MAX) {
		free(path);
		return -E2BIG;
	}
	return note(w, path, NULL, repository, git_dir);
}

static void forget(struct watch *w, size_t from)
{
	while (w->n_more > from) {
		free(w->more[--w->n_more].path);
		free(w->more[w->n_more].worktree);
	}
}

int submodules_take(struct watch *w, bool fresh)
{
	int r = 0;

	for (size_t i = 0; i < w->n_more && r == 0; i++)
		r = places_more(w, &w->more[i], fresh);
	forget(w, 0);
	return r;
}

void submodules_done(struct watch *w)
{
	forget(w, 0);
	free(w->more);
}

/* ---- those that an index names ---- */

/* Where the worktree of that directory of git is. NULL without an error: not known, so nobody's git looks there. */
static int worktree_of(const struct watch *w, size_t at, char **ret)
{
	const char *path = w->places[at].path;
	size_t len = strlen(path);

	*ret = NULL;
	if (len > 5 && strcmp(path + len - 5, "/.git") == 0) {
		*ret = strndup(path, len - 5);
		return *ret ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < w->n; i++) {
		if (!w->places[i].git_dir || strcmp(w->places[i].git_dir, path) != 0)
			continue;
		*ret = strdup(w->places[i].path);
		return *ret ? 0 : -ENOMEM;
	}
	return 0;
}

static bool is_sparse(const char *name)
{
	return name[strlen(name) - 1] == '/';
}

bool submodules_sparse(const struct buf *links)
{
	const char *const names = (const char *)links->data;
	bool any = false;

	for (size_t i = 0; i < links->len && !any; i += strlen(names + i) + 1)
		any = is_sparse(names + i);
	return any;
}

static int tell_any(void *arg, const char *path, enum nested_kind kind)
{
	(void)path;
	(void)kind;
	*(bool *)arg = true;
	return LEVELS_END;
}

/* A directory of a sparse index is not there, or with things in it that git does not know. When it is, git looks into the tree
 * that stands for it, and finds submodules that we cannot know of. */
static int look_at_sparse(const struct watch *w, const char *path)
{
	_cleanup_free_ char *dir = strndup(path, strlen(path) - 1);
	const size_t above = dir ? held_above(w, dir) : w->n;
	struct nested_scan scan = { 0 };
	bool any = false;

	if (!dir || above == w->n)
		return dir ? 0 : -ENOMEM;
	_cleanup_close_ int fd = tree_open(w->places[above].dir, dir + strlen(w->places[above].path) + 1, O_PATH | O_DIRECTORY);
	int r = fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd < 0 ? fd : nested_each(&scan, dir, tell_any, &any);
	return r < 0 ? r : any || scan.levels.cut ? -EPERM : 0;
}

int submodules_note(struct watch *w, size_t at, const struct buf *links)
{
	_cleanup_free_ char *worktree = NULL;
	const char *const names = (const char *)links->data;
	const size_t before = w->n_more;

	int r = links->len ? worktree_of(w, at, &worktree) : 0;
	for (size_t i = 0; i < links->len && worktree && r == 0; i += strlen(names + i) + 1) {
		char *path;
		if (asprintf(&path, "%s/%s", worktree, names + i) < 0) {
			r = -ENOMEM;
		} else if (is_sparse(names + i)) {
			r = look_at_sparse(w, path);
			free(path);
		} else {
			r = note_new(w, path, at, false);
		}
	}
	if (r < 0)
		forget(w, before);
	return r;
}

/* ---- .git in such a directory ---- */

/* As git writes it: from a directory to another one, both absolute and without a link. */
static int relative_to(const char *from, const char *to, struct buf *out)
{
	size_t same = 0, i = 0;
	int r = 0;

	for (; from[i] && from[i] == to[i]; i++)
		same = from[i] == '/' ? i : same;
	if ((!from[i] || from[i] == '/') && (!to[i] || to[i] == '/'))
		same = i;
	for (const char *p = from + same; r == 0 && (p = strchr(p, '/')); p++)
		r = buf_puts(out, out->len ? "/.." : "..");
	if (r == 0 && to[same])
		r = buf_puts(out, to + same + (out->len ? 0 : 1));
	return r;
}

/* What stands behind "DIRECTORY/modules/" in text, when that is a name; else NULL. */
static const char *name_behind(const char *text, const char *directory)
{
	static const char modules[] = "/modules/";
	size_t n = strlen(directory);

	if (strncmp(text, directory, n) != 0 || strncmp(text + n, modules, sizeof(modules) - 1) != 0)
		return NULL;
	const char *name = text + n + sizeof(modules) - 1;
	for (const char *p = name;; p++) {
		size_t len = strcspn(p, "/");
		if (len == 0 || (len <= 2 && strncmp(p, "..", len) == 0))
			return NULL;
		p += len;
		if (!*p)
			return name;
	}
}

/* One line, which names one of the modules of that repository. *ret: absolute; NULL: it names something else. */
static int module_of(const struct watch *w, const struct place *p, int dir, char **ret)
{
	_cleanup_buf_ struct buf text = { 0 }, way = { 0 };
	const char *repository = w->places[p->repository].path;

	*ret = NULL;
	int r = object_read(dir, ".git", PATH_MAX, &text);
	while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	if (r < 0 || (text.len && memchr(text.data, '\0', text.len)))
		return r == -ENOMEM || r == -ENOENT || r == -EAGAIN ? r : 0;
	const char *line = buf_str(&text);
	if (!line || relative_to(p->path, repository, &way) < 0 || !buf_str(&way))
		return -ENOMEM;
	if (strncmp(line, "gitdir: ", 8) != 0)
		return 0;
	const char *name = name_behind(line + 8, buf_str(&way));
	if (!name)
		name = name_behind(line + 8, repository);
	return name && asprintf(ret, "%s/modules/%s", repository, name) < 0 ? (*ret = NULL, -ENOMEM) : 0;
}

static bool has_another_worktree(const struct watch *w, const struct place *p, const char *module)
{
	for (size_t i = 0; i < w->n; i++) {
		if (&w->places[i] != p && w->places[i].git_dir && strcmp(w->places[i].git_dir, module) == 0)
			return true;
	}
	return false;
}

/* 0: through no link, or not there. */
static int is_reached(const struct watch *w, const struct place *p, const char *module)
{
	const struct place *repository = &w->places[p->repository];
	_cleanup_close_ int opened = repository->dir < 0 ? place_open(w, p->repository) : -EBADF;

	if (repository->dir < 0 && opened < 0)
		return opened == -ENOENT ? 0 : opened;
	_cleanup_close_ int fd = tree_open(repository->dir < 0 ? opened : repository->dir,
					   module + strlen(repository->path) + 1, O_PATH | O_DIRECTORY);
	return fd >= 0 || fd == -ENOENT ? 0 : fd;
}

/* It is a place then, with the worktree that its configuration may name. */
static int take_module(struct watch *w, struct place *p, char **module)
{
	_cleanup_buf_ struct buf way = { 0 };
	const char *worktree = relative_to(*module, p->path, &way) == 0 ? buf_str(&way) : NULL;
	char *path = strdup(*module), *copy = worktree ? strdup(worktree) : NULL;

	free(p->git_dir);
	p->git_dir = TAKE_PTR(*module);
	if (path && copy)
		return note(w, path, copy, 0, true);
	free(path);
	free(copy);
	return -ENOMEM;
}

void checkout_check(const struct check *c, struct place *p, int dir, const struct object *now)
{
	_cleanup_free_ char *module = NULL;

	int r = now->kind == OBJECT_FILE ? module_of(c->watch, p, dir, &module) : 0;
	/* Gone, or being written: looked at when everything has ended. */
	if (r == -ENOENT || r == -EAGAIN)
		return;
	if (r == 0 && module && !has_another_worktree(c->watch, p, module) && is_reached(c->watch, p, module) == 0)
		r = take_module(c->watch, p, &module);
	else if (r == 0)
		take_away(c, dir, p->path, ".git", "new", NULL);
	if (r < 0)
		cannot_look(c, p->path, ".git", r);
}

/* ---- modules/ ---- */

struct modules {
	struct watch *w;
	const struct check *check; /* NULL: at the start */
	unsigned names;
};

static int look_into(struct modules *m, int dir, const char *path, unsigned depth);

static int look_at_one(struct modules *m, int dir, const char *path, const char *name, unsigned depth)
{
	_cleanup_free_ char *below = NULL;
	struct object now;

	int r = object_look(dir, name, &now);
	if (r == 0 && now.kind == OBJECT_LINK && m->check)
		take_away(m->check, dir, path, name, "new", NULL);
	if (r < 0 || now.kind != OBJECT_DIRECTORY)
		return r;
	if (depth == MODULES_DEPTH)
		return -E2BIG;
	if (asprintf(&below, "%s/%s", path, name) < 0)
		return below = NULL, -ENOMEM;
	_cleanup_close_ int in = m->check ? tree_open_up(dir, name) : tree_open(dir, name, O_RDONLY | O_DIRECTORY);
	return in >= 0 ? look_into(m, in, below, depth + 1) : in == -ENOENT ? 0 : in;
}

static int look_into(struct modules *m, int dir, const char *path, unsigned depth)
{
	_cleanup_names_ struct names names = { 0 };
	unsigned marks = 0;

	int r = names_read(dir, &names);
	for (size_t i = 0; i < names.n; i++)
		marks += strcmp(names.v[i], "HEAD") == 0 || strcmp(names.v[i], "objects") == 0 || strcmp(names.v[i], "refs") == 0;
	if (r == 0 && depth > 0 && marks == 3)
		return note_new(m->w, strdup(path), 0, true);
	if (r == 0 && (m->names += (unsigned)names.n) > MODULES_NAMES)
		r = -E2BIG;
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = look_at_one(m, dir, path, names.v[i], depth);
	return r;
}

static int look_at_modules(struct modules *m, int git, const char *git_path)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/modules", git_path) < 0)
		return path = NULL, -ENOMEM;
	_cleanup_close_ int dir = m->check ? tree_open_up(git, "modules") : tree_open(git, "modules", O_RDONLY | O_DIRECTORY);
	return dir >= 0 ? look_into(m, dir, path, 0) : dir == -ENOENT ? 0 : dir;
}

void modules_check(const struct check *c, size_t at)
{
	const struct place *p = &c->watch->places[at];
	_cleanup_close_ int opened = p->dir < 0 ? place_open(c->watch, at) : -EBADF;
	struct modules m = { c->watch, c, 0 };
	const size_t before = c->watch->n_more;
	const int git = p->dir < 0 ? opened : p->dir;

	int r = git < 0 ? git : look_at_modules(&m, git, p->path);
	if (r < 0)
		forget(c->watch, before);
	/* More than anybody has: made to hide one among them. */
	if (r == -E2BIG && !c->watch->full)
		take_away(c, git, p->path, "modules", "changed", NULL);
	else if (r < 0 && r != -ENOENT && r != -E2BIG)
		cannot_look(c, p->path, "modules", r);
}

/* ---- at the start ---- */

static int begin_at(struct watch *w, size_t at)
{
	_cleanup_close_ int opened = w->places[at].dir < 0 ? place_open(w, at) : -EBADF;
	_cleanup_buf_ struct buf links = { 0 };
	const int dir = w->places[at].dir < 0 ? opened : w->places[at].dir;
	struct modules m = { w, NULL, 0 };
	int r = 0;

	for (size_t k = 0; k < w->places[at].n && dir >= 0 && r == 0; k++) {
		struct entry *entry = &w->places[at].entries[k];
		if (entry->rule == RULE_MODULES && entry->was.kind == OBJECT_DIRECTORY)
			r = look_at_modules(&m, dir, w->places[at].path);
		else if (entry->rule == RULE_INDEX && entry->was.kind == OBJECT_FILE &&
			 (r = index_links(&w->keep, dir, &entry->was, w->places[at].local, &links)) == 0) {
			entry->fresh = submodules_sparse(&links);
			r = submodules_note(w, at, &links);
		}
	}
	return r;
}

int submodules_begin(struct watch *w)
{
	for (size_t at = 0; at < w->n; at++) {
		int r = begin_at(w, at);
		/* Of a repository with more than that the others are nobody's to look after. */
		if (r == -E2BIG)
			w->full = w->skipped = true;
		else if (r < 0 && levels_is_own_failure(-r))
			return r;
		else if (r < 0)
			w->skipped = true;
		r = submodules_take(w, false);
		if (r < 0)
			return r;
	}
	return 0;
}
