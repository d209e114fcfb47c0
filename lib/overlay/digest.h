/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One number for all that a commit of the selected changes would do: kinds, paths, modes, times, content, links,
 * attributes. Who said yes to it said yes to exactly that.
 */
#ifndef NSBOX_OVERLAY_DIGEST_H
#define NSBOX_OVERLAY_DIGEST_H

#include "overlay/stage.h"

#define CHANGES_DIGEST_TEXT 65u /* hexadecimal, with the NUL */

/* staging: of what was staged for a commit, so that nobody can change it any more; NULL: of the layer. */
int changes_digest(const struct changes *c, const struct staging *staging, char ret[CHANGES_DIGEST_TEXT],
		   struct error *e);
/* 0, or -ESTALE: what was found is not what was wanted. */
int changes_digest_compare(const char *found, const char *wanted, struct error *e);

#endif
