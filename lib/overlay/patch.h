/* SPDX-License-Identifier: Apache-2.0 */
/* The selected changes as text: a unified diff, in the form that git apply takes. */
#ifndef NSBOX_OVERLAY_PATCH_H
#define NSBOX_OVERLAY_PATCH_H

#include "overlay/changes.h"

/* Larger files are shown as binary ones are: that they differ. */
#define PATCH_FILE_MAX (8u << 20)

int patch_write(const struct changes *c, int fd, struct error *e);
/* Lines that came and went; false when a side is no text. */
bool patch_count(const struct changes *c, const struct change *change, size_t *ret_added, size_t *ret_removed);

#endif
