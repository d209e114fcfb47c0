/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher: the process that owns the namespaces and starts inits and calls. Theory of operation: launcher.c. */
#ifndef NSBOX_NAMESPACE_LAUNCHER_H
#define NSBOX_NAMESPACE_LAUNCHER_H

#include "base/error.h"

/*
 * Clone the launcher into a user namespace and a pid namespace of its own. To be called once, by a small process with
 * one thread, before it has read anything: the launcher is a copy of its memory. init_fd: the nsbox-init program,
 * O_RDONLY or O_PATH, borrowed. ret_sock speaks the LAUNCHER_* messages of supervisor/protocol.h; end of file on
 * either side ends the launcher and everything below it. ret_pidfd is a child of the caller.
 */
int launcher_start(int init_fd, int *ret_sock, int *ret_pidfd, struct error *e);

#endif
