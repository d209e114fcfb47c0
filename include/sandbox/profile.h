/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file profile.h
 * Built-in profiles, the choice among them by a command, and the policy file of a project (.nsbox.ini in the
 * workspace), which counts only as far as its user has seen and trusted it.
 */
#ifndef SANDBOX_PROFILE_H
#define SANDBOX_PROFILE_H

#include <sandbox/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The built-in profiles: a JSON array of {name, summary, commands} in a fresh string (free()). */
SANDBOX_API int sandbox_profile_list(char **ret_json, sandbox_error **error);
/** The text of one, a policy file, in a fresh string (free()). -ENOENT when there is none of that name. */
SANDBOX_API int sandbox_profile_text(const char *name, char **ret_text, sandbox_error **error);
/** The profiles that go with a command by its name, also behind env, nice, nohup, timeout, npx, bunx and uvx: a JSON
 *  array of {profile, by} in a fresh string (free()), in the order in which to apply them; "[]" when there is none.
 *  workdir: of the sandbox (NULL: the current directory); a program in it, or below the current directory, chooses none. */
SANDBOX_API int sandbox_profile_choose(const char *const *argv, const char *workdir, char **ret_json,
				       sandbox_error **error);

/** What is known about the policy file of a project. */
enum sandbox_project_state {
	SANDBOX_PROJECT_NONE = 0,    /**< there is none */
	SANDBOX_PROJECT_TRUSTED = 1, /**< byte for byte what was trusted */
	SANDBOX_PROJECT_UNKNOWN = 2, /**< never trusted */
	SANDBOX_PROJECT_CHANGED = 3, /**< not what was trusted, or gone (then its text is empty) */
};

/** Its state, its text and the one that was trusted, both in fresh strings (free()) or NULL. */
SANDBOX_API int sandbox_project_state(const char *directory, int *ret_state, char **ret_text, char **ret_trusted,
				      sandbox_error **error);
/** Trust exactly this text as the policy file of the directory, as sandbox_project_state() gave it. An empty one is
 *  forgotten. */
SANDBOX_API int sandbox_project_trust(const char *directory, const char *text, sandbox_error **error);
/** Apply the file in the workspace when it is trusted. *ret_state: what it was. -ESTALE when it has changed: what was
 *  trusted may have forbidden more. */
SANDBOX_API int sandbox_policy_load_project(sandbox_policy *policy, int *ret_state, sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
