/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a call: what is recorded, told and killed, and in which order. */
#include "base/util.h"
#include "supervisor_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

static int guardian;

/* A sandbox whose first call is prepared. */
static int set_up_sandbox(bool gateway, bool named)
{
	fixture_open();
	if (named)
		script_named(&f, client, "a", gateway, &box);
	else
		script_sandbox(&f, client, "a", gateway, &box);
	guardian = script_slot(&f, &box, box.first);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_sandbox(false, false);
}

static int set_up_gateway(void **state)
{
	(void)state;
	return set_up_sandbox(true, false);
}

static int set_up_named(void **state)
{
	(void)state;
	return set_up_sandbox(false, true);
}

static int set_up_named_gateway(void **state)
{
	(void)state;
	return set_up_sandbox(true, true);
}

static int tear_down_call(void **state)
{
	tear_down(state);
	fd_close(guardian);
	return 0;
}

static int tear_down_named_call(void **state)
{
	tear_down_call(state);
	script_remove_place();
	return 0;
}

static uint32_t expect_signal(int sock)
{
	struct fake_packet *p = expect(&f, sock, GUARDIAN_SIGNAL);

	return wire_get_u32(&p->in);
}

/* MSG_CANCEL or MSG_SIGNAL and the like: one number or text behind the request. */
static void cancel(uint32_t asked)
{
	fake_send(client, NULL, 0, "uuu", MSG_CANCEL, new_request(), asked);
	fake_run(&f);
}

static void nothing_runs_without_its_record(void **state)
{
	(void)state;
	fake_log_full(box.log);
	uint32_t request = script_start(&f, client, "a", 0);
	assert_int_equal(expect_failure(&f, client, request), EIO);
	expect_hung_up(&f, guardian);
	assert_int_equal(log_count(&box, "call.start"), 0);
}

static void a_failed_start_is_recorded_and_answered(void **state)
{
	uint32_t request = script_start(&f, client, "a", 0);
	(void)state;

	expect(&f, guardian, GUARDIAN_EXEC);
	fake_send(guardian, NULL, 0, "ube", GUARDIAN_STARTED, 1u);
	assert_int_equal(expect_failure(&f, client, request), ENOENT);
	assert_int_equal(log_count(&box, "call.start"), 1);
	assert_int_equal(log_count(&box, "call.exit"), 1);
	expect_nothing(&f, client);
	expect_hung_up(&f, guardian);
}

/* Guardian, gateway, record, client: each only after the one before. */
static void the_end_is_told_last(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	script_exited(&f, guardian, 7);
	expect(&f, box.gateway->sock, GATEWAY_CALL); /* of the next one */
	uint32_t address = wire_get_u32(&expect(&f, box.gateway->sock, GATEWAY_CALL_END)->in);
	expect_nothing(&f, client);
	assert_int_equal(log_count(&box, "call.exit"), 0);
	fake_send(box.gateway->sock, NULL, 0, "uu", GATEWAY_CALL_ENDED, address);
	expect_exit(&f, client, "a.1", 7, "exit");
	assert_int_equal(log_count(&box, "call.exit"), 1);
}

static void the_environment_gets_the_placeholders(void **state)
{
	(void)state;
	script_start(&f, client, "a", 0);
	struct fake_packet *p = expect(&f, guardian, GUARDIAN_EXEC);
	_cleanup_(strv_freep) char **argv = wire_get_strv(&p->in, 10);
	_cleanup_(strv_freep) char **env = wire_get_strv(&p->in, 10);
	assert_int_equal(strv_len(env), 1);
	assert_string_equal(env[0], "TOKEN=placeholder");
}

static void a_call_without_gateway_ends_at_once(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	box.gateway->gone ? (void)0 : fake_gateway_exit(box.gateway);
	fake_run(&f);
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
	script_exited(&f, guardian, 0);
	expect_exit(&f, client, "a.1", 0, "exit");
	/* And no new one begins. */
	assert_int_equal(expect_failure(&f, client, script_start(&f, client, "a", 0)), EBUSY);
}

/* What already ended by itself was not killed, whatever comes while its connections are cut. */
static void a_late_kill_changes_no_reason(void **state)
{
	uint32_t request = script_start(&f, client, "a", 0);
	(void)state;

	script_started(&f, &box, guardian);
	expect_success(&f, client, request);
	script_exited(&f, guardian, 0);
	fake_send(client, NULL, 0, "uuu", MSG_CANCEL, 1000u, request);
	expect_success(&f, client, 1000);
	fake_send(client, NULL, 0, "uusb", MSG_DESTROY, 1001u, "a", 0u);
	fake_run(&f);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box.number);
	expect_exit(&f, client, "a.1", 0, "exit");
	expect_success(&f, client, 1001);
}

