/* SPDX-License-Identifier: Apache-2.0 */
/* New files for a commit, made whole before any gets its place: on the host beside where they will go; of a call's layer
 * in that, out of reach of the calls that run in the working state (temporary.h). */
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
/* Another name for the host's file at path, name in dir, for the change. */
int stage_link_host(const struct changes *c, const struct change *change, const char *path, int dir, const char *name);
/* Copies of an object of a layer, for the change: into a new file; as name in dir. */
int stage_copy_file(int from, int to, const struct change *change);
int stage_copy_link(int place, const struct change *change, int dir, const char *name);
int stage_copy_dir(int from, int dir, const char *name);
/* Content of a changed file in the layer. Where its mode denies that it is set aside, not while a sandbox runs, and
 * *ret_place is set: then close it with this. */
int stage_open_source(const struct changes *c, const struct change *change, int *ret_place);
void stage_close_source(const struct changes *c, const struct change *change, int place);
/* It was copied to its place. */
void stage_drop(const struct staging *s, size_t i);
/* Remove the directories with what is in them. */
void stage_close(struct staging *s);
/* Of one root, also when a killed commit left it. Only a directory of our own is removed. */
void stage_remove(const struct changes *c, size_t root);

#endif
