/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers the gateway believes: the host's trust bundle and the extra authorities of the policy. */
#ifndef NSBOX_GATEWAY_TRUST_H
#define NSBOX_GATEWAY_TRUST_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "gateway/client_cert.h"
#include "gateway/tickets.h"
#include "policy/policy.h"

struct extra_ca {
	const char *host; /* NULL: the hosts of connect_to */
	struct buf pem;
};

#define EXTRA_CA_MAX 64u /* bits of special_store.set */

struct special_store {
	uint64_t set; /* bit i: with extra[i] */
	X509_STORE *store;
};

struct trust {
	struct buf bundle; /* PEM of the host, parsed when the first server has to be verified */
	X509_STORE *store;
	struct extra_ca *extra;
	size_t n_extra;
	struct special_store *special; /* made when first used */
	size_t n_special;
	SSL_CTX *client; /* base of every upstream connection */
	struct tickets tickets;
	struct client_certs certs;
	const struct policy *policy;
};

/* Reads the files, and the keys of client certificates from their descriptors; afterwards no file is needed any more. */
int trust_init(struct trust *t, const struct policy *policy, const int *key_fds, struct error *e);
/* A connection that will verify host (canonical name or address literal) before it finishes its handshake, and that
 * resumes a session of host and port when there is one. It offers HTTP/2 too, unless http1_only. */
SSL *trust_connect(struct trust *t, const char *host, uint16_t port, bool http1_only);
/* After the handshake. A resumed session brings the certificates that were verified when it was made, and they are
 * again, as of now: NULL, or why they are not accepted any more. */
const char *trust_resumed_failure(struct trust *t, SSL *ssl, const char *host);
/* Why the handshake failed, for people. */
const char *trust_failure(const SSL *ssl);

#endif