static void a_call_goes_with_its_client(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	int other = script_second_client(&f);
	uint32_t slot = expect_slot(&f, &box);
	script_start(&f, client, "a", 0); /* waits */
	fd_close(TAKE_FD(client));
	assert_int_equal(expect_signal(guardian), SIGKILL);
	/* What waited is not started any more. */
	int next = script_slot(&f, &box, slot);
	expect_nothing(&f, next);
	assert_int_equal(log_count(&box, "call.start"), 1);
	script_exited(&f, guardian, 0);
	assert_int_equal(log_count(&box, "call.exit"), 1);
	expect_nothing(&f, other);
	assert_false(f.s.done);
	close(next);
	close(other);
}

static void a_detached_call_stays(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, START_DETACHED);
	fd_close(TAKE_FD(client));
	expect_nothing(&f, guardian);
	assert_false(f.s.done);
	script_exited(&f, guardian, 0);
	assert_int_equal(log_count(&box, "call.exit"), 1);
}

static void a_waiting_start_can_be_cancelled(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	uint32_t slot = expect_slot(&f, &box), request = script_start(&f, client, "a", 0);
	cancel(request);
	assert_int_equal(expect_failure(&f, client, request), ECANCELED);
	expect(&f, client, MSG_REPLY); /* to the cancel */
	int next = script_slot(&f, &box, slot);
	expect_nothing(&f, next);
	close(next);
}

static void a_running_call_can_be_cancelled(void **state)
{
	uint32_t request = script_start(&f, client, "a", 0);
	(void)state;

	/* While it is being started, where the guardian could not obey yet. */
	expect(&f, guardian, GUARDIAN_EXEC);
	cancel(request);
	expect(&f, client, MSG_REPLY);
	expect_nothing(&f, guardian);
	fake_send(guardian, NULL, 0, "ub", GUARDIAN_STARTED, 0u);
	assert_int_equal(expect_signal(guardian), SIGKILL);
	expect_success(&f, client, request);
	script_exited(&f, guardian, 0);
	expect_exit(&f, client, "a.1", 0, "killed");
}

/* Only of the same connection: numbers of another client's requests say nothing. */
static void nobody_cancels_for_others(void **state)
{
	uint32_t request = script_start(&f, client, "a", 0);
	int other = script_second_client(&f);
	(void)state;

	script_started(&f, &box, guardian);
	expect_success(&f, client, request);
	fake_send(other, NULL, 0, "uuu", MSG_CANCEL, 1u, request);
	expect_success(&f, other, 1);
	expect_nothing(&f, guardian);
	close(other);
}

static void a_call_runs_out_of_time(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	f.s.sandboxes->calls->deadline = f.s.next_deadline = 1;
	assert_int_equal(expect_signal(guardian), SIGTERM);
	expect_nothing(&f, guardian);
	fake_pass_time(&f);
	assert_int_equal(expect_signal(guardian), SIGKILL);
	script_exited(&f, guardian, 0);
	expect_exit(&f, client, "a.1", 0, "timeout");
	assert_int_equal(log_count(&box, "limit.hit"), 1);
}

static void what_is_left_goes_on(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, START_BACKGROUND);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 3u, 0u, 1u, 1u);
	expect_exit(&f, client, "a.1", 3, "exit");
	fake_send(client, NULL, 0, "uusu", MSG_SIGNAL, 1000u, "a.1", 15u);
	expect_success(&f, client, 1000);
	assert_int_equal(expect_signal(guardian), 15);
	fake_send(guardian, NULL, 0, "u", GUARDIAN_DONE);
	expect_nothing(&f, client);
	assert_int_equal(log_count(&box, "call.exit"), 2);
	fake_send(client, NULL, 0, "uusu", MSG_SIGNAL, 1001u, "a.1", 15u);
	assert_int_equal(expect_failure(&f, client, 1001), ESRCH);
}

static void ask_to_revoke(uint32_t request, const char *call)
{
	fake_send(client, NULL, 0, "uus", MSG_REVOKE, request, call);
}

