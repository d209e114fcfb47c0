/* SPDX-License-Identifier: Apache-2.0 */
/* The /proc of a sandbox, and the own one of a full call. */
#ifndef NSBOX_NAMESPACE_PROC_H
#define NSBOX_NAMESPACE_PROC_H

#include "base/error.h"

/* A detached procfs of the pid namespace that this process's children are in, or a negative errno. */
int proc_new(struct error *e);
/* Read-only and masks over what is not about a process, in the /proc below root (O_PATH); empty: an empty file. */
int proc_lock(int root, int empty, struct error *e);
/* In the mount namespace of a call, as pid 1 of its pid namespace: its own /proc over the sandbox's. */
int proc_renew(struct error *e);

#endif
