/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers: what the calls of one sandbox wrote into its overlaid directories, one directory each in the state directory.
 *
 *   info     what is to be known: lines "key value"
 *   scratch  layers of single calls (scratch.h)
 *   N/upper  what was written into the N-th overlaid directory, as overlayfs keeps it; N/work is the kernel's own
 *
 * The directory itself is locked (flock) by the supervisor while the overlays may be mounted, and by whoever changes
 * the layer. What is below it was written by calls and is hostile: names, depths, modes and kinds of anything.
 */
#ifndef NSBOX_OVERLAY_LAYER_H
#define NSBOX_OVERLAY_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

#define LAYER_ID_MAX 16u /* with the NUL */
#define LAYER_ROOTS_MAX 64u

/* An overlaid directory of the host. */
struct layer_root {
	char *path; /* canonical */
	dev_t dev;
	ino_t ino;
};

struct layer {
	int dir;
	char id[LAYER_ID_MAX];
	char *name, *workdir, *audit; /* of the sandbox; name "": not a named one; audit "": its log has the usual place */
	/* When the layer was made, on the clock that file systems stamp with: what the host changed later is a conflict. */
	struct timespec since;
	struct layer_root roots[LAYER_ROOTS_MAX];
	size_t n_roots;
	char *auditor; /* of the sandbox's policy: asked before a commit; NULL: nobody is */
	uint64_t deadline_us; /* of its answers, 0: the default */
	char *helpers; /* where its helper programs were, NULL: at their usual place */
	char **protect; /* files that no commit may replace unasked: what the policy was read from; NULL at the end */
	uint32_t call; /* of one call, over the working state of its sandbox; 0: of the sandbox, over the host's files */
	int merged[LAYER_ROOTS_MAX]; /* of a call's layer: the working state of each root (O_PATH) */
	size_t n_merged;
	bool in_use; /* a sandbox, or another command, works on it just now */
};

#define LAYER_NONE { .dir = -EBADF }
#define _cleanup_layer_ __attribute__((cleanup(layer_close)))

/* Make it below parent, from all members but dir and since, and lock it. On failure nothing is left. */
int layer_make(int parent, struct layer *l, struct error *e);
/* Its two halves: an empty, locked directory under another name; info and the right name (r < 0: give it up). replace:
 * exchanged with the layer that has it. */
int layer_begin(int parent, struct layer *l, struct error *e);
int layer_finish(int parent, struct layer *l, bool replace, int r, struct error *e);
/* change: lock it, or fail with -EBUSY. Else lock it if that can be, and in_use says that it could not. */
int layer_open(int parent, const char *id, bool change, struct layer *ret, struct error *e);
void layer_close(struct layer *l);
/* The directory that took the writes of the n-th root (O_RDONLY). */
int layer_upper(const struct layer *l, size_t n, struct error *e);
/* What the n-th root has below the layer (O_RDONLY): on the host, when it is still the directory that was overlaid. */
int layer_lower(const struct layer *l, size_t n, struct error *e);
/* Nothing at all was written, and no layer of a call is kept. */
bool layer_is_empty(const struct layer *l);
/* With all that is in it, at once for everybody else. */
int layer_erase(int parent, const char *id);
/* What killed processes left of layers that they were erasing. */
void layers_sweep(int parent);

#endif
