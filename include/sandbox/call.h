/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file call.h
 * A sandbox, and the calls (commands and all they start) in it. Linux 5.13 (Landlock) or newer.
 */
#ifndef SANDBOX_CALL_H
#define SANDBOX_CALL_H

#include <sandbox/policy.h>
#include <sandbox/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sandbox sandbox;
typedef struct sandbox_command sandbox_command;
typedef struct sandbox_call sandbox_call;

/** Make a sandbox: namespaces, root view, gateway. Nothing of the caller's code runs in it yet. Blocks (a few ms). */
SANDBOX_API int sandbox_create(sandbox_runtime *runtime, sandbox_policy *policy, sandbox **ret_sandbox,
			       sandbox_error **error);
/** Random id, for example "k3f9x2m1". Owned by the sandbox. */
SANDBOX_API const char *sandbox_id(const sandbox *box);
/** Path of its audit log. Owned by the sandbox. */
SANDBOX_API const char *sandbox_audit_log(const sandbox *box);
/** Kill what runs, remove all of it and free the handle; returns when it is gone. Accepts NULL. */
SANDBOX_API void sandbox_free(sandbox *box);

/** argv: NULL-terminated, copied; argv[0] is looked up in PATH inside. */
SANDBOX_API int sandbox_command_new(const char *const *argv, sandbox_command **ret_command, sandbox_error **error);
SANDBOX_API void sandbox_command_free(sandbox_command *command);
/** Descriptors for 0, 1, 2 of the call; borrowed until sandbox_start() returns. -1: /dev/null. Default: 0, 1, 2. */
SANDBOX_API int sandbox_command_set_stdio(sandbox_command *command, int in, int out, int err);
/** Run on a private terminal of this size instead; sandbox_call_terminal() is its other side. */
SANDBOX_API int sandbox_command_set_terminal(sandbox_command *command, unsigned rows, unsigned columns);
/** Working directory inside (absolute). Default: the workdir. */
SANDBOX_API int sandbox_command_set_directory(sandbox_command *command, const char *path, sandbox_error **error);
/** One more variable for this call. */
SANDBOX_API int sandbox_command_set_env(sandbox_command *command, const char *name, const char *value,
					sandbox_error **error);

/** Start a call; one at a time in a sandbox in this version (-EBUSY). Fails with stage EXEC and ENOENT or EACCES when the command is not there or not executable. */
SANDBOX_API int sandbox_start(sandbox *box, const sandbox_command *command, sandbox_call **ret_call,
			      sandbox_error **error);
SANDBOX_API const char *sandbox_call_id(const sandbox_call *call);
/** The terminal's descriptor (borrowed), or -1. */
SANDBOX_API int sandbox_call_terminal(const sandbox_call *call);
/** Signal the call's process group (its main process in the foreground of a terminal). -ESRCH when it has ended. */
SANDBOX_API int sandbox_call_signal(sandbox_call *call, int signal, sandbox_error **error);
/**
 * Wait until it ended, at most timeout_ms (-1: for ever; 0: only look): 0, -ETIMEDOUT, or -ECONNRESET when the
 * supervisor died. Then exit status and signal (0: none) are known, and `reason` is "exit", "signal", "timeout",
 * or "killed".
 */
SANDBOX_API int sandbox_call_wait(sandbox_call *call, int timeout_ms, sandbox_error **error);
SANDBOX_API int sandbox_call_exit_status(const sandbox_call *call);
SANDBOX_API int sandbox_call_exit_signal(const sandbox_call *call);
SANDBOX_API const char *sandbox_call_reason(const sandbox_call *call);
/** Kill it when it runs, and free the handle. Accepts NULL. */
SANDBOX_API void sandbox_call_free(sandbox_call *call);

#ifdef __cplusplus
}
#endif
#endif
