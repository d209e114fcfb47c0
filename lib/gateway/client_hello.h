/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a ClientHello without answering it: for names that are passed through unopened, and to refuse what the TLS
 * library should never see. Bytes in, facts out; no socket, no allocation.
 */
#ifndef NSBOX_GATEWAY_CLIENT_HELLO_H
#define NSBOX_GATEWAY_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Records and message together; real ones stay below 2 KiB (4 KiB with post-quantum keys). */
#define CLIENT_HELLO_MAX 65536u

enum client_hello_status {
	CLIENT_HELLO_OK = 1,
	CLIENT_HELLO_MORE = 0,	/* a prefix of a possible one: read on and give all bytes again */
	CLIENT_HELLO_BAD = -1,	/* never will be one; error tells why */
};

struct client_hello {
	const uint8_t *sni; /* raw host_name, into message[]; NULL when there is none. To be checked by host_canonical() */
	size_t sni_len;
	bool alpn;	     /* application_layer_protocol_negotiation is there */
	bool ech;	     /* encrypted_client_hello is there; GREASE cannot be told from the real thing */
	bool tls13;	     /* supported_versions offers TLS 1.3 */
	uint16_t legacy_version;
	const char *error;   /* stable token */
	uint8_t message[CLIENT_HELLO_MAX]; /* the handshake message without record headers */
};

/* data: everything received so far, from the first byte of the connection. */
enum client_hello_status client_hello_parse(const uint8_t *data, size_t len, struct client_hello *ret);

#endif
