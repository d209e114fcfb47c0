/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates that the gateway makes: what strict clients demand of them, and the cache of leaves. */
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/ca.h"

#include <cmocka.h>

static struct ca ca;

static int set_up(void **state)
{
	(void)state;
	struct error e;
	return ca_init(&ca, &e);
}

static int tear_down(void **state)
{
	(void)state;
	ca_free(&ca);
	return 0;
}

static X509 *parse(const CRYPTO_BUFFER *der)
{
	const uint8_t *p = CRYPTO_BUFFER_data(der);
	return d2i_X509(NULL, &p, (long)CRYPTO_BUFFER_len(der));
}

static X509 *leaf_for(const char *host)
{
	SSL *ssl = SSL_new(ca.server);
	assert_int_equal(ca_present(&ca, ssl, host), 0);
	SSL_free(ssl);
	return parse(ca.newest->der);
}

static void test_leaf_verifies(void **state)
{
	(void)state;
	char long_name[200] = "";
	for (int i = 0; i < 16; i++)
		strcat(long_name, "longlabel.");
	strcat(long_name, "test");
	const char *hosts[] = { "api.test", "192.0.2.1", "2001:db8::1", long_name };

	X509 *root = parse(ca.der);
	X509_STORE *store = X509_STORE_new();
	assert_true(X509_STORE_add_cert(store, root));
	for (size_t i = 0; i < 4; i++) {
		X509 *leaf = leaf_for(hosts[i]);
		X509_STORE_CTX *ctx = X509_STORE_CTX_new();
		assert_true(X509_STORE_CTX_init(ctx, store, leaf, NULL));
		X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
		assert_true(X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER));
		assert_int_equal(X509_verify_cert(ctx), 1);
		bool address = i == 1 || i == 2;
		assert_int_equal(address ? X509_check_ip_asc(leaf, hosts[i], 0)
					 : X509_check_host(leaf, hosts[i], strlen(hosts[i]), 0, NULL), 1);
		assert_int_equal(X509_check_host(leaf, "other.test", 10, 0, NULL), 0);
		X509_STORE_CTX_free(ctx);
		X509_free(leaf);
	}
	X509_STORE_free(store);
	X509_free(root);
}

static void test_leaf_extensions(void **state)
{
	(void)state;
	X509 *root = parse(ca.der), *leaf = leaf_for("api.test");
	const int critical[] = { NID_basic_constraints, NID_key_usage };

	for (size_t i = 0; i < 2; i++) {
		int at = X509_get_ext_by_NID(leaf, critical[i], -1);
		assert_true(at >= 0);
		assert_true(X509_EXTENSION_get_critical(X509_get_ext(leaf, at)));
	}
	/* Python 3.13 refuses a leaf without it. */
	AUTHORITY_KEYID *akid = X509_get_ext_d2i(leaf, NID_authority_key_identifier, NULL, NULL);
	ASN1_OCTET_STRING *skid = X509_get_ext_d2i(root, NID_subject_key_identifier, NULL, NULL);
	assert_non_null(akid);
	assert_non_null(skid);
	assert_int_equal(ASN1_OCTET_STRING_cmp(akid->keyid, skid), 0);
	assert_true(X509_get_ext_by_NID(leaf, NID_ext_key_usage, -1) >= 0);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_int_equal(X509_check_ca(root), 1);
	assert_true(X509_cmp_current_time(X509_get_notBefore(leaf)) < 0);
	time_t in_two_days = time(NULL) + 2 * 86400;
	assert_true(X509_cmp_time(X509_get_notAfter(leaf), &in_two_days) < 0);
	AUTHORITY_KEYID_free(akid);
	ASN1_OCTET_STRING_free(skid);
	X509_free(root);
	X509_free(leaf);
}

static void test_authorities_differ(void **state)
{
	(void)state;
	struct ca other;
	struct error e;

	assert_int_equal(ca_init(&other, &e), 0);
	assert_string_not_equal(ca.common_name, other.common_name);
	assert_memory_not_equal(ca.key_id, other.key_id, KEY_ID_LEN);
	ca_free(&other);
}

static void test_cache_is_bounded_and_kept_in_order_of_use(void **state)
{
	(void)state;
	SSL *ssl = SSL_new(ca.server);
	char host[32];

	assert_int_equal(ca_present(&ca, ssl, "kept.test"), 0);
	const CRYPTO_BUFFER *kept = ca.newest->der;
	for (unsigned i = 0; i < LEAF_CACHE_MAX + 10; i++) {
		snprintf(host, sizeof(host), "h%u.test", i);
		assert_int_equal(ca_present(&ca, ssl, host), 0);
		assert_int_equal(ca_present(&ca, ssl, "kept.test"), 0);
		assert_ptr_equal(ca.newest->der, kept);
	}
	assert_int_equal(ca.n_leaves, LEAF_CACHE_MAX);
	/* The first of them is gone: it is made anew, and the number stays. */
	assert_int_equal(ca_present(&ca, ssl, "h0.test"), 0);
	assert_int_equal(ca.n_leaves, LEAF_CACHE_MAX);
	/* One that is about to expire is made anew too. */
	ca.newest->not_after = time(NULL) + 60;
	assert_int_equal(ca_present(&ca, ssl, "h0.test"), 0);
	assert_true(ca.newest->not_after > time(NULL) + 3600);
	SSL_free(ssl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_leaf_verifies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_leaf_extensions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_authorities_differ, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cache_is_bounded_and_kept_in_order_of_use, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
