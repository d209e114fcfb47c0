/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modes in a layer that keep their owner out. To read such a file or directory it gets another mode for a while; what it
 * had is written down first, in the file "lifted" of the layer, so that a kill meanwhile changes nothing.
 */
#ifndef NSBOX_OVERLAY_LIFTED_H
#define NSBOX_OVERLAY_LIFTED_H

#include <sys/types.h>

#include "overlay/layer.h"

/* Before the mode is changed. */
int lifted_note(const struct layer *l, size_t root, const char *path, mode_t mode);
/* Give back what a killed command had lifted. upper: the directories of the roots. */
int lifted_restore(const struct layer *l, const int *upper);
/* All of it was given back. */
void lifted_forget(const struct layer *l);

#endif
