/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of detection share. */
#ifndef NSBOX_WATCH_INTERNAL_H
#define NSBOX_WATCH_INTERNAL_H

#include <nettle/sha2.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "policy/git_config.h"
#include "policy/git_index.h"
#include "policy/nested.h"
#include "watch/watch.h"

enum object_kind { OBJECT_MISSING = 0, OBJECT_FILE, OBJECT_DIRECTORY, OBJECT_LINK, OBJECT_OTHER };

/* Which object it is. With the time of birth, since numbers of inodes are used again. */
struct object {
	enum object_kind kind;
	uint16_t mode; /* permissions only */
	uint32_t dev_major, dev_minor, nlink;
	uint64_t ino, size;
	struct statx_timestamp birth, change;
};

/* object.c */
/* What is at name in dir ("": dir itself); no link is followed. 0 also when there is nothing. */
int object_look(int dir, const char *name, struct object *ret);
bool object_same(const struct object *a, const struct object *b);
/* Neither its bytes nor its names nor its mode have changed. For the same object; false in doubt. */
bool object_untouched(const struct object *a, const struct object *b);
/* Whether the times of change on the file system of fd are this kernel's own: those of directories for their names, and those
 * of files for each of their bytes, also written through a mapping. */
int object_times(int fd, bool *ret_names, bool *ret_bytes);
/* Of a file: it counts as touched. */
void object_distrust(struct object *o);
/*
 * Before and after the bytes of o, a file, are read: when both hold, its time of change tells when they change from here on.
 * A file that is mapped for writing changes without that once its page is dirty, so nobody may have it open for writing (a
 * mapping counts): then the kernel gives a lease. False in doubt, as on file systems that give none.
 */
bool object_settles(int dir, const char *name, const struct object *o);
bool object_settled(int dir, const char *name, const struct object *o);
/* The bytes of the file at name, through no link: -EFBIG over max, -EISDIR and the like when it is none. */
int object_read(int dir, const char *name, size_t max, struct buf *out);

/* keep.c: where things are moved. */
struct keep {
	int state, dir; /* dir: made when it is needed */
	const char *id;
	unsigned n; /* moved so far */
};
/* The place of the next one: made ready, its name in it and as an absolute path for the report. When that fails, with a
 * name all the same, keep_move() moves it aside only. */
int keep_begin(struct keep *k, const char *name, char ret_name[64], char **ret_path);
/* What is there is no longer there; *ret_path is replaced when it did not get where keep_begin() said. */
int keep_move(struct keep *k, int dir, const char *dir_path, const char *name, const char *to, char **ret_path);
/* A new file of these bytes. */
int write_new(int dir, const char *name, mode_t mode, const void *data, size_t len);

/* config.c: a file of git that has to stay writable: configuration, or the list of a rebase. */
struct config {
	git_reader read;
	struct object seen; /* the last state of which it is known that nothing executes but what did before */
	struct buf text;    /* before the first call */
	struct git_keys keys;
	bool readable; /* git's grammar holds; else any other bytes are a change */
	mode_t mode;
};
int config_begin(struct config *c, int dir, const char *name);
/* Where there is none, of which a repository that a call makes may say how it is hashed, and of a submodule where its worktree
 * is (relative; may be NULL). */
int config_new(struct config *c, const char *worktree);
void config_done(struct config *c);

struct check {
	struct watch *watch;
	struct keep *keep;
	watch_report report;
	void *arg;
};
/* Something at name in dir (dir_path) is not as it has to be: told, moved; what was there before comes back when it is
 * known (before may be NULL). what: "new" or "changed". */
void take_away(const struct check *c, int dir, const char *dir_path, const char *name, const char *what,
	       const struct config *before);
/* What is there stays, since it is not known what it is. */
void cannot_look(const struct check *c, const char *dir_path, const char *name, int r);
int config_restore(const struct config *c, int dir, const char *name);
void config_check(const struct check *c, struct config *config, int dir, const char *dir_path, const char *name);

