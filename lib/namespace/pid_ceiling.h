/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ceiling on processes for callers that are the host's root. RLIMIT_NPROC does not hold for that user in any user
 * namespace; since Linux 6.14 every pid namespace has a pid_max of its own, which does.
 */
#ifndef NSBOX_NAMESPACE_PID_CEILING_H
#define NSBOX_NAMESPACE_PID_CEILING_H

#include <stdint.h>

#include "base/error.h"

#define DEFAULT_PIDS 4096u

/* The directory of its files, opened while /proc is still writable; -EBADF where they are not needed or the host's. */
int pid_ceiling_open(int root);
/* pids 0: the default, as far as this kernel can. A number that was asked for and cannot be held is an error. */
int pid_ceiling_set(int fd, uint32_t pids, struct error *e);

#endif
