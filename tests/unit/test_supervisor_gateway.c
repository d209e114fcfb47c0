/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway that was taken over, and what may come into the log. */
#include "base/util.h"
#include "policy/grant.h"
#include "supervisor_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static int set_up(void **state)
{
	(void)state;
	fixture_open();
	script_sandbox(&f, client, "a", true, &box);
	return 0;
}

static int set_up_named(void **state)
{
	(void)state;
	fixture_open();
	script_named(&f, client, "a", true, &box);
	return 0;
}

static void send_record(const char *event, const char *reason, const char *members)
{
	fake_send(box.gateway->sock, NULL, 0, "uqususs", GATEWAY_RECORDS, (uint64_t)7, 1u, event, 0u, reason, members);
	fake_run(&f);
}

static void records_are_written_and_acknowledged(void **state)
{
	(void)state;
	send_record("net.allow", "rule", "\"port\":443");
	expect(&f, box.gateway->sock, GATEWAY_CALL);
	struct fake_packet *p = expect(&f, box.gateway->sock, GATEWAY_WRITTEN);
	assert_int_equal(wire_get_u64(&p->in), 7);
	assert_int_equal(wire_get_u8(&p->in), 0);
	assert_int_equal(log_count(&box, "net.allow"), 1);
	/* A log that cannot be written makes every decision a denial. */
	fake_log_full(box.log);
	send_record("net.allow", "rule", "\"port\":443");
	p = expect(&f, box.gateway->sock, GATEWAY_WRITTEN);
	wire_get_u64(&p->in);
	assert_int_equal(wire_get_u8(&p->in), 1);
	assert_int_equal(log_count(&box, "net.allow"), 1);
}

static void events_of_others_are_refused(void **state)
{
	(void)state;
	send_record("call.exit", "", "");
	assert_int_equal(log_count(&box, "call.exit"), 0);
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
	assert_true(box.gateway->gone);
	assert_int_equal(f.s.sandboxes->state, SANDBOX_READY);
}

static void members_of_others_are_refused(void **state)
{
	(void)state;
	send_record("net.allow", "", "\"call\":\"a.1\"");
	assert_int_equal(log_count(&box, "net.allow"), 0);
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
}

/* A record over the bound of the log would be its end, and what comes later would not be recorded. */
static void a_record_cannot_end_the_log(void **state)
{
	char reason[100001];
	(void)state;

	memset(reason, 0xff, sizeof(reason) - 1); /* six bytes each in the log */
	reason[sizeof(reason) - 1] = '\0';
	send_record("net.deny", reason, "");
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
	assert_int_equal(audit_log_flush(f.s.sandboxes->log), 0);
}

/* Nor can what a client asks for. */
static void a_directory_cannot_end_the_log(void **state)
{
	char cwd[100001];
	char *const argv[] = { (char *)"true", NULL }, *const env[] = { NULL };
	const int fds[3] = { 0, 1, 2 };
	int guardian = script_slot(&f, &box, box.first);
	(void)state;

	memset(cwd, 0xff, sizeof(cwd) - 1);
	cwd[sizeof(cwd) - 1] = '\0';
	fake_send(client, fds, 3, "uusvvsuuuqss", MSG_START, 1u, "a", argv, env, cwd, 0u, 0u, 0u, (uint64_t)0, "", "");
	script_started(&f, &box, guardian);
	expect_success(&f, client, 1);
	close(guardian);
}

/* With the address of the call that asked for it: none did. */
static void a_grant_is_bound_before_its_command(void **state)
{
	_cleanup_buf_ struct buf m = { 0 }, bytes = { 0 };
	_cleanup_(grant_freep) struct grant *grant = NULL, *bound = NULL;
	char *const argv[] = { (char *)"true", NULL }, *const env[] = { NULL };
	const int fds[3] = { 0, 1, 2 };
	size_t len;
	(void)state;

	assert_int_equal(grant_new(&grant), 0);
	assert_int_equal(grant_set(grant, "uses", "7", "/", "test", NULL), 0);
	assert_int_equal(grant_finish(grant, NULL), 0);
	assert_int_equal(grant_encode(grant, &bytes), 0);
	int guardian = script_slot(&f, &box, box.first);
	uint32_t address = f.s.sandboxes->calls->address;
	fake_put(&m, "uusvvsuuuq", MSG_START, 1u, "a", argv, env, "/", 0u, 0u, 0u, (uint64_t)0);
	assert_int_equal(wire_put_bytes(&m, bytes.data, bytes.len), 0);
	assert_int_equal(wire_put_str(&m, ""), 0);
	assert_int_equal(msg_send(client, m.data, m.len, fds, 3), 0);
	struct fake_packet *p = expect(&f, box.gateway->quiet, GATEWAY_CALL_BIND);
	assert_int_equal(wire_get_u32(&p->in), address);
	assert_int_equal(wire_get_u32(&p->in), 0);
	const void *sent = wire_get_bytes(&p->in, &len);
	assert_int_equal(grant_decode(sent, len, &bound, NULL), 0);
	_cleanup_free_ char *about = wire_get_str(&p->in);
	assert_true(wire_done(&p->in));
	assert_string_equal(about, ""); /* no secret of it comes from a command */
	assert_int_equal(grant_number(bound, GRANT_USES), 7);
	script_started(&f, &box, guardian);
	close(guardian);
}

