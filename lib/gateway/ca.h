/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate authority of one sandbox, and the leaf certificates it makes for the names that are visited. */
#ifndef NSBOX_GATEWAY_CA_H
#define NSBOX_GATEWAY_CA_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/error.h"
#include "gateway/certificate.h"

#define LEAF_CACHE_MAX 1024u
#define LEAF_BUCKETS 256u

struct leaf {
	struct leaf *chain;        /* bucket */
	struct leaf *newer, *older;
	time_t not_after;
	CRYPTO_BUFFER *der;
	char host[];
};

struct ca {
	EVP_PKEY *key, *leaf_key;
	char common_name[48];
	uint8_t key_id[KEY_ID_LEN], leaf_key_id[KEY_ID_LEN];
	CRYPTO_BUFFER *der;
	SSL_CTX *server; /* base of every connection from inside */
	struct leaf *buckets[LEAF_BUCKETS];
	struct leaf *newest, *oldest;
	size_t n_leaves;
};

int ca_init(struct ca *ca, struct error *e);
/* The authority's certificate as PEM, appended. */
int ca_pem(const struct ca *ca, struct buf *out);
/* Give a connection from inside the certificate for host (canonical name or address literal). */
int ca_present(struct ca *ca, SSL *ssl, const char *host);
void ca_free(struct ca *ca);

#endif
