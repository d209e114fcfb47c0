/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file policy.h
 * What a sandbox may do at most. A policy is built by layers in order: profiles, files, single settings. The same keys
 * and value forms as in a policy file are used everywhere (nsbox(1) and README list them).
 */
#ifndef SANDBOX_POLICY_H
#define SANDBOX_POLICY_H

#include <sandbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sandbox_policy sandbox_policy;

SANDBOX_API int sandbox_policy_new(sandbox_policy **ret_policy, sandbox_error **error);
SANDBOX_API void sandbox_policy_free(sandbox_policy *policy);
/** The workspace: absolute, or relative to the current directory. NULL or never set: the current directory. Set it
 *  before loading files, whose relative paths are against it. force: also accept /, the home directory or above it. */
SANDBOX_API int sandbox_policy_set_workdir(sandbox_policy *policy, const char *dir, int force, sandbox_error **error);
/** Apply a built-in profile by name. */
SANDBOX_API int sandbox_policy_load_profile(sandbox_policy *policy, const char *name, sandbox_error **error);
/** Apply an INI policy file. */
SANDBOX_API int sandbox_policy_load_file(sandbox_policy *policy, const char *path, sandbox_error **error);
/**
 * One setting, as the line `key = value` in [section] would be; section "secret NAME" and "grant NAME" carry the name.
 * origin: what error messages and the dump call its source, for example "--allow" (NULL: "api").
 * Relative paths are against the current directory.
 */
SANDBOX_API int sandbox_policy_set(sandbox_policy *policy, const char *section, const char *key, const char *value,
				   const char *origin, sandbox_error **error);
/** Give a secret its value directly (any bytes but CR, LF, NUL; copied, wiped on free); the section must exist. */
SANDBOX_API int sandbox_policy_set_secret_value(sandbox_policy *policy, const char *name, const void *value,
						unsigned long length, sandbox_error **error);
/**
 * Write the audit log to this file instead of the state directory. It is made by sandbox_create(), which refuses one
 * that is there already or that the sandbox could see. Relative to the current directory of sandbox_create().
 */
SANDBOX_API int sandbox_policy_set_audit_log(sandbox_policy *policy, const char *path, sandbox_error **error);
/** Begin with a copy of the changes that are kept of a sandbox (its id or name, or a snapshot) with the same overlaid
 *  directories. sandbox_create() makes it, and refuses while that sandbox runs. */
SANDBOX_API int sandbox_policy_set_fork(sandbox_policy *policy, const char *name, sandbox_error **error);
/** Check the whole: paths exist, rules and modes fit together, limits can be applied. sandbox_create() does it too. */
SANDBOX_API int sandbox_policy_check(sandbox_policy *policy, sandbox_error **error);
/** The effective policy as a policy file, each line with its source as a comment; stable byte for byte; free() it. */
SANDBOX_API int sandbox_policy_dump(sandbox_policy *policy, char **ret_text, sandbox_error **error);
/** Decide a URL (http, https or tcp) or a path. *ret_allowed 1 or 0; *ret_json {decision, rule, source, reason} and, where it counts against
 *  some, quotas;
 *  method NULL means GET. */
SANDBOX_API int sandbox_policy_check_url(sandbox_policy *policy, const char *url, const char *method, int *ret_allowed,
					 char **ret_json, sandbox_error **error);
SANDBOX_API int sandbox_policy_check_path(sandbox_policy *policy, const char *path, int write, int *ret_allowed,
					  char **ret_json, sandbox_error **error);
/** The auditor that it names ("unix:PATH" or "exec:COMMAND"), or NULL. Owned by the policy. */
SANDBOX_API const char *sandbox_policy_auditor(const sandbox_policy *policy);
/** Warnings that the layers gave (one per line), or "". Owned by the policy. */
SANDBOX_API const char *sandbox_policy_warnings(const sandbox_policy *policy);

#ifdef __cplusplus
}
#endif
#endif
