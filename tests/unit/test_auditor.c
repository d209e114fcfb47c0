/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the auditor protocol with an auditor that does what it should, and its bounds and its cache. */
#include "auditor_fixture.h"

static struct fake f;

static void test_hello(void **state)
{
	(void)state;
	fake_open(&f, &(struct auditor_config){ .ops = ALL_OPS, .deadline_us = 40 * MS });
	json_t *hello = fake_receive(&f);
	assert_string_equal(json_string_value(json_object_get(hello, "hello")), "nsbox");
	assert_int_equal(json_integer_value(json_object_get(hello, "version")), 1);
	assert_int_equal(json_integer_value(json_object_get(hello, "deadline_ms")), 40);
	assert_int_equal(json_integer_value(json_object_get(hello, "max_packet")), 65536);
	assert_int_equal(json_integer_value(json_object_get(hello, "max_in_flight")), 64);
	assert_int_equal(json_array_size(json_object_get(hello, "ops")), 4);
	json_decref(hello);

	/* Questions wait for the other hello. */
	uint64_t ticket = fake_ask_open(&f, AUDITOR_CALL_START);
	assert_int_equal(fake_id(&f), 0);
	assert_false(auditor_wants_write(f.a));
	f.now += 10 * MS;
	fake_send(&f, HELLO);
	auditor_readable(f.a, f.now);
	json_t *question = fake_receive(&f);
	assert_int_equal(json_integer_value(json_object_get(question, "id")), ticket);
	assert_string_equal(json_string_value(json_object_get(question, "op")), "call.start");
	assert_int_equal(json_integer_value(json_object_get(question, "deadline_ms")), 30);
	assert_int_equal(json_integer_value(json_object_get(question, "x")), 1);
	json_decref(question);
	fake_close(&f);
}

static void test_decisions(void **state)
{
	const struct note *n;
	(void)state;

	fake_start(&f);
	n = fake_round(&f, AUDITOR_CALL_START, "\"decision\":\"allow\"");
	assert_int_equal(n->decision, AUDITOR_ALLOW);
	assert_int_equal(n->source, AUDITOR_ANSWER);
	assert_string_equal(n->reason, "");
	n = fake_round(&f, AUDITOR_NET_CONNECT, "\"decision\":\"deny\",\"reason\":\"not \\u00fcber\",\"new\":[1]");
	assert_int_equal(n->decision, AUDITOR_DENY);
	assert_int_equal(n->source, AUDITOR_ANSWER);
	assert_string_equal(n->reason, "not \303\274ber");
	n = fake_round(&f, AUDITOR_HTTP_REQUEST, "\"decision\":\"ask\",\"grant\":{}");
	assert_int_equal(n->decision, AUDITOR_ASK);
	n = fake_round(&f, AUDITOR_CALL_START, "\"decision\":\"narrow\",\"grant\":{\"allow\":[\"a.example\"],\"uses\":\"2\"}");
	assert_int_equal(n->decision, AUDITOR_NARROW);
	assert_string_equal(n->grant, "{\"allow\":[\"a.example\"],\"uses\":\"2\"}");
	assert_int_equal(f.n_errors, 0);
	assert_int_equal(auditor_next_deadline(f.a), 0);
	fake_close(&f);
}

static void test_long_reason_is_cut(void **state)
{
	char members[4096];
	(void)state;

	fake_start(&f);
	/* 1023 bytes, then characters of two: the cut would go through one. */
	int len = snprintf(members, sizeof(members), "\"decision\":\"deny\",\"reason\":\"%01023d", 0);
	snprintf(members + len, sizeof(members) - (size_t)len, "\303\274\303\274\"");
	const struct note *n = fake_round(&f, AUDITOR_CALL_START, members);
	assert_int_equal(strlen(n->reason), 1023);
	fake_close(&f);
}

