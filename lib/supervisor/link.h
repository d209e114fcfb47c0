/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a SEQPACKET connection that must never block its process: packets that the kernel does not take at once
 * wait in a bounded queue. Used by the supervisor towards client, launcher and gateways.
 */
#ifndef NSBOX_SUPERVISOR_LINK_H
#define NSBOX_SUPERVISOR_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/wire.h"

struct packet;

struct link {
	int fd; /* O_NONBLOCK */
	struct packet *head, **tail;
	size_t queued;
};

/* Takes fd over and makes it non-blocking. */
int link_init(struct link *l, int fd);
void link_close(struct link *l);
/* Descriptors are duplicated only when the packet has to wait; the caller keeps its own. 0, or -errno when the
 * connection is broken. */
int link_send(struct link *l, const struct buf *message, const int *fds, size_t n_fds);
/* Continue after POLLOUT. */
int link_flush(struct link *l);
static inline bool link_waiting(const struct link *l)
{
	return l->head != NULL;
}

#endif
