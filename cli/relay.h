/* SPDX-License-Identifier: Apache-2.0 */
/* Between the caller and a running call: signals, and with a terminal the bytes of both directions. */
#ifndef NSBOX_CLI_RELAY_H
#define NSBOX_CLI_RELAY_H

#include <sandbox/sandbox.h>
#include <stdbool.h>

#include "report.h"

/* Take over HUP INT TERM QUIT (and WINCH with a terminal): from here on they are for the call. Before it they end
 * nsbox, and the sandbox with it. Without a terminal of the call's own also remember the settings of the caller's, for
 * relay_run() to put back. Returns a descriptor or -errno. */
int relay_signals(bool terminal);
/* Size of the caller's terminal, 24 x 80 when it has none. */
void relay_window_size(unsigned *ret_rows, unsigned *ret_columns);
/* Until the call has ended: 0, or EXIT_NSBOX (said). Puts back the caller's terminal, whatever happens. */
int relay_run(sandbox_runtime *runtime, sandbox_call *call, int signals, struct report *report);

#endif
