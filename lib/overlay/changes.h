/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer changes: its upper directories, which overlayfs wrote, compared with the host's directories below.
 *
 * Theory of operation. The scan walks the upper directories only, so its cost is in what was written (and in what was
 * deleted, for a deleted directory is looked at whole), never in what is there. A file in the upper directory that is
 * equal to the host's (content, mode, attributes) is no change. Content is always compared: size and time can be set
 * by a call. Deleted is what has a whiteout (a character device 0:0), and what a directory marked opaque does not show.
 * Everything from here on (diff, commit.h) works on this list. commit applies some of it to the host and then
 * makes the layer forget it; discard only forgets.
 */
#ifndef NSBOX_OVERLAY_CHANGES_H
#define NSBOX_OVERLAY_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "overlay/layer.h"

#define CHANGES_MAX 1000000u
#define CHANGES_BYTES_MAX (256u << 20) /* of their paths together */
#define CHANGES_DEPTH_MAX 200u
#define CHANGES_PATH_MAX 4095u
/* At the top of a root, for the time of a commit, or of the moment (temporary.h); a name of ours, so nothing of it is
 * ever committed. */
#define STAGING_PREFIX ".nsbox-commit-"

enum change_kind {
	CHANGE_ADDED = 0,
	CHANGE_MODIFIED,
	CHANGE_DELETED,
	CHANGE_RENAMED, /* an added one with what a deleted one held */
	CHANGE_MODE,	/* mode or, of a directory, attributes */
	CHANGE_TYPE,	/* file, directory or link in the place of another of these */
};

struct change {
	enum change_kind kind;
	size_t root;	/* in the layer */
	char *path;	/* below that */
	struct stat now; /* in the layer; of a deleted one: zero */
	struct stat was; /* on the host; of an added one: zero */
	struct timespec from, to; /* between these it was changed last; from 0: not known */
	size_t other;	/* the other half of a rename */
	unsigned flags; /* executed.h */
	bool conflict;	/* the host's was changed after the sandbox began */
	bool masked;	/* deleted by an opaque directory above, without a mark of its own */
	bool implied;	/* said by another one: of a rename the deletion; what is in a renamed or added directory */
	bool inside;	/* a renamed directory */
	bool equal;	/* while the list is made: no change so far, but a name of a file of several */
	bool selected;
	/* Of a file of several names (links.c): the change to be linked to, itself when it is the first; or the path in
	 * hosts of a file of the host. CHANGES_NO_OTHER: none. */
	size_t leader, host;
};

/* A directory in the layer that had to be made accessible to be read; changes_free() gives its mode back. */
struct opened {
	size_t root;
	char *path;
	mode_t mode;
};

struct changes {
	const struct layer *layer;
	int upper[LAYER_ROOTS_MAX], lower[LAYER_ROOTS_MAX];
	struct change *v; /* a directory before what is in it */
	size_t n, cap, bytes;
	char **hosts;
	size_t n_hosts;
	struct opened *opened;
	size_t n_opened;
	struct opaque *opaque;
	size_t n_opaque;
	struct journal *journal; /* of a call's layer whose merging began (journal.h); or NULL */
	bool begun; /* commit_apply() changed something, or may have */
};

/* A directory of the layer that hides all of the host's. */
struct opaque {
	size_t root;
	char *path;
};

#define CHANGES_NO_OTHER ((size_t)-1)

/* The layer must live as long as ret. */
int changes_scan(const struct layer *layer, struct changes *ret, struct error *e);
void changes_free(struct changes *c);
/* How many a person would count: without the implied ones. */
size_t changes_count(const struct changes *c);
/*
 * Select what is at or below one of the absolute paths (NULL: everything), with what it cannot go without: the other
 * half of a rename, new directories above. A path that selects nothing is -ENOENT.
 */
int changes_select(struct changes *c, const char *const *paths, struct error *e);

/* In that directory, at any depth. */
bool change_is_below(const struct change *c, const struct change *dir);
/*
 * Whether the host's object `name` in dir, with all that is in it, was changed after the sandbox began. Directories
 * count by when they were made and by what is in them. path: where it is, or was, below the root. What a merging that
 * has begun may have stamped itself is looked up in its journal.
 */
bool changes_touched(const struct changes *c, size_t root, const char *path, int dir, const char *name,
		     const struct stat *st);
/* Give the owner all rights in a directory of the layer until changes_free(); not while a sandbox runs on it. */
int changes_unlock(struct changes *c, size_t root, const char *path, const struct stat *st);

/* hidden.c: flag what the sandbox was not shown. */
int changes_find_hidden(struct changes *c);
/* links.c: find the files of several names in a fresh list. */
int changes_settle_links(struct changes *c);
/* rename.c: find renames in a fresh list. */
int changes_find_renames(struct changes *c);

#endif
