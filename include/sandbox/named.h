/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file named.h
 * Sandboxes that stay when the process that made them goes, found again by name from any process of the same user.
 * They end with sandbox_remove(), or when their supervisor dies; the entry of a dead one is swept by whoever sees it.
 */
#ifndef SANDBOX_NAMED_H
#define SANDBOX_NAMED_H

#include <sandbox/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/** As sandbox_create(), for a sandbox that stays. name: 1 to 64 letters, digits, '-' and '_', not beginning with '-';
 *  NULL: its random id. -EEXIST when the name is taken by a living sandbox. */
SANDBOX_API int sandbox_create_named(sandbox_runtime *runtime, sandbox_policy *policy, const char *name,
				     sandbox **ret_sandbox, sandbox_error **error);
/** Find one by name or id. -ENOENT when there is none. */
SANDBOX_API int sandbox_open(sandbox_runtime *runtime, const char *name, sandbox **ret_sandbox, sandbox_error **error);
/** Its name, or "" for one of sandbox_create(). Owned by the sandbox. */
SANDBOX_API const char *sandbox_name(const sandbox *box);
/** End it for everybody, with force also while calls run (else -EBUSY), and remove its entry. The audit log stays. The
 *  handle is still to be freed. */
SANDBOX_API int sandbox_remove(sandbox *box, int force, sandbox_error **error);
/** Signal one call in it by its id, whoever started it; as sandbox_call_signal(). -ESRCH when none of that id runs. */
SANDBOX_API int sandbox_signal_call(sandbox *box, const char *call, int signal, sandbox_error **error);
/** Revoke one call in it by its id, whoever started it; as sandbox_call_revoke(). -ESRCH when nothing of that id is left. */
SANDBOX_API int sandbox_revoke_call(sandbox *box, const char *call, sandbox_error **error);
/** JSON array in a fresh string (free()), sorted by name: {name, id, state, pid, created, workdir, net}. state is
 *  "running" or "starting". Entries of dead supervisors are swept first. */
SANDBOX_API int sandbox_list(char **ret_json, sandbox_error **error);
/** Sweep dead entries, and remove every sandbox in which no call runs. JSON array of the removed names (free()). */
SANDBOX_API int sandbox_prune(char **ret_json, sandbox_error **error);

/** What SANDBOX_STDIO_LOG kept, read from the start. One thread at a time. */
typedef struct sandbox_output sandbox_output;

/** By name or id. */
SANDBOX_API int sandbox_output_open(const char *name, sandbox_output **ret_output, sandbox_error **error);
/**
 * The next piece: *ret_stream 1 or 2, *ret_call the id of its call, *ret_data and *ret_length its bytes, all owned by
 * the reader until the next call. 1 got one; 0 nothing more so far (also while a piece is being written); -errno.
 * Stream 0 with no bytes: from here on output was dropped because the log is full.
 */
SANDBOX_API int sandbox_output_next(sandbox_output *output, int *ret_stream, const char **ret_call,
				    const void **ret_data, unsigned long *ret_length);
SANDBOX_API void sandbox_output_free(sandbox_output *output);

#ifdef __cplusplus
}
#endif
#endif
