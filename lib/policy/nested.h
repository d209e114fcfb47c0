/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories of git in the directories below a writable one: submodules, checkouts in checkouts, bare ones, and what a
 * repository holds of its linked worktrees. */
#ifndef NSBOX_POLICY_NESTED_H
#define NSBOX_POLICY_NESTED_H

#include <stdbool.h>

#include "policy/levels.h"

/* Bounds of looking for them, for all directories of a policy together, so that the cost does not grow with the tree. */
#define NESTED_NAMES 2048u
#define NESTED_DIRS 128u
#define NESTED_FOUND 32u
#define NESTED_DEPTH 4u
#define NESTED_WORKTREES 64u

struct nested_scan {
	struct levels levels;
	unsigned found, worktrees;
};

enum nested_kind {
	NESTED_CHECKOUT, /* a directory that has a .git */
	NESTED_GIT_DIR,	 /* what git takes for a repository */
	NESTED_CLOSED,	 /* a directory that cannot be looked into (closed.c), or one in it */
};

/* path: of one, absolute. Not 0: the search ends with that. */
typedef int (*nested_found)(void *arg, const char *path, enum nested_kind kind);

/* Level by level, through no link and over no mount. 0, -ENOMEM, -levels.failed, or what found returned. What is not there any
 * more, or may not be read, is left out. */
int nested_each(struct nested_scan *s, const char *dir, nested_found found, void *arg);
/* The same for what git, a directory that it takes for a repository, has for each linked worktree: told as NESTED_GIT_DIR. */
int worktrees_each(struct nested_scan *s, const char *git, nested_found found, void *arg);

#endif
