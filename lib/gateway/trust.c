/* SPDX-License-Identifier: Apache-2.0 */
/* Verification of upstream servers. */
#include "gateway/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/file.h"

#define BUNDLE_MAX (8u * 1024u * 1024u)
#define RSA_MIN_BITS 2048

static const uint8_t ALPN[] = "\x02h2\x08http/1.1";
#define ALPN_H2_LEN 3u

/* Where distributions keep it, in the order in which they are tried. */
static const char *const BUNDLES[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/var/lib/ca-certificates/ca-bundle.pem",
};

/* Number of certificates added. Anything in the file that is no certificate is passed over. */
static size_t add_pem(X509_STORE *store, const struct buf *pem)
{
	size_t n = 0;
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);

	for (X509 *x; bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)); X509_free(x))
		n += X509_STORE_add_cert(store, x) == 1;
	BIO_free(bio);
	ERR_clear_error();
	return n;
}

static bool key_strong(X509 *x)
{
	EVP_PKEY *key = X509_get_pubkey(x);
	if (!key)
		return false;
	int type = EVP_PKEY_id(key);
	bool strong = (type == EVP_PKEY_RSA && EVP_PKEY_bits(key) >= RSA_MIN_BITS) ||
		      (type == EVP_PKEY_EC && EVP_PKEY_bits(key) >= 256) || type == EVP_PKEY_ED25519;
	EVP_PKEY_free(key);
	return strong;
}

static bool signature_strong(X509 *x)
{
	int digest;
	int nid = X509_get_signature_nid(x);

	/* RSA-PSS and Ed25519 name no digest here; the library takes only SHA-2 for the first. */
	if (nid == NID_rsassaPss || nid == NID_ED25519)
		return true;
	if (!OBJ_find_sigid_algs(nid, &digest, NULL))
		return false;
	return digest == NID_sha256 || digest == NID_sha384 || digest == NID_sha512;
}

/* The library's own check, then what it lets pass: small RSA keys and SHA-1 below the root. */
static int verify(X509_STORE_CTX *ctx, void *arg)
{
	(void)arg;
	if (X509_verify_cert(ctx) != 1)
		return 0;
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	size_t n = chain ? sk_X509_num(chain) : 0;
	for (size_t i = 0; i < n; i++) {
		X509 *x = sk_X509_value(chain, i);
		/* The root's own signature is not what makes it trusted. */
		if (!key_strong(x) || (i + 1 < n && !signature_strong(x))) {
			X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REJECTED);
			return 0;
		}
	}
	return n > 0;
}

static int load_extra(struct trust *t, struct error *e)
{
	size_t n;
	const struct policy_upstream_ca *ca = policy_upstream_cas(t->policy, &n);

	if (!n)
		return 0;
	if (n > EXTRA_CA_MAX)
		return fail(e, E2BIG, SANDBOX_STAGE_GATEWAY, "upstream_ca",
			    "The policy names %zu upstream authorities; at most %u are taken. Put several into one file.", n,
			    EXTRA_CA_MAX);
	t->extra = calloc(n, sizeof(*t->extra));
	if (!t->extra)
		return fail(e, ENOMEM, SANDBOX_STAGE_GATEWAY, "upstream_ca", "No memory for the upstream authorities.");
	for (size_t i = 0; i < n; i++) {
		struct extra_ca *x = &t->extra[t->n_extra++];
		x->host = ca[i].host;
		int r = file_read(ca[i].path, BUNDLE_MAX, &x->pem);
		if (r < 0)
			return fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, ca[i].path, "Cannot read the upstream CA %s",
					  ca[i].path);
		/* Found out now and not at the first request. */
		X509_STORE *store = X509_STORE_new();
		size_t found = store ? add_pem(store, &x->pem) : 0;
		X509_STORE_free(store);
		if (!found)
			return fail(e, EINVAL, SANDBOX_STAGE_GATEWAY, ca[i].path,
				    "The upstream CA %s holds no certificate; give a file in PEM form.", ca[i].path);
	}
	return 0;
}

int trust_init(struct trust *t, const struct policy *policy, const int *key_fds, struct error *e)
{
	*t = (struct trust){ .policy = policy };
	for (size_t i = 0; i < ARRAY_LEN(BUNDLES); i++) {
		int r = file_read(BUNDLES[i], BUNDLE_MAX, &t->bundle);
		if (r == 0)
			break;
		t->bundle.len = 0;
		if (r != -ENOENT && r != -ENOTDIR)
			return fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, BUNDLES[i], "Cannot read the trust bundle %s",
					  BUNDLES[i]);
	}
	/* No bundle at all is no error: then only upstream_ca can make a server trusted. */
	int r = load_extra(t, e);
	return r < 0 ? r : client_certs_read(&t->certs, policy, key_fds, e);
}

static void free_place(void *parent, void *place, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	(void)parent, (void)data, (void)index, (void)argl, (void)argp;
	free(place);
}

static int place_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_place);
	return index;
}

/* The server offers to resume: 1 = the session is ours now. */
static int new_session(SSL *ssl, SSL_SESSION *session)
{
	struct trust *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	tickets_add(&t->tickets, SSL_get_ex_data(ssl, place_index()), session);
	return 1;
}

