/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a layer into a list of changes. Theory of operation: changes.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/changes.h"
#include "overlay/content.h"
#include "overlay/executed.h"
#include "overlay/journal.h"
#include "overlay/lifted.h"
#include "overlay/tree.h"

/* One directory of the walk. */
struct place {
	struct changes *list;
	size_t root;
	int upper, lower; /* lower: -EBADF where the host has no directory */
	const char *path; /* "" at the top */
	unsigned depth;
	bool masked; /* the host's is hidden by an opaque directory here or above */
	struct timespec hidden; /* masked: since when */
	bool git;    /* looks like a git directory, whatever its name is */
	struct error *e;
};

static int scan_dir(const struct place *p);

static int too_much(const struct place *p, const char *what, const char *name)
{
	return fail(p->e, E2BIG, SANDBOX_STAGE_OVERLAY, p->path, "%s in %s/%s: %s", what,
		    p->list->layer->roots[p->root].path, p->path, name);
}

static int no_memory(const struct place *p)
{
	return fail(p->e, ENOMEM, SANDBOX_STAGE_INTERNAL, p->path, "out of memory");
}

static char *join(const struct place *p, const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s%s", p->path, *p->path ? "/" : "", name) < 0)
		return NULL;
	return path;
}

/* Takes nothing over; ret: the new one until the next is added. */
static int add(const struct place *p, enum change_kind kind, const char *name, const struct stat *now,
	       const struct stat *was, struct change **ret)
{
	struct changes *c = p->list;

	if (c->n == CHANGES_MAX)
		return too_much(p, "more than 1000000 changes", name);
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		struct change *more = reallocarray(c->v, cap, sizeof(*more));
		if (!more)
			return no_memory(p);
		c->v = more;
		c->cap = cap;
	}
	struct change *change = &c->v[c->n];
	*change = (struct change){ .kind = kind, .root = p->root, .path = join(p, name), .other = CHANGES_NO_OTHER,
				    .leader = CHANGES_NO_OTHER, .host = CHANGES_NO_OTHER };
	if (!change->path)
		return no_memory(p);
	c->n++;
	c->bytes += strlen(change->path);
	if (c->bytes > CHANGES_BYTES_MAX)
		return too_much(p, "more than 256 MiB of paths", name);
	if (now) {
		change->now = *now;
		change->from = change->to = now->st_ctim;
	}
	if (was)
		change->was = *was;
	*ret = change;
	return 0;
}

/* ---- changed by the host since ---- */

static bool is_after(struct timespec t, struct timespec since)
{
	/* A file system that keeps whole seconds: any moment of that second. */
	if (t.tv_nsec == 0)
		return t.tv_sec >= since.tv_sec;
	return t.tv_sec > since.tv_sec || (t.tv_sec == since.tv_sec && t.tv_nsec > since.tv_nsec);
}

/* 0 where the file system does not say. */
static struct timespec born(int dir, const char *name)
{
	struct statx st;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
		return (struct timespec){ 0 };
	return (struct timespec){ st.stx_btime.tv_sec, st.stx_btime.tv_nsec };
}

static bool born_after(int dir, const char *name, struct timespec since)
{
	struct timespec t = born(dir, name);

	return t.tv_sec != 0 && is_after(t, since);
}

static bool is_touched(const struct changes *c, size_t root, const char *path, int dir, const char *name,
		       const struct stat *st, unsigned depth)
{
	_cleanup_names_ struct names names = { 0 };
	const struct timespec since = c->layer->since;

	/* A mount of the host, which the overlay did not show. The files of an overlay have several devices. */
	if (!c->layer->call && st->st_dev != c->layer->roots[root].dev)
		return true;
	bool after = S_ISDIR(st->st_mode) ? born_after(dir, name, since) : is_after(st->st_ctim, since);
	if ((after && (!c->journal || !journal_has(c->journal, root, path, dir, name, st))) || depth > CHANGES_DEPTH_MAX)
		return true;
	if (!S_ISDIR(st->st_mode))
		return false;
	_cleanup_close_ int fd = tree_open(dir, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || names_read(fd, &names) < 0)
		return true;
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *below = NULL;
		struct stat sub;
		if (asprintf(&below, "%s/%s", path, names.v[i]) < 0 ||
		    fstatat(fd, names.v[i], &sub, AT_SYMLINK_NOFOLLOW) < 0 ||
		    is_touched(c, root, below, fd, names.v[i], &sub, depth + 1))
			return true;
	}
	return false;
}

bool changes_touched(const struct changes *c, size_t root, const char *path, int dir, const char *name,
		     const struct stat *st)
{
	return is_touched(c, root, path, dir, name, st, 0);
}

/* ---- one object ---- */

