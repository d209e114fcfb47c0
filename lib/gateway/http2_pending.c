/* SPDX-License-Identifier: Apache-2.0 */
/* The list of HTTP/2 connections to run. */
#include "gateway/http2_pending.h"

#include "gateway/gateway.h"
#include "gateway/http2.h"

void http2_pend(struct gateway *gw, struct http2 *h)
{
	if (h->prev_pending)
		return;
	h->next_pending = gw->http2_pending;
	if (h->next_pending)
		h->next_pending->prev_pending = &h->next_pending;
	h->prev_pending = &gw->http2_pending;
	gw->http2_pending = h;
}

void http2_unpend(struct http2 *h)
{
	if (!h->prev_pending)
		return;
	*h->prev_pending = h->next_pending;
	if (h->next_pending)
		h->next_pending->prev_pending = h->prev_pending;
	h->prev_pending = NULL;
	h->next_pending = NULL;
}

bool http2_round(struct gateway *gw)
{
	struct http2 *now = gw->http2_pending;

	/* Detached first: what is put on it meanwhile has its turn after the others' events. */
	gw->http2_pending = NULL;
	if (now)
		now->prev_pending = &now;
	while (now) {
		struct http2 *h = now;
		http2_unpend(h);
		h->wire->wake(h->wire);
	}
	return gw->http2_pending;
}