/* Cut while its processes are still dying; everybody who asked is answered behind its end, which is told once. */
static void a_revoked_call_is_cut_at_once(void **state)
{
	uint32_t address = f.s.sandboxes->calls->address;
	(void)state;

	script_run(&f, client, &box, guardian, 0);
	expect(&f, box.gateway->sock, GATEWAY_CALL); /* the next one of the pool */
	ask_to_revoke(1000, "a.1");
	assert_int_equal(wire_get_u32(&expect(&f, box.gateway->sock, GATEWAY_CALL_END)->in), address);
	assert_int_equal(expect_signal(guardian), SIGKILL);
	fake_send(box.gateway->sock, NULL, 0, "uu", GATEWAY_CALL_ENDED, address);
	ask_to_revoke(1001, "a.1");
	assert_int_equal(expect_signal(guardian), SIGKILL);
	expect_nothing(&f, client);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 0u, 9u, 0u, 1u);
	assert_int_equal(wire_get_u32(&expect(&f, box.gateway->sock, GATEWAY_CALL_END)->in), address);
	expect_nothing(&f, client);
	fake_send(box.gateway->sock, NULL, 0, "uu", GATEWAY_CALL_ENDED, address);
	expect_exit(&f, client, "a.1", 0, "revoked");
	expect_success(&f, client, 1001);
	expect_success(&f, client, 1000);
	assert_int_equal(log_count(&box, "call.exit"), 1);
	ask_to_revoke(1002, "a.1");
	assert_int_equal(expect_failure(&f, client, 1002), ESRCH);
}

/* The first wakes nobody, so a connection that was made in that moment is cut by the second. */
static void the_gateway_hears_twice_of_a_call_that_sent_nothing(void **state)
{
	uint32_t address;

	(void)state;
	script_run(&f, client, &box, guardian, 0);
	expect(&f, box.gateway->sock, GATEWAY_CALL);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 0u, 0u, 0u, 0u);
	address = wire_get_u32(&expect(&f, box.gateway->quiet, GATEWAY_CALL_END)->in);
	expect_exit(&f, client, "a.1", 0, "exit");
	expect_nothing(&f, box.gateway->sock);
	fake_refill(&f);
	assert_int_equal(wire_get_u32(&expect(&f, box.gateway->sock, GATEWAY_CALL_END)->in), address);
}

static void what_is_left_is_revoked(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, START_BACKGROUND);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 3u, 0u, 1u, 1u);
	expect_exit(&f, client, "a.1", 3, "exit");
	ask_to_revoke(1000, "a.1");
	assert_int_equal(expect_signal(guardian), SIGKILL);
	expect_nothing(&f, client);
	fake_send(guardian, NULL, 0, "u", GUARDIAN_DONE);
	expect_success(&f, client, 1000);
	assert_int_equal(log_count(&box, "call.exit"), 2);
}

/* While it is being started; and nobody is answered who has gone. */
static void a_starting_call_is_revoked(void **state)
{
	uint32_t request = script_start(&f, client, "a", 0);
	int second = script_client(&f);
	(void)state;

	expect(&f, guardian, GUARDIAN_EXEC);
	fake_send(second, NULL, 0, "uus", MSG_REVOKE, 1u, "a.1");
	fake_run(&f);
	close(second);
	expect_nothing(&f, guardian);
	fake_send(guardian, NULL, 0, "ub", GUARDIAN_STARTED, 0u);
	assert_int_equal(expect_signal(guardian), SIGKILL);
	expect_success(&f, client, request);
	script_exited(&f, guardian, 0);
	expect_exit(&f, client, "a.1", 0, "revoked");
}

/* Nobody can tell the processes of the call apart then. */
static void a_killed_guardian_ends_the_sandbox(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	expect_slot(&f, &box);
	fd_close(TAKE_FD(guardian));
	expect(&f, f.launcher, LAUNCHER_END);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box.number);
	expect_exit(&f, client, "a.1", 0, "lost");
	assert_int_equal(log_count(&box, "sandbox.exit"), 1);
}

/* So does one that says what it cannot mean. */
static void a_guardian_keeps_to_the_form(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, 0);
	expect_slot(&f, &box);
	fake_send(guardian, NULL, 0, "ube", GUARDIAN_STARTED, 1u);
	expect(&f, f.launcher, LAUNCHER_END);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box.number);
	expect_exit(&f, client, "a.1", 0, "lost");
}

static void a_sandbox_ends_with_its_call(void **state)
{
	uint32_t request = script_start(&f, client, "a", START_REMOVES);
	(void)state;

	fake_refill(&f);
	expect_slot(&f, &box);
	/* A command that was never there is not the call that it ends with, and the client is told of that. */
	expect(&f, guardian, GUARDIAN_EXEC);
	fake_send(guardian, NULL, 0, "ube", GUARDIAN_STARTED, 1u);
	assert_int_equal(expect_failure(&f, client, request), ENOENT);
	expect(&f, box.gateway->sock, GATEWAY_CALL);
	uint32_t address = wire_get_u32(&expect(&f, box.gateway->sock, GATEWAY_CALL_END)->in);
	fake_send(box.gateway->sock, NULL, 0, "uu", GATEWAY_CALL_ENDED, address);
	expect_nothing(&f, f.launcher);
	assert_int_equal(f.s.sandboxes->state, SANDBOX_READY);
}