static bool same_link(const struct place *p, const char *name, char ret_target[PATH_MAX])
{
	char below[PATH_MAX];

	ssize_t n = readlinkat(p->upper, name, ret_target, PATH_MAX - 1);
	ret_target[n < 0 ? 0 : n] = '\0';
	ssize_t m = p->lower < 0 ? -1 : readlinkat(p->lower, name, below, sizeof(below));
	return n >= 0 && n == m && memcmp(ret_target, below, (size_t)n) == 0;
}

static void compare_files(const struct place *p, const char *name, const struct stat *now, const struct stat *was,
			  bool *ret_content, bool *ret_attr)
{
	_cleanup_close_ int a = tree_open(p->upper, name, O_RDONLY), b = tree_open(p->lower, name, O_RDONLY);

	/* Not even their owner may read them. A commit sets size and time to the nanosecond; and what a call made look
	 * equal is not committed either. */
	if (a == -EACCES && b == -EACCES) {
		*ret_content = *ret_attr = now->st_size == was->st_size && now->st_mtim.tv_sec == was->st_mtim.tv_sec &&
					   now->st_mtim.tv_nsec == was->st_mtim.tv_nsec;
		return;
	}
	*ret_attr = a >= 0 && b >= 0 && attr_equal(a, b);
	*ret_content = a >= 0 && b >= 0 && content_equal(a, b);
}

/* Not inlined: its buffers would be in every level of the walk. */
static __attribute__((noinline)) int add_file(const struct place *p, const char *name, const struct stat *now,
					      const struct stat *was)
{
	bool kept = was && (was->st_mode & S_IFMT) == (now->st_mode & S_IFMT), content = false, attr = true;
	char target[PATH_MAX] = "";
	struct change *change;

	if (S_ISLNK(now->st_mode))
		content = same_link(p, name, target) && kept;
	else if (kept && S_ISREG(now->st_mode))
		compare_files(p, name, now, was, &content, &attr);
	bool mode = S_ISLNK(now->st_mode) || (kept && ((now->st_mode ^ was->st_mode) & 07777) == 0);
	bool equal = kept && content && attr && mode;
	if (equal && (!S_ISREG(now->st_mode) || now->st_nlink == 1))
		return 0;
	/* The mode of a file with more names is replaced with the file, so that the others keep theirs. */
	bool in_place = content && attr && was && was->st_nlink == 1;
	enum change_kind kind = !was ? CHANGE_ADDED : !kept ? CHANGE_TYPE : in_place ? CHANGE_MODE : CHANGE_MODIFIED;
	int r = add(p, kind, name, now, was, &change);
	if (r < 0)
		return r;
	change->equal = equal;
	change->conflict = was && changes_touched(p->list, p->root, change->path, p->lower, name, was);
	const struct executed x = { .layer = p->list->layer, .root = p->root, .path = change->path, .mode = now->st_mode,
				    .target = target, .in_git = p->git };
	change->flags = executed_flags(&x) | executed_content(&x, p->upper, name);
	return 0;
}

/* mark: the whiteout, or NULL where an opaque directory hides it. Whiteouts are names of one file, as far as the kernel
 * can, whose ctime is that of the latest. */
static int add_deleted(const struct place *p, const char *name, const struct stat *was, const struct stat *mark)
{
	struct change *change;

	int r = add(p, CHANGE_DELETED, name, NULL, was, &change);
	if (r < 0)
		return r;
	change->masked = !mark;
	change->to = mark ? mark->st_ctim : p->hidden;
	change->from = !mark ? (struct timespec){ 0 } : mark->st_nlink > 1 ? born(p->upper, name) : mark->st_ctim;
	change->flags = EXECUTED_POLICY & executed_flags(&(struct executed){
						  .layer = p->list->layer, .root = p->root, .path = change->path,
						  .mode = was->st_mode, .target = "" });
	change->conflict = changes_touched(p->list, p->root, change->path, p->lower, name, was);
	return 0;
}

/* ---- directories ---- */

