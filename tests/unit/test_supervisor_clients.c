/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: who may ask for what, what is out of form, and how sandboxes come and go. */
#include "base/util.h"
#include "fake_clock.h"
#include "supervisor_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
	(void)state;
	fixture_open();
	return 0;
}

static int set_up_named(void **state)
{
	set_up(state);
	script_named(&f, client, "a", false, &box);
	return 0;
}

static uint32_t destroy(int sock, bool force)
{
	uint32_t request = new_request();

	fake_send(sock, NULL, 0, "uusb", MSG_DESTROY, request, "a", (unsigned)force);
	fake_run(&f);
	return request;
}

static uint32_t create(const int *fds, size_t n, const char *id, const char *name)
{
	uint32_t request = new_request();

	assert_int_equal(fake_send(client, fds, n, "uussu", MSG_CREATE, request, id, name, 0u), 0);
	fake_run(&f);
	return request;
}

static void another_version_is_told(void **state)
{
	int sock = fake_client(&f), log = fake_log("log");
	const int fds[3] = { fake_policy(false), log, fake_state() };
	(void)state;

	fake_send(sock, NULL, 0, "uusb", MSG_HELLO, WIRE_VERSION + 1, "", 1u);
	assert_int_equal(expect_failure(&f, sock, 0), EPROTONOSUPPORT);
	assert_int_equal(f.n_gateways, 0);
	/* And it is no client: nothing that it says is done. */
	fake_send(sock, fds, 3, "uussu", MSG_CREATE, 1u, "a", "", 0u);
	expect_hung_up(&f, sock);
	expect_nothing(&f, f.launcher);
	assert_false(f.s.done);
	close(sock);
	close(log);
}

static void hello_comes_first_and_once(void **state)
{
	int sock = fake_client(&f);
	(void)state;

	fake_send(sock, NULL, 0, "uu", MSG_OPEN, 1u);
	expect_hung_up(&f, sock);
	fake_send(client, NULL, 0, "uusb", MSG_HELLO, WIRE_VERSION, ",", 0u);
	expect_hung_up(&f, client);
	close(sock);
}

static void the_only_client_out_of_form_ends_all(void **state)
{
	(void)state;
	script_sandbox(&f, client, "a", false, &box);
	fake_send(client, NULL, 0, "uu", 99u, 1u);
	expect_hung_up(&f, client);
	assert_true(f.s.done);
}

static void one_out_of_form_is_dropped_alone(void **state)
{
	int other = script_second_client(&f);
	(void)state;

	fake_send(other, NULL, 0, "uu", 99u, 1u);
	expect_hung_up(&f, other);
	expect_nothing(&f, client);
	fake_send(client, NULL, 0, "uub", MSG_OPEN, 2u, 0u); /* one byte too many */
	expect_hung_up(&f, client);
	/* The named sandbox is still there. */
	assert_false(f.s.done);
	close(other);
}

/* It would be told of the connection again at once, and do nothing else. */
static void without_descriptors_clients_wait(void **state)
{
	struct rlimit old, few;
	(void)state;

	int next = dup(client);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ (rlim_t)next + 1, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int other = script_second_client(&f);
	assert_int_equal(other, next);
	assert_int_equal(f.s.n_clients, 1);
	assert_true(f.s.next_deadline != 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	fake_clock_move(20000);
	fake_run(&f);
	assert_int_equal(f.s.n_clients, 2);
	close(other);
}

static void another_client_comes_by_the_socket(void **state)
{
	int other = script_second_client(&f), guardian = script_slot(&f, &box, box.first);
	struct stat ours, theirs;
	(void)state;

	fake_send(other, NULL, 0, "uu", MSG_OPEN, 1u);
	struct fake_packet *p = expect(&f, other, MSG_REPLY);
	assert_int_equal(p->n_fds, 1);
	assert_int_equal(fstat(fake_policy(false), &ours), 0);
	assert_int_equal(fstat(p->fds[0], &theirs), 0);
	assert_int_equal(ours.st_ino, theirs.st_ino);
	fake_send(other, NULL, 0, "uus", MSG_INSPECT, 2u, "a");
	assert_non_null(strstr(expect_success(&f, other, 2), "\"name\":\"box\",\"state\":\"running\""));
	/* Its call, and its news of it. */
	script_run(&f, other, &box, guardian, 0);
	fd_close(TAKE_FD(client));
	script_exited(&f, guardian, 0);
	expect_exit(&f, other, "a.1", 0, "exit");
	assert_false(f.s.done);
	close(guardian);
	close(other);
}

/* A command in a sandbox has the user's id too, but is in another network namespace. */
static void nobody_comes_from_another_namespace(void **state)
{
	(void)state;
	f.s.net_cookie = 1;
	int other = script_second_client(&f);
	expect_hung_up(&f, other);
	close(other);
}

static void a_sandbox_is_destroyed(void **state)
{
	int guardian = script_slot(&f, &box, box.first);
	(void)state;

	script_run(&f, client, &box, guardian, START_DETACHED);
	expect_slot(&f, &box);
	assert_int_equal(expect_failure(&f, client, destroy(client, false)), EBUSY);
	expect_nothing(&f, f.launcher);
	uint32_t request = destroy(client, true);
	expect(&f, f.launcher, LAUNCHER_END);
	/* Not before it is gone; and only who asked first is answered. */
	expect_nothing(&f, client);
	int other = fake_client(&f);
	fake_send(other, NULL, 0, "uusb", MSG_HELLO, WIRE_VERSION, ",", 0u);
	assert_int_equal(expect_failure(&f, other, destroy(other, true)), ENOENT);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box.number);
	expect_exit(&f, client, "a.1", 0, "killed");
	expect_success(&f, client, request);
	assert_int_equal(log_count(&box, "sandbox.exit"), 1);
	close(guardian);
	close(other);
}