/* Answers that nobody reads would fill the memory. */
static void a_gateway_that_does_not_read_is_ended(void **state)
{
	int r = 0;
	(void)state;

	for (size_t i = 0; i < 100000 && !box.gateway->gone; i++) {
		r = fake_send(box.gateway->sock, NULL, 0, "uqu", GATEWAY_RECORDS, (uint64_t)i + 1, 0u);
		assert_true(r == 0 || r == -EPIPE);
		fake_run(&f);
	}
	assert_true(box.gateway->gone);
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
}

static void a_client_that_does_not_read_is_dropped(void **state)
{
	int r = 0;
	size_t i = 0;
	(void)state;

	for (; i < 100000 && r == 0; i++) {
		r = fake_send(client, NULL, 0, "uus", MSG_INSPECT, 1u, "none");
		fake_run(&f);
	}
	assert_int_equal(r, -EPIPE);
	assert_true(f.s.done);
}

/* Nothing prepared there could be finished. */
static void no_calls_are_prepared_without_gateway(void **state)
{
	(void)state;
	fake_gateway_exit(box.gateway);
	fake_run(&f);
	fake_send(client, NULL, 0, "uusu", MSG_POOL, 1u, "a", 4u);
	expect_success(&f, client, 1);
	expect_nothing(&f, f.launcher);
	assert_null(f.s.sandboxes->calls);
}

/* What the launcher says when it cannot be is a bug of ours: all ends. */
static void a_sandbox_is_made_once(void **state)
{
	(void)state;
	fake_send(f.launcher, NULL, 0, "uub", LAUNCHER_SANDBOX_READY, box.number, 0u);
	fake_run(&f);
	assert_true(f.s.done);
}

static void a_guardian_comes_once(void **state)
{
	int pair[2];
	(void)state;

	/* Not prepared yet: the gateway has its part to do. */
	fake_pair(pair);
	for (size_t i = 0; i < 2; i++) {
		assert_false(f.s.done);
		fake_send(f.launcher, pair, 1, "uuubq", LAUNCHER_SLOT_READY, box.number, box.first, 0u, (uint64_t)0);
		fake_run(&f);
	}
	assert_true(f.s.done);
	close(pair[0]);
	close(pair[1]);
}

static void a_sandbox_ends_after_it_began(void **state)
{
	int log = fake_log("log");
	const int fds[3] = { fake_policy(false), log, fake_state() };
	(void)state;

	fake_send(client, fds, 3, "uussu", MSG_CREATE, 1u, "b", "", 0u);
	uint32_t number = wire_get_u32(&expect(&f, f.launcher, LAUNCHER_SANDBOX)->in);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, number);
	/* The launcher is at fault: everything ends, and the client is told why. */
	expect(&f, client, MSG_REPLY);
	assert_true(f.s.done);
	close(log);
}

/* The next message to the gateway that is none about calls. */
static struct fake_packet *expect_change(uint32_t type)
{
	struct fake_packet *p;

	for (;;) {
		fake_run(&f);
		static struct fake_packet packet;
		p = &packet;
		assert_int_equal(fake_receive(box.gateway->sock, p), 1);
		if (p->type != GATEWAY_CALL)
			break;
		fake_packet_close(p);
	}
	assert_int_equal(p->type, type);
	return p;
}

static void answer_change(uint32_t ticket)
{
	fake_send(box.gateway->sock, NULL, 0, "uub", GATEWAY_CHANGED, ticket, 0u);
	fake_run(&f);
}

