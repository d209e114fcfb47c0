/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes both ways, unread: opaque connections, and what became a WebSocket. */
#ifndef NSBOX_GATEWAY_RELAY_H
#define NSBOX_GATEWAY_RELAY_H

#include "gateway/session.h"

/* Both directions silent for this long: the peer is most likely gone without a word. */
#define RELAY_IDLE_US (2ull * 3600u * 1000000u)

/* As request_review(), of a relay. */
bool relay_review(struct session *s);

enum relay_result { RELAY_NOTHING, RELAY_MOVED, RELAY_ENDED, RELAY_GONE, RELAY_QUOTA };

/* Between s->client and s->up, counted in s->relay_up and s->relay_down. */
enum relay_result relay_bytes(struct session *s);
/* What became of both directions after something moved between them, or nothing did. */
enum relay_result relay_ends(struct session *s, bool moved);

#endif
