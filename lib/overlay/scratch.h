/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of single calls (view = scratch), in the directory "scratch" of their sandbox's layer.
 *
 *   .SLOT    of a call that is being prepared, by whoever mounts it (namespace/view.c)
 *   N        of call N: a layer like any other, but over the working state and without an info file. Its "since" was made
 *            before it was mounted, so what others changed later is a conflict. Locked while the call runs.
 *   N.undo   a layer again, made when N is merged into the working state: applied there, it takes that back (undo.h). Its
 *            "since" is as old as the end of the merging.
 *
 * The two can be there together when a merging was killed: it is then done again, or taken back.
 */
#ifndef NSBOX_OVERLAY_SCRATCH_H
#define NSBOX_OVERLAY_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "overlay/layer.h"

enum scratch { SCRATCH_CALL, SCRATCH_UNDO };

/* ---- for the supervisor; layer: directory of the sandbox's, which is locked ---- */

/* The prepared call runs as this one: its directory, locked, or -errno. */
int scratch_take(int layer, uint32_t slot, uint32_t call);
/* It has ended. What it wrote stays; nothing stays of nothing. */
void scratch_end(int layer, uint32_t call);
/* It never became one. */
void scratch_drop(int layer, uint32_t slot);

/* ---- for whoever works on what is kept ---- */

/* change: lock it, or fail with -EBUSY, as layer_open(). -ENOENT without a message: there is none. */
int scratch_open(const struct layer *of, uint32_t call, enum scratch which, bool change, struct layer *ret,
		 struct error *e);
int scratch_erase(const struct layer *of, uint32_t call, enum scratch which);
/* The numbers of the calls that have a layer, in their order; free(). */
int scratch_list(const struct layer *of, uint32_t **ret, size_t *ret_n);
/* None has one. What takes merged ones back is not kept for its own sake. */
bool scratch_is_empty(const struct layer *of);
/* Nobody else merges or takes back meanwhile: a descriptor to be closed then, or an error. */
int scratch_lock(const struct layer *of, struct error *e);
/* A new directory in the place of N.undo, under another name until scratch_finish(). A descriptor or -errno. */
int scratch_begin(const struct layer *of, uint32_t call);
int scratch_finish(const struct layer *of, uint32_t call);
/* The merging has come to its end just now. */
int scratch_stamp(const struct layer *undo);

#endif
