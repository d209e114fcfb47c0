/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call's own view of overlaid directories, in its own mount namespace.
 *
 * Theory of operation. What an overlay is made of is in the store, a mount namespace that init filled (root_store.c) and
 * nobody is in. On its way into the sandbox the helper of a full call takes a copy of all that along (view_take()). The
 * guardian puts it into the call's namespace for a moment, mounts the views from it over the overlaid directories,
 * and takes it away again. A view covers everything that was mounted in such a directory, hidden paths too, so all
 * that is put back on top of it, and names that the overlay did not show at all are whited out (root_hidden.c). A call
 * with a layer of its own sees the working state as it goes on, below what it writes itself: an overlay on the sandbox's
 * overlay, with the mounts that keep parts of that read-only or in their place made anew. What programs are steered by
 * lies in the home and temporary directories as well, where every call may write: a call that sees only what the host has
 * gets new ones.
 */
#ifndef NSBOX_NAMESPACE_VIEW_H
#define NSBOX_NAMESPACE_VIEW_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct views {
	int root, store;
	uint32_t call; /* the number that its own layer is kept under while it is prepared */
	int fresh; /* a tmpfs for directories of the call's own */
	unsigned n_fresh;
	int layer; /* its own */
	FILE *mountinfo;
};

/* In the sandbox's user namespace, and back in its mount namespace at the end: a detached copy of the store. */
int view_take(int store, int init_pidfd, int *ret, struct error *e);

/* In the call's mount namespace, before /dev/pts is renewed. Borrows all; after a failure the namespace is of no use. */
int views_open(struct views *v, int root, int store, uint32_t call, FILE *mountinfo, struct error *e);
/* The n-th overlaid directory, which is path, as the host has it but for what is hidden, read-only. */
int view_committed(const struct views *v, const char *path, uint32_t n, struct error *e);
/* The n-th overlaid directory, which is path, below a layer of the call's own. */
int view_scratch(struct views *v, const char *path, uint32_t n, struct error *e);
/* An empty directory in the place of the one at path. */
int view_fresh(struct views *v, const char *path, struct error *e);
int views_close(struct views *v, struct error *e);

#endif
