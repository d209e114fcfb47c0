/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a gateway and the nsbox-source of one secret, over a SOCK_SEQPACKET pair whose ends pass through the client
 * library and the supervisor unread: u32 type first, encoded with base/wire.h. A value has a number, which the gateway
 * gives; what is asked for again under it takes its place.
 */
#ifndef NSBOX_SOURCE_PROTOCOL_H
#define NSBOX_SOURCE_PROTOCOL_H

enum source_message {
	/* g->s  u32 number, str call (a JSON object, or "": for no call yet): ask the command; answered by one of the
	 *       following before the same number is asked for again */
	SOURCE_ASK = 96,
	/* s->g  u32 number, u64 seconds that it is good for (0: no end is known), bytes value */
	SOURCE_VALUE_IS = 97,
	/* s->g  u32 number, str why there is none */
	SOURCE_FAILED = 98,
	/* g->s  u32 number: nobody uses it any more, nor what is being asked for under it.  s->g SOURCE_ENDED u32 number,
	 *       str why it could not be revoked ("": it is, or nothing has to be) */
	SOURCE_END = 99,
	SOURCE_ENDED = 100,
};

/* Of what a command prints, and of the value in it. */
#define SOURCE_OUTPUT_MAX (64u * 1024u)
#define SOURCE_CALL_MAX (32u * 1024u) /* of what is told of a call */
#define SOURCE_COMMAND_S 30u /* a command that takes longer is killed */
#define SOURCE_AT_ONCE 8u    /* commands that run */
#define SOURCE_VALUES 2048u  /* that are not ended */

#endif
