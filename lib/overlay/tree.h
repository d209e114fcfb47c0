/* SPDX-License-Identifier: Apache-2.0 */
/* Walking and changing directories that somebody hostile may have filled, by descriptor; no link is ever followed. */
#ifndef NSBOX_OVERLAY_TREE_H
#define NSBOX_OVERLAY_TREE_H

#include <stddef.h>
#include <sys/types.h>

/* A path below dir ("" or "." is dir itself): through no link, over no mount, not out of it. A descriptor or -errno. */
int tree_open(int dir, const char *path, int flags);
/* An absolute path of the host, without a link on it (O_RDONLY). */
int tree_open_host(const char *path);
/* What an O_PATH descriptor refers to, opened anew; where its mode denies it, with this mode first. */
int tree_reopen(int place, int flags, mode_t mode);
/* The directory that path lies in (O_PATH), and its last component. */
int tree_open_parent(int dir, const char *path, const char **ret_name);
/* A directory with all rights for its owner, which is given them when they are missing (O_RDONLY). */
int tree_open_up(int dir, const char *name);
/* Set the mode of what an O_PATH descriptor refers to. */
int tree_chmod(int place, mode_t mode);

/* Names in a directory, sorted by their bytes, without "." and "..". */
struct names {
	char **v;
	size_t n;
};
#define _cleanup_names_ __attribute__((cleanup(names_free)))
int names_read(int dir, struct names *ret);
void names_free(struct names *names);

/* With everything in it, whatever its modes and depth. 0 also when it is not there. */
int tree_remove(int parent, const char *name);

#endif