static void test_out_of_order(void **state)
{
	uint64_t ids[AUDITOR_MAX_IN_FLIGHT];
	(void)state;

	fake_start(&f);
	for (size_t i = 0; i < AUDITOR_MAX_IN_FLIGHT; i++) {
		f.now += 10;
		ids[i] = fake_ask_open(&f, AUDITOR_HTTP_REQUEST);
		assert_int_equal(fake_id(&f), ids[i]);
	}
	for (size_t i = AUDITOR_MAX_IN_FLIGHT; i-- > 0;)
		fake_answer(&f, ids[i], i % 2 ? "\"decision\":\"allow\"" : "\"decision\":\"deny\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes, AUDITOR_MAX_IN_FLIGHT);
	for (size_t k = 0; k < AUDITOR_MAX_IN_FLIGHT; k++) {
		size_t i = AUDITOR_MAX_IN_FLIGHT - 1 - k;
		assert_int_equal(f.notes[k].ticket, ids[i]);
		assert_int_equal(f.notes[k].decision, i % 2 ? AUDITOR_ALLOW : AUDITOR_DENY);
		assert_int_equal(f.notes[k].us, 10 * k);
	}
	fake_close(&f);
}

static void test_in_flight_and_overload(void **state)
{
	struct auditor_result result;
	uint64_t ticket, id, last = 0;
	(void)state;

	fake_start(&f);
	for (size_t i = 0; i < AUDITOR_MAX_IN_FLIGHT + AUDITOR_MAX_WAITING; i++)
		fake_ask_open(&f, AUDITOR_CALL_START);
	while ((id = fake_id(&f)))
		last = id;
	assert_int_equal(last, AUDITOR_MAX_IN_FLIGHT);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fake_ask(&f, AUDITOR_CALL_START, NULL, &ticket, &result), 1);
		assert_int_equal(ticket, 0);
		assert_int_equal(result.decision, AUDITOR_DENY);
		assert_int_equal(result.source, AUDITOR_ERROR);
		assert_string_equal(result.reason, "auditor-overloaded");
	}
	/* Told once. */
	expect_error(&f, 1, "auditor-overloaded");
	/* One answer, one more question. */
	fake_answer(&f, 7, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(fake_id(&f), AUDITOR_MAX_IN_FLIGHT + 1);
	assert_int_equal(fake_id(&f), 0);
	fake_ask_open(&f, AUDITOR_CALL_START);
	/* What ran out of time keeps its place until it is answered; what waited is gone. */
	f.now += AUDITOR_DEADLINE_US;
	auditor_expire(f.a, f.now);
	assert_int_equal(f.n_notes, AUDITOR_MAX_IN_FLIGHT + AUDITOR_MAX_WAITING + 1);
	expect_error(&f, 1 + AUDITOR_MAX_IN_FLIGHT + AUDITOR_MAX_WAITING, "auditor-timeout");
	ticket = fake_ask_open(&f, AUDITOR_CALL_START);
	assert_int_equal(fake_id(&f), 0);
	fake_answer(&f, 3, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(fake_id(&f), ticket);
	assert_int_equal(auditor_state(f.a), AUDITOR_READY);
	fake_close(&f);
}

static void test_full_socket(void **state)
{
	char *members = malloc(60000);
	struct auditor_result result;
	uint64_t ticket;
	(void)state;

	fake_start(&f);
	memset(members, 'a', 60000);
	memcpy(members, "\"a\":\"", 5);
	memcpy(members + 59990, "\"", 2);
	struct auditor_question q = { .op = AUDITOR_CALL_START, .members = members, .done = fake_done, .context = &f };
	for (int i = 0; i < 40; i++)
		assert_int_equal(auditor_ask(f.a, &q, f.now, &ticket, &result), 0);
	free(members);
	assert_true(auditor_wants_write(f.a));
	uint64_t expected = 1;
	for (int i = 0; i < 100 && expected <= 40; i++) {
		uint64_t id = fake_id(&f);
		if (id)
			assert_int_equal(id, expected++);
		else
			auditor_writable(f.a, f.now);
	}
	assert_int_equal(expected, 41);
	assert_false(auditor_wants_write(f.a));
	fake_close(&f);
}

static int hit(enum auditor_op op, const char *text, struct auditor_result *result)
{
	uint64_t ticket;

	int r = fake_ask(&f, op, text, &ticket, result);
	/* A miss goes out, and is not answered here. */
	if (r == 0)
		assert_int_equal(fake_id(&f), ticket);
	return r;
}

static void learn(enum auditor_op op, const char *text, const char *members)
{
	struct auditor_result result;
	uint64_t ticket;

	assert_int_equal(fake_ask(&f, op, text, &ticket, &result), 0);
	assert_int_equal(fake_id(&f), ticket);
	fake_answer(&f, ticket, members);
	auditor_readable(f.a, f.now);
}

static void test_cache(void **state)
{
	struct auditor_result r;
	(void)state;

	fake_start(&f);
	learn(AUDITOR_HTTP_REQUEST, "GET a", "\"decision\":\"allow\",\"cache_ms\":5000,\"reason\":\"known\"");
	f.now += 4999999;
	assert_int_equal(hit(AUDITOR_HTTP_REQUEST, "GET a", &r), 1);
	assert_int_equal(r.decision, AUDITOR_ALLOW);
	assert_int_equal(r.source, AUDITOR_CACHED);
	assert_string_equal(r.reason, "known");
	assert_int_equal(hit(AUDITOR_HTTP_REQUEST, "GET b", &r), 0);
	assert_int_equal(hit(AUDITOR_NET_CONNECT, "GET a", &r), 0);
	assert_int_equal(hit(AUDITOR_HTTP_REQUEST, NULL, &r), 0);
	f.now += 1;
	assert_int_equal(hit(AUDITOR_HTTP_REQUEST, "GET a", &r), 0);

	/* Only allows, and only when asked to; its own denials for a second. */
	learn(AUDITOR_CALL_START, "ask", "\"decision\":\"ask\",\"cache_ms\":5000");
	assert_int_equal(hit(AUDITOR_CALL_START, "ask", &r), 0);
	learn(AUDITOR_CALL_START, "narrow", "\"decision\":\"narrow\",\"grant\":{\"uses\":\"1\"},\"cache_ms\":5000");
	assert_int_equal(hit(AUDITOR_CALL_START, "narrow", &r), 0);
	learn(AUDITOR_CALL_START, "plain", "\"decision\":\"allow\"");
	assert_int_equal(hit(AUDITOR_CALL_START, "plain", &r), 0);
	learn(AUDITOR_CALL_START, "zero", "\"decision\":\"allow\",\"cache_ms\":0");
	assert_int_equal(hit(AUDITOR_CALL_START, "zero", &r), 0);
	learn(AUDITOR_CALL_START, "deny", "\"decision\":\"deny\",\"cache_ms\":5000,\"reason\":\"no\"");
	f.now += 999999;
	assert_int_equal(hit(AUDITOR_CALL_START, "deny", &r), 1);
	assert_int_equal(r.decision, AUDITOR_DENY);
	assert_int_equal(r.source, AUDITOR_CACHED);
	assert_string_equal(r.reason, "no");
	f.now += 1;
	assert_int_equal(hit(AUDITOR_CALL_START, "deny", &r), 0);
	/* A failure is not remembered. */
	learn(AUDITOR_CALL_START, "bad", "\"decision\":\"maybe\",\"cache_ms\":5000");
	assert_int_equal(hit(AUDITOR_CALL_START, "bad", &r), 0);
	/* Longer than the bound is the bound. */
	learn(AUDITOR_CALL_START, "long", "\"decision\":\"allow\",\"cache_ms\":9223372036854775807");
	f.now += (uint64_t)AUDITOR_MAX_CACHE_MS * 1000 - 1;
	assert_int_equal(hit(AUDITOR_CALL_START, "long", &r), 1);
	f.now += 1;
	auditor_expire(f.a, f.now);
	assert_int_equal(hit(AUDITOR_CALL_START, "long", &r), 0);
	fake_close(&f);
}

static void test_cache_is_bounded(void **state)
{
	struct auditor_result r;
	char text[32];
	unsigned hits = 0;
	(void)state;

	fake_start(&f);
	for (unsigned i = 0; i < NOTES - 1; i++) {
		snprintf(text, sizeof(text), "GET %u", i);
		learn(AUDITOR_HTTP_REQUEST, text, "\"decision\":\"allow\",\"cache_ms\":60000");
		/* The one in use stays. */
		if (i)
			assert_int_equal(hit(AUDITOR_HTTP_REQUEST, "GET 0", &r), 1);
	}
	for (unsigned i = 0; i < NOTES - 1; i++) {
		snprintf(text, sizeof(text), "GET %u", i);
		uint64_t ticket;
		int one = fake_ask(&f, AUDITOR_HTTP_REQUEST, text, &ticket, &r);
		hits += one;
		if (one == 0)
			auditor_cancel(f.a, ticket);
		if (one == 0 && fake_id(&f) == ticket) {
			fake_answer(&f, ticket, "\"decision\":\"deny\"");
			auditor_readable(f.a, f.now);
		}
	}
	assert_true(hits <= AUDITOR_CACHE_ENTRIES && hits > AUDITOR_CACHE_ENTRIES * 3 / 4);
	fake_close(&f);
}

static void test_undecided_ops(void **state)
{
	struct auditor_result r;
	uint64_t ticket;
	(void)state;

	fake_open(&f, &(struct auditor_config){ .ops = ALL_OPS, .required = AUDITOR_OP(AUDITOR_CALL_START) });
	uint64_t http = fake_ask_open(&f, AUDITOR_HTTP_REQUEST), call = fake_ask_open(&f, AUDITOR_CALL_START);
	json_decref(fake_receive(&f));
	fake_send(&f, "{\"hello\":\"f\",\"version\":1,\"ops\":[\"call.start\",\"later.op\"]}");
	auditor_readable(f.a, f.now);
	assert_int_equal(auditor_state(f.a), AUDITOR_READY);
	assert_int_equal(f.n_notes, 1);
	assert_int_equal(f.notes[0].ticket, http);
	assert_int_equal(f.notes[0].decision, AUDITOR_ALLOW);
	assert_int_equal(f.notes[0].source, AUDITOR_UNDECIDED);
	assert_int_equal(fake_id(&f), call);
	assert_int_equal(fake_ask(&f, AUDITOR_NET_CONNECT, NULL, &ticket, &r), 1);
	assert_int_equal(r.decision, AUDITOR_ALLOW);
	assert_int_equal(r.source, AUDITOR_UNDECIDED);
	/* Not any more when it is gone. */
	fd_close(TAKE_FD(f.peer));
	auditor_readable(f.a, f.now);
	assert_int_equal(fake_ask(&f, AUDITOR_NET_CONNECT, NULL, &ticket, &r), 1);
	assert_int_equal(r.decision, AUDITOR_DENY);
	fake_close(&f);
}

static void test_cancel(void **state)
{
	(void)state;
	fake_start(&f);
	uint64_t sent = fake_ask_open(&f, AUDITOR_CALL_START);
	auditor_cancel(f.a, sent);
	assert_int_equal(auditor_next_deadline(f.a), 0);
	fake_answer(&f, sent, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes + f.n_errors, 0);
	for (size_t i = 0; i < AUDITOR_MAX_IN_FLIGHT; i++)
		fake_ask_open(&f, AUDITOR_CALL_START);
	uint64_t first = fake_ask_open(&f, AUDITOR_CALL_START), last = fake_ask_open(&f, AUDITOR_CALL_START);
	auditor_cancel(f.a, last);
	auditor_cancel(f.a, last);
	auditor_cancel(f.a, 12345);
	/* The end of the queue is still its end. */
	uint64_t next = fake_ask_open(&f, AUDITOR_CALL_START);
	fake_answer(&f, 2, "\"decision\":\"allow\"");
	fake_answer(&f, 3, "\"decision\":\"allow\"");
	fake_answer(&f, 4, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes, 3);
	uint64_t id, seen[2] = { 0 };
	while ((id = fake_id(&f))) {
		seen[0] = seen[1];
		seen[1] = id;
	}
	assert_int_equal(seen[0], first);
	assert_int_equal(seen[1], next);
	fake_close(&f);
}

static void ask_again(void *context, uint64_t ticket, const struct auditor_result *result)
{
	struct auditor_question q = { .op = AUDITOR_CALL_START, .members = "", .done = fake_done, .context = context };
	struct auditor_result r;
	uint64_t next;

	fake_done(context, ticket, result);
	auditor_cancel(f.a, ticket);
	if (auditor_ask(f.a, &q, f.now, &next, &r) == 1)
		assert_int_equal(r.decision, AUDITOR_DENY);
}

static void test_asking_within_done(void **state)
{
	struct auditor_question q = { .op = AUDITOR_CALL_START, .members = "", .done = ask_again, .context = &f };
	struct auditor_result r;
	uint64_t ticket;
	(void)state;

	fake_start(&f);
	assert_int_equal(auditor_ask(f.a, &q, f.now, &ticket, &r), 0);
	assert_int_equal(fake_id(&f), 1);
	fake_answer(&f, 1, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(fake_id(&f), 2);
	/* By deadline and by the end too. */
	assert_int_equal(auditor_ask(f.a, &q, f.now, &ticket, &r), 0);
	f.now += AUDITOR_DEADLINE_US;
	auditor_expire(f.a, f.now);
	assert_int_equal(f.n_notes, 3);
	assert_int_equal(auditor_ask(f.a, &q, f.now, &ticket, &r), 0);
	fd_close(TAKE_FD(f.peer));
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes, 5);
	assert_int_equal(auditor_next_deadline(f.a), 0);
	fake_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_long_reason_is_cut),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_in_flight_and_overload),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_cache_is_bounded),
		cmocka_unit_test(test_undecided_ops),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_asking_within_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
