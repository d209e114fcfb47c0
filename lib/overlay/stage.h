/* SPDX-License-Identifier: Apache-2.0 */
/* New files for a commit, made whole beside where they will go. */
#ifndef NSBOX_OVERLAY_STAGE_H
#define NSBOX_OVERLAY_STAGE_H

#include "overlay/changes.h"

struct staging {
	struct changes *c;
	int dir[LAYER_ROOTS_MAX]; /* -EBADF where nothing is selected */
};

/* Name of the object staged for, or displaced by, the i-th change. */
#define STAGED_NAME_MAX 24
void staged_name(size_t i, char ret[STAGED_NAME_MAX]);

int stage_open(struct changes *c, struct staging *ret, struct error *e);
/* Everything selected that is not a deletion, then written to the disk. */
int stage_all(struct staging *s, struct error *e);
/* Another name for the host's file at path, staged under name for the change. */
int stage_link_host(const struct staging *s, const struct change *change, const char *path, const char *name);
/* Content of a changed file in the layer. Where its mode denies that it is set aside, not while a sandbox runs, and
 * *ret_place is set: then close it with this. */
int stage_open_source(const struct changes *c, const struct change *change, int *ret_place);
void stage_close_source(const struct changes *c, const struct change *change, int place);
/* Remove the directories with what is in them. */
void stage_close(struct staging *s);
/* Of one root, also when a killed commit left it. Only a directory of our own is removed. */
void stage_remove(const struct changes *c, size_t root);

#endif
