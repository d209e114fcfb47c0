/* SPDX-License-Identifier: Apache-2.0 */
/* Taking changes out of a layer: after a commit, or instead of one. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/attr.h"
#include "overlay/commit.h"
#include "overlay/tree.h"

/* The directory of the layer that holds path, writable. */
static int open_parent(struct changes *c, size_t root, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	_cleanup_close_ int dir = tree_open_parent(c->upper[root], path, ret_name);
	if (dir < 0 || fstat(dir, &st) < 0)
		return dir < 0 ? dir : -errno;
	if (slash && (st.st_mode & 0300) != 0300 && geteuid() != 0) {
		_cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));
		int r = parent ? changes_unlock(c, root, parent, &st) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return TAKE_FD(dir);
}

/* What opaque directories hide gets marks of its own, then the directories need to hide nothing. In this order: both
 * together mean the same as either. */
static int unmask(struct changes *c)
{
	const char *name;
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct change *change = &c->v[i];
		if (!change->masked || change->selected)
			continue;
		_cleanup_close_ int dir = open_parent(c, change->root, change->path, &name);
		if (dir < 0 || (mknodat(dir, name, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST))
			r = dir < 0 ? dir : -errno;
	}
	for (size_t i = 0; i < c->n_opaque && r == 0; i++) {
		_cleanup_close_ int dir = tree_open(c->upper[c->opaque[i].root], c->opaque[i].path, O_RDONLY | O_DIRECTORY);
		if (dir < 0 || (fremovexattr(dir, "user.overlay.opaque") < 0 && errno != ENODATA))
			r = dir < 0 ? dir : -errno;
	}
	return r;
}

/* The directory stays for what is still in it, but as the host's is. */
static int reset_dir(struct changes *c, const struct change *change)
{
	struct stat st;

	_cleanup_close_ int upper = tree_open(c->upper[change->root], change->path, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int lower = tree_open(c->lower[change->root], change->path, O_RDONLY | O_DIRECTORY);
	if (upper < 0 || lower < 0 || fstat(lower, &st) < 0)
		return 0; /* the host's is gone meanwhile */
	int r = attr_copy(lower, upper);
	if (r == 0 && fchmod(upper, st.st_mode & 07777) < 0)
		r = -errno;
	/* changes_free() must not give it the old mode back. */
	for (size_t i = 0; i < c->n_opened; i++) {
		if (c->opened[i].root == change->root && strcmp(c->opened[i].path, change->path) == 0)
			c->opened[i].mode = st.st_mode & 07777;
	}
	return r;
}

static int forget_one(struct changes *c, const struct change *change)
{
	const char *name;

	if (change->masked)
		return 0;
	if (change->kind == CHANGE_MODE && S_ISDIR(change->now.st_mode))
		return reset_dir(c, change);
	_cleanup_close_ int dir = open_parent(c, change->root, change->path, &name);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	bool is_dir = S_ISDIR(change->now.st_mode);
	if (unlinkat(dir, name, is_dir ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
		return 0;
	/* In it is something that is no change, or was not selected. */
	return is_dir && errno == ENOTEMPTY ? reset_dir(c, change) : -errno;
}

int changes_forget(struct changes *c, struct error *e)
{
	int r = unmask(c);

	/* What is in a directory before it. */
	for (size_t i = c->n; i-- > 0 && r == 0;) {
		if (c->v[i].selected)
			r = forget_one(c, &c->v[i]);
	}
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, c->layer->id, "cannot take changes out of the layer of sandbox %s",
				  c->layer->id);
	return 0;
}
