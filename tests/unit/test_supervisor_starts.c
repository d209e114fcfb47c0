/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a start cheap, and must not make it weaker: late answers, grants decided before, and the way to the gateway. */
#include "base/util.h"
#include "policy/grant.h"
#include "supervisor_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int guardian;

static int set_up(void **state)
{
	(void)state;
	fixture_open();
	script_sandbox(&f, client, "a", true, &box);
	guardian = script_slot(&f, &box, box.first);
	return 0;
}

static int tear_down_call(void **state)
{
	tear_down(state);
	fd_close(guardian);
	return 0;
}

/* Of one rule. */
static uint32_t start_with(const char *rule)
{
	_cleanup_buf_ struct buf m = { 0 }, bytes = { 0 };
	_cleanup_(grant_freep) struct grant *grant = NULL;
	char *const argv[] = { (char *)"true", NULL }, *const env[] = { NULL };
	const int fds[3] = { 0, 1, 2 };
	uint32_t request = new_request();

	assert_int_equal(grant_new(&grant), 0);
	assert_int_equal(grant_set(grant, "allow", rule, "/", "test", NULL), 0);
	assert_int_equal(grant_finish(grant, NULL), 0);
	assert_int_equal(grant_encode(grant, &bytes), 0);
	fake_put(&m, "uusvvsuuuq", MSG_START, request, "a", argv, env, "/", 0u, 0u, 0u, (uint64_t)0);
	assert_int_equal(wire_put_bytes(&m, bytes.data, bytes.len), 0);
	assert_int_equal(wire_put_str(&m, ""), 0);
	assert_int_equal(msg_send(client, m.data, m.len, fds, 3), 0);
	fake_run(&f);
	return request;
}

/* Both in one message, and nothing before. */
static void the_end_answers_a_start(void **state)
{
	uint32_t request = script_start(&f, client, "a", START_ASYNC);
	(void)state;

	expect(&f, guardian, GUARDIAN_EXEC);
	expect_nothing(&f, client);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 3u, 0u, 0u, 0u);
	struct fake_packet *p = expect(&f, client, MSG_CALL_EXIT);
	_cleanup_free_ char *sandbox = wire_get_str(&p->in);
	_cleanup_free_ char *id = wire_get_str(&p->in);
	assert_string_equal(id, "a.1");
	assert_int_equal(wire_get_u32(&p->in), 3);
	assert_int_equal(wire_get_u32(&p->in), 0);
	_cleanup_free_ char *reason = wire_get_str(&p->in);
	assert_int_equal(wire_get_u32(&p->in), request);
	assert_true(wire_done(&p->in));
	expect_nothing(&f, client);
	assert_int_equal(log_count(&box, "call.start"), 1);
	assert_int_equal(log_count(&box, "call.exit"), 1);
}

static void a_late_answer_comes_once(void **state)
{
	uint32_t request = script_start(&f, client, "a", START_ASYNC);
	(void)state;

	script_started(&f, &box, guardian);
	assert_string_equal(expect_success(&f, client, request), "a.1");
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 0u, 0u, 0u, 0u);
	struct fake_packet *p = expect(&f, client, MSG_CALL_EXIT);
	free(wire_get_str(&p->in));
	free(wire_get_str(&p->in));
	wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	free(wire_get_str(&p->in));
	assert_int_equal(wire_get_u32(&p->in), 0);
}

/* Who waits for the start is told of it first; a guardian that says otherwise is broken. */
static void only_who_asked_hears_late(void **state)
{
	(void)state;
	script_start(&f, client, "a", 0);
	expect(&f, guardian, GUARDIAN_EXEC);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 0u, 0u, 0u, 0u);
	expect_hung_up(&f, guardian);
	assert_int_equal(log_count(&box, "limit.hit"), 1);
}

static void a_terminal_is_waited_for(void **state)
{
	(void)state;
	script_start(&f, client, "a", START_ASYNC | START_TERMINAL);
	expect_hung_up(&f, client);
}

static void ask_rule(const char *rule, uint8_t add)
{
	fake_send(client, NULL, 0, "uusbss", MSG_RULE, new_request(), "a", (uint32_t)add, rule, "test");
	fake_run(&f);
}

/* The same bytes, decided by what the policy is when they come. */
static void a_decision_goes_with_its_policy(void **state)
{
	const char *rule = "https://example.org/a";
	(void)state;

	start_with(rule);
	expect(&f, box.gateway->quiet, GATEWAY_CALL_BIND);
	expect(&f, guardian, GUARDIAN_EXEC);
	fake_refill(&f);
	int second = script_slot(&f, &box, expect_slot(&f, &box));
	start_with(rule);
	expect(&f, box.gateway->quiet, GATEWAY_CALL_BIND);
	expect(&f, second, GUARDIAN_EXEC);
	_cleanup_free_ char *log = fake_log_text(box.log);
	const char *one = strstr(log, "\"granted\":["), *other = one ? strstr(one + 1, "\"granted\":[") : NULL;
	assert_true(other && strcspn(one, "]") > 12 && strncmp(one, other, strcspn(one, "]")) == 0);
	ask_rule("https://example.org", 0);
	uint32_t request = start_with(rule);
	expect(&f, box.gateway->sock, GATEWAY_RULE);
	assert_int_equal(log_count(&box, "call.denied"), 1);
	assert_int_equal(expect_failure(&f, client, request), EPERM);
	close(second);
}

/* Both ways to the gateway, which reads neither. */
static void fill_sockets(struct sandbox *b)
{
	_cleanup_buf_ struct buf m = { 0 };

	fake_put(&m, "uqu", GATEWAY_WRITTEN, (uint64_t)1, 0u);
	while (b->gateway_link.queued == 0)
		assert_int_equal(link_send(&b->gateway_link, &m, NULL, 0), 0);
	while (msg_send(b->gateway_quiet, m.data, m.len, NULL, 0) == 0)
		;
}

/* Else it would have all of the policy until the gateway hears of it. */
static void a_command_waits_for_its_grant_to_leave(void **state)
{
	struct sandbox *b = f.s.sandboxes;
	struct fake_packet p = { 0 };
	int r = 1;
	(void)state;

	fill_sockets(b);
	start_with("https://example.org/a");
	expect_nothing(&f, guardian);
	assert_int_equal(log_count(&box, "call.start"), 1);
	while (r == 1 && p.type != GATEWAY_CALL_BIND) {
		fake_packet_close(&p);
		r = fake_receive(box.gateway->sock, &p);
		loop_want_write(&f.s, &b->gateway_source, &b->gateway_link);
		fake_run(&f);
	}
	fake_packet_close(&p);
	assert_int_equal(r, 1);
	expect(&f, guardian, GUARDIAN_EXEC);
}

static void what_is_held_ends_with_the_gateway(void **state)
{
	struct sandbox *b = f.s.sandboxes;
	(void)state;

	fill_sockets(b);
	uint32_t request = start_with("https://example.org/a");
	close(box.gateway->sock);
	box.gateway->sock = -EBADF;
	assert_int_equal(expect_failure(&f, client, request), ECONNRESET);
	expect_hung_up(&f, guardian);
}

int main(void)
{
#define START_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_call)
	const struct CMUnitTest tests[] = {
		START_TEST(the_end_answers_a_start),
		START_TEST(a_late_answer_comes_once),
		START_TEST(only_who_asked_hears_late),
		START_TEST(a_terminal_is_waited_for),
		START_TEST(a_decision_goes_with_its_policy),
		START_TEST(a_command_waits_for_its_grant_to_leave),
		START_TEST(what_is_held_ends_with_the_gateway),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
