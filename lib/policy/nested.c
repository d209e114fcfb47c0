/* SPDX-License-Identifier: Apache-2.0 */
/* The search is bounded, so what lies near the top comes first. */
#include "policy/nested.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* Names of submodules have slashes in them at times. */
#define MODULES_DEPTH (NESTED_DEPTH - 2)

struct search {
	struct nested_scan *scan;
	const char *top;
	unsigned marks; /* of a repository, in the directory that is read */
	nested_found found;
	void *arg;
};

static int tell(struct search *s, const char *path, enum nested_kind kind)
{
	_cleanup_free_ char *whole = NULL;

	if (s->scan->found == NESTED_FOUND) {
		s->scan->levels.cut = true;
		return LEVELS_END;
	}
	s->scan->found++;
	if (asprintf(&whole, "%s/%s", s->top, path) < 0)
		return -ENOMEM;
	return s->found(s->arg, whole, kind);
}

/* Asked for at once, since one large directory could use up the bounds before others of its level have been read. */
static int take_dir(struct search *s, const struct level *l, int dir, const char *name)
{
	struct levels *levels = &s->scan->levels;
	_cleanup_free_ char *path = NULL, *git = NULL;

	if (levels->dirs == levels->dirs_max) {
		levels->cut = true;
		return LEVELS_END;
	}
	if (asprintf(&path, "%s%s%s", l->path, *l->path ? "/" : "", name) < 0 || asprintf(&git, "%s/.git", name) < 0)
		return -ENOMEM;
	int r = faccessat(dir, git, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? tell(s, path, NESTED_CHECKOUT) :
								      levels_look_failed(levels, errno);
	return r == 0 ? levels_add(levels, l->path, name, l->depth + 1) : r;
}

static int take_end(struct search *s, const struct level *l)
{
	bool git_dir = s->marks == 7 && *l->path;
	int r = 0;

	s->marks = 0;
	/* What else is in it is looked through all the same: three names are soon made by who wants to hide a worktree. */
	if (git_dir)
		r = levels_add(&s->scan->levels, l->path, "modules", MODULES_DEPTH);
	if (r == 0 && git_dir)
		r = tell(s, l->path, NESTED_GIT_DIR);
	return r == 0 && s->scan->levels.cut ? LEVELS_END : r;
}

static int take_name(void *arg, const struct level *l, int dir, const struct dirent *item)
{
	static const char *const of_git[] = { "HEAD", "objects", "refs" };
	struct search *s = arg;

	if (dir < 0)
		return tell(s, l->path, NESTED_CLOSED);
	if (!item)
		return take_end(s, l);
	for (unsigned i = 0; i < ARRAY_LEN(of_git); i++)
		s->marks |= strcmp(item->d_name, of_git[i]) == 0 ? 1u << i : 0;
	/* It is looked into for the repositories of its submodules only. */
	if (strcmp(item->d_name, ".git") == 0)
		return levels_is_dir(dir, item) ? levels_add(&s->scan->levels, l->path, ".git/modules", MODULES_DEPTH) : 0;
	return l->depth < NESTED_DEPTH && levels_is_dir(dir, item) ? take_dir(s, l, dir, item->d_name) : 0;
}

static void set_bounds(struct levels *l)
{
	l->names_max = l->in_one_max = NESTED_NAMES;
	l->dirs_max = NESTED_DIRS;
	l->resolve = RESOLVE_NO_XDEV;
}

int nested_each(struct nested_scan *scan, const char *dir, nested_found found, void *arg)
{
	struct search s = { .scan = scan, .top = strcmp(dir, "/") == 0 ? "" : dir, .found = found, .arg = arg };

	set_bounds(&scan->levels);
	return scan->levels.cut ? 0 : levels_each(&scan->levels, dir, take_name, &s);
}

static int read_worktrees(struct search *s, DIR *d)
{
	struct dirent *item;
	int r = 0;

	while (r == 0 && (errno = 0, item = readdir(d))) {
		_cleanup_free_ char *path = NULL;
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 || !levels_is_dir(dirfd(d), item))
			continue;
		if (s->scan->worktrees == NESTED_WORKTREES) {
			s->scan->levels.cut = true;
			return 0;
		}
		s->scan->worktrees++;
		r = asprintf(&path, "%s/worktrees/%s", s->top, item->d_name) < 0 ? -ENOMEM : s->found(s->arg, path, NESTED_GIT_DIR);
	}
	return r == 0 && errno ? levels_look_failed(&s->scan->levels, errno) : r;
}

int worktrees_each(struct nested_scan *scan, const char *git, nested_found found, void *arg)
{
	struct search s = { .scan = scan, .top = git, .found = found, .arg = arg };

	set_bounds(&scan->levels);
	_cleanup_close_ int fd = open(git, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : levels_open(&scan->levels, fd, "worktrees");
	int r = d ? read_worktrees(&s, d) : errno == EACCES ? tell(&s, "worktrees", NESTED_CLOSED) :
							      levels_look_failed(&scan->levels, errno);
	if (d)
		closedir(d);
	return r;
}
