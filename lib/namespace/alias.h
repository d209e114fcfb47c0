/* SPDX-License-Identifier: Apache-2.0 */
/* Other places of a mount namespace that show what lies at a path. */
#ifndef NSBOX_NAMESPACE_ALIAS_H
#define NSBOX_NAMESPACE_ALIAS_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

/* One of /proc/self/mountinfo; of the first call all zero. The texts live until the next call, line until free(). */
struct mount_line {
	unsigned long long id;
	char *device, *root, *place; /* in line */
	char *line;
};

/* 1, 0 at the end, or a negative errno. */
int mount_next(FILE *mountinfo, struct mount_line *m);

/* An object, before anything covers it. */
struct located {
	char *device, *inside; /* of its file system, and where in that it lies */
	dev_t dev;
	ino_t ino;
};

/* What fd refers to, which was reached by path. mountinfo: /proc/self/mountinfo, read anew from its start. */
int alias_locate(FILE *mountinfo, int fd, const char *path, struct located *ret, struct error *e);
void located_done(struct located *l);
/* Fails when a mount shows the object, or something in it, at another place than below path; with writable only when it
 * can be written there. */
int alias_refuse(FILE *mountinfo, int root, const struct located *l, const char *path, bool writable, struct error *e);

#endif