/* In the log and in our own policy before the gateway hears of it; answered when that has done it. */
static void rules_change_in_order(void **state)
{
	struct error e;
	(void)state;

	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 21u, "a", 1u, "https://new.example", "test");
	struct fake_packet *p = expect_change(GATEWAY_RULE);
	assert_int_equal(log_count(&box, "policy.change"), 1);
	assert_int_equal(policy_find_rule(f.s.sandboxes->policy, "https://new.example", &e), 0);
	uint32_t ticket = wire_get_u32(&p->in);
	expect_nothing(&f, client);
	answer_change(ticket);
	expect_success(&f, client, 21);

	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 22u, "a", 1u, "https://new.example", "test");
	assert_int_equal(expect_failure(&f, client, 22), EEXIST);
	/* A port that nobody listens on is the launcher's first. */
	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 23u, "a", 1u, "tcp://db.example:5432", "test");
	p = expect(&f, f.launcher, LAUNCHER_LISTEN);
	wire_get_u32(&p->in);
	ticket = wire_get_u32(&p->in);
	const int fds[] = { 0 };
	fake_send(f.launcher, fds, 1, "uuub", LAUNCHER_LISTENING, box.number, ticket, 0u);
	p = expect_change(GATEWAY_RULE);
	assert_int_equal(p->n_fds, 1);
	fake_packet_close(p);
	answer_change(ticket);
	expect_success(&f, client, 23);

	/* Without a log nothing changes. */
	fake_log_full(box.log);
	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 24u, "a", 1u, "https://other.example", "test");
	assert_int_equal(expect_failure(&f, client, 24), EIO);
	assert_int_equal(policy_find_rule(f.s.sandboxes->policy, "https://other.example", &e), -ENOENT);
}

/* What is taken away is, at the gateway too, also when nothing can be kept of it for those who come later. */
static void a_rule_goes_without_a_descriptor(void **state)
{
	struct rlimit old, none;
	struct error e;
	(void)state;

	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 41u, "a", 1u, "https://new.example", "test");
	answer_change(wire_get_u32(&expect_change(GATEWAY_RULE)->in));
	expect_success(&f, client, 41);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ 0, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 42u, "a", 0u, "https://new.example", "test");
	struct fake_packet *p = expect_change(GATEWAY_RULE);
	uint32_t ticket = wire_get_u32(&p->in);
	assert_int_equal(wire_get_u8(&p->in), 0);
	assert_int_equal(policy_find_rule(f.s.sandboxes->policy, "https://new.example", &e), -ENOENT);
	answer_change(ticket);
	expect_success(&f, client, 42);
	/* The other way nothing happens. */
	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 43u, "a", 1u, "https://more.example", "test");
	assert_int_equal(expect_failure(&f, client, 43), EMFILE);
	assert_int_equal(policy_find_rule(f.s.sandboxes->policy, "https://more.example", &e), -ENOENT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* An answer to nothing ends the gateway, and that fails what waits for it. */
static void changes_end_with_the_gateway(void **state)
{
	(void)state;
	fake_send(client, NULL, 0, "uusbss", MSG_RULE, 31u, "a", 1u, "https://new.example", "test");
	struct fake_packet *p = expect_change(GATEWAY_RULE);
	answer_change(wire_get_u32(&p->in) + 1);
	assert_int_equal(expect_failure(&f, client, 31), ECONNRESET);
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define GATEWAY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		GATEWAY_TEST(records_are_written_and_acknowledged),
		GATEWAY_TEST(events_of_others_are_refused),
		GATEWAY_TEST(members_of_others_are_refused),
		GATEWAY_TEST(a_record_cannot_end_the_log),
		GATEWAY_TEST(a_directory_cannot_end_the_log),
		GATEWAY_TEST(a_grant_is_bound_before_its_command),
		GATEWAY_TEST(a_gateway_that_does_not_read_is_ended),
		GATEWAY_TEST(a_client_that_does_not_read_is_dropped),
		GATEWAY_TEST(no_calls_are_prepared_without_gateway),
		GATEWAY_TEST(rules_change_in_order),
		cmocka_unit_test_setup_teardown(a_rule_goes_without_a_descriptor, set_up_named, tear_down_named),
		GATEWAY_TEST(changes_end_with_the_gateway),
		GATEWAY_TEST(a_sandbox_is_made_once),
		GATEWAY_TEST(a_guardian_comes_once),
		GATEWAY_TEST(a_sandbox_ends_after_it_began),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
