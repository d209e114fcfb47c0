/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file call.h
 * A sandbox, and the calls (commands and all they start) in it. Linux 5.13 (Landlock) or newer.
 *
 * Every call has a network namespace, an address, placeholders and a Landlock domain of its own. When its command
 * ends, every process that it left is killed and every connection cut before the end is reported. Calls run side by
 * side: up to 1,024 in one sandbox.
 */
#ifndef SANDBOX_CALL_H
#define SANDBOX_CALL_H

#include <sandbox/grant.h>
#include <sandbox/policy.h>
#include <sandbox/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sandbox sandbox;
typedef struct sandbox_command sandbox_command;
typedef struct sandbox_call sandbox_call;

/** Make a sandbox: namespaces, root view, gateway. Nothing of the caller's code runs in it yet. Blocks (a few ms). It
 *  lives as long as its handle; sandbox_create_named() (named.h) makes one that stays. */
SANDBOX_API int sandbox_create(sandbox_runtime *runtime, sandbox_policy *policy, sandbox **ret_sandbox,
			       sandbox_error **error);
/** Random id, for example "k3f9x2m1". Owned by the sandbox. */
SANDBOX_API const char *sandbox_id(const sandbox *box);
/** Path of its audit log. Owned by the sandbox. */
SANDBOX_API const char *sandbox_audit_log(const sandbox *box);
/** How many calls are prepared ahead, at most 256: 0 makes each when it is asked for, which takes a few milliseconds.
 *  Without this the library adapts: one, and more while calls come faster than they are made. */
SANDBOX_API int sandbox_set_pool(sandbox *box, unsigned depth, sandbox_error **error);
/** Send a signal to every running call. 0 also when there is none. */
SANDBOX_API int sandbox_signal(sandbox *box, int signal, sandbox_error **error);
/** One JSON object in a fresh string (free()): {id, name, state, pid, created, workdir, net, degraded, calls: [{id,
 *  argv, state, isolation, started}], audit: {path, head, records}}. `head` is the hash of the last record. */
SANDBOX_API int sandbox_inspect(sandbox *box, char **ret_json, sandbox_error **error);
/** Free the handle. What sandbox_create() made is killed and removed before this returns; a named sandbox stays.
 *  Accepts NULL. */
SANDBOX_API void sandbox_free(sandbox *box);

/** argv: NULL-terminated, copied; argv[0] is looked up in PATH inside. */
SANDBOX_API int sandbox_command_new(const char *const *argv, sandbox_command **ret_command, sandbox_error **error);
SANDBOX_API void sandbox_command_free(sandbox_command *command);

/** In the place of a descriptor: /dev/null. */
#define SANDBOX_STDIO_NULL (-1)
/** In the place of a descriptor: a pipe, whose other end sandbox_call_take_stdio() gives. */
#define SANDBOX_STDIO_PIPE (-2)
/** In the place of out or err of a call in a named sandbox: kept with it, up to 64 MiB, for sandbox_output_next(). */
#define SANDBOX_STDIO_LOG (-3)

/** Descriptors for 0, 1, 2 of the call; borrowed until the call has started. Default: 0, 1, 2. */
SANDBOX_API int sandbox_command_set_stdio(sandbox_command *command, int in, int out, int err);
/** Run on a private terminal of this size instead; sandbox_call_terminal() is its other side. */
SANDBOX_API int sandbox_command_set_terminal(sandbox_command *command, unsigned rows, unsigned columns);
/** Working directory inside (absolute). Default: the workdir. */
SANDBOX_API int sandbox_command_set_directory(sandbox_command *command, const char *path, sandbox_error **error);
/** One more variable for this call. */
SANDBOX_API int sandbox_command_set_env(sandbox_command *command, const char *name, const char *value,
					sandbox_error **error);
/**
 * "light" (default): the process ids of the sandbox; the processes of other calls are hidden and out of reach, but a
 * shared /tmp and the workspace are not, nor are terminals (/dev/pts) and System V IPC. "full": also pid, mount and ipc
 * namespaces and terminals of its own; the files stay shared. Where the kernel's Landlock is older than ABI 6 (Linux
 * 6.12) every call is "full", since only there signals between calls can be refused otherwise.
 */
SANDBOX_API int sandbox_command_set_isolation(sandbox_command *command, const char *isolation, sandbox_error **error);
/** TERM after this many milliseconds, KILL 5 s later. 0 (default): the policy's limit. The smaller of both holds. */
SANDBOX_API int sandbox_command_set_timeout(sandbox_command *command, unsigned long milliseconds);
/** Non-zero: what the command leaves running goes on, with its network and placeholders, until it ends by itself or
 *  with the sandbox. The end of the command is reported as always. */
SANDBOX_API int sandbox_command_set_background(sandbox_command *command, int background);
/** Non-zero: in a named sandbox the call goes on when this runtime is gone; else it is killed with it. */
SANDBOX_API int sandbox_command_set_detached(sandbox_command *command, int detached);
/** For sandbox_command_set_last(): with what is in its overlaid directories. */
#define SANDBOX_LAST_DROPS 2
/** Non-zero: the named sandbox is removed when this call ends, also when nobody is connected to it any more. What it
 *  changed in overlaid directories is kept, unless last is SANDBOX_LAST_DROPS. */
