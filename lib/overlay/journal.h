/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the merging of a call's layer, or the taking back of it, began with: the file "journal" in the layer, which is
 * there from before the first change until the layer goes.
 *
 * Theory of operation. What others change meanwhile must be told when a killed merging is finished, and a time that
 * calls can set says nothing. ctime does, but for what the merging itself stamps: files of several names, of which it
 * makes and removes some, and directories that it empties. Of these the journal holds what was there. And of a merging
 * under a digest it holds that, and one of each change: of a part that is left nobody could tell otherwise that it is
 * of what was reviewed.
 */
#ifndef NSBOX_OVERLAY_JOURNAL_H
#define NSBOX_OVERLAY_JOURNAL_H

#include "overlay/digest.h"

/* *ret: NULL when nothing began. */
int journal_load(const struct layer *l, struct journal **ret);
/* In doubt there is one: without it what a merging replaced is thrown away. */
bool journal_exists(const struct layer *l);
/* Nothing came of it. */
void journal_remove(const struct layer *l);
void journal_free(struct journal *j);

/* Of the selected changes, written to the disk; from now on c has it. digest: may be NULL. */
int journal_begin(struct changes *c, const struct staging *staging, const char *digest, struct error *e);
/* It is in the place now that was noted of it. A directory: there was one. */
bool journal_has(const struct journal *j, size_t root, const char *path, int dir, const char *name,
		 const struct stat *st);
/* It began under that digest. */
bool journal_is_of(const struct journal *j, const char *digest);
/* digest: of changes_digest_one(). This change was among those. */
bool journal_has_change(const struct journal *j, const struct change *change, const char *digest);

#endif
