/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hide = with a pattern: what is there when the policy is read, found by a walk with bounds. `*`, `?` and `[...]` are those
 * of fnmatch(3) within a name, a dot in front included; `**` is any number of directories.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/internal.h"

#define SCAN_MAX 200000u /* names looked at for one pattern: about half a second */
#define FOUND_MAX 512u	 /* each is a mount */
#define DEPTH_MAX 128u	 /* each is an open directory */
#define PARTS_MAX 32u

struct scan {
	struct policy *p;
	const struct raw_path *raw;
	const char *parts[PARTS_MAX];
	size_t n_parts, seen;
	struct found found;
	const char *tree; /* where links may lead */
};

bool is_pattern(const char *path)
{
	return path[strcspn(path, "*?[")] != '\0';
}

static int too_much(const struct scan *s, const char *dir, const char *what, unsigned limit, struct error *e)
{
	return fail(e, E2BIG, SANDBOX_STAGE_POLICY, dir,
		    "%s: hide = %s: more than %u %s (at %s): name a directory further down, or hide directories as a whole",
		    s->raw->origin, s->raw->text, limit, what, dir);
}

/*
 * A command of an earlier run may have planted the link, so that the next one is without its workspace, its compiler or
 * the user's settings: through a link a file of the same tree is hidden, and nothing else.
 */
bool hides_too_much(const char *path, const struct object *at, const char *tree)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && (at->is_dir || !path_below(at->path, tree));
}

int hide_found(struct policy *p, const struct raw_path *raw, const char *path, const char *tree, struct found *found,
	       struct error *e)
{
	_cleanup_object_ struct object at = { 0 };

	/* A link: what it leads to is what could be read; -EXDEV: in /proc, of which no sandbox sees the host's. */
	int r = resolve_path(path, &at, e);
	if (r < 0)
		return is_unreachable(r) || r == -EXDEV ? 0 : r;
	if (hides_too_much(path, &at, tree)) {
		if (!found->warned)
			warn(p, "%s: hide = %s: %s is a link to %s, which is not hidden for it: name that itself if it is meant",
			     raw->origin, raw->text, path, at.path);
		found->warned = true;
		return 0;
	}
	if (found->n == found->max) {
		found->cut = true;
		return 0;
	}
	found->n++;
	return add_object(p, PATH_HIDE, &at, path, raw->origin, e);
}

int hide_closed(struct policy *p, const struct raw_path *raw, const char *path, struct found *found, struct error *e)
{
	_cleanup_object_ struct object at = { 0 };

	int r = resolve_path(path, &at, e);
	if (r < 0)
		return is_unreachable(r) ? 0 : r;
	if (!found->closed)
		warn(p, "%s: hide = %s: %s is closed to its owner, so that all of it is hidden: chmod u+rx opens it", raw->origin,
		     raw->text, path);
	found->closed = true;
	if (found->n == found->max) {
		found->cut = true;
		return 0;
	}
	found->n++;
	return add_object(p, PATH_HIDE, &at, path, raw->origin, e);
}

static int add_found(struct scan *s, const char *path, struct error *e)
{
	int r = hide_found(s->p, s->raw, path, s->tree, &s->found, e);

	return r == 0 && s->found.cut ? too_much(s, path, "paths match", FOUND_MAX, e) : r;
}

static int walk(struct scan *s, int parent, const char *name, const char *path, size_t part, unsigned depth, struct error *e);

static int visit(struct scan *s, int dir, const struct dirent *item, const char *path, size_t part, unsigned depth,
		 struct error *e)
{
	_cleanup_free_ char *below = NULL;
	bool deep = strcmp(s->parts[part], "**") == 0;
	size_t wanted = part + deep;
	bool matches = fnmatch(s->parts[wanted], item->d_name, 0) == 0, last = wanted + 1 == s->n_parts;
	/* Not through links: they lead to what is elsewhere in the walk, or out of it. */
	bool is_dir = item->d_type == DT_DIR;
	struct stat st;

