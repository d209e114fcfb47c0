/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file error.h
 * Structured errors. Every function that can fail returns 0 or a negative errno and, when its last argument is given,
 * stores a new sandbox_error there on failure (never on success). Free it with sandbox_error_free().
 */
#ifndef SANDBOX_ERROR_H
#define SANDBOX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SANDBOX_API __attribute__((visibility("default")))
#else
#define SANDBOX_API
#endif

/** Where a failure happened. Values are stable. */
enum sandbox_stage {
	SANDBOX_STAGE_NONE = 0,
	SANDBOX_STAGE_USAGE = 1,        /**< an argument of the caller */
	SANDBOX_STAGE_POLICY = 2,       /**< a policy file, profile or rule */
	SANDBOX_STAGE_HELPER = 3,       /**< starting or finding a helper program */
	SANDBOX_STAGE_PROTOCOL = 4,     /**< talking to a helper */
	SANDBOX_STAGE_USER_NAMESPACE = 5,
	SANDBOX_STAGE_NAMESPACE = 6,    /**< the other namespaces */
	SANDBOX_STAGE_MOUNT = 7,
	SANDBOX_STAGE_NETWORK = 8,
	SANDBOX_STAGE_LANDLOCK = 9,
	SANDBOX_STAGE_SECCOMP = 10,
	SANDBOX_STAGE_CAPABILITIES = 11,
	SANDBOX_STAGE_LIMITS = 12,
	SANDBOX_STAGE_GATEWAY = 13,
	SANDBOX_STAGE_SECRET = 14,
	SANDBOX_STAGE_AUDIT = 15,
	SANDBOX_STAGE_TERMINAL = 16,
	SANDBOX_STAGE_EXEC = 17,        /**< executing the command itself */
	SANDBOX_STAGE_AUDITOR = 18,
	SANDBOX_STAGE_INTERNAL = 19,
	SANDBOX_STAGE_OVERLAY = 20,     /**< changes kept in a layer: listing, committing and discarding them */
	_SANDBOX_STAGE_MAX
};

typedef struct sandbox_error sandbox_error;

/** Positive errno. 0 for NULL. */
SANDBOX_API int sandbox_error_errno(const sandbox_error *error);
/** An enum sandbox_stage. */
SANDBOX_API int sandbox_error_stage(const sandbox_error *error);
/** Stable lower-case word for a stage, for example "mount". Never NULL. */
SANDBOX_API const char *sandbox_stage_name(int stage);
/** What it was about (a path, a rule, a system call), or "". Owned by the error. */
SANDBOX_API const char *sandbox_error_object(const sandbox_error *error);
/** One sentence that names the object and the way out. Owned by the error. */
SANDBOX_API const char *sandbox_error_message(const sandbox_error *error);
/** Accepts NULL. */
SANDBOX_API void sandbox_error_free(sandbox_error *error);

#ifdef __cplusplus
}
#endif
#endif