/* Where ssl leads, for as long as it lives; and the newest session of that place. */
static int resume(struct trust *t, SSL *ssl, const char *host, uint16_t port)
{
	char *place;

	if (place_index() < 0 || asprintf(&place, "%s %u", host, port) < 0)
		return -ENOMEM;
	if (!SSL_set_ex_data(ssl, place_index(), place)) {
		free(place);
		return -ENOMEM;
	}
	SSL_SESSION *session = tickets_get(&t->tickets, place);
	if (!session)
		return 0;
	int r = SSL_set_session(ssl, session) == 1 ? 0 : -ENOMEM;
	SSL_SESSION_free(session);
	return r;
}

static int make_client(struct trust *t)
{
	if (t->client)
		return 0;
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	t->store = X509_STORE_new();
	if (!ctx || !t->store || !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
	    SSL_CTX_set_alpn_protos(ctx, ALPN, sizeof(ALPN) - 1) != 0) {
		SSL_CTX_free(ctx);
		X509_STORE_free(t->store);
		t->store = NULL;
		return -ENOMEM;
	}
	if (t->bundle.len)
		add_pem(t->store, &t->bundle);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify, NULL);
	/* The cache is ours: by place and bounded. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, new_session);
	SSL_CTX_set_app_data(ctx, t);
	t->client = ctx;
	return 0;
}

static bool is_connect_to_host(const struct policy *p, const char *host)
{
	size_t n;
	const struct policy_connect_to *c = policy_connect_tos(p, &n);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(c[i].host, host) == 0)
			return true;
	}
	return false;
}

static bool covers(const struct trust *t, const struct extra_ca *x, const char *host)
{
	return x->host ? strcmp(x->host, host) == 0 : is_connect_to_host(t->policy, host);
}

/* The host's bundle, or, when the policy gives this host authorities of its own, those with the bundle. A store is
 * shared by the hosts that have exactly the same set, by no other. */
static X509_STORE *store_for(struct trust *t, const char *host)
{
	uint64_t set = 0;

	for (size_t i = 0; i < t->n_extra; i++)
		set |= (uint64_t)covers(t, &t->extra[i], host) << i;
	if (!set)
		return t->store;
	for (size_t i = 0; i < t->n_special; i++) {
		if (t->special[i].set == set)
			return t->special[i].store;
	}
	struct special_store *p = realloc(t->special, (t->n_special + 1) * sizeof(*p));
	X509_STORE *store = X509_STORE_new();
	if (p)
		t->special = p;
	if (!p || !store) {
		X509_STORE_free(store);
		return NULL;
	}
	for (size_t i = 0; i < t->n_extra; i++) {
		if (set >> i & 1)
			add_pem(store, &t->extra[i].pem);
	}
	if (t->bundle.len)
		add_pem(store, &t->bundle);
	p[t->n_special++] = (struct special_store){ .set = set, .store = store };
	return store;
}

SSL *trust_connect(struct trust *t, const char *host, uint16_t port, bool http1_only)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (make_client(t) < 0)
		return NULL;
	X509_STORE *store = store_for(t, host);
	SSL *ssl = store ? SSL_new(t->client) : NULL;
	if (!ssl)
		return NULL;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	bool ok = SSL_set1_verify_cert_store(ssl, store) == 1 && resume(t, ssl, host, port) == 0 &&
		  client_certs_present(&t->certs, ssl, host) == 0;
	if (http1_only)
		ok = ok && SSL_set_alpn_protos(ssl, ALPN + ALPN_H2_LEN, sizeof(ALPN) - 1 - ALPN_H2_LEN) == 0;
	if (inet_pton(AF_INET, host, &v4) == 1) {
		ok = ok && X509_VERIFY_PARAM_set1_ip(param, (const uint8_t *)&v4, sizeof(v4));
	} else if (inet_pton(AF_INET6, host, &v6) == 1) {
		ok = ok && X509_VERIFY_PARAM_set1_ip(param, (const uint8_t *)&v6, sizeof(v6));
	} else {
		/* Names come from the SAN alone; "a*.example" and the like never match. */
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
							       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		ok = ok && X509_VERIFY_PARAM_set1_host(param, host, strlen(host)) &&
		     SSL_set_tlsext_host_name(ssl, host);
	}
	SSL_set_connect_state(ssl);
	if (!ok) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

const char *trust_resumed_failure(struct trust *t, SSL *ssl, const char *host)
{
	if (!SSL_session_reused(ssl))
		return NULL;
	STACK_OF(X509) *sent = SSL_get_peer_full_cert_chain(ssl);
	X509_STORE *store = store_for(t, host);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	const char *failure = "the certificate of the resumed session could not be checked";

	if (sent && sk_X509_num(sent) && store && ctx &&
	    X509_STORE_CTX_init(ctx, store, sk_X509_value(sent, 0), sent) &&
	    X509_STORE_CTX_set_default(ctx, "ssl_server") &&
	    X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(ctx), SSL_get0_param(ssl)))
		failure = verify(ctx, NULL) == 1 ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	if (failure)
		tickets_forget(&t->tickets, SSL_get_ex_data(ssl, place_index()));
	return failure;
}

const char *trust_failure(const SSL *ssl)
{
	long result = SSL_get_verify_result(ssl);
	if (result != X509_V_OK)
		return X509_verify_cert_error_string(result);
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	return reason ? reason : "the connection was closed during the handshake";
}
