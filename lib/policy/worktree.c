/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workdir that is a linked worktree of git (git-worktree(1)): its `.git` is a file that names its directory among the
 * worktrees of a repository elsewhere, which git has to write. That file comes with the workdir, so anybody may have
 * written it; the repository is granted only when it names this workdir itself, which takes the right to write there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/internal.h"

#define ORIGIN "linked worktree"

struct repository {
	char *common, *own; /* directories, canonical; own is common/worktrees/NAME */
	struct stat common_st, own_st, all_st;
};

/* Of the main worktree, or what git executes or is led elsewhere by: not for this worktree to write. */
static const char *const kept_common[] = { "HEAD", "index", "config", "config.worktree", "hooks", "modules", "commondir", "gitdir" };
static const char *const kept_own[] = { "gitdir", "commondir", "config.worktree" };

/* One line that is a path, without the end of the line; NULL: it is something else. */
static char *read_line(int dir, const char *name, struct stat *ret_st)
{
	char text[PATH_MAX + 16];
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	ssize_t n = fd < 0 || fstat(fd, ret_st) < 0 || !S_ISREG(ret_st->st_mode) ? -1 : read(fd, text, sizeof(text) - 1);
	fd_close(fd);
	if (n <= 0 || (size_t)n == sizeof(text) - 1 || memchr(text, '\0', (size_t)n))
		return NULL;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	return check_path_bytes(text) == 0 ? strdup(text) : NULL;
}

static int open_path(int dir, const char *path, int flags, struct stat *ret_st)
{
	int fd = openat(dir, path, O_PATH | O_CLOEXEC | flags);

	if (fd >= 0 && fstat(fd, ret_st) < 0) {
		fd_close(fd);
		fd = -1;
	}
	return fd;
}