enum watch_rule {
	RULE_OBJECT,	/* the same object as at the beginning, or none */
	RULE_DIRECTORY, /* the same, or a directory that is looked into */
	RULE_HOOKS,	/* the same, or a directory with examples only */
	RULE_CONFIG,
	RULE_TODO,	/* the list of a rebase: no new command in it */
	RULE_STRATEGY,	/* of a rebase: not a program of the worktree */
	RULE_OPTIONS,	/* of git apply: none that writes elsewhere */
	RULE_INDEX,	/* no path that leads out of the worktree or into .git */
	RULE_WORKTREES, /* no new link; new linked worktrees are looked into */
	RULE_CHECKOUT,	/* .git of a submodule: the same, a directory, or a file that names one of its repository's modules */
	RULE_MODULES,	/* the same, or a directory whose repositories are looked into */
	RULE_HEAD,	/* with what else makes a directory one of git: then that is looked into */
};

struct entry {
	char *name;
	enum watch_rule rule;
	bool always; /* may change without a change of the directory */
	bool fresh;  /* was not there at the beginning; of an index: is always read anew */
	struct object was;
	uint8_t digest[SHA256_DIGEST_SIZE]; /* of a file with several names */
	struct config config;
};

struct place {
	char *path;
	int dir;	   /* -EBADF: opened anew below the place of that index each time */
	size_t parent;
	size_t repository; /* of a submodule: the place whose index names it */
	char *git_dir;	   /* what a file .git in it names, absolute and through no link; may be NULL */
	bool for_file;	   /* added for one file in it that has several names */
	bool now_git, was_git; /* it has become what git takes for a repository: in this look, before */
	bool modules;	   /* those in it are still to be looked for */
	bool local;	   /* its times are this kernel's own */
	bool tells;	   /* those of files tell each change of their bytes */
	struct object seen; /* the directory, when all its names were as they have to be */
	struct entry *entries;
	size_t n;
};

/* To be a place too. */
struct more {
	char *path, *worktree; /* worktree: for its configuration, may be NULL */
	size_t repository;
	bool git_dir; /* in modules/; else where the submodule is checked out */
};

struct watch {
	const struct policy *policy; /* borrowed */
	struct keep keep;
	struct place *places;
	size_t n;
	struct nested_scan nested;
	bool skipped; /* a repository that cannot be looked at */
	struct more *more;
	size_t n_more;
	unsigned n_submodules;
	bool full; /* of these there were too many at the start */
};

#define LINKED_MAX (16u << 20) /* bytes of a file with several names that are compared */
/* Of such a file, which somebody may write through another name. */
int digest_of(int dir, const char *name, uint8_t ret[SHA256_DIGEST_SIZE]);
/* The directory of that place, which has no descriptor. -ENOENT: there is none, or what is there is no directory and looked at
 * as such. */
int place_open(const struct watch *w, size_t i);

/* worktrees.c: in the directory git, which is one of git. */
void worktrees_check(const struct check *c, int git, const char *git_path);

/* index.c: in such a directory, the place at; NO_PLACE: its submodules are not looked after. was: when it was as it has to be. */
#define NO_PLACE SIZE_MAX
void index_check(const struct check *c, size_t at, struct object *was, int dir, const char *dir_path);
/* At the start, as far as it can be read; -E2BIG, -ENOMEM. now: that index; local: its times are this kernel's own. */
int index_links(const struct keep *k, int dir, const struct object *now, bool local, struct buf *links);

/* searched.c */
/* It has no link: it was searched when it was the same. */
bool index_is_searched(const struct keep *k, const struct object *now);
void index_searched(const struct keep *k, const struct object *now);

/* submodules.c */
/* Those that the index in the place at names, as of git_index_check(); -E2BIG: with them they would be too many. */
int submodules_note(struct watch *w, size_t at, const struct buf *links);
/* Among them there are directories. */
bool submodules_sparse(const struct buf *links);
/* What was noted are places from here on. fresh: with nothing in them before. */
int submodules_take(struct watch *w, bool fresh);
int submodules_begin(struct watch *w);
void submodules_done(struct watch *w);
/* .git in p is no longer what it was, and no directory. */
void checkout_check(const struct check *c, struct place *p, int dir, const struct object *now);
void modules_check(const struct check *c, size_t at);

/* places.c */
int places_add(struct watch *w, struct error *e);
int places_more(struct watch *w, const struct more *more, bool fresh);
/* The directory held open in which it lies; w->n: nobody can write there. */
size_t held_above(const struct watch *w, const char *path);
/* What has become a directory of git, with nothing in it before. */
int places_git(struct watch *w, size_t at);
bool has_place(const struct watch *w, const char *path);
void place_done(struct place *p);

#endif
