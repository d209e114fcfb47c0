/* SPDX-License-Identifier: Apache-2.0 */
/* Batching of audit records. */
#include "gateway/records.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wire.h"
#include "gateway/calls.h"
#include "supervisor/protocol.h"

/* u32 type, u64 ticket, u32 count: known only when the batch is sent. */
#define HEAD_LEN 16u
#define BATCH_MAX (96u * 1024u)
#define BATCH_RECORDS 1000u /* the supervisor refuses packets with more than 1024 */
#define QUEUE_MAX (1024u * 1024u)

struct queued_packet {
	struct queued_packet *next;
	struct buf data;
};

void records_init(struct records *r, int fd)
{
	*r = (struct records){ .fd = fd, .next_ticket = 1 };
	r->queue_tail = &r->queue;
	r->waiters_tail = &r->waiters;
}

static int enqueue(struct records *r, const struct buf *packet)
{
	struct queued_packet *p = calloc(1, sizeof(*p));
	if (!p || buf_append(&p->data, packet->data, packet->len) < 0) {
		free(p);
		return -ENOMEM;
	}
	*r->queue_tail = p;
	r->queue_tail = &p->next;
	r->queued_bytes += packet->len;
	return 0;
}

static int send_packet(struct records *r, const struct buf *packet)
{
	if (!r->queue) {
		int e = msg_send(r->fd, packet->data, packet->len, NULL, 0);
		if (e != -EAGAIN)
			return e;
	}
	return enqueue(r, packet);
}

int records_writable(struct records *r)
{
	while (r->queue) {
		struct queued_packet *p = r->queue;
		int e = msg_send(r->fd, p->data.data, p->data.len, NULL, 0);
		if (e == -EAGAIN)
			return 0;
		if (e < 0)
			return e;
		r->queue = p->next;
		if (!r->queue)
			r->queue_tail = &r->queue;
		r->queued_bytes -= p->data.len;
		buf_free(&p->data);
		free(p);
	}
	return 0;
}

int records_flush(struct records *r)
{
	if (r->broken)
		return -EPIPE;
	/* Nobody needs to ask any more. */
	if (r->failed && r->waiters)
		records_written(r, 0, true);
	if (!r->n && !r->wanted)
		return 0;
	if (r->batch.len < HEAD_LEN) {
		if (buf_reserve(&r->batch, HEAD_LEN) < 0)
			return -ENOMEM;
		r->batch.len = HEAD_LEN;
	}
	uint32_t type = htole32(GATEWAY_RECORDS), n = htole32(r->n);
	uint64_t ticket = htole64(r->wanted ? r->next_ticket : 0);
	memcpy(r->batch.data, &type, sizeof(type));
	memcpy(r->batch.data + 4, &ticket, sizeof(ticket));
	memcpy(r->batch.data + 12, &n, sizeof(n));
	int e = send_packet(r, &r->batch);
	if (e < 0) {
		r->broken = true;
		return e;
	}
	r->next_ticket++;
	r->since = 0;
	r->batch.len = HEAD_LEN;
	r->n = 0;
	r->wanted = false;
	return 0;
}

int records_round(struct records *r, uint64_t now)
{
	if (!r->wanted && !r->failed && !r->broken) {
		if (!r->n)
			return 0;
		if (!r->since)
			r->since = now;
		if (now - r->since < RECORDS_LAG_US)
			return 0;
	}
	return records_flush(r);
}

void records_add(struct records *r, const char *event, const struct call *call, const char *reason,
		 const struct buf *members)
{
	struct buf *b = &r->batch;
	int e = 0;

	if (b->len < HEAD_LEN) {
		e = buf_reserve(b, BATCH_MAX / 4);
		b->len = HEAD_LEN;
	}
	size_t before = b->len;
	if (e == 0)
		e = wire_put_str(b, event);
	if (e == 0)
		e = wire_put_u32(b, call ? call->addr : 0);
	if (e == 0)
		e = wire_put_str(b, reason);
	if (e == 0)
		e = wire_put_bytes(b, members->data, members->len);
	if (e < 0) {
		/* A record that is lost must not let its decision pass. */
		b->len = before;
		r->broken = true;
		return;
	}
	r->n++;
	if (b->len > BATCH_MAX || r->n >= BATCH_RECORDS)
		records_flush(r);
}

void records_wait(struct records *r, struct waiter *w)
{
	/* After an early flush of a full batch the next, empty one carries the ticket. */
	w->ticket = r->next_ticket;
	w->next = NULL;
	w->prev = r->waiters_tail;
	*r->waiters_tail = w;
	r->waiters_tail = &w->next;
	r->wanted = true;
}

void records_forget(struct records *r, struct waiter *w)
{
	if (!w->prev)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		r->waiters_tail = w->prev;
	w->prev = NULL;
	w->next = NULL;
}

void records_written(struct records *r, uint64_t ticket, bool failed)
{
	r->failed |= failed;
	while (r->waiters && (r->failed || r->waiters->ticket <= ticket)) {
		struct waiter *w = r->waiters;
		records_forget(r, w);
		w->done(w, !r->failed);
	}
}

bool records_congested(const struct records *r)
{
	return r->queued_bytes > QUEUE_MAX;
}

int records_send(struct records *r, const struct buf *message)
{
	int e = records_flush(r);
	return e < 0 ? e : send_packet(r, message);
}
