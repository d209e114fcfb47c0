/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: rulesets over paths, and entering them. Constants are our own: the headers of Debian 12 stop at ABI 2.
 *
 * A ruleset handles every file system right of the running ABI (up to 7) and, from ABI 6 on, scopes signals and
 * abstract sockets to the domain. TCP rights are not handled: the network namespace decides about the network, and an
 * attempt refused here would be invisible to the audit log.
 */
#ifndef NSBOX_CONFINE_LANDLOCK_H
#define NSBOX_CONFINE_LANDLOCK_H

#include <stdbool.h>

/* Highest ABI whose meaning this code knows; a newer kernel is used as this one. */
#define LANDLOCK_KNOWN_ABI 7
/* From here on a domain bounds signals and abstract sockets. */
#define LANDLOCK_SCOPE_ABI 6

enum landlock_grant {
	LANDLOCK_GRANT_LOOK = 16,   /* read and list */
	LANDLOCK_GRANT_EXECUTE = 32,
	LANDLOCK_GRANT_READ = 1,    /* both of these */
	LANDLOCK_GRANT_WRITE = 2,   /* create, write, remove, rename; never device nodes */
	LANDLOCK_GRANT_DEVICE = 4,  /* write and ioctl existing nodes */
	LANDLOCK_GRANT_CONTENT = 8, /* write existing files, nothing created or removed */
	/* For whoever opens the path: it may be missing or a link; links are followed. */
	LANDLOCK_GRANT_OPTIONAL = 64,
	LANDLOCK_GRANT_FOLLOW = 128,
	LANDLOCK_GRANTS = 255,
};

/* 0 without Landlock, else the ABI, at most LANDLOCK_KNOWN_ABI. */
int landlock_abi(void);
/* A new ruleset for that ABI (>= 1): its descriptor, close-on-exec, or a negative errno. */
int landlock_new(int abi);
/* A ruleset of scopes only, for the layer of a call (ABI >= LANDLOCK_SCOPE_ABI). */
int landlock_new_scope(void);
/* Allow grants (bits of enum landlock_grant) at and below what fd refers to. 0 or a negative errno. */
int landlock_allow(int ruleset, int abi, int fd, bool is_dir, unsigned grants);
/* Enter the ruleset; needs no_new_privs. 0 or a negative errno. */
int landlock_enter(int ruleset);

#endif
