/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in profiles as a list, the choice among them by a command, and the policy file of a project. */
#ifndef NSBOX_POLICY_PROFILE_H
#define NSBOX_POLICY_PROFILE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

/* profiles.c, generated: the texts of cli/profiles. Ends with a name of NULL. */
struct builtin_profile {
	const char *name, *text;
};
extern const struct builtin_profile builtin_profiles[];

/* choose.c: the profiles that go with a command, by its name or by what a wrapper before it (env, nice, nohup, timeout,
 * npx, pnpm dlx, uvx) would start: at most two, the wrapper's own first, NULL where there is none. Static names. */
#define PROFILES_CHOSEN 2
struct profile_choice {
	const char *profile[PROFILES_CHOSEN];
	const char *by[PROFILES_CHOSEN]; /* the word of argv */
};
/* workdir: of the sandbox; NULL: the current directory, in which nothing chooses either way. */
void profile_choose(const char *const *argv, const char *workdir, struct profile_choice *ret);
/* The names that choose a profile, as "a, b". */
int profile_names(const char *profile, struct buf *out);

/* project.c: .nsbox.ini in the workspace. */
#define PROJECT_FILE ".nsbox.ini"
struct policy;
/* Its bytes, read once from a regular file in the directory itself; -ENOENT when there is none. */
int project_read(const char *dir, struct buf *ret, struct error *e);
/* Apply these bytes as the project's file. */
int policy_load_project(struct policy *p, const struct buf *text, struct error *e);

#endif