static void an_idle_sandbox_needs_no_force(void **state)
{
	(void)state;
	script_sandbox(&f, client, "a", true, &box);
	f.gateways_stay = true;
	uint32_t request = destroy(client, false);
	expect(&f, f.launcher, LAUNCHER_END);
	fake_send(f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box.number);
	/* The gateway is a part of it. */
	expect_nothing(&f, client);
	fake_gateway_exit(box.gateway);
	expect_success(&f, client, request);
	assert_int_equal(f.s.n_sandboxes, 0);
}

static void an_id_is_used_once(void **state)
{
	int log = fake_log("log");
	const int fds[3] = { fake_policy(false), log, fake_state() };
	(void)state;

	script_sandbox(&f, client, "a", false, &box);
	assert_int_equal(expect_failure(&f, client, create(fds, 3, "a", "")), EEXIST);
	/* What the log is not made for is refused, and nothing stays. */
	const int bad[3] = { fake_policy(false), 0, fake_state() };
	assert_true(expect_failure(&f, client, create(bad, 3, "b", "")) > 0);
	const int used[3] = { fake_policy(false), box.log, fake_state() };
	assert_int_equal(expect_failure(&f, client, create(used, 3, "b", "")), EEXIST);
	assert_int_equal(f.s.n_sandboxes, 1);
	close(log);
}

static void a_gateway_can_be_late(void **state)
{
	int log = fake_log("log");
	const int fds[3] = { fake_policy(true), log, fake_state() };
	uint32_t request = create(fds, 3, "a", "");
	(void)state;

	uint32_t number = wire_get_u32(&expect(&f, f.launcher, LAUNCHER_SANDBOX)->in);
	expect(&f, f.launcher, LAUNCHER_SLOT);
	fake_pass_time(&f);
	assert_int_equal(expect_failure(&f, client, request), ETIMEDOUT);
	/* The launcher is at work still: what it made in vain is ended. */
	fake_send(f.launcher, NULL, 0, "uub", LAUNCHER_SANDBOX_READY, number, 0u);
	assert_int_equal(wire_get_u32(&expect(&f, f.launcher, LAUNCHER_END)->in), number);
	close(log);
}

static void a_gateway_can_be_missing(void **state)
{
	int log = fake_log("log");
	const int fds[3] = { fake_policy(true), log, fake_state() };
	(void)state;

	f.no_gateways = true;
	assert_int_equal(expect_failure(&f, client, create(fds, 3, "a", "")), EAGAIN);
	expect_nothing(&f, f.launcher);
	assert_int_equal(f.s.n_sandboxes, 0);
	close(log);
}

/* "../x" would have its socket removed one directory further up. */
static void a_name_is_no_path(void **state)
{
	int log = fake_log("log"), dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int fds[7] = { fake_policy(false), log, fake_state(), dir, log, dir, log };
	(void)state;

	create(fds, 7, "b", "../x");
	expect_hung_up(&f, client);
	expect_nothing(&f, f.launcher);
	close(log);
	close(dir);
}

static void a_sandbox_says_what_it_is(void **state)
{
	int log = fake_log("log");
	const int fds[3] = { fake_policy(true), log, fake_state() };
	(void)state;

	create(fds, 3, "a", "");
	fake_send(client, NULL, 0, "uus", MSG_INSPECT, 1u, "a");
	const char *text = expect_success(&f, client, 1);
	assert_non_null(strstr(text, "\"state\":\"starting\""));
	assert_non_null(strstr(text, "\"gateway\":\"starting\""));
	assert_non_null(strstr(text, "\"calls\":[]"));
	close(log);
}

