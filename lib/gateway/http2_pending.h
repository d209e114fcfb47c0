/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 connections whose streams have something to send: run once at the end of the round, all of it in one piece. */
#ifndef NSBOX_GATEWAY_HTTP2_PENDING_H
#define NSBOX_GATEWAY_HTTP2_PENDING_H

#include <stdbool.h>

struct gateway;
struct http2;

void http2_pend(struct gateway *gw, struct http2 *h);
void http2_unpend(struct http2 *h);
/* Run those of the list as it is now. True when there are more: the next round must not wait for events. */
bool http2_round(struct gateway *gw);

#endif
