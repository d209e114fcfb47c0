/* SPDX-License-Identifier: Apache-2.0 */
/* A walk through the directories below one, level by level and within bounds, so that what lies near the top comes first and
 * the cost does not grow with the tree. */
#ifndef NSBOX_POLICY_LEVELS_H
#define NSBOX_POLICY_LEVELS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct level {
	char *path; /* below the top, "" is that */
	unsigned depth;
};

struct levels {
	/* Bounds, for all walks with this together: names read, in all and in one directory; directories opened. */
	unsigned names_max, in_one_max, dirs_max;
	uint64_t resolve; /* RESOLVE_NO_XDEV: over no mount; through no link in any case */
	unsigned names, dirs;
	bool cut;   /* a bound was passed: there may be more */
	int failed; /* errno of what is no state of a tree: no memory, no descriptors left ... */
	/* The walk that is under way: directories still to be read. */
	struct level *queue;
	size_t n, at;
};

/* Whoever is told of a name ends the walk with it, without an error. */
#define LEVELS_END 1

/* item NULL: all names of that directory have been told; dir -1 besides: none can be (closed.c). Not 0: the walk ends with
 * that. */
typedef int (*level_name)(void *arg, const struct level *level, int dir, const struct dirent *item);

/* top itself first; then what level_name() adds. What is not there any more, or may not be read, is left out. 0, -ENOMEM,
 * -failed, or what level_name() returned. */
int levels_each(struct levels *l, const char *top, level_name told, void *arg);
/* To be read too: path/name. */
int levels_add(struct levels *l, const char *path, const char *name, unsigned depth);
/* 0 for what is left out: a state of the tree; else -err, which is kept. */
int levels_look_failed(struct levels *l, int err);
/* A directory below another: descriptor of its list, NULL with errno. */
DIR *levels_open(const struct levels *l, int top, const char *path);
bool levels_is_dir(int dir, const struct dirent *item);
/* Of the look itself. Everything else is what a tree can be made to answer by whoever writes in it. */
bool levels_is_own_failure(int err);

#endif
