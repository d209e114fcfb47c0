/* SPDX-License-Identifier: Apache-2.0 */
/* Putting staged files in their places. Theory of operation: commit.h. */
#include "overlay/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/digest.h"
#include "overlay/executed.h"
#include "overlay/journal.h"
#include "overlay/stage.h"
#include "overlay/temporary.h"
#include "overlay/tree.h"

/* Directories of the host that were made writable for the commit. */
struct lifted {
	size_t root;
	char *path;
	mode_t mode;
};

struct commit {
	struct changes *c;
	struct staging staging;
	struct lifted *lifted;
	size_t n_lifted, n_done;
	struct error *e;
};

/* A name in a directory. */
struct entry {
	int dir;
	const char *name;
};

#define REFUSALS_SHOWN 5u

static const char *refusal(const struct layer *l, const struct change *change, bool accept)
{
	if (change->conflict)
		return l->call ? "was changed in the sandbox since" :
				 "was changed on the host after the sandbox began";
	if (change->flags & CHANGE_SPECIAL)
		return "is no file, directory or link, and cannot be committed: discard it";
	if (change->flags & CHANGE_HIDDEN)
		return "is hidden from the sandbox, or has what is in it, and the host's is left as it is: discard this";
	if ((change->flags & EXECUTED_ALL) && !accept)
		return "is a file that the host would execute, or that decides what it executes";
	return NULL;
}

int commit_check(const struct changes *c, bool accept, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };
	const struct change *first = NULL;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		const char *why = c->v[i].selected ? refusal(c->layer, &c->v[i], accept) : NULL;
		if (!why)
			continue;
		first = first ? first : &c->v[i];
		if (n++ < REFUSALS_SHOWN)
			r = buf_printf(&b, "%s%s %s", b.len ? "; " : "", c->v[i].path, why);
	}
	if (n == 0)
		return r;
	if (n > REFUSALS_SHOWN && r == 0)
		r = buf_printf(&b, "; and %zu more", n - REFUSALS_SHOWN);
	const char *text = r == 0 ? buf_str(&b) : NULL;
	return fail(e, first->conflict ? EEXIST : EPERM, SANDBOX_STAGE_OVERLAY, first->path, "nothing was committed: %s%s",
		    text ? text : "out of memory",
		    !accept && (first->flags & EXECUTED_ALL) && !first->conflict ?
			    " (look at it with nsbox diff --patch, then commit with --accept-executable)" : "");
}

static int conflict(const struct commit *m, const struct change *change)
{
	return fail(m->e, EEXIST, SANDBOX_STAGE_OVERLAY, change->path,
		    "%s was changed %s just now, and is left as it is; %zu changes were committed, the others are kept in the "
		    "layer",
		    change->path, m->c->layer->call ? "in the sandbox" : "on the host", m->n_done);
}

/* ---- one rename ---- */

static int lift(struct commit *m, const struct change *change, int dir)
{
	const char *slash = strrchr(change->path, '/');
	struct stat st;

	if (fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0300) == 0300)
		return -EACCES;
	struct lifted *more = reallocarray(m->lifted, m->n_lifted + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	m->lifted = more;
	more[m->n_lifted] = (struct lifted){ change->root, slash ? strndup(change->path, (size_t)(slash - change->path)) :
								  strdup(""), st.st_mode & 07777 };
	if (!more[m->n_lifted].path)
		return -ENOMEM;
	m->n_lifted++;
	return tree_chmod(dir, (st.st_mode & 07777) | 0700);
}

/* Between the place, in dir, and where it is staged, whichever way; a directory without write permission gets it for
 * the time. */
static int move(struct commit *m, const struct change *change, int dir, struct entry from, struct entry to,
		unsigned flags)
{
	if (renameat2(from.dir, from.name, to.dir, to.name, flags) == 0)
		return 0;
	if (errno != EACCES)
		return -errno;
	int r = lift(m, change, dir);
	/* What is moved may be a directory that its owner may not change. */
	if (r == -EACCES && from.dir == dir) {
		_cleanup_close_ int place = tree_open(from.dir, from.name, O_PATH | O_DIRECTORY);
		r = place < 0 ? -EACCES : tree_chmod(place, 0700);
	}
	if (r < 0)
		return r;
	return renameat2(from.dir, from.name, to.dir, to.name, flags) < 0 ? -errno : 0;
}

/* The host's is still what the list was made from. moved: renaming sets ctime, so that says nothing any more; neither
 * does it for a file of several names, of which another one may just have been committed. */
