/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates that the gateway shows of itself, each to the one host that the policy names for it. */
#ifndef NSBOX_GATEWAY_CLIENT_CERT_H
#define NSBOX_GATEWAY_CLIENT_CERT_H

#include <openssl/ssl.h>

#include "base/error.h"
#include "policy/policy.h"

struct client_cert {
	const char *host;
	X509 *leaf;
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
};

struct client_certs {
	struct client_cert v[CLIENT_CERTS_MAX];
	size_t n;
};

/* Certificates from their files; the keys, in the order of the policy, from descriptors that hold them whole. */
int client_certs_read(struct client_certs *c, const struct policy *policy, const int *key_fds, struct error *e);
/* For a connection to host; nothing to do when the policy has none for it. 0 or -ENOMEM. */
int client_certs_present(const struct client_certs *c, SSL *ssl, const char *host);

#endif