static void clients_are_bounded(void **state)
{
	int socks[MAX_CLIENTS];
	(void)state;

	for (size_t i = 1; i < MAX_CLIENTS; i++)
		socks[i] = script_second_client(&f);
	assert_int_equal(f.s.n_clients, MAX_CLIENTS);
	int more = script_second_client(&f);
	expect_hung_up(&f, more);
	expect_nothing(&f, socks[MAX_CLIENTS - 1]);
	close(more);
	/* As soon as one goes there is room again. */
	close(socks[1]);
	fake_run(&f);
	socks[1] = script_second_client(&f);
	expect_nothing(&f, socks[1]);
	for (size_t i = 1; i < MAX_CLIENTS; i++)
		close(socks[i]);
}

static void calls_are_bounded(void **state)
{
	struct fake_packet p;
	(void)state;

	script_sandbox(&f, client, "a", false, &box);
	for (size_t i = 0; i < MAX_CALLS; i++) {
		script_start(&f, client, "a", 0);
		while (fake_receive(f.launcher, &p) > 0)
			assert_int_equal(p.type, LAUNCHER_SLOT);
	}
	expect_nothing(&f, client);
	assert_int_equal(expect_failure(&f, client, script_start(&f, client, "a", 0)), EBUSY);
	size_t n = 0;
	for (const struct call *c = f.s.sandboxes->calls; c; c = c->next)
		n++;
	assert_true(n <= MAX_CALLS + MAX_POOL);
}

/* A connection of the call that runs in the sandbox. */
static int connect_inside(void)
{
	int pair[2];

	fake_pair(pair);
	assert_int_equal(client_add_inside(f.s.sandboxes->calls, pair[0]), 0);
	fake_send(pair[1], NULL, 0, "uusb", MSG_HELLO, WIRE_VERSION, "", 0u);
	fake_run(&f);
	return pair[1];
}

static uint32_t signal_none(int sock)
{
	uint32_t request = new_request();

	fake_send(sock, NULL, 0, "uusu", MSG_SIGNAL, request, "none", 15u);
	return request;
}

static void calls_that_keep_the_loop_rest(void **state)
{
	(void)state;
	script_sandbox(&f, client, "a", false, &box);
	_cleanup_close_ int guardian = script_slot(&f, &box, box.first);
	script_run(&f, client, &box, guardian, 0);
	_cleanup_close_ int inside = connect_inside();
	_cleanup_close_ int other = connect_inside();

	assert_int_equal(expect_failure(&f, inside, signal_none(inside)), ESRCH);
	control_spent(f.s.sandboxes, 3600000000u);
	uint32_t request = signal_none(inside);
	expect_nothing(&f, inside);
	/* The others are heard. */
	assert_int_equal(expect_failure(&f, client, signal_none(client)), ESRCH);
	/* Who hangs up goes at once, without what it had asked for. */
	signal_none(other);
	fd_close(TAKE_FD(other));
	fake_run(&f);
	for (const struct client *c = f.s.clients; c; c = c->next)
		assert_true(!c->inside || c->next == NULL || !c->next->inside);
	f.s.sandboxes->control_rests = f.s.next_deadline = 1;
	assert_int_equal(expect_failure(&f, inside, request), ESRCH);
}

static void calls_that_ask_now_and_then_do_not_rest(void **state)
{
	(void)state;
	script_sandbox(&f, client, "a", false, &box);
	struct sandbox *b = f.s.sandboxes;

	for (unsigned i = 0; i < 100; i++) {
		control_spent(b, 1000);
		b->spent_at -= 2000; /* as if so long ago */
	}
	assert_int_equal(b->control_rests, 0);
	for (unsigned i = 0; i < 100; i++)
		control_spent(b, 1000);
	assert_int_not_equal(b->control_rests, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define NAMED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_named, tear_down_named)
		CLIENT_TEST(another_version_is_told),
		CLIENT_TEST(hello_comes_first_and_once),
		CLIENT_TEST(the_only_client_out_of_form_ends_all),
		NAMED_TEST(one_out_of_form_is_dropped_alone),
		NAMED_TEST(without_descriptors_clients_wait),
		NAMED_TEST(another_client_comes_by_the_socket),
		NAMED_TEST(nobody_comes_from_another_namespace),
		NAMED_TEST(a_sandbox_is_destroyed),
		CLIENT_TEST(an_idle_sandbox_needs_no_force),
		CLIENT_TEST(an_id_is_used_once),
		CLIENT_TEST(a_gateway_can_be_late),
		CLIENT_TEST(a_gateway_can_be_missing),
		CLIENT_TEST(a_name_is_no_path),
		CLIENT_TEST(a_sandbox_says_what_it_is),
		NAMED_TEST(clients_are_bounded),
		CLIENT_TEST(calls_are_bounded),
		CLIENT_TEST(calls_that_keep_the_loop_rest),
		CLIENT_TEST(calls_that_ask_now_and_then_do_not_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
