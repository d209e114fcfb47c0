/* SPDX-License-Identifier: Apache-2.0 */
/* Client certificates. */
#include "gateway/client_cert.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "gateway/file.h"

#define CERT_MAX (256u * 1024u)
#define KEY_MAX (32u * 1024u)

static int refuse(struct error *e, int err, const char *file, const char *why)
{
	return fail(e, err, SANDBOX_STAGE_GATEWAY, file, "client_cert: %s %s.", file, why);
}

static int read_chain(struct client_cert *c, const char *file, struct error *e)
{
	_cleanup_buf_ struct buf pem = { 0 };

	int r = file_read(file, CERT_MAX, &pem);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, file, "client_cert: cannot read %s", file);
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	c->chain = sk_X509_new_null();
	for (X509 *x; bio && c->chain && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL));) {
		if (!c->leaf)
			c->leaf = x;
		else if (!sk_X509_push(c->chain, x))
			X509_free(x);
	}
	BIO_free(bio);
	ERR_clear_error();
	return c->leaf ? 0 : refuse(e, EINVAL, file, "holds no certificate in PEM form");
}

static int read_key(struct client_cert *c, int fd, const struct policy_client_cert *from, struct error *e)
{
	struct buf pem = { 0 };

	/* All at once: growing would leave copies behind. */
	int r = buf_reserve(&pem, KEY_MAX + 1);
	if (r == 0)
		r = file_read_fd(fd, KEY_MAX, &pem);
	BIO *bio = r == 0 ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
	/* The empty passphrase: nobody is here to be asked for one. */
	if (bio)
		c->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
	BIO_free(bio);
	buf_wipe(&pem);
	ERR_clear_error();
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, from->key, "client_cert: cannot read %s", from->key);
	if (!c->key)
		return refuse(e, EINVAL, from->key, "holds no private key in PEM form without a passphrase");
	r = X509_check_private_key(c->leaf, c->key) == 1 ? 0 : refuse(e, EINVAL, from->key, "is not the key of the certificate");
	ERR_clear_error();
	return r;
}

int client_certs_read(struct client_certs *c, const struct policy *policy, const int *key_fds, struct error *e)
{
	size_t n;
	const struct policy_client_cert *from = policy_client_certs(policy, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct client_cert *to = &c->v[c->n++];
		to->host = from[i].host;
		r = read_chain(to, from[i].cert, e);
		if (r == 0)
			r = read_key(to, key_fds[i], &from[i], e);
	}
	return r;
}

int client_certs_present(const struct client_certs *c, SSL *ssl, const char *host)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct client_cert *cert = &c->v[i];
		if (strcmp(cert->host, host) == 0)
			return SSL_use_certificate(ssl, cert->leaf) && SSL_use_PrivateKey(ssl, cert->key) &&
					       SSL_set1_chain(ssl, cert->chain) ?
				       0 :
				       -ENOMEM;
	}
	return 0;
}
