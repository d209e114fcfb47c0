/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records on their way to the supervisor, the one writer of the audit log. What happens in one round of the loop goes
 * out as one packet; whoever has to wait until a decision is on disk gets called when the packet's ticket comes back.
 */
#ifndef NSBOX_GATEWAY_RECORDS_H
#define NSBOX_GATEWAY_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct call;
struct queued_packet;

struct waiter {
	struct waiter *next, **prev;
	uint64_t ticket;
	void (*done)(struct waiter *w, bool written);
};

struct records {
	int fd;
	struct buf batch; /* starts with room for the packet's head */
	uint32_t n;
	uint64_t next_ticket; /* of the open batch */
	bool wanted;          /* somebody waits for the open batch */
	uint64_t since;       /* when its first record was seen at the end of a round, 0: none yet */
	bool failed;          /* the log cannot be written: every later decision is a denial */
	bool broken;          /* memory ran out, or the supervisor is gone */
	struct queued_packet *queue, **queue_tail;
	size_t queued_bytes;
	struct waiter *waiters, **waiters_tail;
};

void records_init(struct records *r, int fd);
/* call may be NULL; members is JSON without braces (base/json.h). */
void records_add(struct records *r, const char *event, const struct call *call, const char *reason,
		 const struct buf *members);
/* Call done once everything added so far is written, or not (also from within when that is known already: never).
 * A waiter is used for one wait at a time. */
void records_wait(struct records *r, struct waiter *w);
void records_forget(struct records *r, struct waiter *w);
/* Send the batch. -errno when the supervisor is gone. */
int records_flush(struct records *r);
/* End of a round: send the batch when somebody waits for it, or when it is RECORDS_LAG_US old. What only reports (the
 * end of a request) so travels with the next decision, which halves the packets and the writes of a busy connection. */
#define RECORDS_LAG_US 20000u
int records_round(struct records *r, uint64_t now);
/* The socket takes packets again. */
int records_writable(struct records *r);
/* GATEWAY_WRITTEN. */
void records_written(struct records *r, uint64_t ticket, bool failed);
/* So much is waiting for the supervisor that nothing new should be begun. */
bool records_congested(const struct records *r);
/* Any other message to the supervisor, in order with the records before it. */
int records_send(struct records *r, const struct buf *message);

#endif
