/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renames. The kernel has none to tell of: a file is copied up under its new name and its old one whited out, and
 * renaming a directory of the host is EXDEV, so programs copy and delete. A deletion and an addition of equal content
 * are shown as a rename; for commit they stay two halves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/changes.h"
#include "overlay/content.h"
#include "overlay/tree.h"

/* Bounds on looking for partners; beyond them a rename is shown as its halves. */
#define SAME_SIZE_MAX 32u
#define DIRS_MAX 256u
#define LOOKS_MAX 4000000u

struct by_size {
	uint64_t size;
	size_t at;
};

static int compare_size(const void *pa, const void *pb)
{
	const struct by_size *a = pa, *b = pb;

	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

/* Not inlined: its buffers would be in every level of the walk. */
static __attribute__((noinline)) bool equal_links(int a, const char *name_a, int b, const char *name_b)
{
	char ta[4096], tb[4096];
	ssize_t na = readlinkat(a, name_a, ta, sizeof(ta)), nb = readlinkat(b, name_b, tb, sizeof(tb));

	return na >= 0 && na == nb && memcmp(ta, tb, (size_t)na) == 0;
}

static bool equal_trees(int upper, int lower, unsigned depth);

static bool equal_objects(int upper, const char *upper_name, int lower, const char *lower_name, unsigned depth)
{
	struct stat a, b;

	if (fstatat(upper, upper_name, &a, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(lower, lower_name, &b, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (a.st_mode & S_IFMT) != (b.st_mode & S_IFMT))
		return false;
	if (S_ISLNK(a.st_mode))
		return equal_links(upper, upper_name, lower, lower_name);
	if (!S_ISDIR(a.st_mode) && (!S_ISREG(a.st_mode) || a.st_size != b.st_size))
		return false;
	int flags = O_RDONLY | (S_ISDIR(a.st_mode) ? O_DIRECTORY : 0);
	_cleanup_close_ int fa = tree_open(upper, upper_name, flags), fb = tree_open(lower, lower_name, flags);
	if (fa < 0 || fb < 0)
		return false;
	return S_ISDIR(a.st_mode) ? equal_trees(fa, fb, depth + 1) : content_equal(fa, fb);
}

static bool equal_trees(int upper, int lower, unsigned depth)
{
	_cleanup_names_ struct names a = { 0 }, b = { 0 };

	if (depth > CHANGES_DEPTH_MAX || names_read(upper, &a) < 0 || names_read(lower, &b) < 0 || a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (strcmp(a.v[i], b.v[i]) != 0)
			return false;
	}
	for (size_t i = 0; i < a.n; i++) {
		if (!equal_objects(upper, a.v[i], lower, b.v[i], depth))
			return false;
	}
	return true;
}

static void pair(struct changes *c, size_t deleted, size_t added)
{
	struct change *from = &c->v[deleted], *to = &c->v[added];

	from->implied = true;
	from->other = added;
	to->kind = CHANGE_RENAMED;
	to->implied = false;
	to->other = deleted;
	/* A directory is told with what is in it. */
	for (size_t i = added + 1; S_ISDIR(to->now.st_mode) && i < c->n && change_is_below(&c->v[i], to); i++) {
		c->v[i].implied = c->v[i].inside = true;
		to->flags |= c->v[i].flags;
	}
}

static bool may_pair(const struct change *deleted, const struct change *added)
{
	return deleted->root == added->root && deleted->other == CHANGES_NO_OTHER && added->kind == CHANGE_ADDED &&
	       !added->inside &&
	       (deleted->was.st_mode & S_IFMT) == (added->now.st_mode & S_IFMT);
}

static bool are_equal(const struct changes *c, const struct change *deleted, const struct change *added)
{
	return equal_objects(c->upper[added->root], added->path, c->lower[deleted->root], deleted->path, 0);
}

static void find_dirs(struct changes *c)
{
	size_t looked = 0, compared = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].kind != CHANGE_DELETED || !S_ISDIR(c->v[i].was.st_mode))
			continue;
		for (size_t k = 0; k < c->n && compared < DIRS_MAX && looked < LOOKS_MAX; k++, looked++) {
			if (!may_pair(&c->v[i], &c->v[k]) || k + 1 == c->n || !change_is_below(&c->v[k + 1], &c->v[k]))
				continue;
			compared++;
			if (are_equal(c, &c->v[i], &c->v[k])) {
				pair(c, i, k);
				break;
			}
		}
	}
}

static bool same_name(const struct change *a, const struct change *b)
{
	const char *sa = strrchr(a->path, '/'), *sb = strrchr(b->path, '/');

	return strcmp(sa ? sa + 1 : a->path, sb ? sb + 1 : b->path) == 0;
}

/* The added file of this size and content, preferably of the same name; CHANGES_NO_OTHER when there is none. */
static size_t partner(const struct changes *c, const struct change *deleted, const struct by_size *added, size_t n)
{
	size_t low = 0, high = n, tried = 0, found = CHANGES_NO_OTHER;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (added[mid].size < (uint64_t)deleted->was.st_size)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < n && added[low].size == (uint64_t)deleted->was.st_size && tried < SAME_SIZE_MAX; low++) {
		const struct change *to = &c->v[added[low].at];
		if (!may_pair(deleted, to) || (found != CHANGES_NO_OTHER && !same_name(deleted, to)))
			continue;
		tried++;
		if (!are_equal(c, deleted, to))
			continue;
		found = added[low].at;
		if (same_name(deleted, to))
			break;
	}
	return found;
}

int changes_find_renames(struct changes *c)
{
	_cleanup_free_ struct by_size *added = calloc(c->n ? c->n : 1, sizeof(*added));
	size_t n = 0;

	if (!added)
		return -ENOMEM;
	find_dirs(c);
	/* Nothing is learned from empty files. */
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].kind == CHANGE_ADDED && !S_ISDIR(c->v[i].now.st_mode) && c->v[i].now.st_size > 0)
			added[n++] = (struct by_size){ (uint64_t)c->v[i].now.st_size, i };
	}
	qsort(added, n, sizeof(*added), compare_size);
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].kind != CHANGE_DELETED || S_ISDIR(c->v[i].was.st_mode) || c->v[i].was.st_size == 0)
			continue;
		size_t k = partner(c, &c->v[i], added, n);
		if (k != CHANGES_NO_OTHER)
			pair(c, i, k);
	}
	return 0;
}
