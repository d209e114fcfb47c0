/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of prepared calls. */
#include "base/addresses.h"
#include "base/util.h"
#include "policy/grant.h"
#include "supervisor_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int set_up(void **state)
{
	(void)state;
	fixture_open();
	script_sandbox(&f, client, "a", false, &box);
	return 0;
}

static void a_start_takes_the_prepared_call(void **state)
{
	int guardian = script_slot(&f, &box, box.first);
	(void)state;

	expect_nothing(&f, f.launcher);
	expect_nothing(&f, guardian);
	assert_string_equal(script_run(&f, client, &box, guardian, 0), "a.1");
	/* One more in its place, and no deeper. */
	expect_slot(&f, &box);
	expect_nothing(&f, f.launcher);
	close(guardian);
}

static void a_start_waits_for_an_empty_pool(void **state)
{
	uint32_t request = script_start(&f, client, "a", 0);
	(void)state;

	expect_nothing(&f, client);
	assert_int_equal(log_count(&box, "call.start"), 0);
	/* It had to wait: two are kept from now on, beside its own. */
	uint32_t second = expect_slot(&f, &box);
	expect_slot(&f, &box);
	expect_nothing(&f, f.launcher);
	/* Whichever is there first. */
	int guardian = script_slot(&f, &box, second);
	script_started(&f, &box, guardian);
	assert_string_equal(expect_success(&f, client, request), "a.1");
	expect_nothing(&f, f.launcher);
	close(guardian);
}

static void a_call_is_used_once(void **state)
{
	int first = script_slot(&f, &box, box.first);
	uint32_t one = script_start(&f, client, "a", 0), two = script_start(&f, client, "a", 0);
	(void)state;

	uint32_t slot = expect_slot(&f, &box);
	script_started(&f, &box, first);
	expect_nothing(&f, first);
	expect_success(&f, client, one);
	expect_nothing(&f, client);
	int second = script_slot(&f, &box, slot);
	script_started(&f, &box, second);
	assert_string_equal(expect_success(&f, client, two), "a.2");
	/* Nor after its end: that is the guardian's end too. */
	script_exited(&f, first, 0);
	expect_exit(&f, client, "a.1", 0, "exit");
	fake_refill(&f);
	expect_hung_up(&f, first);
	close(first);
	close(second);
}

static void the_longest_waiting_is_first(void **state)
{
	uint32_t one = script_start(&f, client, "a", 0), two = script_start(&f, client, "a", 0);
	(void)state;

	int guardian = script_slot(&f, &box, box.first);
	script_started(&f, &box, guardian);
	expect_success(&f, client, one);
	expect_nothing(&f, client);
	uint32_t cancel = new_request();
	fake_send(client, NULL, 0, "uuu", MSG_CANCEL, cancel, two);
	assert_int_equal(expect_failure(&f, client, two), ECANCELED);
	expect_success(&f, client, cancel);
	close(guardian);
}

/* How many of these are still there for the next command. */
static size_t n_open(const int *guardians, size_t n)
{
	struct fake_packet p;
	size_t open = 0;

	fake_run(&f);
	for (size_t i = 0; i < n; i++)
		open += fake_receive(guardians[i], &p) >= 0;
	return open;
}

static void the_pool_grows_and_shrinks(void **state)
{
	int running[4], more[8];
	size_t n_more = 0;
	(void)state;

	/* 1, 2, 4, 8: each finds none. */
	for (unsigned i = 0; i < 3; i++)
		script_start(&f, client, "a", 0);
	assert_int_equal(f.s.sandboxes->depth[KIND_LIGHT], 8);
	uint32_t slots[11] = { box.first };
	for (size_t i = 1; i < 11; i++)
		slots[i] = expect_slot(&f, &box);
	expect_nothing(&f, f.launcher);
	for (size_t i = 0; i < 3; i++)
		running[i] = script_slot(&f, &box, slots[i]);
	for (size_t i = 3; i < 11; i++)
		more[n_more++] = script_slot(&f, &box, slots[i]);
	assert_int_equal(n_open(more, n_more), 8);
	/* A start that finds one puts the pause off; nothing else happens. */
	script_start(&f, client, "a", 0);
	expect(&f, more[0], GUARDIAN_EXEC);
	running[3] = more[0];
	fake_refill(&f);
	more[0] = script_slot(&f, &box, expect_slot(&f, &box));
	assert_int_equal(n_open(more, n_more), 8);
	fake_pass_time(&f);
	assert_int_equal(n_open(more, n_more), 1);
	assert_int_equal(n_open(running, 4), 4);
	expect_nothing(&f, f.launcher);
	for (size_t i = 0; i < 8; i++)
		close(more[i]);
	for (size_t i = 0; i < 4; i++)
		close(running[i]);
}

