/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation with the supervisor over fd 3: configuration first, then calls and acknowledgements. */
#ifndef NSBOX_GATEWAY_CONTROL_H
#define NSBOX_GATEWAY_CONTROL_H

#include "base/error.h"

struct gateway;
struct call;

#define CONTROL_FD 3

/* Everything up to READY, blocking. 0, or -errno with e filled; ends the process when the supervisor is gone. */
int control_configure(struct gateway *gw, struct error *e);
/* Answer READY; failed may be NULL. */
/* A call that has to end for what it did. */
int control_kill_call(struct gateway *gw, const struct call *call);
int control_ready(struct gateway *gw, const struct error *failed);
/* After a failed start: stay until the supervisor hangs up, so that what it still sends does not fail before it has
 * read why. */
void control_drain(void);
/* From here on messages are handled in the loop. */
int control_start(struct gateway *gw);
/* End of a round: wait for room for what is still to be sent, and only then; with every packet that the supervisor reads
 * there is some. 0 or -errno. */
int control_watch(struct gateway *gw);
/* Handle what has come by now, also outside of its turn. */
void control_take(struct gateway *gw);

/* More placeholders of a call that is prepared: NAME=placeholder. 0 or -errno. */
/* GATEWAY_CALL_ENDED of a call whose end was to be waited for. */
int control_ended(struct gateway *gw, uint32_t addr);
int control_placeholders(struct gateway *gw, const struct call *call, char **env);
/* A change is done, or failed (NULL: it is done). 0 or -errno. */
int control_changed(struct gateway *gw, uint32_t ticket, const struct error *failed);

#endif
