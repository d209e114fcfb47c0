/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extended attributes that belong to a file: user.* without overlayfs' own, and POSIX access lists. Others (labels,
 * capabilities) are the host's to give.
 */
#ifndef NSBOX_OVERLAY_ATTR_H
#define NSBOX_OVERLAY_ATTR_H

#include <stdbool.h>
#include <stddef.h>

/* What cannot be read counts as none. */
bool attr_equal(int a, int b);
/* Make those of `to` the same as those of `from`. Descriptors open for reading. */
int attr_copy(int from, int to);
/* All user.* of from too, overlayfs' own with them. */
int attr_clone(int from, int to);
/* Each of them with its value, sorted by name. */
int attr_each(int fd, void (*f)(void *arg, const char *name, const void *value, size_t len), void *arg);
/* overlayfs' mark: this directory hides the one below it. */
bool attr_is_opaque(int dir);
/* A mark that this code does not know: a layer with it cannot be understood. */
bool attr_is_foreign(int fd);

#endif
