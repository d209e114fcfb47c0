/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS sessions of servers, to be resumed: of the whole sandbox, since a session says only who the server is, and
 * resuming it spares no request any decision. By place, that is the name that was verified and the port.
 */
#ifndef NSBOX_GATEWAY_TICKETS_H
#define NSBOX_GATEWAY_TICKETS_H

#include <openssl/ssl.h>
#include <stddef.h>

#define TICKETS_MAX 64u      /* a session holds the certificates of its server: a few KB */
#define TICKETS_PLACE_MAX 2u /* what servers send at once */

struct ticket {
	char *place;
	SSL_SESSION *session;
};

struct tickets {
	struct ticket v[TICKETS_MAX]; /* oldest first */
	size_t n;
};

/* The session is taken over. */
void tickets_add(struct tickets *t, const char *place, SSL_SESSION *session);
/* The newest of that place, of which the caller owns a reference; one that may be used once only is gone from here. */
SSL_SESSION *tickets_get(struct tickets *t, const char *place);
/* Nothing of that place is resumed any more. */
void tickets_forget(struct tickets *t, const char *place);

#endif
