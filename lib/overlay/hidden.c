/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandbox was not shown of an overlaid directory: the directory "mask" of the layer says it
 * (lib/namespace/root_hidden.c), a whiteout for each name. What a call put in the place, or a directory that it removed
 * with such a name in it, is not committed: the host's would be lost, and nobody inside has seen it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "overlay/changes.h"
#include "overlay/executed.h"
#include "overlay/tree.h"

/* Whether the whole of path is a directory of the mask, or a part of it a whiteout. */
static int look_up(int mask, const char *path, bool *ret_dir, bool *ret_whiteout)
{
	char part[CHANGES_PATH_MAX + 1];
	struct stat st;

	*ret_dir = *ret_whiteout = false;
	for (size_t n = 0;; n++) {
		n += strcspn(path + n, "/");
		if (n >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, path, n);
		part[n] = '\0';
		_cleanup_close_ int fd = tree_open(mask, part, O_PATH);
		if (fd == -ENOENT)
			return 0;
		if (fd < 0 || fstat(fd, &st) < 0)
			return fd < 0 ? fd : -errno;
		*ret_whiteout = !S_ISDIR(st.st_mode);
		*ret_dir = !*ret_whiteout && !path[n];
		if (*ret_whiteout || !path[n])
			return 0;
	}
}

int changes_find_hidden(struct changes *c)
{
	for (size_t root = 0; root < c->layer->n_roots; root++) {
		char name[32];
		snprintf(name, sizeof(name), "%zu/mask", root);
		_cleanup_close_ int mask = tree_open(c->layer->dir, name, O_PATH | O_DIRECTORY);
		if (mask == -ENOENT)
			continue;
		for (size_t i = 0; i < c->n; i++) {
			struct change *change = &c->v[i];
			bool dir, whiteout;
			int r = change->root != root ? 0 : mask < 0 ? mask : look_up(mask, change->path, &dir, &whiteout);
			if (r < 0)
				return r;
			if (change->root == root && (whiteout || (dir && !S_ISDIR(change->now.st_mode))))
				change->flags |= CHANGE_HIDDEN;
		}
	}
	return 0;
}