SANDBOX_API int sandbox_command_set_last(sandbox_command *command, int last);

/**
 * Give the call less than its sandbox has: the grant is copied, and checked by sandbox_start(). Where a [grant NAME] of
 * the policy is bound to the command, it has to be inside that too. One that asks for more is an error (-EPERM, stage
 * POLICY) which names the first excess, and nothing runs.
 */
SANDBOX_API int sandbox_command_set_grant(sandbox_command *command, sandbox_grant *grant, sandbox_error **error);
/** The call has no more than [grant NAME] of the sandbox's policy gives; with the name "*" one has to be bound to the
 *  command. sandbox_start() fails with -ENOENT, or -EPERM, when there is none. */
SANDBOX_API int sandbox_command_set_template(sandbox_command *command, const char *name, sandbox_error **error);
/** A copy of [grant NAME] of the policy that the sandbox was made from. -ENOENT when there is none. */
SANDBOX_API int sandbox_grant_from_sandbox(const sandbox *box, const char *name, sandbox_grant **ret_grant,
					   sandbox_error **error);

/** Where a call is. */
enum sandbox_call_state {
	SANDBOX_CALL_STARTING = 0,
	SANDBOX_CALL_RUNNING = 1,
	SANDBOX_CALL_ENDED = 2,
	SANDBOX_CALL_FAILED = 3, /**< it never started; sandbox_call_error() says why */
};

/** Start a call and wait until its command executes. What is passed on of the caller's own environment (TERM, LANG, what
 *  the policy names) is as it was at the first call through this handle. Fails with stage EXEC and ENOENT or EACCES when the command is not
 *  there or not executable; with any failure nothing has run. */
SANDBOX_API int sandbox_start(sandbox *box, const sandbox_command *command, sandbox_call **ret_call,
			      sandbox_error **error);
/** The same without waiting: the state is SANDBOX_CALL_STARTING until sandbox_runtime_dispatch() or a wait has seen the
 *  answer. That comes up to 2 ms after the start, or with the end of a shorter command: who does not wait for the start
 *  makes the call cheaper. Still fails at once for what can be known here. */
SANDBOX_API int sandbox_start_async(sandbox *box, const sandbox_command *command, sandbox_call **ret_call,
				    sandbox_error **error);
/** An enum sandbox_call_state. */
SANDBOX_API int sandbox_call_state(const sandbox_call *call);
/** Why it is SANDBOX_CALL_FAILED, else NULL. Owned by the call. */
SANDBOX_API const sandbox_error *sandbox_call_error(const sandbox_call *call);
/** Its id in the audit log and in events, "SANDBOX.NUMBER"; "" while it is starting. Owned by the call. */
SANDBOX_API const char *sandbox_call_id(const sandbox_call *call);
/** The terminal's descriptor (borrowed), or -1. */
SANDBOX_API int sandbox_call_terminal(const sandbox_call *call);
/** The caller's end of the pipe for 0, 1 or 2, which the caller then owns, or -1 (no SANDBOX_STDIO_PIPE, or taken).
 *  What is not taken closes with the handle. */
SANDBOX_API int sandbox_call_take_stdio(sandbox_call *call, int which);
/** Signal the call's process group (its main process in the foreground of a terminal); SIGKILL goes to every process of
 *  the call. -ESRCH when it has ended. */
SANDBOX_API int sandbox_call_signal(sandbox_call *call, int signal, sandbox_error **error);
/** Kill every process of it, or give it up when it has not started yet. 0 also when it has ended. */
SANDBOX_API int sandbox_call_cancel(sandbox_call *call, sandbox_error **error);
/** Take back what it was granted, whatever it does: when this returns 0 no process of it lives, its connections are cut, its
 *  placeholders are worth nothing, and its end is recorded with the reason "revoked". Also of what goes on in the
 *  background. One that has not started is given up. 0 also when nothing of it is left. */
SANDBOX_API int sandbox_call_revoke(sandbox_call *call, sandbox_error **error);
/**
 * Wait until it ended, at most timeout_ms (-1: for ever; 0: only look): 0, -ETIMEDOUT, or -ECONNRESET when the
 * supervisor died. Then exit status and signal (0: none) are known, and `reason` is "exit", "signal", "timeout",
 * "killed", "lost" (its sandbox collapsed), "expired" (its ttl), "revoked" or "unrecorded" (the audit log could not be
 * written any more: what happened before the end may be missing in it). For a call that failed to start: the error of it.
 */
SANDBOX_API int sandbox_call_wait(sandbox_call *call, int timeout_ms, sandbox_error **error);
SANDBOX_API int sandbox_call_exit_status(const sandbox_call *call);
SANDBOX_API int sandbox_call_exit_signal(const sandbox_call *call);
SANDBOX_API const char *sandbox_call_reason(const sandbox_call *call);
/** Kill it when it runs (not when it is detached), and free the handle. Accepts NULL. */
SANDBOX_API void sandbox_call_free(sandbox_call *call);

#ifdef __cplusplus
}
#endif
#endif
