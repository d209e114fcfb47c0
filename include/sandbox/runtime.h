/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file runtime.h
 * The connection to a supervisor process, which owns sandboxes. Thread rule of the whole library: a runtime and every
 * object made from it may be used by one thread at a time; different runtimes are independent. The library starts no
 * thread, installs no signal handler, prints nothing, and leaves the host no child to reap: the supervisor is not a
 * child of the host (except where the host is a subreaper or pid 1, which adopts every orphan).
 */
#ifndef SANDBOX_RUNTIME_H
#define SANDBOX_RUNTIME_H

#include <sandbox/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sandbox_runtime sandbox_runtime;
typedef struct sandbox_event sandbox_event;

/** Make a runtime. The supervisor starts with the first sandbox. Free with sandbox_runtime_free(). */
SANDBOX_API int sandbox_runtime_new(sandbox_runtime **ret_runtime, sandbox_error **error);
/**
 * Which events are to be sent, before the supervisor starts: comma-separated names without blanks, for example
 * "net.deny,http.deny,call.exit"; "," alone: none. Default: all. A busy sandbox makes several for each request, and
 * what nobody pulls is work for nothing. The audit log has all of them in any case.
 */
SANDBOX_API int sandbox_runtime_set_events(sandbox_runtime *runtime, const char *names, sandbox_error **error);
/**
 * Start the supervisor now, not with the first sandbox: its start then overlaps with building a policy. Optional.
 * gateway: the first sandbox will probably have a network, so start its gateway program too; a wrong guess costs a
 * millisecond.
 */
SANDBOX_API int sandbox_runtime_start(sandbox_runtime *runtime, int gateway, sandbox_error **error);
/** End the supervisor and everything it runs; waits until it is gone. Handles of sandboxes and
 *  calls may be freed afterwards (which is faster than before: nothing is asked any more). Accepts NULL. */
SANDBOX_API void sandbox_runtime_free(sandbox_runtime *runtime);
/** Directory of the helper programs, before the first sandbox. Default: compiled in. Never read from the environment. */
SANDBOX_API int sandbox_runtime_set_helper_dir(sandbox_runtime *runtime, const char *dir, sandbox_error **error);
/** Pollable for reading whenever sandbox_runtime_dispatch() has work; one descriptor (an epoll set) from the start to the
 *  end of the runtime, whatever it is connected to. Borrowed. */
SANDBOX_API int sandbox_runtime_fd(const sandbox_runtime *runtime);
/** Take in what the supervisors sent. Never blocks. 0, or -ECONNRESET once when one of them is gone: the states of its
 *  sandboxes' calls then say so. */
SANDBOX_API int sandbox_runtime_dispatch(sandbox_runtime *runtime, sandbox_error **error);
/** The oldest event not pulled yet, or NULL in *ret_event when there is none. Free with sandbox_event_free(). */
SANDBOX_API int sandbox_runtime_next_event(sandbox_runtime *runtime, sandbox_event **ret_event);

/** "0.1.0"; owned by the library. */
SANDBOX_API const char *sandbox_version(void);
/** One JSON object {version, api, landlock_abi, kernel} in a fresh string (free()). */
SANDBOX_API int sandbox_version_json(char **ret_json);
/**
 * Examine this machine: a JSON array of {control, status: ok|missing|degraded, fix} in a fresh string (free()).
 * *ret_ok is 1 when everything required is there. Starts short-lived probes, changes nothing.
 */
SANDBOX_API int sandbox_doctor(sandbox_runtime *runtime, char **ret_json, int *ret_ok, sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
