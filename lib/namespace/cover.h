/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Covers: what a grant takes away below what it gives, as mounts in the call's own mount namespace, since a Landlock
 * layer cannot say that. They travel to the guardian as bytes: u8 kind, str path, until the end, carried out in this
 * order; hides come last.
 */
#ifndef NSBOX_NAMESPACE_COVER_H
#define NSBOX_NAMESPACE_COVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define COVERS_MAX 256u
#define COVERS_MAX_BYTES (96u * 1024u) /* leaves room for the rest of one packet */

enum cover_kind {
	COVER_READ_ONLY = 1, /* it and everything below, whatever is mounted there */
	COVER_HIDE,	     /* an empty file or directory over it */
	COVER_KEEP,	     /* as it was before all of them, below what is read-only */
	_COVER_KIND_MAX
};

/* All of them or an error. For a process with capabilities over its mount namespace, which must be the own one of the
 * call, before /dev/pts is renewed. */
int cover_paths(const void *data, size_t len, struct error *e);

#endif
