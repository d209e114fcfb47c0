/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file audit.h
 * Reading audit logs: JSON Lines with a hash chain.
 */
#ifndef SANDBOX_AUDIT_H
#define SANDBOX_AUDIT_H

#include <sandbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Path of the log of a sandbox by its id, in a fresh string; -ENOENT when there is none. id NULL: the newest log. */
SANDBOX_API int sandbox_audit_path(const char *id, char **ret_path, sandbox_error **error);
/**
 * Check the chain of the log at path. *ret_ok: 1 intact, 0 not, and then *ret_text says where. head (64 hex digits,
 * may be NULL): also that the last record is that one. *ret_text is one fresh sentence (free()) either way.
 */
SANDBOX_API int sandbox_audit_verify(const char *path, const char *head, int *ret_ok, char **ret_text,
				     sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
