/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a gateway and the nsbox-source of one secret, over a SOCK_SEQPACKET pair whose ends pass through the client
 * library and the supervisor unread: u32 type first, encoded with base/wire.h.
 */
#ifndef NSBOX_SOURCE_PROTOCOL_H
#define NSBOX_SOURCE_PROTOCOL_H

enum source_message {
	/* g->s  ask the command; answered by one of the following before the next one is sent */
	SOURCE_ASK = 96,
	/* s->g  u64 seconds that it is good for (0: no end is known), bytes value */
	SOURCE_VALUE_IS = 97,
	/* s->g  str why there is none */
	SOURCE_FAILED = 98,
};

/* Of what a command prints, and of the value in it. */
#define SOURCE_OUTPUT_MAX (64u * 1024u)
#define SOURCE_COMMAND_S 30u /* a command that takes longer is killed */

#endif
