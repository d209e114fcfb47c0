/* SPDX-License-Identifier: Apache-2.0 */
/* Making, opening and erasing layers. */
#include "overlay/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/util.h"
#include "overlay/layer_info.h"
#include "overlay/scratch.h"
#include "overlay/tree.h"

void layer_close(struct layer *l)
{
	fd_close(l->dir);
	free(l->name);
	free(l->workdir);
	free(l->audit);
	free(l->auditor);
	free(l->helpers);
	for (size_t i = 0; i < l->n_roots; i++)
		free(l->roots[i].path);
	for (size_t i = 0; l->protect && l->protect[i]; i++)
		free(l->protect[i]);
	free(l->protect);
	for (size_t i = 0; i < l->n_merged; i++)
		fd_close(l->merged[i]);
	*l = (struct layer)LAYER_NONE;
}

static int make_root(const struct layer *l, size_t n, struct error *e)
{
	char name[24];
	struct stat st;

	_cleanup_close_ int lower = layer_lower(l, n, e);
	if (lower < 0)
		return lower;
	snprintf(name, sizeof(name), "%zu", n);
	if (fstat(lower, &st) < 0 || mkdirat(l->dir, name, 0700) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, l->id, "cannot make the layer of %s", l->roots[n].path);
	_cleanup_close_ int dir = openat(l->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* The merged directory has the mode of the upper one. */
	if (dir < 0 || mkdirat(dir, "work", 0700) < 0 || mkdirat(dir, "upper", 0700) < 0 ||
	    fchmodat(dir, "upper", st.st_mode & 01777, 0) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, l->id, "cannot make the layer of %s", l->roots[n].path);
	return 0;
}

/* Under these names layers are no layers yet, or any more: a kill on the way leaves nothing that looks like one. */
#define NEW_PREFIX ".new."
#define OLD_PREFIX ".old."

/* A kill between the two exchanges of layer_finish() left the layers of calls with what was replaced. */
static int recover_scratch(int parent, const char *name, const char *id)
{
	_cleanup_names_ struct names left = { 0 }, has = { 0 };

	_cleanup_close_ int from = tree_open(parent, name, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int old = from < 0 ? from : tree_open(from, "scratch", O_RDONLY | O_DIRECTORY);
	int r = old < 0 ? old : names_read(old, &left);
	if (r < 0 || left.n == 0)
		return r == -ENOENT ? 0 : r;
	_cleanup_close_ int to = tree_open(parent, id, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int scratch = to < 0 ? to : tree_open(to, "scratch", O_RDONLY | O_DIRECTORY);
	r = scratch < 0 ? scratch : names_read(scratch, &has);
	if (r < 0 || has.n > 0)
		return r < 0 ? r : -ENOTEMPTY;
	return renameat2(from, "scratch", to, "scratch", RENAME_EXCHANGE) < 0 ? -errno : 0;
}

int layer_begin(int parent, struct layer *l, struct error *e)
{
	char name[32];

	snprintf(name, sizeof(name), NEW_PREFIX "%s", l->id);
	int r = recover_scratch(parent, name, l->id);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, l->id,
				  "cannot take over the layers of calls in %s/scratch in the state directory", name);
	tree_remove(parent, name);
	if (mkdirat(parent, name, 0700) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, l->id, "cannot make a layer in the state directory");
	l->dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return l->dir < 0 || flock(l->dir, LOCK_EX | LOCK_NB) < 0 || mkdirat(l->dir, "scratch", 0700) < 0 ?
		       fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, l->id, "cannot make and lock the layer") : 0;
}

/* What was replaced, but for the layers of calls: what they were made on is told by times, so they are still what they
 * were. Where they cannot be taken over it stays whole, and the next layer_begin() tries again. */
static int drop_replaced(int parent, const char *name, const char *old, const struct layer *l, struct error *e)
{
	_cleanup_close_ int before = tree_open(parent, name, O_PATH | O_DIRECTORY);

	int r = before < 0 ? before :
		renameat2(before, "scratch", l->dir, "scratch", RENAME_EXCHANGE) < 0 && errno != ENOENT ? -errno : 0;
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, l->id,
				  "the changes were replaced, but the layers of single calls could not be taken over: they are kept "
				  "in %s/scratch in the state directory, and the same command tries again",
				  name);
	renameat(parent, name, parent, old);
	tree_remove(parent, old);
	return 0;
}