int changes_unlock(struct changes *c, size_t root, const char *path, const struct stat *st)
{
	/* A running sandbox sees its modes. */
	if (c->layer->in_use)
		return -EACCES;
	struct opened *more = reallocarray(c->opened, c->n_opened + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->opened = more;
	more[c->n_opened] = (struct opened){ root, strdup(path), st->st_mode & 07777 };
	if (!more[c->n_opened].path)
		return -ENOMEM;
	c->n_opened++;
	int r = lifted_note(c->layer, root, path, st->st_mode);
	_cleanup_close_ int place = r < 0 ? r : tree_open(c->upper[root], path, O_PATH | O_DIRECTORY);
	return place < 0 ? place : tree_chmod(place, (st->st_mode & 07777) | 0700);
}

/* Open one in the layer; a mode that keeps its owner out is set aside. */
static int open_upper(const struct place *p, const char *name, const struct stat *st)
{
	if ((st->st_mode & 0500) != 0500 && geteuid() != 0) {
		_cleanup_free_ char *path = join(p, name);
		int r = path ? changes_unlock(p->list, p->root, path, st) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return tree_open(p->upper, name, O_RDONLY | O_DIRECTORY);
}

static int add_opaque(const struct place *p, const char *path)
{
	struct changes *c = p->list;
	struct opaque *more = reallocarray(c->opaque, c->n_opaque + 1, sizeof(*more));

	if (!more)
		return no_memory(p);
	c->opaque = more;
	more[c->n_opaque] = (struct opaque){ p->root, strdup(path) };
	return more[c->n_opaque].path ? (c->n_opaque++, 0) : no_memory(p);
}

static int add_dir(const struct place *p, const char *name, const struct stat *now, const struct stat *was)
{
	_cleanup_close_ int upper = open_upper(p, name, now);
	/* A mount of the host there is not what the overlay showed: then the directory is a conflict. */
	bool both = was && S_ISDIR(was->st_mode) &&
		    (p->list->layer->call || was->st_dev == p->list->layer->roots[p->root].dev);
	_cleanup_close_ int lower = both ? tree_open(p->lower, name, O_RDONLY | O_DIRECTORY) : -EBADF;
	struct change *change = NULL;
	int r = 0;

	if (upper < 0)
		return fail_errno(p->e, -upper, SANDBOX_STAGE_OVERLAY, name, "cannot read %s%s%s in the layer", p->path,
				  *p->path ? "/" : "", name);
	if (both && lower < 0)
		return fail_errno(p->e, -lower, SANDBOX_STAGE_OVERLAY, name, "cannot read %s/%s/%s",
				  p->list->layer->roots[p->root].path, p->path, name);
	if (attr_is_foreign(upper))
		return fail(p->e, EPROTO, SANDBOX_STAGE_OVERLAY, name, "%s in the layer has a mark that nsbox does not make",
			    name);
	if (p->depth == CHANGES_DEPTH_MAX)
		return too_much(p, "more than 200 directories in one another", name);
	if (lower < 0)
		r = add(p, was ? CHANGE_TYPE : CHANGE_ADDED, name, now, was, &change);
	else if (((now->st_mode ^ was->st_mode) & 07777) || !attr_equal(upper, lower))
		r = add(p, CHANGE_MODE, name, now, was, &change);
	if (r < 0)
		return r;
	/* What comes into it stamps it too. */
	if (change)
		change->from = born(p->upper, name);
	if (change && change->kind == CHANGE_TYPE)
		change->conflict = changes_touched(p->list, p->root, change->path, p->lower, name, was);
	_cleanup_free_ char *path = join(p, name);
	if (!path)
		return no_memory(p);
	if (strlen(path) > CHANGES_PATH_MAX)
		return too_much(p, "a path of more than 4095 bytes", name);
	bool opaque = attr_is_opaque(upper);
	r = opaque ? add_opaque(p, path) : 0;
	struct place sub = { p->list, p->root, upper, lower, path, p->depth + 1, p->masked || opaque,
			     opaque && !p->masked ? born(p->upper, name) : p->hidden, false, p->e };
	size_t before = p->list->n;
	if (r == 0)
		r = scan_dir(&sub);
	/* The list may have moved. An added directory is told by what is in it. */
	if (r == 0 && change && lower < 0 && !was && p->list->n > before)
		p->list->v[before - 1].implied = true;
	return r;
}

static int scan_one(const struct place *p, const char *name)
{
	struct stat now, was;

	if (fstatat(p->upper, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_errno(p->e, errno, SANDBOX_STAGE_OVERLAY, name, "cannot examine %s", name);
	bool below = p->lower >= 0 && fstatat(p->lower, name, &was, AT_SYMLINK_NOFOLLOW) == 0;
	if (S_ISCHR(now.st_mode) && now.st_rdev == 0)
		return below ? add_deleted(p, name, &was, &now) : 0;
	if (S_ISDIR(now.st_mode))
		return add_dir(p, name, &now, below ? &was : NULL);
	return add_file(p, name, &now, below ? &was : NULL);
}

static bool has_name(const struct names *names, const char *name)
{
	size_t low = 0, high = names->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = strcmp(name, names->v[mid]);
		if (r == 0)
			return true;
		if (r < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

/* What git takes for a repository: there its config and hooks are run. */
static bool is_git_dir(const struct place *p, const struct names *upper)
{
	bool head = has_name(upper, "HEAD") || (p->lower >= 0 && faccessat(p->lower, "HEAD", F_OK, AT_SYMLINK_NOFOLLOW) == 0);

	return head && (has_name(upper, "objects") || has_name(upper, "refs") || has_name(upper, "commondir") ||
			(p->lower >= 0 && (faccessat(p->lower, "objects", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
					   faccessat(p->lower, "commondir", F_OK, AT_SYMLINK_NOFOLLOW) == 0)));
}

static int scan_dir(const struct place *given)
{
	_cleanup_names_ struct names upper = { 0 }, lower = { 0 };
	struct place p = *given;

	int r = names_read(p.upper, &upper);
	if (r == 0 && p.masked && p.lower >= 0)
		r = names_read(p.lower, &lower);
	if (r < 0)
		return fail_errno(p.e, -r, SANDBOX_STAGE_OVERLAY, p.path, "cannot list %s/%s",
				  p.list->layer->roots[p.root].path, p.path);
	p.git = is_git_dir(&p, &upper);
	/* Both in the order of their names. */
	for (size_t u = 0, l = 0; (u < upper.n || l < lower.n) && r == 0;) {
		int order = u == upper.n ? 1 : l == lower.n ? -1 : strcmp(upper.v[u], lower.v[l]);
		struct stat was;
		if (order <= 0)
			r = scan_one(&p, upper.v[u++]);
		else if (fstatat(p.lower, lower.v[l], &was, AT_SYMLINK_NOFOLLOW) == 0)
			r = add_deleted(&p, lower.v[l], &was, NULL);
		l += order >= 0;
	}
	return r;
}

int changes_scan(const struct layer *layer, struct changes *ret, struct error *e)
{
	struct changes c = { .layer = layer };
	int r = 0;

	for (size_t i = 0; i < LAYER_ROOTS_MAX; i++)
		c.upper[i] = c.lower[i] = -EBADF;
	for (size_t i = 0; i < layer->n_roots && r == 0; i++) {
		c.upper[i] = layer_upper(layer, i, e);
		c.lower[i] = c.upper[i] < 0 ? -EBADF : layer_lower(layer, i, e);
		r = c.upper[i] < 0 ? c.upper[i] : c.lower[i] < 0 ? c.lower[i] : 0;
	}
	if (r == 0 && layer->call && (r = journal_load(layer, &c.journal)) < 0)
		fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, layer->id, "cannot read what the merging began with");
	if (r == 0 && !layer->in_use && (r = lifted_restore(layer, c.upper)) < 0)
		fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, layer->id, "cannot restore modes in the layer");
	for (size_t i = 0; i < layer->n_roots && r == 0; i++)
		r = scan_dir(&(struct place){ &c, i, c.upper[i], c.lower[i], "", 0, false, { 0 }, false, e });
	if (r == 0 && (r = changes_find_hidden(&c)) < 0)
		fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, layer->id, "cannot tell what was hidden from sandbox %s", layer->id);
	if (r == 0 && ((r = changes_settle_links(&c)) < 0 || (r = changes_find_renames(&c)) < 0))
		fail(e, -r, SANDBOX_STAGE_INTERNAL, layer->id, "out of memory");
	if (r < 0)
		changes_free(&c);
	else
		*ret = c;
	return r;
}

/* Deepest first, since the mode of a directory keeps us out of what is in it. */
static void close_again(struct changes *c)
{
	bool lifted = c->n_opened > 0;

	while (c->n_opened > 0) {
		struct opened *o = &c->opened[--c->n_opened];
		_cleanup_close_ int place = tree_open(c->upper[o->root], o->path, O_PATH);
		if (place >= 0)
			tree_chmod(place, o->mode);
		free(o->path);
	}
	free(c->opened);
	if (lifted)
		lifted_forget(c->layer);
}

void changes_free(struct changes *c)
{
	close_again(c);
	for (size_t i = 0; i < c->n; i++)
		free(c->v[i].path);
	free(c->v);
	for (size_t i = 0; i < c->n_hosts; i++)
		free(c->hosts[i]);
	free(c->hosts);
	for (size_t i = 0; i < c->n_opaque; i++)
		free(c->opaque[i].path);
	free(c->opaque);
	journal_free(c->journal);
	for (size_t i = 0; c->layer && i < LAYER_ROOTS_MAX; i++) {
		fd_close(c->upper[i]);
		fd_close(c->lower[i]);
	}
	*c = (struct changes){ 0 };
}

bool change_is_below(const struct change *c, const struct change *dir)
{
	size_t n = strlen(dir->path);

	return c->root == dir->root && strncmp(c->path, dir->path, n) == 0 && c->path[n] == '/';
}

size_t changes_count(const struct changes *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += !c->v[i].implied;
	return n;
}