static void a_broken_preparation_fails_one(void **state)
{
	uint32_t one = script_start(&f, client, "a", 0), two = script_start(&f, client, "a", 0);
	uint32_t slot = expect_slot(&f, &box);
	(void)state;

	/* Slots of the other commands are on their way: what failed is tried again only for them. */
	script_slot_failed(&f, &box, box.first);
	assert_int_equal(expect_failure(&f, client, one), ENOENT);
	expect_nothing(&f, client);
	int guardian = script_slot(&f, &box, slot);
	script_started(&f, &box, guardian);
	assert_string_equal(expect_success(&f, client, two), "a.1");
	close(guardian);
}

static void what_is_broken_is_tried_when_asked(void **state)
{
	(void)state;

	script_slot_failed(&f, &box, box.first);
	expect_nothing(&f, f.launcher);
	uint32_t request = script_start(&f, client, "a", 0);
	uint32_t slot = expect_slot(&f, &box);
	script_slot_failed(&f, &box, slot);
	assert_int_equal(expect_failure(&f, client, request), ENOENT);
	assert_int_equal(log_count(&box, "call.start"), 0);
}

static void a_dead_guardian_is_a_broken_preparation(void **state)
{
	int guardian = script_slot(&f, &box, box.first);
	(void)state;

	close(guardian);
	expect_nothing(&f, f.launcher);
	assert_int_equal(f.s.sandboxes->state, SANDBOX_READY);
	script_start(&f, client, "a", 0);
	expect_slot(&f, &box);
}

static void full_calls_are_apart(void **state)
{
	int light = script_slot(&f, &box, box.first);
	uint32_t request = script_start(&f, client, "a", START_FULL);
	(void)state;

	expect_nothing(&f, light);
	struct fake_packet *p = expect(&f, f.launcher, LAUNCHER_SLOT);
	assert_int_equal(wire_get_u32(&p->in), box.number);
	uint32_t slot = wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	assert_int_equal(wire_get_u8(&p->in), 1);
	int full = script_slot(&f, &box, slot);
	script_started(&f, &box, full);
	expect_success(&f, client, request);
	expect_nothing(&f, light);
	close(light);
	close(full);
}

static void set_depth(uint32_t depth)
{
	uint32_t request = new_request();

	fake_send(client, NULL, 0, "uusu", MSG_POOL, request, "a", depth);
	expect_success(&f, client, request);
}

static void the_depth_can_be_set(void **state)
{
	int guardians[3] = { script_slot(&f, &box, box.first) };
	(void)state;

	set_depth(3);
	uint32_t second = expect_slot(&f, &box), third = expect_slot(&f, &box);
	expect_nothing(&f, f.launcher);
	guardians[1] = script_slot(&f, &box, second);
	/* What is on its way when less is wanted is not kept either. */
	set_depth(1);
	guardians[2] = script_slot(&f, &box, third);
	assert_int_equal(n_open(guardians, 3), 1);
	/* No growth behind the client's back. */
	script_start(&f, client, "a", 0);
	script_start(&f, client, "a", 0);
	assert_int_equal(f.s.sandboxes->depth[KIND_LIGHT], 1);
	for (size_t i = 0; i < 3; i++)
		close(guardians[i]);
}