static bool is_same(const struct commit *m, const struct change *change, struct entry at, bool moved)
{
	const struct stat *was = &change->was;
	struct stat st;

	if (fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0 || ((st.st_mode ^ was->st_mode) & S_IFMT) ||
	    (!m->c->layer->call && (st.st_dev != was->st_dev || st.st_ino != was->st_ino)))
		return false;
	if (S_ISDIR(st.st_mode))
		return !changes_touched(m->c, change->root, change->path, at.dir, at.name, &st);
	return st.st_mode == was->st_mode && st.st_size == was->st_size && st.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	       st.st_mtim.tv_nsec == was->st_mtim.tv_nsec &&
	       (moved || was->st_nlink > 1 ||
		(st.st_ctim.tv_sec == was->st_ctim.tv_sec && st.st_ctim.tv_nsec == was->st_ctim.tv_nsec));
}

static int place_new(struct commit *m, const struct change *change, struct entry at, struct entry staged)
{
	struct stat st;

	int r = move(m, change, at.dir, staged, at, RENAME_NOREPLACE);
	/* Made by the host meanwhile, or by a commit that was killed. */
	if (r == -EEXIST && S_ISDIR(change->now.st_mode) && fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode))
		return 0;
	return r == -EEXIST ? conflict(m, change) : r;
}

static int replace(struct commit *m, const struct change *change, struct entry at, struct entry staged)
{
	if (!is_same(m, change, at, false))
		return conflict(m, change);
	int r = move(m, change, at.dir, at, staged, RENAME_EXCHANGE);
	if (r == -EXDEV && m->c->layer->call) {
		m->c->begun = true;
		r = tree_remove(at.dir, at.name);
		return r < 0 ? r : place_new(m, change, at, staged);
	}
	if (r < 0 || is_same(m, change, staged, true))
		return r;
	/* Written in the instant between: back with it. */
	if (renameat2(at.dir, at.name, staged.dir, staged.name, RENAME_EXCHANGE) < 0)
		return -errno;
	return conflict(m, change);
}

static int take_away(struct commit *m, const struct change *change, struct entry at, struct entry staged)
{
	if (!is_same(m, change, at, false))
		return conflict(m, change);
	int r = move(m, change, at.dir, at, staged, RENAME_NOREPLACE);
	if (r == -EXDEV && m->c->layer->call) {
		m->c->begun = true;
		return tree_remove(at.dir, at.name);
	}
	if (r < 0 || is_same(m, change, staged, true))
		return r;
	if (renameat2(staged.dir, staged.name, at.dir, at.name, RENAME_NOREPLACE) < 0)
		return -errno;
	return conflict(m, change);
}

static int set_mode(const struct commit *m, const struct change *change)
{
	struct stat st;

	if (S_ISDIR(change->now.st_mode)) {
		_cleanup_close_ int to = tree_open(m->c->lower[change->root], change->path, O_RDONLY | O_DIRECTORY);
		_cleanup_close_ int from = tree_open(m->c->upper[change->root], change->path, O_RDONLY | O_DIRECTORY);
		/* The mode comes last, since it may forbid what is still to be done in it. */
		return to < 0 ? to : from < 0 ? from : attr_copy(from, to);
	}
	_cleanup_close_ int place = tree_open(m->c->lower[change->root], change->path, O_PATH);
	if (place < 0 || fstat(place, &st) < 0)
		return place < 0 ? place : -errno;
	if ((!m->c->layer->call && st.st_ino != change->was.st_ino) || st.st_mode != change->was.st_mode)
		return conflict(m, change);
	return tree_chmod(place, change->now.st_mode & 07777);
}

static int apply_at(struct commit *m, const struct change *change, struct entry at, struct entry staged)
{
	if (change->kind == CHANGE_DELETED)
		return take_away(m, change, at, staged);
	if (change->kind == CHANGE_ADDED || change->kind == CHANGE_RENAMED)
		return place_new(m, change, at, staged);
	return replace(m, change, at, staged);
}

/* In a working state. */
static int apply_running(struct commit *m, size_t i, struct entry at)
{
	const struct change *change = &m->c->v[i];
	char name[TEMPORARY_NAME_MAX];

	int r = temporary_name(m->c, change, name);
	if (r < 0)
		return r;
	if (change->kind != CHANGE_DELETED) {
		r = temporary_make(&m->staging, i, at.dir, name);
		if (r == -EACCES && (r = lift(m, change, at.dir)) == 0)
			r = temporary_make(&m->staging, i, at.dir, name);
	}
	if (r == 0)
		r = apply_at(m, change, at, (struct entry){ at.dir, name });
	int k = tree_remove(at.dir, name);
	if (r == 0 && change->kind != CHANGE_DELETED)
		stage_drop(&m->staging, i);
	return r < 0 ? r : k;
}

