/* SPDX-License-Identifier: Apache-2.0 */
/* Who decides before a call starts: what is shown, asked, remembered and recorded, and in which order. */
#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static int guardian;
static char question[65536];

static int set_up(void **state)
{
	(void)state;
	fixture_open();
	script_audited(&f, client, "a", &box);
	guardian = script_slot(&f, &box, box.first);
	return 0;
}

static int tear_down_call(void **state)
{
	tear_down(state);
	fd_close(guardian);
	fd_close(fake_auditor());
	return 0;
}

/* The next packet to the auditor; "" when there is none. */
static const char *asked(void)
{
	fake_run(&f);
	ssize_t n = recv(fake_auditor(), question, sizeof(question) - 1, MSG_DONTWAIT);
	question[n > 0 ? n : 0] = '\0';
	return question;
}

/* The hello of ours comes first. */
static const char *asked_first(void)
{
	assert_non_null(strstr(asked(), "\"hello\""));
	return asked();
}

static void answer(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_int_equal(send(fake_auditor(), text, (size_t)n, 0), n);
	fake_run(&f);
}

static void show(int sock, const char *path, unsigned fixed, unsigned script, uint64_t ino, const char *digest)
{
	fake_send(sock, NULL, 0, "usbbqqqqs", GUARDIAN_SHOWN, path, fixed, script, (uint64_t)1, ino, (uint64_t)1000,
		  (uint64_t)7, digest);
	fake_run(&f);
}

#define DIGEST "0123456789abcdef0123456789abcdef"

