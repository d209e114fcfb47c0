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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

/* Names of submodules have slashes in them at times. */
#define MODULES_DEPTH (NESTED_DEPTH - 2)

struct level {
	char *path; /* below the top, "" is that */
	unsigned depth;
};

struct search {
	struct nested_scan *scan;
	const char *top;
	int fd;
	struct level *queue;
	size_t n, at;
	nested_found found;
	void *arg;
};

static int enqueue(struct search *s, const char *path, const char *name, unsigned depth)
{
	if (s->scan->dirs == NESTED_DIRS) {
		s->scan->cut = true;
		return 0;
	}
	struct level *more = reallocarray(s->queue, s->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->queue = more;
	if (asprintf(&more[s->n].path, "%s%s%s", path, *path ? "/" : "", name) < 0)
		return -ENOMEM;
	more[s->n++].depth = depth;
	s->scan->dirs++;
	return 0;
}

static int tell(struct search *s, const char *path, bool git_dir)
{
	_cleanup_free_ char *whole = NULL;

	if (s->scan->found == NESTED_FOUND) {
		s->scan->cut = true;
		return 0;
	}
	s->scan->found++;
	if (asprintf(&whole, "%s/%s", s->top, path) < 0)
		return -ENOMEM;
	return s->found(s->arg, whole, git_dir);
}

bool nested_look_failed(int err)
{
	return err == ENOMEM || err == EMFILE || err == ENFILE || err == ENOSYS || err == EPERM || err == EINTR || err == EIO;
}

/* 0 for what is left out. */
static int look_failed(struct search *s, int err)
{
	if (!nested_look_failed(err))
		return 0;
	s->scan->failed = err;
	return -err;
}

static DIR *open_level(const struct search *s, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	int fd = (int)syscall(SYS_openat2, s->fd, *path ? path : ".", &how, sizeof(how));
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		fd_close(fd);
	return d;
}

static bool is_dir(int dir, const struct dirent *item)
{
	struct stat st;

	if (item->d_type != DT_UNKNOWN)
		return item->d_type == DT_DIR;
	return fstatat(dir, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Asked for at once, since one large directory could use up the bounds before others of its level have been read. */
static int take_dir(struct search *s, const struct level *l, int dir, const char *name)
{
	_cleanup_free_ char *path = NULL, *git = NULL;

	if (s->scan->dirs == NESTED_DIRS) {
		s->scan->cut = true;
		return 0;
	}
	if (asprintf(&path, "%s%s%s", l->path, *l->path ? "/" : "", name) < 0 || asprintf(&git, "%s/.git", name) < 0)
		return -ENOMEM;
	int r = faccessat(dir, git, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? tell(s, path, false) : look_failed(s, errno);
	return r == 0 ? enqueue(s, l->path, name, l->depth + 1) : r;
}

static int take_name(struct search *s, const struct level *l, int dir, const struct dirent *item, unsigned *marks)
{
	static const char *const of_git[] = { "HEAD", "objects", "refs" };

	for (unsigned i = 0; i < ARRAY_LEN(of_git); i++)
		*marks |= strcmp(item->d_name, of_git[i]) == 0 ? 1u << i : 0;
	/* It is looked into for the repositories of its submodules only. */
	if (strcmp(item->d_name, ".git") == 0)
		return is_dir(dir, item) ? enqueue(s, l->path, ".git/modules", MODULES_DEPTH) : 0;
	return l->depth < NESTED_DEPTH && is_dir(dir, item) ? take_dir(s, l, dir, item->d_name) : 0;
}

static int read_level(struct search *s, const struct level *l)
{
	unsigned marks = 0;
	struct dirent *item;
	int r = 0;

	DIR *d = open_level(s, l->path);
	if (!d)
		return look_failed(s, errno);
	while (r == 0 && !s->scan->cut && (errno = 0, item = readdir(d))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		if (s->scan->names == NESTED_NAMES) {
			s->scan->cut = true;
			break;
		}
		s->scan->names++;
		r = take_name(s, l, dirfd(d), item, &marks);
	}
	if (r == 0 && !s->scan->cut && errno)
		r = look_failed(s, errno);
	closedir(d);
	if (r < 0 || marks != 7 || !*l->path)
		return r;
	/* What else is in it is looked through all the same: three names are soon made by who wants to hide a worktree. */
	r = enqueue(s, l->path, "modules", MODULES_DEPTH);
	return r < 0 ? r : tell(s, l->path, true);
}

int nested_each(struct nested_scan *scan, const char *dir, nested_found found, void *arg)
{
	struct search s = { .scan = scan, .top = strcmp(dir, "/") == 0 ? "" : dir, .found = found, .arg = arg };

	s.fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = s.fd < 0 ? look_failed(&s, errno) : enqueue(&s, "", "", 0);
	for (; r == 0 && !scan->cut && s.at < s.n; s.at++) {
		const struct level l = s.queue[s.at];
		r = read_level(&s, &l);
	}
	for (size_t i = 0; i < s.n; i++)
		free(s.queue[i].path);
	free(s.queue);
	fd_close(s.fd);
	return r;
}

static int read_worktrees(struct search *s, DIR *d)
{
	struct dirent *item;
	int r = 0;

	while (r == 0 && (errno = 0, item = readdir(d))) {
		_cleanup_free_ char *path = NULL;
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 || !is_dir(dirfd(d), item))
			continue;
		if (s->scan->worktrees == NESTED_WORKTREES) {
			s->scan->cut = true;
			return 0;
		}
		s->scan->worktrees++;
		r = asprintf(&path, "%s/worktrees/%s", s->top, item->d_name) < 0 ? -ENOMEM : s->found(s->arg, path, true);
	}
	return r == 0 && errno ? look_failed(s, errno) : r;
}

int worktrees_each(struct nested_scan *scan, const char *git, nested_found found, void *arg)
{
	struct search s = { .scan = scan, .top = git, .found = found, .arg = arg };

	s.fd = open(git, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = s.fd < 0 ? NULL : open_level(&s, "worktrees");
	int r = d ? read_worktrees(&s, d) : look_failed(&s, errno);
	if (d)
		closedir(d);
	fd_close(s.fd);
	return r;
}
