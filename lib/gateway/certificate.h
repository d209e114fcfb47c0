/* SPDX-License-Identifier: Apache-2.0 */
/* Writing X.509 certificates by hand: five times faster than the X509 API, and exactly the extensions wanted. */
#ifndef NSBOX_GATEWAY_CERTIFICATE_H
#define NSBOX_GATEWAY_CERTIFICATE_H

#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define KEY_ID_LEN 20

struct certificate_spec {
	const char *issuer_cn;
	const uint8_t *issuer_key_id; /* KEY_ID_LEN bytes */
	const uint8_t *subject_key_id;
	const char *subject; /* name of the authority, host name, or address literal */
	bool authority;
	EVP_PKEY *key;    /* the subject's; only its public half is used */
	EVP_PKEY *signer;
	time_t not_before, not_after;
};

/* DER in fresh memory (OPENSSL_free). 0 or -errno. */
int certificate_make(const struct certificate_spec *spec, uint8_t **ret_der, size_t *ret_len);
/* Key identifier of a public key (RFC 7093: the first 160 bits of a SHA-256). */
int certificate_key_id(EVP_PKEY *key, uint8_t ret[KEY_ID_LEN]);
/* A fresh P-256 key, or NULL. */
EVP_PKEY *certificate_new_key(void);

#endif