	if (item->d_type == DT_UNKNOWN)
		is_dir = fstatat(dir, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
	if (!(matches && last) && !(is_dir && (matches || deep)))
		return 0;
	if (asprintf(&below, "%s/%s", path, item->d_name) < 0)
		return out_of_memory(e);
	if (matches && last)
		return add_found(s, below, e);
	int r = matches ? walk(s, dir, item->d_name, below, wanted + 1, depth + 1, e) : 0;
	return r == 0 && deep ? walk(s, dir, item->d_name, below, part, depth + 1, e) : r;
}

static int walk(struct scan *s, int parent, const char *name, const char *path, size_t part, unsigned depth, struct error *e)
{
	struct dirent *item;
	struct stat st;
	int r = 0;

	if (depth > DEPTH_MAX)
		return too_much(s, path, "directories in one another", DEPTH_MAX, e);
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_closed(&st)) {
		r = hide_closed(s->p, s->raw, *path ? path : "/", &s->found, e);
		return r == 0 && s->found.cut ? too_much(s, path, "paths match", FOUND_MAX, e) : r;
	}
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int err = errno;
		if (fd >= 0)
			close(fd);
		/* Gone, or closed to us by somebody else. */
		return err == ENOENT || err == EACCES || err == ENOTDIR || err == ELOOP ?
			       0 :
			       fail_errno(e, err, SANDBOX_STAGE_POLICY, path, "%s: hide = %s: cannot look into %s",
					  s->raw->origin, s->raw->text, path);
	}
	while (r == 0 && (errno = 0, item = readdir(dir))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		r = s->seen++ < SCAN_MAX ? visit(s, fd, item, path, part, depth, e) :
					   too_much(s, path, "names to look at", SCAN_MAX, e);
	}
	if (r == 0 && errno)
		r = fail_errno(e, errno, SANDBOX_STAGE_POLICY, path, "%s: hide = %s: cannot read %s", s->raw->origin,
			       s->raw->text, path);
	closedir(dir);
	return r;
}

static int bad_pattern(const struct scan *s, const char *what, struct error *e)
{
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, s->raw->text, "%s: hide = %s: %s", s->raw->origin, s->raw->text, what);
}

int hide_matching(struct policy *p, const struct raw_path *raw, const char *given, struct error *e)
{
	struct scan s = { .p = p, .raw = raw, .found.max = FOUND_MAX };
	_cleanup_free_ char *text = strdup(given);
	_cleanup_object_ struct object base = { 0 };
	struct error why;
	char *rest = NULL;

	if (!text)
		return out_of_memory(e);
	/* The directory before the first part that is a pattern. */
	char *slash = text + strcspn(text, "*?[");
	while (*slash != '/')
		slash--;
	*slash = '\0';
	for (char *part = strtok_r(slash + 1, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		if (s.n_parts == PARTS_MAX)
			return bad_pattern(&s, "more than 32 parts of a pattern", e);
		if (strcmp(part, "..") == 0 || (strstr(part, "**") && strcmp(part, "**") != 0))
			return bad_pattern(&s, "'..' and '**' within a name are not accepted; as in **/.env* or conf/*.pem", e);
		if (s.n_parts && strcmp(part, "**") == 0 && strcmp(s.parts[s.n_parts - 1], "**") == 0)
			continue;
		s.parts[s.n_parts++] = part;
	}
	if (strcmp(s.parts[s.n_parts - 1], "**") == 0)
		return bad_pattern(&s, "a pattern cannot end in '**': hide the directory itself", e);
	int r = resolve_path(*text ? text : "/", &base, &why);
	if (r < 0 && raw->optional)
		return 0;
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_POLICY, text, "%s: hide = %s: the directory must exist: %s", raw->origin,
			    raw->text, why.message);
	s.tree = path_below(base.path, p->workdir) ? p->workdir : base.path;
	return walk(&s, AT_FDCWD, base.path, strcmp(base.path, "/") == 0 ? "" : base.path, 0, 0, e);
}
