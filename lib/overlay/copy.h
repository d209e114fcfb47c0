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

#endif
