/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying selected changes to the host.
 *
 * Theory of operation. First everything is staged: whole new files, with mode and times, in a directory of its own at
 * the top of each root, on the same file system. Running out of space is seen there, before anything has
 * changed. Then each change is one rename: into an empty place, or exchanged with what is there, which is examined once
 * more after it was taken out, and put back when it is not what the list was made from. Deletions are renames into
 * the staging directory. So after a kill at any instant each file is as before or as after, never half; and since the
 * layer forgets a change only when it is on the disk, it is itself the journal: what was applied is then equal to the
 * host's and no change any more, and committing again does the rest. All paths are walked below the root by descriptor,
 * through no link and over no mount.
 *
 * The layer of a single call is applied to the working state of its sandbox in the same way, which is an overlay,
 * running calls on it or none. What differs there: a directory for what is staged would be open to all of them, so
 * that is in the layer, and each object gets a name of the moment beside its place (temporary.h); writing gives a file
 * another inode; and a directory that the host has cannot be renamed (EXDEV), so it is removed in its place, one file
 * after the other.
 */
#ifndef NSBOX_OVERLAY_COMMIT_H
#define NSBOX_OVERLAY_COMMIT_H

#include "overlay/changes.h"

/* Nothing selected is refused; else an error that names the first ones. accept: host-executed files neither. */
int commit_check(const struct changes *c, bool accept, struct error *e);
/* After commit_check(). The layer is left as it is. digest: of digest.h, which what is committed must have, or NULL.
 * On failure c->begun says whether anything may have been changed. */
int commit_apply(struct changes *c, const char *digest, struct error *e);
/* Remove what a killed commit left beside the places. */
void commit_clean(const struct changes *c);

/* forget.c: the layer holds nothing of the selected changes any more; the host is not touched. */
int changes_forget(struct changes *c, struct error *e);

#endif
