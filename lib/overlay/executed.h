/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host would execute by itself, or lets others decide what it executes: such a file needs a person's yes at
 * commit. By name and kind, of git's index by its paths; code that somebody runs on purpose is for the diff to show.
 */
#ifndef NSBOX_OVERLAY_EXECUTED_H
#define NSBOX_OVERLAY_EXECUTED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "overlay/layer.h"

enum executed_flag {
	EXECUTED_TOOL = 1,	   /* configuration of editors, agents, hooks: what is protected in writable directories */
	EXECUTED_GIT = 2,	   /* hooks and configuration of git, or what git takes for a repository */
	EXECUTED_CI = 4,
	EXECUTED_BUILD = 8,
	EXECUTED_SHELL = 16,	   /* start files of shells */
	EXECUTED_PROGRAM = 32,	   /* may be executed by its mode */
	EXECUTED_SETUID = 64,
	EXECUTED_LINK = 128,	   /* a symbolic link that leads out of the directory, or where that cannot be told */
	EXECUTED_POLICY = 256,	   /* what the sandbox's own policy was read from */
	CHANGE_SPECIAL = 512,	   /* no file, directory or link: never committed */
	CHANGE_HIDDEN = 1024,	   /* in the place of what the sandbox was not shown, or with that in it: never committed */
	EXECUTED_ALL = 511,
};

struct executed {
	const struct layer *layer;
	size_t root;
	const char *path; /* below the root */
	mode_t mode;
	const char *target; /* of a symbolic link */
	bool in_git;	    /* its directory is what git takes for a repository */
};

unsigned executed_flags(const struct executed *x);
/* What its bytes say, of what is called name in dir: an index of git that leads elsewhere (policy/git_index.h). */
unsigned executed_content(const struct executed *x, int dir, const char *name);
/* Stable lower-case word for the n-th bit, NULL behind the last. */
const char *executed_name(unsigned n);

#endif
