/* SPDX-License-Identifier: Apache-2.0 */
/* TLS to servers: sessions are resumed where they were made, and only as long as the server would be believed anew. */
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/ca.h"
#include "gateway/resolver.h"
#include "gateway/trust.h"

#include <cmocka.h>

static struct ca ca;
static struct trust trust;

static int set_up(void **state)
{
	(void)state;
	struct error e;

	trust = (struct trust){ 0 };
	if (ca_init(&ca, &e) < 0 || ca_pem(&ca, &trust.bundle) < 0)
		return -1;
	/* A server as others are: its clients may resume. */
	SSL_CTX_clear_options(ca.server, SSL_OP_NO_TICKET);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	while (trust.tickets.n)
		tickets_forget(&trust.tickets, trust.tickets.v[0].place);
	SSL_CTX_free(trust.client);
	X509_STORE_free(trust.store);
	buf_free(&trust.bundle);
	ca_free(&ca);
	return 0;
}

/* A handshake to the end, with a byte each way, before which the tickets come. */
static bool talk(SSL *client, SSL *server)
{
	BIO *a, *b;
	char byte;

	assert_true(BIO_new_bio_pair(&a, 0, &b, 0));
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_accept_state(server);
	for (int i = 0; i < 20 && (SSL_in_init(client) || SSL_in_init(server)); i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	return !SSL_in_init(client) && !SSL_in_init(server) && SSL_write(server, "x", 1) == 1 &&
	       SSL_read(client, &byte, 1) == 1;
}

struct outcome {
	bool connected, resumed;
	const char *failure;
};

static struct outcome connect_to(const char *host, uint16_t port, uint16_t version)
{
	SSL *client = trust_connect(&trust, host, port, true), *server = SSL_new(ca.server);
	struct outcome o = { 0 };

	assert_non_null(client);
	assert_int_equal(ca_present(&ca, server, "api.test"), 0);
	assert_true(SSL_set_max_proto_version(server, version));
	o.connected = talk(client, server);
	o.resumed = SSL_session_reused(client);
	assert_int_equal(o.resumed, SSL_session_reused(server));
	if (o.connected)
		o.failure = trust_resumed_failure(&trust, client, host);
	SSL_free(client);
	SSL_free(server);
	return o;
}

static void check_resumption(uint16_t version)
{
	struct outcome o = connect_to("api.test", 443, version);
	assert_true(o.connected && !o.resumed && !o.failure);
	o = connect_to("api.test", 443, version);
	assert_true(o.connected && o.resumed && !o.failure);
	/* Another port is another place. */
	o = connect_to("api.test", 8443, version);
	assert_true(o.connected && !o.resumed);
	/* So is another name: nothing of the first one's session makes this server be what it is not. */
	o = connect_to("other.test", 443, version);
	assert_false(o.connected);
}

static void test_resumes(void **state)
{
	(void)state;
	check_resumption(TLS1_3_VERSION);
}

static void test_resumes_before_1_3(void **state)
{
	(void)state;
	check_resumption(TLS1_2_VERSION);
}

static void test_believed_as_of_now(void **state)
{
	(void)state;
	assert_true(connect_to("api.test", 443, TLS1_3_VERSION).connected);
	assert_true(trust.tickets.n > 0);
	/* What made the server trusted is gone. */
	X509_STORE_free(trust.store);
	trust.store = X509_STORE_new();
	struct outcome o = connect_to("api.test", 443, TLS1_3_VERSION);
	assert_true(o.connected && o.resumed);
	assert_non_null(o.failure);
	assert_int_equal(trust.tickets.n, 0);
	assert_false(connect_to("api.test", 443, TLS1_3_VERSION).connected);
}

static void test_tickets_are_bounded(void **state)
{
	(void)state;
	assert_true(connect_to("api.test", 443, TLS1_2_VERSION).connected);
	SSL_SESSION *session = trust.tickets.v[0].session;
	char place[32];

	for (unsigned i = 0; i < 5 * TICKETS_MAX; i++) {
		snprintf(place, sizeof(place), "h%u.test 443", i / 5);
		SSL_SESSION_up_ref(session);
		tickets_add(&trust.tickets, place, session);
	}
	assert_int_equal(trust.tickets.n, TICKETS_MAX);
	/* Two of each of the last places, and nothing of the first. */
	assert_null(tickets_get(&trust.tickets, "api.test 443"));
	assert_null(tickets_get(&trust.tickets, "h31.test 443"));
	SSL_SESSION *got = tickets_get(&trust.tickets, "h32.test 443");
	assert_ptr_equal(got, session);
	SSL_SESSION_free(got);
	assert_string_equal(trust.tickets.v[0].place, "h32.test 443");
	assert_string_equal(trust.tickets.v[1].place, "h32.test 443");
	assert_string_equal(trust.tickets.v[2].place, "h33.test 443");
}

static void test_families_take_turns(void **state)
{
	(void)state;
	struct found found = { 0 };
	struct resolution q = { 0 };

	for (uint8_t i = 0; i < 2 * RESOLVE_MAX_ADDRS; i++) {
		struct in6_addr v6 = { .s6_addr = { 0x20, [15] = i } };
		found_add(&found, &v6);
	}
	for (uint8_t i = 0; i < 3; i++) {
		struct in6_addr v4 = { .s6_addr = { [10] = 0xff, [11] = 0xff, [15] = i } };
		found_add(&found, &v4);
	}
	found_interleave(&found, &q);
	assert_int_equal(q.n_addrs, RESOLVE_MAX_ADDRS);
	const uint8_t order[][2] = { { 6, 0 }, { 4, 0 }, { 6, 1 }, { 4, 1 }, { 6, 2 }, { 4, 2 }, { 6, 3 }, { 6, 4 } };
	for (size_t i = 0; i < RESOLVE_MAX_ADDRS; i++) {
		assert_int_equal(IN6_IS_ADDR_V4MAPPED(&q.addrs[i]) ? 4 : 6, order[i][0]);
		assert_int_equal(q.addrs[i].s6_addr[15], order[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_resumes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resumes_before_1_3, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_believed_as_of_now, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tickets_are_bounded, set_up, tear_down),
		cmocka_unit_test(test_families_take_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
