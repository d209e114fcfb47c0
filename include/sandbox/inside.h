/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file inside.h
 * Calls within calls. A process of a call asks for a call that has less than its own: with
 * sandbox_command_set_grant(), with sandbox_command_set_template(), or simply what the policy binds to the command.
 * It is a call of its own, with its own network, address and placeholders, beside the one that asked, and ends with
 * it and with the handle's runtime.
 */
#ifndef SANDBOX_INSIDE_H
#define SANDBOX_INSIDE_H

#include <sandbox/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The sandbox around this process, through the control socket in it. The runtime needs no helper programs. The
 * functions of call.h work on it; where a command says nothing else it gets this process's environment (without
 * placeholders), directory and descriptors. sandbox_signal_call() reaches what was started through this handle. All
 * else is -EOPNOTSUPP; sandbox_id() is "". Who asks is known by the kernel, not by what is said: -ENOENT outside of
 * a sandbox, -EOPNOTSUPP where calls share a network (net = host).
 */
SANDBOX_API int sandbox_open_inside(sandbox_runtime *runtime, sandbox **ret_sandbox, sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