static void a_sandbox_ends_with_its_last_call(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, START_REMOVES);
	expect_slot(&f, &box);
	script_exited(&f, guardian, 0);
	expect_exit(&f, client, "a.1", 0, "exit");
	expect(&f, f.launcher, LAUNCHER_END);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box.number);
	fake_run(&f);
	assert_null(f.s.sandboxes);
}

/* Everything goes at the same time: the launcher is dead, but the supervisor hears first of the gateway. */
static void gateway_and_launcher_die_together(void **state)
{
	(void)state;
	script_run(&f, client, &box, guardian, START_REMOVES);
	script_exited(&f, guardian, 0);
	expect_slot(&f, &box);
	fake_gateway_exit(box.gateway);
	fd_close(TAKE_FD(f.launcher));
	expect_exit(&f, client, "a.1", 0, "exit");
	fake_run(&f);
	assert_true(f.s.done);
}

/* A command can give its standard output to another call, which is not over with it and writes on. */
static void an_output_without_end_holds_nobody_up(void **state)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	(void)state;

	script_run(&f, client, &box, guardian, START_LOG);
	assert_int_equal(dup2(zero, f.s.sandboxes->calls->captures[0].source.fd), f.s.sandboxes->calls->captures[0].source.fd);
	close(zero);
	alarm(60);
	script_exited(&f, guardian, 0);
	alarm(0);
	expect_exit(&f, client, "a.1", 0, "exit");
}

static void what_was_written_is_kept(void **state)
{
	uint32_t request = script_start(&f, client, "a", START_LOG);
	char text[2 * OUTPUT_HEAD + 16] = { 0 };
	(void)state;

	struct fake_packet *p = expect(&f, guardian, GUARDIAN_EXEC);
	assert_int_equal(write(p->fds[1], "out", 3), 3);
	fake_run(&f);
	assert_int_equal(write(p->fds[2], "error", 5), 5);
	fake_send(guardian, NULL, 0, "ub", GUARDIAN_STARTED, 0u);
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 0u, 0u, 0u, 1u);
	int output = openat(f.s.sandboxes->named->dir, "output", O_RDONLY | O_CLOEXEC);
	expect_success(&f, client, request);
	expect_exit(&f, client, "a.1", 0, "exit");
	assert_int_equal(read(output, text, sizeof(text)), 2 * OUTPUT_HEAD + 8);
	assert_memory_equal(text, "OUT1\3\0\0\0\1\0\0\0\1\0\0\0out", OUTPUT_HEAD + 3);
	assert_memory_equal(text + OUTPUT_HEAD + 3, "OUT1\5\0\0\0\1\0\0\0\2\0\0\0error", OUTPUT_HEAD + 5);
	close(output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CALL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_call)
#define GATEWAY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_gateway, tear_down_call)
#define NAMED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_named, tear_down_named_call)
#define NAMED_GATEWAY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_named_gateway, tear_down_named_call)
		CALL_TEST(nothing_runs_without_its_record),
		CALL_TEST(a_failed_start_is_recorded_and_answered),
		GATEWAY_TEST(the_end_is_told_last),
		GATEWAY_TEST(the_environment_gets_the_placeholders),
		GATEWAY_TEST(a_call_without_gateway_ends_at_once),
		GATEWAY_TEST(a_late_kill_changes_no_reason),
		NAMED_TEST(a_call_goes_with_its_client),
		NAMED_TEST(a_detached_call_stays),
		CALL_TEST(a_waiting_start_can_be_cancelled),
		CALL_TEST(a_running_call_can_be_cancelled),
		GATEWAY_TEST(a_revoked_call_is_cut_at_once),
		NAMED_GATEWAY_TEST(the_gateway_hears_twice_of_a_call_that_sent_nothing),
		CALL_TEST(what_is_left_is_revoked),
		CALL_TEST(a_starting_call_is_revoked),
		NAMED_TEST(nobody_cancels_for_others),
		CALL_TEST(a_call_runs_out_of_time),
		CALL_TEST(what_is_left_goes_on),
		CALL_TEST(a_killed_guardian_ends_the_sandbox),
		CALL_TEST(a_guardian_keeps_to_the_form),
		NAMED_GATEWAY_TEST(a_sandbox_ends_with_its_call),
		NAMED_TEST(a_sandbox_ends_with_its_last_call),
		NAMED_GATEWAY_TEST(gateway_and_launcher_die_together),
		NAMED_TEST(an_output_without_end_holds_nobody_up),
		NAMED_TEST(what_was_written_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
