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
/* Of what the i-th change makes of its place, however much of it is there already. */
int changes_digest_one(const struct changes *c, const struct staging *staging, size_t i, char ret[CHANGES_DIGEST_TEXT]);
/* 0, or -ESTALE: what was found is not what was wanted. */
int changes_digest_compare(const char *found, const char *wanted, struct error *e);
/* The same for the changes: they are what wanted was taken of, or what is left of that (journal.h). */
int changes_digest_check(const struct changes *c, const struct staging *staging, const char *wanted, struct error *e);
/* Of a file, link or other object: type, mode, content. -errno. */
int digest_object(int dir, const char *name, const struct stat *st, char ret[CHANGES_DIGEST_TEXT]);

#endif
