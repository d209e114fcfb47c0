/* SPDX-License-Identifier: Apache-2.0 */
/* Per-sandbox certificate authority and its cache of leaves. */
#include "gateway/ca.h"

#include <errno.h>
#include <openssl/base64.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define CA_LIFETIME (365 * 86400)
/* Short, so that a leaf which leaks out of a sandbox with its key is soon worth nothing; backdated for clients whose
 * clock is a little behind. */
#define LEAF_LIFETIME 86400
#define LEAF_REFRESH 3600
#define BACKDATE 300

int ca_init(struct ca *ca, struct error *e)
{
	uint8_t random[8], *der = NULL;
	size_t len = 0;
	char hex[2 * sizeof(random) + 1];

	*ca = (struct ca){ .key = certificate_new_key(), .leaf_key = certificate_new_key() };
	/* Servers without X509 objects: the chain is bytes, nothing is parsed again for each connection. */
	ca->server = SSL_CTX_new(TLS_with_buffers_method());
	if (!ca->key || !ca->leaf_key || !ca->server || certificate_key_id(ca->key, ca->key_id) < 0 ||
	    certificate_key_id(ca->leaf_key, ca->leaf_key_id) < 0)
		return fail(e, EIO, SANDBOX_STAGE_GATEWAY, "CA", "The key of the sandbox's certificate authority could "
							      "not be made.");
	/* A name of its own for every sandbox: two authorities with one name and different keys confuse clients. */
	RAND_bytes(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(hex + 2 * i, 3, "%02x", random[i]);
	snprintf(ca->common_name, sizeof(ca->common_name), "nsbox sandbox CA %s", hex);

	time_t now = time(NULL);
	struct certificate_spec spec = {
		.issuer_cn = ca->common_name,
		.issuer_key_id = ca->key_id,
		.subject_key_id = ca->key_id,
		.subject = ca->common_name,
		.authority = true,
		.key = ca->key,
		.signer = ca->key,
		.not_before = now - 86400,
		.not_after = now + CA_LIFETIME,
	};
	int r = certificate_make(&spec, &der, &len);
	if (r < 0)
		return fail(e, -r, SANDBOX_STAGE_GATEWAY, "CA", "The certificate of the sandbox's certificate authority "
							     "could not be made.");
	ca->der = CRYPTO_BUFFER_new(der, len, NULL);
	OPENSSL_free(der);
	/* On the base context: SSL_set_SSL_CTX and friends do not carry the minimum over. */
	if (!ca->der || !SSL_CTX_set_min_proto_version(ca->server, TLS1_2_VERSION))
		return fail(e, ENOMEM, SANDBOX_STAGE_GATEWAY, "CA", "No memory for the certificate authority.");
	SSL_CTX_set_options(ca->server, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ca->server, SSL_SESS_CACHE_OFF);
	return 0;
}

int ca_pem(const struct ca *ca, struct buf *out)
{
	const uint8_t *der = CRYPTO_BUFFER_data(ca->der);
	size_t len = CRYPTO_BUFFER_len(ca->der);
	int r = buf_puts(out, "-----BEGIN CERTIFICATE-----\n");

	for (size_t at = 0; at < len && r == 0; at += 48) {
		uint8_t line[65];
		size_t n = len - at < 48 ? len - at : 48;
		size_t text = EVP_EncodeBlock(line, der + at, n);
		line[text] = '\n';
		r = buf_append(out, line, text + 1);
	}
	return r < 0 ? r : buf_puts(out, "-----END CERTIFICATE-----\n");
}

static size_t bucket_of(const char *host)
{
	uint32_t h = 2166136261u;
	for (const char *p = host; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	return h % LEAF_BUCKETS;
}

static void unlink_age(struct ca *ca, struct leaf *l)
{
	*(l->newer ? &l->newer->older : &ca->newest) = l->older;
	*(l->older ? &l->older->newer : &ca->oldest) = l->newer;
	l->newer = l->older = NULL;
}

static void link_newest(struct ca *ca, struct leaf *l)
{
	l->older = ca->newest;
	*(ca->newest ? &ca->newest->newer : &ca->oldest) = l;
	ca->newest = l;
}

static void drop(struct ca *ca, struct leaf *l)
{
	struct leaf **p = &ca->buckets[bucket_of(l->host)];
	while (*p != l)
		p = &(*p)->chain;
	*p = l->chain;
	unlink_age(ca, l);
	ca->n_leaves--;
	CRYPTO_BUFFER_free(l->der);
	free(l);
}

static struct leaf *mint(struct ca *ca, const char *host)
{
	uint8_t *der = NULL;
	size_t len = 0;
	time_t now = time(NULL);
	struct certificate_spec spec = {
		.issuer_cn = ca->common_name,
		.issuer_key_id = ca->key_id,
		.subject_key_id = ca->leaf_key_id,
		.subject = host,
		.key = ca->leaf_key,
		.signer = ca->key,
		.not_before = now - BACKDATE,
		.not_after = now + LEAF_LIFETIME,
	};
	if (certificate_make(&spec, &der, &len) < 0)
		return NULL;

	struct leaf *l = calloc(1, sizeof(*l) + strlen(host) + 1);
	if (l) {
		strcpy(l->host, host);
		l->not_after = spec.not_after;
		l->der = CRYPTO_BUFFER_new(der, len, NULL);
	}
	OPENSSL_free(der);
	if (!l || !l->der) {
		free(l);
		return NULL;
	}
	while (ca->n_leaves >= LEAF_CACHE_MAX)
		drop(ca, ca->oldest);
	struct leaf **bucket = &ca->buckets[bucket_of(host)];
	l->chain = *bucket;
	*bucket = l;
	link_newest(ca, l);
	ca->n_leaves++;
	return l;
}

static struct leaf *find(struct ca *ca, const char *host)
{
	struct leaf *l = ca->buckets[bucket_of(host)];
	while (l && strcmp(l->host, host) != 0)
		l = l->chain;
	if (!l)
		return NULL;
	if (l->not_after - time(NULL) < LEAF_REFRESH) {
		drop(ca, l);
		return NULL;
	}
	unlink_age(ca, l);
	link_newest(ca, l);
	return l;
}

int ca_present(struct ca *ca, SSL *ssl, const char *host)
{
	struct leaf *l = find(ca, host);
	if (!l)
		l = mint(ca, host);
	if (!l)
		return -ENOMEM;
	CRYPTO_BUFFER *chain[] = { l->der };
	return SSL_set_chain_and_key(ssl, chain, 1, ca->leaf_key, NULL) ? 0 : -EIO;
}

void ca_free(struct ca *ca)
{
	while (ca->oldest)
		drop(ca, ca->oldest);
	CRYPTO_BUFFER_free(ca->der);
	EVP_PKEY_free(ca->key);
	EVP_PKEY_free(ca->leaf_key);
	SSL_CTX_free(ca->server);
	*ca = (struct ca){ 0 };
}