/* A call whose grant hides something: its own slot, with what is to be covered. */
static uint32_t start_hiding(uint32_t *ret_slot)
{
	static const uint8_t covers[] = "\2\12\0\0\0/usr/share";
	char *const argv[] = { (char *)"true", NULL }, *const env[] = { NULL };
	const int fds[3] = { 0, 1, 2 };
	_cleanup_buf_ struct buf m = { 0 }, bytes = { 0 };
	_cleanup_(grant_freep) struct grant *grant = NULL;
	uint32_t request = new_request();
	const uint32_t numbers[] = { 0, 24, 80 };

	assert_int_equal(grant_new(&grant), 0);
	assert_int_equal(grant_set(grant, "hide", "/usr/share", "/", "test", NULL), 0);
	assert_int_equal(grant_finish(grant, NULL), 0);
	assert_int_equal(grant_encode(grant, &bytes), 0);
	wire_put_u32(&m, MSG_START);
	wire_put_u32(&m, request);
	wire_put_str(&m, "a");
	wire_put_strv(&m, argv);
	wire_put_strv(&m, env);
	wire_put_str(&m, "/");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		wire_put_u32(&m, numbers[i]);
	wire_put_u64(&m, 0);
	wire_put_bytes(&m, bytes.data, bytes.len);
	wire_put_str(&m, "");
	assert_int_equal(msg_send(client, m.data, m.len, fds, 3), 0);
	fake_run(&f);
	struct fake_packet *p = expect(&f, f.launcher, LAUNCHER_SLOT);
	size_t len = 0;
	wire_get_u32(&p->in);
	*ret_slot = wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	assert_int_equal(wire_get_u8(&p->in), 1);
	const void *got = wire_get_bytes(&p->in, &len);
	assert_true(wire_done(&p->in));
	assert_int_equal(len, sizeof(covers) - 1);
	assert_memory_equal(got, covers, len);
	return request;
}

/* Neither takes it a prepared call, nor anybody else its own. */
static void what_hides_is_prepared_alone(void **state)
{
	uint32_t own, full;
	int light = script_slot(&f, &box, box.first);
	uint32_t hiding = start_hiding(&own);
	uint32_t other = script_start(&f, client, "a", START_FULL);
	(void)state;

	full = expect_slot(&f, &box);
	int own_guardian = script_slot(&f, &box, own);
	expect_nothing(&f, light);
	script_started(&f, &box, own_guardian);
	expect_success(&f, client, hiding);
	expect_nothing(&f, client);
	int full_guardian = script_slot(&f, &box, full);
	script_started(&f, &box, full_guardian);
	expect_success(&f, client, other);
	expect_nothing(&f, own_guardian);
	close(own_guardian);
	close(full_guardian);
	close(light);
}

static void what_was_to_hide_is_dropped(void **state)
{
	uint32_t own;
	int light = script_slot(&f, &box, box.first);
	uint32_t hiding = start_hiding(&own);
	(void)state;

	fake_send(client, NULL, 0, "uuu", MSG_CANCEL, 1u, hiding);
	assert_true(expect_failure(&f, client, hiding) > 0);
	expect_success(&f, client, 1);
	uint32_t other = script_start(&f, client, "a", START_FULL), full = expect_slot(&f, &box);
	int guardians[] = { script_slot(&f, &box, own) };
	assert_int_equal(n_open(guardians, 1), 0);
	expect_nothing(&f, client);
	int guardian = script_slot(&f, &box, full);
	script_started(&f, &box, guardian);
	expect_success(&f, client, other);
	close(guardians[0]);
	close(guardian);
	close(light);
}

static void what_cannot_hide_does_not_start(void **state)
{
	uint32_t own, lost;
	int light = script_slot(&f, &box, box.first);
	uint32_t hiding = start_hiding(&own);
	(void)state;

	script_slot_failed(&f, &box, own);
	assert_true(expect_failure(&f, client, hiding) > 0);
	expect_nothing(&f, client);
	expect_nothing(&f, light);
	/* Nor does one whose client has gone. */
	int second = script_client(&f), first = client;
	client = second;
	start_hiding(&lost);
	client = first;
	close(second);
	fake_run(&f);
	int guardians[] = { script_slot(&f, &box, lost) };
	assert_int_equal(n_open(guardians, 1), 0);
	assert_int_equal(log_count(&box, "call.start"), 0);
	close(guardians[0]);
	close(light);
}

