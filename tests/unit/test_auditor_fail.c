/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the auditor protocol with an auditor that fails: in each way the answer is no, and it is told. */
#include "auditor_fixture.h"

static struct fake f;

/* The connection is over: what was open is denied with the reason, later questions too. */
static void expect_broken(const char *reason, size_t errors)
{
	struct auditor_result r;
	uint64_t ticket;

	assert_int_equal(auditor_state(f.a), AUDITOR_BROKEN);
	expect_error(&f, errors, reason);
	assert_int_equal(auditor_next_deadline(f.a), 0);
	assert_false(auditor_wants_write(f.a));
	assert_int_equal(fake_ask(&f, AUDITOR_CALL_START, "x", &ticket, &r), 1);
	assert_int_equal(r.decision, AUDITOR_DENY);
	assert_int_equal(r.source, AUDITOR_ERROR);
	assert_string_equal(r.reason, "auditor-gone");
	/* Nothing wakes it up, and it is told once. */
	auditor_readable(f.a, f.now);
	auditor_writable(f.a, f.now);
	auditor_expire(f.a, f.now + 3600000000u);
	assert_int_equal(f.n_errors, errors);
	assert_int_equal(auditor_state(f.a), AUDITOR_BROKEN);
}

static void test_wrong_socket(void **state)
{
	struct auditor *a = NULL;
	int fds[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(auditor_new(fds[0], &(struct auditor_config){ .ops = ALL_OPS }, 0, &a), -EPROTOTYPE);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(auditor_new(fds[0], &(struct auditor_config){ .ops = ALL_OPS }, 0, &a), -EBADF);
	assert_null(a);
	auditor_free(NULL);
}

static void test_no_hello(void **state)
{
	(void)state;
	fake_open(&f, &(struct auditor_config){ .ops = ALL_OPS, .deadline_us = 20000000 });
	fake_ask_open(&f, AUDITOR_CALL_START);
	uint64_t at = f.now + AUDITOR_HELLO_US;
	assert_int_equal(auditor_next_deadline(f.a), at);
	auditor_expire(f.a, at - 1);
	assert_int_equal(auditor_state(f.a), AUDITOR_STARTING);
	auditor_expire(f.a, at);
	assert_int_equal(f.n_notes, 1);
	expect_denied(&f.notes[0], "auditor-hello");
	expect_broken("auditor-hello", 1);
	fake_close(&f);

	/* A question runs out of time also while the hello is awaited. */
	fake_open(&f, &(struct auditor_config){ .ops = ALL_OPS });
	fake_ask_open(&f, AUDITOR_CALL_START);
	auditor_expire(f.a, f.now + AUDITOR_DEADLINE_US);
	expect_denied(&f.notes[0], "auditor-timeout");
	assert_int_equal(auditor_state(f.a), AUDITOR_STARTING);
	fake_close(&f);
}

static void test_bad_hellos(void **state)
{
	static const char *const hellos[] = {
		"{}",
		"hello",
		"{\"id\":1,\"decision\":\"allow\"}",
		"{\"version\":1,\"ops\":[\"call.start\"]}",
		"{\"hello\":1,\"version\":1,\"ops\":[\"call.start\"]}",
		"{\"hello\":\"x\",\"ops\":[\"call.start\"]}",
		"{\"hello\":\"x\",\"version\":2,\"ops\":[\"call.start\"]}",
		"{\"hello\":\"x\",\"version\":\"1\",\"ops\":[\"call.start\"]}",
		"{\"hello\":\"x\",\"version\":1.0,\"ops\":[\"call.start\"]}",
		"{\"hello\":\"x\",\"version\":1}",
		"{\"hello\":\"x\",\"version\":1,\"ops\":\"call.start\"}",
		"{\"hello\":\"x\",\"version\":1,\"ops\":[1]}",
		"{\"hello\":\"x\",\"version\":1,\"ops\":[]}",
		"{\"hello\":\"x\",\"version\":1,\"ops\":[\"fs.commit\",\"what\"]}",
		"{\"hello\":\"x\",\"version\":1,\"ops\":[\"http.request\"]}", /* lacks what is required */
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		fake_open(&f, &(struct auditor_config){ .ops = ALL_OPS, .required = AUDITOR_OP(AUDITOR_CALL_START) });
		fake_ask_open(&f, AUDITOR_CALL_START);
		fake_ask_open(&f, AUDITOR_NET_CONNECT);
		fake_send(&f, hellos[i]);
		auditor_readable(f.a, f.now);
		assert_int_equal(f.n_notes, 2);
		expect_denied(&f.notes[0], "auditor-hello");
		expect_denied(&f.notes[1], "auditor-hello");
		expect_broken("auditor-hello", 1);
		fake_close(&f);
	}
}

static void test_deadline_to_the_microsecond(void **state)
{
	struct auditor_result r;
	uint64_t first, second;
	(void)state;

	fake_start(&f);
	struct auditor_question q = { .op = AUDITOR_CALL_START, .members = "", .deadline_us = 5001, .done = fake_done,
				      .context = &f };
	assert_int_equal(auditor_ask(f.a, &q, f.now, &first, &r), 0);
	second = fake_ask_open(&f, AUDITOR_CALL_START);
	assert_int_equal(auditor_next_deadline(f.a), f.now + 5001);
	f.now += 5000;
	auditor_expire(f.a, f.now);
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes, 0);
	f.now++;
	auditor_expire(f.a, f.now);
	assert_int_equal(f.n_notes, 1);
	assert_int_equal(f.notes[0].ticket, first);
	assert_int_equal(f.notes[0].us, 5001);
	expect_denied(&f.notes[0], "auditor-timeout");
	expect_error(&f, 1, "auditor-timeout");
	assert_string_equal(f.details[0], "\"detail\":\"no answer before the deadline\",\"op\":\"call.start\",\"id\":1");
	assert_int_equal(auditor_next_deadline(f.a), 1000000 + AUDITOR_DEADLINE_US);
	/* The late answer changes nothing, and the connection goes on. */
	fake_answer(&f, first, "\"decision\":\"allow\"");
	fake_answer(&f, second, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	expect_error(&f, 2, "auditor-late");
	assert_int_equal(f.n_notes, 2);
	assert_int_equal(f.notes[1].decision, AUDITOR_ALLOW);
	fake_close(&f);
}

/* In the socket in time, but read too late: as late as one that was not there. */
static void test_read_at_the_deadline(void **state)
{
	(void)state;
	for (int early = 0; early < 2; early++) {
		fake_start(&f);
		uint64_t id = fake_ask_open(&f, AUDITOR_CALL_START);
		fake_answer(&f, id, "\"decision\":\"allow\"");
		f.now += AUDITOR_DEADLINE_US - (uint64_t)early;
		auditor_readable(f.a, f.now);
		assert_int_equal(f.n_notes, 1);
		if (early) {
			assert_int_equal(f.notes[0].decision, AUDITOR_ALLOW);
			assert_int_equal(f.n_errors, 0);
		} else {
			expect_denied(&f.notes[0], "auditor-timeout");
			expect_error(&f, 2, "auditor-late");
		}
		fake_close(&f);
	}
}

static void test_gone(void **state)
{
	struct auditor_result r;
	uint64_t ticket;
	(void)state;

	fake_start(&f);
	/* What it allowed before counts no more. */
	assert_int_equal(fake_ask(&f, AUDITOR_CALL_START, "x", &ticket, &r), 0);
	fake_answer(&f, ticket, "\"decision\":\"allow\",\"cache_ms\":60000");
	auditor_readable(f.a, f.now);
	assert_int_equal(fake_ask(&f, AUDITOR_CALL_START, "x", &ticket, &r), 1);
	for (size_t i = 0; i < AUDITOR_MAX_IN_FLIGHT + 10; i++)
		fake_ask_open(&f, AUDITOR_CALL_START);
	fd_close(TAKE_FD(f.peer));
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes, 1 + AUDITOR_MAX_IN_FLIGHT + 10);
	for (size_t i = 1; i < f.n_notes; i++)
		expect_denied(&f.notes[i], "auditor-gone");
	assert_non_null(strstr(f.details[0], "\"unanswered\":74"));
	expect_broken("auditor-gone", 1);
	fake_close(&f);

	/* Noticed by the sending: then what was asked is denied as soon as the loop comes. */
	fake_start(&f);
	fd_close(TAKE_FD(f.peer));
	fake_ask_open(&f, AUDITOR_CALL_START);
	assert_int_equal(f.n_notes, 0);
	assert_true(auditor_next_deadline(f.a) && auditor_next_deadline(f.a) <= f.now);
	auditor_expire(f.a, f.now);
	expect_denied(&f.notes[0], "auditor-gone");
	expect_broken("auditor-gone", 1);
	fake_close(&f);
}

