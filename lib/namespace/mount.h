/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting by descriptor only: no path is resolved twice, sources and destinations are walked without following any
 * symbolic link. All return a descriptor or 0, or a negative errno.
 */
#ifndef NSBOX_NAMESPACE_MOUNT_H
#define NSBOX_NAMESPACE_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MOUNT_SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* O_PATH of an absolute path on the host, without a symbolic link anywhere on it. */
int open_host(const char *path);
/* O_PATH below root, as if root were "/": follows no link, or with follow ordinary ones within root. */
int open_in(int root, const char *path, bool follow);

/* A detached copy of what fd refers to, its mounts below with it when deep; private, with these attributes. */
int tree_clone(int fd, uint64_t attrs, bool deep);
/* A detached new file system; options are pairs of key and value (NULL value: a flag), NULL at the end. */
int tree_new(const char *type, const char *const *options, uint64_t attrs);
/* A detached devpts, an instance of its own with a bound: 10,000 terminals would exhaust the host's number space. */
int tree_terminals(void);
/* Put a detached tree over the object that fd refers to. */
int tree_attach(int tree, int fd);
/* The same with a read-only copy of an empty file or directory. */
int tree_mask(int fd, int empty);

#endif
