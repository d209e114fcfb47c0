/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became a WebSocket. Where the sandbox has secrets its messages are read: a placeholder in one that goes out gets
 * its value (inject = body) or is misuse, a value in one that comes becomes its placeholder. Otherwise bytes go both
 * ways unread.
 */
#ifndef NSBOX_GATEWAY_TUNNEL_H
#define NSBOX_GATEWAY_TUNNEL_H

#include "gateway/exchange.h"

/*
 * A request for a WebSocket is about to be written: the server shall not be offered extensions, which would compress
 * what has to be read.
 */
void tunnel_offer(struct session *s);
/* x->answer agrees to a WebSocket. 0, -EBADMSG (x->answer.error says why), -ENOMEM. */
int tunnel_begin(struct session *s);
/* EXCHANGE_TUNNEL; true when the state has changed. */
bool tunnel_run(struct session *s);
void tunnel_free(struct tunnel *t);

#endif