/* Packets that belong to no open question: nothing that comes can be trusted any more. */
static void test_garbage_ends_the_connection(void **state)
{
	static const char *const packets[] = {
		"x",
		"[]",
		"{}",
		"\"allow\"",
		"allow",
		"{\"decision\":\"allow\"}",
		"{\"id\":1,\"decision\":\"allow\"",
		"{\"id\":1,\"decision\":\"allow\"}{\"id\":2,\"decision\":\"allow\"}",
		"{\"id\":1,\"decision\":\"allow\"} x",
		"{\"id\":1,\"id\":1,\"decision\":\"allow\"}",
		"{\"id\":1,\"decision\":\"deny\",\"decision\":\"allow\"}",
		"{\"id\":\"1\",\"decision\":\"allow\"}",
		"{\"id\":1.0,\"decision\":\"allow\"}",
		"{\"id\":[1],\"decision\":\"allow\"}",
		"{\"id\":true,\"decision\":\"allow\"}",
		"{\"id\":null,\"decision\":\"allow\"}",
		"{\"id\":0,\"decision\":\"allow\"}",
		"{\"id\":-1,\"decision\":\"allow\"}",
		"{\"id\":3,\"decision\":\"allow\"}", /* not asked yet */
		"{\"id\":4294967297,\"decision\":\"allow\"}",
		"{\"id\":18446744073709551617,\"decision\":\"allow\"}",
		"{\"id\":1,\"decision\":\"allow\",\"reason\":\"\xff\xfe\"}",
		"{\"id\":1,\"decision\":\"allow\\u0000\"}",
		"{'id':1,'decision':'allow'}",
		HELLO, /* a second one */
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		fake_start(&f);
		fake_ask_open(&f, AUDITOR_CALL_START);
		fake_ask_open(&f, AUDITOR_HTTP_REQUEST);
		fake_send(&f, packets[i]);
		/* Nothing behind it is read. */
		fake_answer(&f, 1, "\"decision\":\"allow\"");
		auditor_readable(f.a, f.now);
		assert_int_equal(f.n_notes, 2);
		expect_denied(&f.notes[0], "auditor-garbage");
		expect_denied(&f.notes[1], "auditor-garbage");
		expect_broken("auditor-garbage", 1);
		fake_close(&f);
	}
}

