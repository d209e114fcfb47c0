/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file format of git-config(1), read as strictly as git does, for one question: which keys in it make git execute
 * something, take more keys from elsewhere, or give credentials to somebody else: those "that execute" below. The same of the
 * list of a rebase. Bytes in, facts out.
 */
#ifndef NSBOX_POLICY_GIT_CONFIG_H
#define NSBOX_POLICY_GIT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define GIT_CONFIG_MAX (1u << 20) /* bytes of a file */
#define GIT_KEYS_MAX 4096u	   /* that execute, in one file */
#define GIT_NAME_MAX 4096u	   /* bytes of `section.subsection.key`, since each key repeats all of it */
#define GIT_KEY_TOLD 256u	   /* bytes of a name that are told */

/* One key that executes, as `section.subsection.key`, first and last part in lower case. */
struct git_key {
	char *name;
	char *value;	    /* without quotes and escapes; NULL: the key stands alone, which means true */
	size_t begin, end; /* its bytes in the file, without the end of the line */
};

struct git_keys {
	struct git_key *v;
	size_t n;
};

#define _cleanup_git_keys_ __attribute__((cleanup(git_keys_free)))

/* Those that execute, in the order of the file. -EBADMSG: git would not read it either, it holds NUL, or it is over one of
 * the limits above. -ENOMEM. */
typedef int (*git_reader)(const char *text, size_t len, struct git_keys *ret);
int git_config_read(const char *text, size_t len, struct git_keys *ret);
/* The list of a rebase that is under way: its exec lines, each as a name without a value. */
int git_todo_read(const char *text, size_t len, struct git_keys *ret);
/* Its strategy of merging, one name: all of it when that has a slash, so that git would run a file of the worktree. */
int git_strategy_read(const char *text, size_t len, struct git_keys *ret);
/* The options with which a `git am` that is under way applies patches: those that write outside of the worktree. */
int git_apply_options_read(const char *text, size_t len, struct git_keys *ret);
void git_keys_free(struct git_keys *keys);
/* name as in struct git_key. value: some keys execute with some values only. */
bool git_key_executes(const char *name, const char *value);

/*
 * The text without what executes now and did not before: what stays of such keys is a part of before, in its order. What
 * was taken out is counted, its names are added to removed (a string array, NULL-terminated, at most max, each cut; may be NULL).
 * -EBADMSG: it cannot be read, or what would be left is not what was meant.
 */
int git_config_filter(git_reader read, const char *text, size_t len, const struct git_keys *before, struct buf *out,
		      size_t *ret_removed, char **removed, size_t max);

#endif
