/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Covers: what a grant takes away below what it gives, as mounts in the call's own mount namespace, since a Landlock
 * layer cannot say that. They travel to the guardian as bytes: u8 kind, str path, of COVER_COMMITTED and
 * COVER_SCRATCH also u32 number of the overlay, until the end, carried out in this order: views come first, hides last.
 */
#ifndef NSBOX_NAMESPACE_COVER_H
#define NSBOX_NAMESPACE_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define COVERS_MAX 256u
#define COVERS_MAX_BYTES (96u * 1024u) /* leaves room for the rest of one packet */

enum cover_kind {
	COVER_READ_ONLY = 1, /* it and everything below, whatever is mounted there */
	COVER_HIDE,	     /* an empty file or directory over it */
	COVER_KEEP,	     /* as it was before all of them but views, below what is read-only */
	COVER_FRESH,	     /* an empty directory of the call's own over it (view.h) */
	COVER_WRITABLE,	     /* nothing over it: it goes into the ruleset of a call with fresh directories */
	COVER_COMMITTED,     /* an overlaid directory as the host has it, read-only (view.h) */
	COVER_SCRATCH,	     /* an overlaid directory below a layer of the call's own */
	_COVER_KIND_MAX
};

/* There is a view among them, and view_take() is needed first. */
bool covers_have_view(const void *data, size_t len);
/* All of them or an error. For a process with capabilities over its mount namespace, which must be the own one of the
 * call, before /dev/pts is renewed. store: of view_take(), or -EBADF. call: its
 * number as a slot. *ret_ruleset: where rules of the sandbox's ruleset would be of objects that the call does not see, its own in the place of that. */
int cover_paths(const void *data, size_t len, int store, uint32_t call, int *ret_ruleset, struct error *e);

#endif