/* Addresses are used once; the commands that come too late are told, and do not wait for ever. */
static void addresses_run_out(void **state)
{
	struct box wired;
	(void)state;

	script_sandbox(&f, client, "b", true, &wired);
	f.s.sandboxes->next_address = CALL_ADDR_LAST + 1;
	int guardian = script_slot(&f, &wired, wired.first);
	script_run(&f, client, &wired, guardian, 0);
	uint32_t one = script_start(&f, client, "b", 0), two = script_start(&f, client, "b", 0);
	assert_true(expect_failure(&f, client, one) > 0);
	assert_true(expect_failure(&f, client, two) > 0);
	close(guardian);
	close(wired.log);
}

/* Answer for launcher and gateway until both are quiet, except that the gateway cuts nothing; an address to be cut. */
static uint32_t prepare_all(const struct box *wired, int *guardians, size_t *n)
{
	char *const env[] = { NULL };
	struct fake_packet p;
	uint32_t cut = 0;
	bool again = true;

	while (again) {
		fake_run(&f);
		again = false;
		for (; fake_receive(f.launcher, &p) > 0; again = true) {
			uint32_t number = wire_get_u32(&p.in), slot = wire_get_u32(&p.in);
			int pair[2];
			fake_pair(pair);
			assert_int_equal(fake_send(f.launcher, pair, 1, "uuubq", LAUNCHER_SLOT_READY, number, slot, 0u, (uint64_t)0), 0);
			guardians[(*n)++] = pair[1];
			close(pair[0]);
			fake_run(&f);
		}
		for (; fake_receive(wired->gateway->sock, &p) > 0; again = true) {
			uint32_t address = wire_get_u32(&p.in);
			if (p.type == GATEWAY_CALL)
				fake_send(wired->gateway->sock, NULL, 0, "uuv", GATEWAY_CALL_READY, address, env);
			else
				cut = address;
			fake_run(&f);
		}
	}
	return cut;
}

/* With as many calls as there may be, all of them at their end, a command waits for one to be gone. */
static void a_full_table_empties(void **state)
{
	static int guardians[2 * MAX_POOL];
	uint32_t cut = 0;
	struct box wired;
	size_t n = 0;
	(void)state;

	script_sandbox(&f, client, "b", true, &wired);
	script_slot_failed(&f, &box, box.first); /* the other sandbox is to be quiet */
	guardians[n++] = script_slot(&f, &wired, wired.first);
	for (size_t i = 0; i < MAX_CALLS / MAX_POOL + 2; i++) {
		for (uint32_t depth = MAX_POOL;; depth = 0) {
			fake_send(client, NULL, 0, "uusu", MSG_POOL, 1u, "b", depth);
			expect_success(&f, client, 1);
			uint32_t address = prepare_all(&wired, guardians, &n);
			cut = address ? address : cut;
			if (depth == 0)
				break;
		}
		while (n > 0)
			close(guardians[--n]);
	}
	script_start(&f, client, "b", 0);
	expect_nothing(&f, f.launcher);
	fake_send(wired.gateway->sock, NULL, 0, "uu", GATEWAY_CALL_ENDED, cut);
	expect_slot(&f, &wired);
	close(wired.log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		POOL_TEST(a_start_takes_the_prepared_call),
		POOL_TEST(a_start_waits_for_an_empty_pool),
		POOL_TEST(a_call_is_used_once),
		POOL_TEST(the_longest_waiting_is_first),
		POOL_TEST(the_pool_grows_and_shrinks),
		POOL_TEST(a_broken_preparation_fails_one),
		POOL_TEST(what_is_broken_is_tried_when_asked),
		POOL_TEST(a_dead_guardian_is_a_broken_preparation),
		POOL_TEST(full_calls_are_apart),
		POOL_TEST(the_depth_can_be_set),
		POOL_TEST(what_hides_is_prepared_alone),
		POOL_TEST(what_was_to_hide_is_dropped),
		POOL_TEST(what_cannot_hide_does_not_start),
		POOL_TEST(addresses_run_out),
		POOL_TEST(a_full_table_empties),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