static int apply_one(struct commit *m, size_t i)
{
	const struct change *change = &m->c->v[i];
	int staging = m->staging.dir[change->root];
	char staged[STAGED_NAME_MAX];
	struct entry at;

	if (change->kind == CHANGE_MODE)
		return set_mode(m, change);
	_cleanup_close_ int dir = at.dir = tree_open_parent(m->c->lower[change->root], change->path, &at.name);
	if (dir < 0)
		return dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP || dir == -EXDEV ? conflict(m, change) : dir;
	if (m->c->layer->call)
		return apply_running(m, i, at);
	staged_name(i, staged);
	const struct change *leader = change->leader != CHANGES_NO_OTHER ? &m->c->v[change->leader] : NULL;
	if (leader && leader->kind == CHANGE_MODE) {
		int r = stage_link_host(m->c, change, leader->path, staging, staged);
		if (r < 0)
			return r;
	}
	return apply_at(m, change, at, (struct entry){ staging, staged });
}

/* ---- all of them ---- */

/* Modes of files, to which others may be linked; what is new; and nothing is taken away before what it may have become
 * is there. */
enum pass { PASS_MODES, PASS_NEW, PASS_DELETED, _PASS_MAX };

static enum pass pass_of(const struct change *change)
{
	if (change->kind == CHANGE_DELETED)
		return PASS_DELETED;
	return change->kind == CHANGE_MODE && !S_ISDIR(change->now.st_mode) ? PASS_MODES : PASS_NEW;
}

static int apply_pass(struct commit *m, enum pass pass)
{
	struct error before = *m->e;

	for (size_t i = 0; i < m->c->n; i++) {
		const struct change *change = &m->c->v[i];
		if (!change->selected || pass_of(change) != pass)
			continue;
		int r = apply_one(m, i);
		/* A conflict was left, or put back, as it was. */
		m->c->begun |= r != -EEXIST;
		if (r < 0 && memcmp(&before, m->e, sizeof(before)) == 0)
			fail_errno(m->e, -r, SANDBOX_STAGE_OVERLAY, change->path,
				   "cannot commit %s; %zu changes were committed, the others are kept in the layer", change->path,
				   m->n_done);
		if (r < 0)
			return r;
		m->n_done++;
	}
	return 0;
}

/* What was lifted gets its mode back; then the modes and times of committed directories, the inner ones first. */
static int finish_dirs(struct commit *m, bool all)
{
	int r = 0;

	while (m->n_lifted > 0) {
		struct lifted *l = &m->lifted[--m->n_lifted];
		_cleanup_close_ int place = tree_open(m->c->lower[l->root], l->path, O_PATH | O_DIRECTORY);
		if (place >= 0)
			tree_chmod(place, l->mode);
		free(l->path);
	}
	free(m->lifted);
	for (size_t i = m->c->n; i-- > 0 && all && r == 0;) {
		const struct change *change = &m->c->v[i];
		if (!change->selected || !S_ISDIR(change->now.st_mode))
			continue;
		const struct timespec times[2] = { change->now.st_atim, change->now.st_mtim };
		_cleanup_close_ int dir = tree_open(m->c->lower[change->root], change->path, O_RDONLY | O_DIRECTORY);
		if (dir >= 0 && change->kind != CHANGE_MODE)
			(void)futimens(dir, times);
		if (dir < 0 || fchmod(dir, change->now.st_mode & 07777) < 0)
			r = fail_errno(m->e, dir < 0 ? -dir : errno, SANDBOX_STAGE_OVERLAY, change->path,
				       "cannot set the mode of %s", change->path);
	}
	return r;
}

static int sync_roots(const struct commit *m)
{
	for (size_t i = 0; i < m->c->layer->n_roots; i++) {
		if (m->staging.dir[i] >= 0 && syncfs(m->c->lower[i]) < 0)
			return fail_errno(m->e, errno, SANDBOX_STAGE_OVERLAY, m->c->layer->roots[i].path,
					  "cannot write to the disk; the changes are kept in the layer too");
	}
	return 0;
}

int commit_apply(struct changes *c, const char *digest, struct error *e)
{
	struct error failure = { 0 };
	struct commit m = { .c = c, .e = &failure };

	bool begins = c->layer->call && !c->journal;
	int r = stage_open(c, &m.staging, &failure);
	if (r == 0)
		r = stage_all(&m.staging, &failure);
	/* Of what was staged, which nobody else has a hand on. */
	if (r == 0 && digest)
		r = changes_digest_check(c, &m.staging, digest, &failure);
	if (r == 0 && begins)
		r = journal_begin(c, &m.staging, digest, &failure);
	for (enum pass pass = PASS_MODES; pass < _PASS_MAX && r == 0; pass++)
		r = apply_pass(&m, pass);
	int finished = finish_dirs(&m, r == 0);
	if (r == 0)
		r = finished;
	if (r == 0)
		r = sync_roots(&m);
	stage_close(&m.staging);
	if (c->layer->call)
		temporary_clean(c);
	if (r < 0 && begins && !c->begun)
		journal_remove(c->layer);
	if (r < 0 && e)
		*e = failure;
	return r;
}

void commit_clean(const struct changes *c)
{
	for (size_t i = 0; i < c->layer->n_roots; i++)
		stage_remove(c, i);
	if (c->layer->call)
		temporary_clean(c);
}