static bool same_object(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The line in dir/name is a path, against dir, to this object. */
static bool leads_to(int dir, const char *name, const struct stat *object)
{
	struct stat st, at;
	_cleanup_free_ char *path = read_line(dir, name, &st);

	if (!path || st.st_uid != geteuid())
		return false;
	_cleanup_close_ int fd = open_path(dir, path, O_NOFOLLOW, &at);
	return fd >= 0 && same_object(&at, object);
}

static bool own_directory(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* By its name too: files of these names may lie in any directory that something was unpacked into. */
static bool is_repository(int common, const char *path)
{
	size_t len = strlen(path);
	struct stat head;

	return ((len > 4 && strcmp(path + len - 4, ".git") == 0) || (len > 6 && strcmp(path + len - 6, "/.bare") == 0)) &&
	       fstatat(common, "HEAD", &head, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(head.st_mode) &&
	       head.st_uid == geteuid() && own_directory(common, "objects") && own_directory(common, "refs");
}

/* Every pointer that git follows, by descriptor, and back again. NULL, or why not. */
static const char *verify(const struct policy *p, int own, const struct stat *dot_git, struct repository *r)
{
	struct stat at;

	char *slash = strrchr(r->own, '/');
	r->common = slash ? strndup(r->own, (size_t)(slash - r->own)) : NULL;
	slash = r->common ? strrchr(r->common, '/') : NULL;
	if (!slash || slash == r->common || strcmp(slash, "/worktrees") != 0)
		return "is not among the worktrees of a repository";
	*slash = '\0';
	_cleanup_close_ int all = open_path(own, "..", O_DIRECTORY | O_NOFOLLOW, &r->all_st);
	_cleanup_close_ int up = all < 0 ? -1 : open_path(all, "..", O_DIRECTORY | O_NOFOLLOW, &at);
	_cleanup_close_ int common = open_path(AT_FDCWD, r->common, O_DIRECTORY | O_NOFOLLOW, &r->common_st);
	if (up < 0 || common < 0 || !same_object(&at, &r->common_st) || r->own_st.st_uid != geteuid() ||
	    r->common_st.st_uid != geteuid() || r->all_st.st_uid != geteuid())
		return "is not in a repository of yours";
	if (!leads_to(own, "gitdir", dot_git))
		return "does not name this directory as its worktree";
	if (!leads_to(own, "commondir", &r->common_st))
		return "has its repository elsewhere";
	if (!is_repository(common, r->common))
		return "is in a directory that does not look like a repository of git";
	if (is_home_or_above(r->common_st.st_dev, r->common_st.st_ino) || path_below(p->workdir, r->common))
		return "has this directory or your home directory in its repository";
	return NULL;
}

static int add(struct policy *p, enum path_kind kind, char *path, const struct stat *st, struct error *e)
{
	/* What the user said of it holds. */
	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *c = &p->paths[i];
		if (strcmp(c->path, path) == 0 && (c->kind == PATH_PROTECT) == (kind == PATH_PROTECT))
			return 0;
	}
	const struct object at = { path, st->st_dev, st->st_ino, S_ISDIR(st->st_mode) };
	return add_object(p, kind, &at, path, ORIGIN, e);
}

static int add_kept(struct policy *p, const char *dir, const char *const *names, size_t n, struct error *e)
{
	char path[PATH_MAX];
	struct stat st;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		int len = snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (len < 0 || (size_t)len >= sizeof(path))
			continue;
		if (lstat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
			r = add(p, PATH_PROTECT, path, &st, e);
	}
	return r;
}

static int grant_it(struct policy *p, enum path_kind kind, const struct repository *r, struct error *e)
{
	_cleanup_free_ char *all = strndup(r->own, (size_t)(strrchr(r->own, '/') - r->own));

	if (!all)
		return out_of_memory(e);
	int k = add(p, kind, r->common, &r->common_st, e);
	/* The others' are to be seen only. In a copy-on-write view that is for the commit to say. */
	if (k == 0 && kind == PATH_WRITE)
		k = add(p, PATH_READ, all, &r->all_st, e);
	if (k == 0 && kind == PATH_WRITE)
		k = add(p, PATH_WRITE, r->own, &r->own_st, e);
	if (k == 0 && kind != PATH_READ)
		k = add_kept(p, r->common, kept_common, ARRAY_LEN(kept_common), e);
	return k == 0 && kind != PATH_READ ? add_kept(p, r->own, kept_own, ARRAY_LEN(kept_own), e) : k;
}

static bool granted_already(const struct policy *p, const char *path)
{
	const struct policy_path *now = effective_path(p, path);

	return now && now->kind != PATH_TMPFS;
}

int add_worktree(struct policy *p, struct error *e)
{
	const struct policy_path *workdir = effective_path(p, p->workdir);
	struct repository r = { 0 };
	struct stat st, at;
	struct error ignored;
	struct object found = { 0 };
	int k = 0;

	if (!workdir || (workdir->kind != PATH_WRITE && workdir->kind != PATH_OVERLAY && workdir->kind != PATH_READ))
		return 0;
	enum path_kind kind = workdir->kind;
	_cleanup_close_ int dir = open_path(AT_FDCWD, p->workdir, O_DIRECTORY, &at);
	_cleanup_free_ char *line = dir < 0 ? NULL : read_line(dir, ".git", &st);
	if (!line || strncmp(line, "gitdir: ", 8) != 0)
		return 0;
	_cleanup_free_ char *given = NULL;
	k = absolute_path(p->workdir, line + 8, &given);
	/* What is not there cannot be granted: a worktree whose repository is gone. */
	if (k < 0 || resolve_path(given, &found, &ignored) < 0 || !found.is_dir) {
		object_free(&found);
		return k == -ENOMEM ? out_of_memory(e) : 0;
	}
	r.own = found.path;
	_cleanup_close_ int own = open_path(AT_FDCWD, r.own, O_DIRECTORY | O_NOFOLLOW, &r.own_st);
	if (own >= 0 && r.own_st.st_dev == found.dev && r.own_st.st_ino == found.ino && !granted_already(p, r.own)) {
		const char *why = verify(p, own, &st, &r);
		k = why ? warn(p, "%s/.git names %s, which %s: it is not granted, and git does not work here (--write names "
				  "what is meant)", p->workdir, r.own, why) :
			  grant_it(p, kind, &r, e);
	}
	free(r.own);
	free(r.common);
	return k;
}