static void test_repeated_answer(void **state)
{
	(void)state;
	fake_start(&f);
	fake_ask_open(&f, AUDITOR_CALL_START);
	fake_ask_open(&f, AUDITOR_CALL_START);
	fake_answer(&f, 1, "\"decision\":\"deny\"");
	fake_answer(&f, 1, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(f.n_notes, 2);
	assert_int_equal(f.notes[0].decision, AUDITOR_DENY);
	assert_int_equal(f.notes[0].source, AUDITOR_ANSWER);
	expect_denied(&f.notes[1], "auditor-garbage");
	expect_broken("auditor-garbage", 1);
	fake_close(&f);
}

/* Out of form, but it says which question it is about: that one is denied, the others go on. */
static void test_bad_answers(void **state)
{
	static const char *const members[] = {
		"\"x\":1",
		"\"decision\":\"maybe\"",
		"\"decision\":\"ALLOW\"",
		"\"decision\":\"allow \"",
		"\"decision\":\"\"",
		"\"decision\":true",
		"\"decision\":1",
		"\"decision\":null",
		"\"decision\":[\"allow\"]",
		"\"decision\":\"allow\",\"reason\":1",
		"\"decision\":\"allow\",\"reason\":null",
		"\"decision\":\"allow\",\"cache_ms\":\"1\"",
		"\"decision\":\"allow\",\"cache_ms\":-1",
		"\"decision\":\"allow\",\"cache_ms\":1.5",
		"\"decision\":\"allow\",\"grant\":[]",
		"\"decision\":\"allow\",\"grant\":\"x\"",
		"\"decision\":\"narrow\"",
		"\"decision\":\"narrow\",\"grant\":null",
		"\"decision\":\"narrow\",\"grant\":{}",
		"\"decision\":\"narrow\",\"grant\":{\"uses\":1}",
		"\"decision\":\"narrow\",\"grant\":{\"allow\":[1]}",
		"\"decision\":\"narrow\",\"grant\":{\"allow\":[\"a\",[\"b\"]]}",
		"\"decision\":\"narrow\",\"grant\":{\"allow\":{}}",
		"\"decision\":\"narrow\",\"grant\":{\"allow\":\"a\\nsecret = B\"}",
		"\"decision\":\"narrow\",\"grant\":{\"allow\":[\"a\\u007f\"]}",
		"\"decision\":\"narrow\",\"grant\":{\"a]\\n[b\":\"x\"}",
		"\"decision\":\"narrow\",\"grant\":{\"\":\"x\"}",
	};
	(void)state;

	fake_start(&f);
	uint64_t other = fake_ask_open(&f, AUDITOR_CALL_START);
	assert_int_equal(fake_id(&f), other);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		expect_denied(fake_round(&f, AUDITOR_CALL_START, members[i]), "auditor-garbage");
		expect_error(&f, i + 1, "auditor-garbage");
	}
	/* Only a grant can be narrowed. */
	expect_denied(fake_round(&f, AUDITOR_HTTP_REQUEST, "\"decision\":\"narrow\",\"grant\":{\"uses\":\"1\"}"),
		      "auditor-garbage");
	fake_answer(&f, other, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	assert_int_equal(f.notes[f.n_notes - 1].decision, AUDITOR_ALLOW);
	fake_close(&f);
}

/* Padded with blanks to a length. */
static void send_padded(const char *packet, size_t len)
{
	char *padded = malloc(len);

	memset(padded, ' ', len);
	memcpy(padded, packet, strlen(packet));
	assert_int_equal(send(f.peer, padded, len, MSG_NOSIGNAL), (ssize_t)len);
	free(padded);
}

static void test_oversize(void **state)
{
	struct auditor_result r;
	uint64_t ticket;
	(void)state;

	fake_start(&f);
	fake_ask_open(&f, AUDITOR_CALL_START);
	send_padded("{\"id\":1,\"decision\":\"allow\"}", AUDITOR_MAX_PACKET);
	auditor_readable(f.a, f.now);
	assert_int_equal(f.notes[0].decision, AUDITOR_ALLOW);
	fake_ask_open(&f, AUDITOR_CALL_START);
	send_padded("{\"id\":2,\"decision\":\"allow\"}", AUDITOR_MAX_PACKET + 1);
	auditor_readable(f.a, f.now);
	expect_denied(&f.notes[1], "auditor-oversize");
	expect_broken("auditor-oversize", 1);
	fake_close(&f);

	fake_start(&f);
	char *members = calloc(1, AUDITOR_MAX_PACKET + 1);
	memset(members, ' ', AUDITOR_MAX_PACKET);
	memcpy(members, "\"a\":1", 5);
	struct auditor_question q = { .op = AUDITOR_CALL_START, .members = members, .done = fake_done, .context = &f };
	assert_int_equal(auditor_ask(f.a, &q, f.now, &ticket, &r), 1);
	assert_int_equal(r.decision, AUDITOR_DENY);
	assert_string_equal(r.reason, "auditor-oversize");
	expect_error(&f, 1, "auditor-oversize");
	members[AUDITOR_MAX_PACKET - 100] = '\0';
	assert_int_equal(auditor_ask(f.a, &q, f.now, &ticket, &r), 0);
	free(members);
	assert_int_equal(fake_id(&f), ticket);
	fake_close(&f);
}

static void test_flood(void **state)
{
	(void)state;
	fake_start(&f);
	fake_ask_open(&f, AUDITOR_CALL_START);
	for (uint64_t i = 2; i < 200; i++)
		fake_answer(&f, i, "\"decision\":\"allow\"");
	auditor_readable(f.a, f.now);
	expect_denied(&f.notes[0], "auditor-garbage");
	expect_broken("auditor-garbage", 1);
	fake_close(&f);
}

static void test_descriptors_in_a_packet(void **state)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	char packet[] = "{\"id\":1,\"decision\":\"allow\"}";
	struct iovec iov = { packet, sizeof(packet) - 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	(void)state;

	fake_start(&f);
	fake_ask_open(&f, AUDITOR_CALL_START);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &f.peer, sizeof(int));
	assert_int_equal(sendmsg(f.peer, &m, 0), (ssize_t)sizeof(packet) - 1);
	auditor_readable(f.a, f.now);
	expect_denied(&f.notes[0], "auditor-garbage");
	expect_broken("auditor-garbage", 1);
	fake_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_socket),
		cmocka_unit_test(test_no_hello),
		cmocka_unit_test(test_bad_hellos),
		cmocka_unit_test(test_deadline_to_the_microsecond),
		cmocka_unit_test(test_read_at_the_deadline),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_garbage_ends_the_connection),
		cmocka_unit_test(test_repeated_answer),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_oversize),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_descriptors_in_a_packet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
