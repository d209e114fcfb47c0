/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the moment for what is put into a working state, where calls run.
 *
 * Theory of operation. What is new is copied from where it was staged into a file without a name, which gets one,
 * random, in the directory that it goes to, to be renamed or exchanged at once; what it replaces is examined and
 * removed under that name. So nobody has a hand on it but who may reach its place, and that afterwards as well. The
 * name is noted in the layer first: what a kill leaves behind is removed before anything else is looked at.
 */
#ifndef NSBOX_OVERLAY_TEMPORARY_H
#define NSBOX_OVERLAY_TEMPORARY_H

#include "overlay/stage.h"

#define TEMPORARY_NAME_MAX 64u

/* A new name in the directory of the change. */
int temporary_name(const struct changes *c, const struct change *change, char ret[TEMPORARY_NAME_MAX]);
/* What was staged for the i-th change, or another name of the file that it is one of, as name in its directory dir. */
int temporary_make(const struct staging *s, size_t i, int dir, const char *name);
/* Remove what has the noted name. */
void temporary_clean(const struct changes *c);

#endif