int layer_finish(int parent, struct layer *l, bool replace, int r, struct error *e)
{
	char name[32], old[32];

	snprintf(name, sizeof(name), NEW_PREFIX "%s", l->id);
	snprintf(old, sizeof(old), OLD_PREFIX "%s", l->id);
	if (r == 0)
		r = layer_info_write(l, e);
	if (r == 0 && renameat2(parent, name, parent, l->id, replace ? RENAME_EXCHANGE : RENAME_NOREPLACE) < 0)
		r = fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, l->id, "cannot make a layer in the state directory");
	if (r < 0 && l->dir >= 0) {
		tree_remove(parent, name);
		fd_close(TAKE_FD(l->dir));
	} else if (r == 0 && replace) {
		r = drop_replaced(parent, name, old, l, e);
	}
	return r;
}

int layer_make(int parent, struct layer *l, struct error *e)
{
	int r = layer_begin(parent, l, e);

	for (size_t i = 0; i < l->n_roots && r == 0; i++)
		r = make_root(l, i, e);
	return layer_finish(parent, l, false, r, e);
}

int layer_open(int parent, const char *id, bool change, struct layer *ret, struct error *e)
{
	_cleanup_layer_ struct layer l = LAYER_NONE;

	l.dir = openat(parent, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (l.dir < 0)
		return fail(e, errno, SANDBOX_STAGE_OVERLAY, id, "there are no changes of a sandbox %s", id);
	if (flock(l.dir, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return fail_errno(e, errno, SANDBOX_STAGE_OVERLAY, id, "cannot lock the changes of sandbox %s", id);
		if (change)
			return fail(e, EBUSY, SANDBOX_STAGE_OVERLAY, id,
				    "sandbox %s still runs, or another command works on its changes; end it first (nsbox rm): "
				    "what it changed is kept",
				    id);
		l.in_use = true;
	}
	snprintf(l.id, sizeof(l.id), "%s", id);
	int r = layer_info_read(&l);
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_OVERLAY, id, "the changes of sandbox %s cannot be read: its info is %s", id,
			    r == -ENOENT ? "missing" : "broken");
	*ret = l;
	l = (struct layer)LAYER_NONE;
	return 0;
}

int layer_upper(const struct layer *l, size_t n, struct error *e)
{
	char path[32];

	snprintf(path, sizeof(path), "%zu/upper", n);
	int fd = tree_open(l->dir, path, O_RDONLY | O_DIRECTORY);
	/* Its mode is the merged directory's, which a call may have changed. */
	if (fd == -EACCES) {
		_cleanup_close_ int place = tree_open(l->dir, path, O_PATH | O_DIRECTORY);
		fd = place < 0 ? place : tree_reopen(place, O_RDONLY | O_DIRECTORY, 0700);
	}
	return fd < 0 ? fail_errno(e, -fd, SANDBOX_STAGE_OVERLAY, l->id, "cannot open the layer of %s", l->roots[n].path) : fd;
}

int layer_lower(const struct layer *l, size_t n, struct error *e)
{
	const struct layer_root *root = &l->roots[n];
	struct stat st;

	if (l->call) {
		int merged = n < l->n_merged ? tree_open(l->merged[n], ".", O_RDONLY | O_DIRECTORY) : -EBADF;
		return merged < 0 ? fail_errno(e, -merged, SANDBOX_STAGE_OVERLAY, root->path, "cannot open the working state of %s",
					       root->path) :
				    merged;
	}

	_cleanup_close_ int fd = tree_open_host(root->path);
	if (fd < 0)
		return fail_errno(e, -fd, SANDBOX_STAGE_OVERLAY, root->path, "cannot open %s", root->path);
	if (fstat(fd, &st) < 0 || st.st_dev != root->dev || st.st_ino != root->ino)
		return fail(e, ESTALE, SANDBOX_STAGE_OVERLAY, root->path,
			    "%s is not the directory any more that was overlaid", root->path);
	return TAKE_FD(fd);
}

static bool has_entries(const struct layer *l, size_t n)
{
	struct error ignored;
	struct dirent *item;
	bool found = false;

	int fd = layer_upper(l, n, &ignored);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		fd_close(fd);
		return true;
	}
	while (!found && (item = readdir(d)))
		found = strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0;
	closedir(d);
	return found;
}

bool layer_is_empty(const struct layer *l)
{
	for (size_t i = 0; i < l->n_roots; i++) {
		if (has_entries(l, i))
			return false;
	}
	return scratch_is_empty(l);
}

int layer_erase(int parent, const char *id)
{
	char old[32];

	snprintf(old, sizeof(old), OLD_PREFIX "%s", id);
	if (renameat(parent, id, parent, old) < 0)
		return -errno;
	return tree_remove(parent, old);
}

void layers_sweep(int parent)
{
	_cleanup_names_ struct names names = { 0 };

	if (names_read(parent, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		if (strncmp(names.v[i], OLD_PREFIX, sizeof(OLD_PREFIX) - 1) == 0)
			tree_remove(parent, names.v[i]);
	}
}
