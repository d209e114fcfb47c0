/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of git (gitformat-index(5)) for two questions. Whether all its paths are ones that git itself would put there:
 * git looks at them when they are added and not when it reads them, `git checkout -- .` writes whatever the index names,
 * in .git, or out of the worktree. And which of them are repositories of their own (submodules, "gitlinks"): git runs in
 * those by itself. Bytes in, facts out.
 */
#ifndef NSBOX_POLICY_GIT_INDEX_H
#define NSBOX_POLICY_GIT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define GIT_INDEX_MAX (128u << 20)
#define GIT_SHA1 20u
#define GIT_SHA256 32u
#define GIT_SHARED_NAME 80u
#define GIT_LINKS_MAX 512u /* of one index, or of a workspace, that are looked after */

/* hash: bytes of one. 0; -EPERM: a path leads elsewhere, or a link has its path in the other file or another mode than git's;
 * -EBADMSG: it is none that git writes. shared: "", or the name of the file beside it that has the other entries, of which
 * the same is asked; NULL: this is that. links: the paths of links are added, each with a NUL behind it, and those of
 * directories of a sparse index, which end with a slash and may have any in them; -E2BIG: there are more than GIT_LINKS_MAX;
 * NULL: not asked. -ENOMEM. */
int git_index_check(const uint8_t *data, size_t len, size_t hash, char shared[GIT_SHARED_NAME], struct buf *links);

#endif