static size_t says(const char *text)
{
	_cleanup_free_ char *log = fake_log_text(box.log);
	size_t n = 0;

	for (const char *at = log; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

/* From the start to the question, for a program that is not known yet. */
static uint32_t start_shown(const char *path, unsigned fixed, unsigned script)
{
	uint32_t request = script_start(&f, client, "a", 0);

	expect(&f, guardian, GUARDIAN_EXEC);
	show(guardian, path, fixed, script, 5, "");
	assert_int_equal(wire_get_u8(&expect(&f, guardian, GUARDIAN_PROGRAM)->in), !fixed || (script && path[1] != 'u'));
	show(guardian, path, fixed, script, 5, DIGEST);
	return request;
}

static void nothing_runs_before_the_answer(void **state)
{
	(void)state;
	start_shown("/usr/bin/true", 1, 0);
	const char *q = asked_first();
	assert_non_null(strstr(q, "\"op\":\"call.start\""));
	assert_non_null(strstr(q, "\"exe\":\"/usr/bin/true\""));
	assert_non_null(strstr(q, "\"interpreter\":false"));
	assert_non_null(strstr(q, "\"exe_sha256\":\"30313233343536373839"));
	expect_nothing(&f, guardian);
	expect_nothing(&f, client);
	assert_int_equal(log_count(&box, "call.start"), 0);
	answer("{\"id\":1,\"decision\":\"allow\"}");
	assert_int_equal(log_count(&box, "call.start"), 1);
	assert_int_equal(says("\"decided_by\":\"the auditor\""), 1);
	assert_int_equal(wire_get_u8(&expect(&f, guardian, GUARDIAN_GO)->in), 1); /* by its path */
}

static void a_denial_is_recorded_and_answered(void **state)
{
	(void)state;
	uint32_t request = start_shown("/usr/bin/true", 1, 0);
	asked_first();
	answer("{\"id\":1,\"decision\":\"deny\",\"reason\":\"no\"}");
	assert_int_equal(expect_failure(&f, client, request), EACCES);
	assert_int_equal(log_count(&box, "call.denied"), 1);
	assert_int_equal(log_count(&box, "call.start"), 0);
	expect_hung_up(&f, guardian);
}

static void what_could_be_written_is_copied(void **state)
{
	(void)state;
	start_shown("/usr/bin/true", 0, 0);
	asked_first();
	answer("{\"id\":1,\"decision\":\"allow\"}");
	assert_int_equal(wire_get_u8(&expect(&f, guardian, GUARDIAN_GO)->in), 0);
}

static void a_script_whose_path_can_change_is_copied(void **state)
{
	(void)state;
	start_shown("/tmp/script", 1, 1);
	assert_non_null(strstr(asked_first(), "\"interpreter\":true"));
}

static void a_second_look_is_taken_at_once(void **state)
{
	(void)state;
	start_shown("/usr/bin/true", 1, 0);
	show(guardian, "/usr/bin/true", 1, 0, 5, DIGEST); /* nobody asked */
	expect_hung_up(&f, guardian);
	assert_int_equal(says("the guardian of the call was killed"), 1);
}

static void another_program_in_the_second_look(void **state)
{
	(void)state;
	script_start(&f, client, "a", 0);
	expect(&f, guardian, GUARDIAN_EXEC);
	show(guardian, "/usr/bin/true", 1, 0, 5, "");
	expect(&f, guardian, GUARDIAN_PROGRAM);
	show(guardian, "/usr/bin/false", 1, 0, 5, DIGEST);
	expect_hung_up(&f, guardian);
}

/* The first call of it has run; the next prepared one. */
static int run_first(void)
{
	uint32_t request = start_shown("/usr/bin/true", 1, 0);
	asked_first();
	answer("{\"id\":1,\"decision\":\"allow\"}");
	expect(&f, guardian, GUARDIAN_GO);
	fake_send(guardian, NULL, 0, "ub", GUARDIAN_STARTED, 0u);
	expect_success(&f, client, request);
	fake_refill(&f);
	return script_slot(&f, &box, expect_slot(&f, &box));
}

static uint32_t exec_flags(struct fake_packet *p)
{
	_cleanup_(strv_freep) char **argv = wire_get_strv(&p->in, 10);
	_cleanup_(strv_freep) char **env = wire_get_strv(&p->in, 10);
	_cleanup_free_ char *cwd = wire_get_str(&p->in);

	return wire_get_u32(&p->in);
}

static void what_was_shown_before_is_expected(void **state)
{
	(void)state;
	_cleanup_close_ int second = run_first();
	script_start(&f, client, "a", 0);
	expect_nothing(&f, second);
	assert_non_null(strstr(asked(), "\"id\":2"));
	assert_int_equal(log_count(&box, "call.start"), 1);
	answer("{\"id\":2,\"decision\":\"allow\"}");
	assert_int_equal(log_count(&box, "call.start"), 2);
	assert_true(exec_flags(expect(&f, second, GUARDIAN_EXEC)) & START_EXPECT);
}

/* The program is another one than was decided about. */
static void say_stale(int sock)
{
	struct error e;

	(fail)(&e, ESTALE, SANDBOX_STAGE_AUDITOR, "/usr/bin/true", "another one");
	_cleanup_buf_ struct buf m = { 0 };
	assert_int_equal(wire_put_u32(&m, GUARDIAN_STARTED) | wire_put_u8(&m, 1) | wire_put_error(&m, &e), 0);
	assert_int_equal(msg_send(sock, m.data, m.len, NULL, 0), 0);
	fake_run(&f);
}

/* Up to the guardian, which is to run what was shown before: its end. */
static int start_expected(uint32_t *ret_request)
{
	int second = run_first();

	*ret_request = script_start(&f, client, "a", 0);
	asked();
	answer("{\"id\":2,\"decision\":\"allow\"}");
	expect(&f, second, GUARDIAN_EXEC);
	return second;
}

static void what_has_changed_is_decided_about_anew(void **state)
{
	uint32_t request;

	(void)state;
	_cleanup_close_ int second = start_expected(&request);
	say_stale(second);
	expect(&f, box.gateway->sock, GATEWAY_CALL_END);
	fake_refill(&f);
	_cleanup_close_ int third = script_slot(&f, &box, expect_slot(&f, &box));
	assert_true(exec_flags(expect(&f, third, GUARDIAN_EXEC)) & START_SHOW);
	show(third, "/usr/bin/true", 1, 0, 6, "");
	expect(&f, third, GUARDIAN_PROGRAM);
	show(third, "/usr/bin/true", 1, 0, 6, DIGEST);
	assert_non_null(strstr(asked(), "\"id\":3"));
	answer("{\"id\":3,\"decision\":\"deny\"}");
	assert_int_equal(expect_failure(&f, client, request), EACCES);
}

static void what_was_taken_back_does_not_start_again(void **state)
{
	uint32_t request, cancel = new_request();

	(void)state;
	_cleanup_close_ int second = start_expected(&request);
	fake_send(client, NULL, 0, "uuu", MSG_CANCEL, cancel, request);
	expect_success(&f, client, cancel);
	say_stale(second);
	assert_int_equal(expect_failure(&f, client, request), ESTALE);
	assert_null(f.s.sandboxes->waiting);
}

static void what_was_revoked_does_not_start_again(void **state)
{
	uint32_t request, revoke = new_request();

	(void)state;
	_cleanup_close_ int second = start_expected(&request);
	fake_send(client, NULL, 0, "uus", MSG_REVOKE, revoke, "a.2");
	expect_nothing(&f, client);
	say_stale(second);
	assert_int_equal(expect_failure(&f, client, request), ESTALE);
	assert_null(f.s.sandboxes->waiting);
}

static void what_a_revoked_call_asked_for_never_starts(void **state)
{
	uint32_t request, revoke = new_request();
	struct call *first = NULL, *child = NULL;

	(void)state;
	_cleanup_close_ int second = run_first();
	request = script_start(&f, client, "a", 0);
	assert_non_null(strstr(asked(), "\"id\":2"));
	for (struct call *c = f.s.sandboxes->calls; c; c = c->next) {
		first = c->state == CALL_RUNNING ? c : first;
		child = c->state == CALL_ASKING ? c : child;
	}
	child->parent_number = first->number; /* as if that had asked for it */
	fake_send(client, NULL, 0, "uus", MSG_REVOKE, revoke, "a.1");
	assert_int_equal(expect_failure(&f, client, request), ECANCELED);
	answer("{\"id\":2,\"decision\":\"allow\"}");
	expect_hung_up(&f, second);
	assert_int_equal(log_count(&box, "call.start"), 1);
}

static void without_a_gateway_nothing_starts_again(void **state)
{
	uint32_t request;

	(void)state;
	_cleanup_close_ int second = start_expected(&request);
	fake_gateway_exit(box.gateway);
	fake_run(&f);
	say_stale(second);
	assert_int_equal(expect_failure(&f, client, request), ESTALE);
}

static void an_ending_sandbox_starts_nothing(void **state)
{
	uint32_t destroy = new_request();

	(void)state;
	start_shown("/usr/bin/true", 1, 0);
	asked_first();
	fake_send(client, NULL, 0, "uusb", MSG_DESTROY, destroy, "a", 1u);
	fake_run(&f);
	answer("{\"id\":1,\"decision\":\"allow\"}");
	assert_int_equal(log_count(&box, "call.start"), 0);
	expect_nothing(&f, guardian);
}

static void park(void)
{
	start_shown("/usr/bin/true", 1, 0);
	asked_first();
	answer("{\"id\":1,\"decision\":\"ask\"}");
	assert_int_equal(log_count(&box, "approval.asked"), 1);
	expect_nothing(&f, guardian);
}

/* The list as the client gets it. */
static const char *list(void)
{
	static struct buf json;
	uint32_t request = new_request();

	fake_send(client, NULL, 0, "uus", MSG_APPROVALS, request, "a");
	struct fake_packet *p = expect(&f, client, MSG_REPLY);
	json.len = 0;
	assert_int_equal(memfd_read_sealed(p->fds[0], 1u << 20, &json), 0);
	return buf_str(&json);
}

struct listed {
	char ticket[64], digest[65];
};

static void listed(struct listed *ret)
{
	assert_int_equal(sscanf(list(), "[{\"ticket\":\"%63[^\"]", ret->ticket), 1);
	assert_int_equal(sscanf(strstr(list(), "\"digest\":\""), "\"digest\":\"%64[0-9a-f]", ret->digest), 1);
}

static void a_person_decides(void **state)
{
	struct listed l;
	uint32_t request = new_request(), other = new_request(), guess = new_request();

	(void)state;
	park();
	listed(&l);
	assert_memory_equal(l.ticket, "a-1-", 4);
	/* Only its number is known beforehand. */
	fake_send(client, NULL, 0, "uusssu", MSG_DECIDE, guess, "a", "a-1", l.digest, (uint32_t)APPROVAL_YES);
	assert_int_equal(expect_failure(&f, client, guess), ENOENT);
	fake_send(client, NULL, 0, "uusssu", MSG_DECIDE, other, "a", l.ticket, "00", (uint32_t)APPROVAL_YES);
	assert_int_equal(expect_failure(&f, client, other), ESTALE);
	fake_send(client, NULL, 0, "uusssu", MSG_DECIDE, request, "a", l.ticket, l.digest, (uint32_t)APPROVAL_YES);
	expect_success(&f, client, request);
	expect(&f, guardian, GUARDIAN_GO);
	assert_int_equal(says("\"decided_by\":\"a person\""), 1);
	fake_send(client, NULL, 0, "uusssu", MSG_DECIDE, request, "a", l.ticket, l.digest, (uint32_t)APPROVAL_YES);
	assert_int_equal(expect_failure(&f, client, request), ENOENT);
}

static void nobody_decides(void **state)
{
	(void)state;
	park();
	assert_false(approval_expire(f.s.sandboxes, now_us()));
	assert_true(approval_expire(f.s.sandboxes, now_us() + 11ull * 60u * 1000000u));
	assert_int_equal(says("approval-expired"), 2); /* the ticket's end, and the call's */
	expect_hung_up(&f, guardian);
}

static void a_yes_that_cannot_be_recorded_is_none(void **state)
{
	struct listed l;
	uint32_t request = new_request();

	(void)state;
	park();
	listed(&l);
	fake_log_full(box.log);
	fake_send(client, NULL, 0, "uusssu", MSG_DECIDE, request, "a", l.ticket, l.digest, (uint32_t)APPROVAL_YES);
	fake_run(&f);
	expect_hung_up(&f, guardian);
}

static void who_waits_may_give_up(void **state)
{
	(void)state;
	uint32_t request = start_shown("/usr/bin/true", 1, 0), cancel = new_request();
	asked_first();
	fake_send(client, NULL, 0, "uuu", MSG_CANCEL, cancel, request);
	assert_int_equal(expect_failure(&f, client, request), ECANCELED);
	expect_success(&f, client, cancel);
	expect_hung_up(&f, guardian);
	answer("{\"id\":1,\"decision\":\"allow\"}"); /* too late, and harmless */
	assert_int_equal(log_count(&box, "call.start"), 0);
}

static void a_client_that_goes_takes_its_question_along(void **state)
{
	(void)state;
	park();
	fd_close(TAKE_FD(client));
	fake_run(&f);
	assert_int_equal(says("withdrawn"), 1);
}

static void a_gateway_asks_too(void **state)
{
	(void)state;
	int sock = box.gateway->sock;
	assert_non_null(strstr(asked(), "\"hello\""));
	fake_send(sock, NULL, 0, "uquus", GATEWAY_ASK, (uint64_t)9, (uint32_t)AUDITOR_HTTP_REQUEST, 0u,
		  "\"method\":\"GET\",\"host\":\"h\"");
	assert_non_null(strstr(asked(), "\"method\":\"GET\",\"host\":\"h\""));
	expect_nothing(&f, sock);
	answer("{\"id\":1,\"decision\":\"allow\"}");
	struct fake_packet *p = expect(&f, sock, GATEWAY_DECIDED);
	assert_int_equal(wire_get_u64(&p->in), 9);
	assert_int_equal(wire_get_u8(&p->in), 1);
	/* Members that are ours to write end it. */
	fake_send(sock, NULL, 0, "uquus", GATEWAY_ASK, (uint64_t)10, (uint32_t)AUDITOR_HTTP_REQUEST, 0u, "\"call\":\"a.1\"");
	fake_run(&f);
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
}

static void a_gateway_does_not_ask_for_calls(void **state)
{
	(void)state;
	assert_non_null(strstr(asked(), "\"hello\""));
	fake_send(box.gateway->sock, NULL, 0, "uquus", GATEWAY_ASK, (uint64_t)9, (uint32_t)AUDITOR_CALL_START, 0u,
		  "\"argv\":[\"true\"]");
	assert_string_equal(asked(), "");
	assert_int_equal(log_count(&box, "gateway.exit"), 1);
}

static void a_gateway_that_ends_waits_for_nobody(void **state)
{
	uint32_t destroy = new_request();

	(void)state;
	asked();
	fake_send(box.gateway->sock, NULL, 0, "uquus", GATEWAY_ASK, (uint64_t)9, (uint32_t)AUDITOR_HTTP_REQUEST, 0u,
		  "\"host\":\"h\"");
	asked();
	answer("{\"id\":1,\"decision\":\"ask\"}");
	assert_int_equal(log_count(&box, "approval.asked"), 1);
	fake_send(client, NULL, 0, "uusb", MSG_DESTROY, destroy, "a", 1u);
	fake_run(&f);
	assert_int_equal(says("withdrawn"), 1);
}

static void an_auditor_that_goes_denies(void **state)
{
	(void)state;
	uint32_t request = start_shown("/usr/bin/true", 1, 0);
	asked_first();
	shutdown(fake_auditor(), SHUT_RDWR);
	fake_run(&f);
	fake_run(&f);
	assert_int_equal(expect_failure(&f, client, request), EACCES);
	assert_int_equal(log_count(&box, "auditor.error"), 1);
	assert_int_equal(says("auditor-gone"), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down_call)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_runs_before_the_answer),
		TEST(a_denial_is_recorded_and_answered),
		TEST(what_could_be_written_is_copied),
		TEST(a_script_whose_path_can_change_is_copied),
		TEST(a_second_look_is_taken_at_once),
		TEST(another_program_in_the_second_look),
		TEST(what_was_shown_before_is_expected),
		TEST(what_has_changed_is_decided_about_anew),
		TEST(what_was_taken_back_does_not_start_again),
		TEST(what_was_revoked_does_not_start_again),
		TEST(what_a_revoked_call_asked_for_never_starts),
		TEST(without_a_gateway_nothing_starts_again),
		TEST(an_ending_sandbox_starts_nothing),
		TEST(a_person_decides),
		TEST(nobody_decides),
		TEST(a_yes_that_cannot_be_recorded_is_none),
		TEST(who_waits_may_give_up),
		TEST(a_client_that_goes_takes_its_question_along),
		TEST(a_gateway_asks_too),
		TEST(a_gateway_does_not_ask_for_calls),
		TEST(a_gateway_that_ends_waits_for_nobody),
		TEST(an_auditor_that_goes_denies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
