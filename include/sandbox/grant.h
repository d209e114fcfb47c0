/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file grant.h
 * The authority of one call. A grant narrows a policy and never widens it: what it names must be inside, what it does
 * not name it inherits. It is built line by line, as the section [grant NAME] of a policy file, or taken from one. sandbox_command_set_grant() (call.h) gives it to a call.
 */
#ifndef SANDBOX_GRANT_H
#define SANDBOX_GRANT_H

#include <sandbox/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sandbox_grant sandbox_grant;

/** A grant that says nothing: all that the policy allows. */
SANDBOX_API int sandbox_grant_new(sandbox_grant **ret_grant, sandbox_error **error);
/** A copy of [grant NAME] of the policy, with the policy's limits where it names none. The policy is checked as by
 *  sandbox_policy_check(). -ENOENT when there is no such section. */
SANDBOX_API int sandbox_grant_from_template(sandbox_policy *policy, const char *name, sandbox_grant **ret_grant,
					    sandbox_error **error);
/** Name of the first [grant NAME] of the policy that is bound to this command, in a fresh string (free()), or NULL. */
SANDBOX_API int sandbox_grant_for_argv(sandbox_policy *policy, const char *const *argv, char **ret_name,
				       sandbox_error **error);
SANDBOX_API void sandbox_grant_free(sandbox_grant *grant);
/**
 * One line `key = value` as in [grant NAME], all but argv. Lists grow (`none` sets one without an item), other values
 * are replaced. Relative paths are against the current directory. origin: what messages and the dump call its source,
 * for example "--allow" (NULL: "api").
 */
SANDBOX_API int sandbox_grant_set(sandbox_grant *grant, const char *key, const char *value, const char *origin,
				  sandbox_error **error);
/** Is everything that the grant names inside the policy? -EPERM when not; the error names the first excess and what
 *  would be accepted. */
SANDBOX_API int sandbox_grant_check(sandbox_grant *grant, sandbox_policy *policy, sandbox_error **error);
/** Is a at most b? *ret_subset 1 or 0; *ret_excess (may be NULL): a sentence about the first excess in a fresh string
 *  (free()), or NULL. One that inherits is above one that names something. */
SANDBOX_API int sandbox_grant_is_subset(sandbox_grant *a, sandbox_grant *b, int *ret_subset, char **ret_excess,
					sandbox_error **error);
/** The greatest grant that is at most a and at most b. */
SANDBOX_API int sandbox_grant_intersect(sandbox_grant *a, sandbox_grant *b, sandbox_grant **ret_grant,
					sandbox_error **error);
/** The grant as a section of a policy file, each line with its source as a comment; stable byte for byte; free() it. */
SANDBOX_API int sandbox_grant_dump(sandbox_grant *grant, char **ret_text, sandbox_error **error);
/** Decide a URL (method NULL means GET), a path, or a secret by its name, for a call with this grant under this policy.
 *  *ret_allowed 1 or 0; *ret_json (may be NULL) {decision, rule, source, reason}, reason "grant" or "grant-deny" where
 *  only the grant says no. */
SANDBOX_API int sandbox_grant_check_url(sandbox_grant *grant, sandbox_policy *policy, const char *url, const char *method,
					int *ret_allowed, char **ret_json, sandbox_error **error);
SANDBOX_API int sandbox_grant_check_path(sandbox_grant *grant, sandbox_policy *policy, const char *path, int write,
					 int *ret_allowed, char **ret_json, sandbox_error **error);
SANDBOX_API int sandbox_grant_check_secret(sandbox_grant *grant, sandbox_policy *policy, const char *name,
					   int *ret_allowed, char **ret_json, sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
