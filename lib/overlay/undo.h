/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back what the merging of a call's layer will do.
 *
 * Theory of operation. Before anything is merged, what will be replaced is copied into a second layer, such that merging
 * that one later brings the state before: a copy of what goes or changes, a whiteout for what comes. Directories on the way
 * to it carry a mark that they say nothing; those whose mode or attributes change, one with the mode that they will have. So taking back is
 * merging, with the same care for what was changed since.
 */
#ifndef NSBOX_OVERLAY_UNDO_H
#define NSBOX_OVERLAY_UNDO_H

#include "overlay/changes.h"

/* Copies one object, as copy_object() of copy.h: of root, called name in from, to the directory to of path below top. */
struct undo_copier {
	int (*copy)(void *arg, size_t root, int from, int to, int top, const char *name, const char *path);
	void *arg;
};

/* N.undo of scratch.h, for the selected changes of the layer of a call. On failure there is none. */
int undo_make(const struct layer *of, const struct changes *c, const struct undo_copier *copier, struct error *e);
/* In the list of such a layer, all selected: leave out what it says nothing of, and find the conflicts of directories. */
void undo_settle(struct changes *c);

#endif
