/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a layer, whole and as it is: with overlayfs' marks, modes, times and links. Costs what was changed. */
#ifndef NSBOX_OVERLAY_COPY_H
#define NSBOX_OVERLAY_COPY_H

#include "overlay/layer.h"

/*
 * A new layer below parent, of ret->id and ret->name, with what is in from: roots, moment and all. ret is locked.
 * replace: in the place of the layer of that id, at once. On failure nothing has changed.
 */
int layer_copy(int parent, const struct layer *from, bool replace, struct layer *ret, struct error *e);

/* The copying of one tree. */
struct copy {
	const struct layer *from; /* NULL: from a tree that is no layer; no mode is touched there */
	size_t root;
	int to;	     /* the top of the new tree */
	void *links; /* tsearch(3) of what has several names */
	bool lifted;
};

/* What is called name in the directory from, with all that is in it, into to, which is the directory of path in the new
 * tree. 0 also when it is not there. */
int copy_object(struct copy *c, int from, int to, const char *name, const char *path);
void copy_done(struct copy *c);
/* What is known of a layer, but for its id and name. -ENOMEM; ret is the caller's to close either way. */
int layer_copy_facts(const struct layer *from, struct layer *ret);

#endif
