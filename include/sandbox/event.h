/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file event.h
 * What happened in sandboxes: pulled with sandbox_runtime_next_event(). An event is one record of the audit log, so
 * the names are those of the log: "call.exit", "net.deny", "secret.misuse" and so on. At most 4,096 wait; after that
 * the oldest are dropped and the next event pulled is "events.lost" (the audit log itself never drops).
 */
#ifndef SANDBOX_EVENT_H
#define SANDBOX_EVENT_H

#include <sandbox/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All strings are owned by the event. */
SANDBOX_API const char *sandbox_event_name(const sandbox_event *event);
SANDBOX_API const char *sandbox_event_sandbox(const sandbox_event *event);
/** Id of the call, or "". */
SANDBOX_API const char *sandbox_event_call(const sandbox_event *event);
/** Why, or "". */
SANDBOX_API const char *sandbox_event_reason(const sandbox_event *event);
/** The audit record, one JSON object without newline. */
SANDBOX_API const char *sandbox_event_json(const sandbox_event *event);
SANDBOX_API void sandbox_event_free(sandbox_event *event);

#ifdef __cplusplus
}
#endif
#endif
