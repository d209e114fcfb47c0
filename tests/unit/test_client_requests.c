/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the client library, and what the supervisor says when it was not asked. */
#include "client_stage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

static void answers_come_in_any_order(void **state)
{
	sandbox_call *a, *b, *c;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &b, NULL), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &c, NULL), 0);
	uint32_t first = receive_start(&s), second = receive_start(&s), third = receive_start(&s);
	assert_int_equal(sandbox_call_state(a), SANDBOX_CALL_STARTING);
	assert_string_equal(sandbox_call_id(a), "");
	assert_false(readable(sandbox_runtime_fd(s.runtime)));

	reply(&s, third, "box.3", -1);
	send_event(&s, "net.deny");
	reply_error(&s, first, ENOENT, SANDBOX_STAGE_EXEC, "no such command");
	send_exit(&s, "box.3", 7, 0, "exit");
	assert_true(readable(sandbox_runtime_fd(s.runtime)));
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), 0);
	assert_int_equal(sandbox_call_state(a), SANDBOX_CALL_FAILED);
	assert_int_equal(sandbox_error_errno(sandbox_call_error(a)), ENOENT);
	assert_int_equal(sandbox_error_stage(sandbox_call_error(a)), SANDBOX_STAGE_EXEC);
	assert_int_equal(sandbox_call_wait(a, 0, NULL), -ENOENT);
	assert_int_equal(sandbox_call_state(b), SANDBOX_CALL_STARTING);
	assert_int_equal(sandbox_call_state(c), SANDBOX_CALL_ENDED);
	assert_null(sandbox_call_error(c));
	assert_int_equal(sandbox_call_exit_status(c), 7);
	assert_string_equal(sandbox_call_reason(c), "exit");
	sandbox_event *event = NULL;
	assert_int_equal(sandbox_runtime_next_event(s.runtime, &event), 0);
	assert_string_equal(sandbox_event_name(event), "net.deny");
	sandbox_event_free(event);

	reply(&s, second, "box.2", -1);
	assert_int_equal(sandbox_call_wait(b, 20, NULL), -ETIMEDOUT);
	assert_int_equal(sandbox_call_state(b), SANDBOX_CALL_RUNNING);
	assert_string_equal(sandbox_call_id(b), "box.2");
	send_exit(&s, "box.9", 0, 0, "exit"); /* of a handle that was freed: passed over */
	send_exit(&s, "box.2", 0, SIGKILL, "killed");
	assert_int_equal(sandbox_call_wait(b, -1, NULL), 0);
	assert_int_equal(sandbox_call_exit_signal(b), SIGKILL);
	sandbox_call_free(a);
	sandbox_call_free(b);
	sandbox_call_free(c);
	stage_close(&s);
}

/* A message that another function read may be the one that somebody sleeps for. */
static void sleepers_are_woken(void **state)
{
	sandbox_call *a, *b;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &b, NULL), 0);
	uint32_t first = receive_start(&s), second = receive_start(&s);
	reply(&s, first, "box.1", -1);
	reply(&s, second, "box.2", -1);
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), 0);
	send_exit(&s, "box.1", 0, 0, "exit");
	send_exit(&s, "box.2", 0, 0, "exit");
	assert_int_equal(sandbox_call_wait(b, -1, NULL), 0);
	assert_true(readable(sandbox_runtime_fd(s.runtime)));
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), 0);
	assert_false(readable(sandbox_runtime_fd(s.runtime)));
	assert_int_equal(sandbox_call_state(a), SANDBOX_CALL_ENDED);
	sandbox_call_free(a);
	sandbox_call_free(b);
	/* What somebody waits for himself wakes nobody. */
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	reply(&s, receive_start(&s), "box.3", -1);
	send_exit(&s, "box.3", 0, 0, "exit");
	assert_int_equal(sandbox_call_wait(a, -1, NULL), 0);
	assert_false(readable(sandbox_runtime_fd(s.runtime)));
	sandbox_call_free(a);
	stage_close(&s);
}

static void synchronous_requests_mix_with_starts(void **state)
{
	_cleanup_free_ char *json = NULL;
	sandbox_call *a;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	uint32_t start = receive_start(&s);
	/* Answers lie ready: the numbers go up by one. */
	reply(&s, start, "box.1", -1);
	send_event(&s, "call.start");
	reply(&s, start + 1, "{\"id\":\"box\"}", -1);
	assert_int_equal(sandbox_inspect(s.box, &json, NULL), 0);
	assert_string_equal(json, "{\"id\":\"box\"}");
	struct got *got = receive(&s);
	assert_int_equal(got->type, MSG_INSPECT);
	assert_int_equal(sandbox_call_state(a), SANDBOX_CALL_RUNNING);

	reply(&s, start + 2, "", -1);
	assert_int_equal(sandbox_set_pool(s.box, 3, NULL), 0);
	got = receive(&s);
	assert_int_equal(got->type, MSG_POOL);
	_cleanup_free_ char *id = wire_get_str(&got->in);
	assert_string_equal(id, "box");
	assert_int_equal(wire_get_u32(&got->in), 3);
	assert_true(wire_done(&got->in));
	assert_int_equal(sandbox_set_pool(s.box, 257, NULL), -EINVAL);

	reply_error(&s, start + 3, ESRCH, SANDBOX_STAGE_PROTOCOL, "the call has ended");
	assert_int_equal(sandbox_call_signal(a, SIGTERM, NULL), -ESRCH);
	got = receive(&s);
	assert_int_equal(got->type, MSG_SIGNAL);
	reply_error(&s, start + 4, ESRCH, SANDBOX_STAGE_PROTOCOL, "the call has ended");
	assert_int_equal(sandbox_call_cancel(a, NULL), 0); /* ended: that is what was wanted */
	got = receive(&s);
	assert_int_equal(got->type, MSG_CANCEL);
	assert_int_equal(wire_get_u32(&got->in), start);
	reply(&s, start + 5, "", -1);
	assert_int_equal(sandbox_signal(s.box, SIGHUP, NULL), 0);
	assert_int_equal(sandbox_signal(s.box, 65, NULL), -EINVAL);
	receive(&s);
	send_exit(&s, "box.1", 0, 0, "exit");
	assert_int_equal(sandbox_call_wait(a, -1, NULL), 0);
	sandbox_call_free(a);
	stage_close(&s);
}

static void a_loss_ends_everything_and_is_told_once(void **state)
{
	sandbox_call *running, *starting, *late = NULL;
	sandbox_error *error = NULL;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_start_async(s.box, s.command, &running, NULL), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &starting, NULL), 0);
	reply(&s, receive_start(&s), "box.1", -1);
	receive_start(&s);
	close(TAKE_FD(s.peer));
	assert_int_equal(sandbox_call_wait(running, -1, &error), -ECONNRESET);
	assert_non_null(strstr(sandbox_error_message(error), "its sandboxes are gone"));
	sandbox_error_free(error);
	assert_int_equal(sandbox_call_state(running), SANDBOX_CALL_ENDED);
	assert_string_equal(sandbox_call_reason(running), "lost");
	assert_int_equal(sandbox_call_wait(running, 0, NULL), -ECONNRESET);
	assert_int_equal(sandbox_call_state(starting), SANDBOX_CALL_FAILED);
	assert_int_equal(sandbox_error_errno(sandbox_call_error(starting)), ECONNRESET);
	/* Whoever sleeps on the descriptor is told too, once. */
	assert_true(readable(sandbox_runtime_fd(s.runtime)));
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), -ECONNRESET);
	assert_false(readable(sandbox_runtime_fd(s.runtime)));
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &late, NULL), -ECONNRESET);
	assert_int_equal(sandbox_signal(s.box, SIGTERM, NULL), -ECONNRESET);
	sandbox_call_free(running);
	sandbox_call_free(starting);
	stage_close(&s);
}

static void nonsense_loses_the_connection(void **state)
{
	sandbox_call *a;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	reply(&s, receive_start(&s) + 40, "box.1", -1);
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), -ECONNRESET);
	assert_int_equal(sandbox_call_state(a), SANDBOX_CALL_FAILED);
	sandbox_call_free(a);
	stage_close(&s);

	stage_open(&s, NULL);
	assert_int_equal(msg_send(s.peer, "\x63\0\0\0", 4, NULL, 0), 0);
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), -ECONNRESET);
	stage_close(&s);
}

/* It says why and closes: that is the answer to whatever was asked first. */
static void a_supervisor_that_gives_up_says_why(void **state)
{
	sandbox_error *error = NULL;
	sandbox_call *a;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	reply_error(&s, 0, EPERM, SANDBOX_STAGE_USER_NAMESPACE, "no user namespaces here");
	close(TAKE_FD(s.peer));
	assert_int_equal(sandbox_start(s.box, s.command, &a, &error), -EPERM);
	assert_int_equal(sandbox_error_stage(error), SANDBOX_STAGE_USER_NAMESPACE);
	assert_string_equal(sandbox_error_message(error), "no user namespaces here");
	sandbox_error_free(error);
	stage_close(&s);
}

#define MANY 600

/* Says a lot before it listens, as a supervisor may whose client is slow. */
static void talkative_supervisor(struct stage *s)
{
	char id[32];

	close(s->connection->fd);
	for (unsigned i = 0; i < 3000; i++)
		send_event(s, "net.deny");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(id, sizeof(id), "box.%u", i + 1);
		reply(s, receive_start(s), id, -1);
	}
	_exit(recv(s->peer, id, sizeof(id), 0) != 0); /* until the client goes */
}

/* Both sides have more to say than a socket holds: the client must read while it cannot write. */
static void full_sockets_do_not_deadlock(void **state)
{
	sandbox_call *calls[MANY];
	struct stage s;
	int status;
	(void)state;

	stage_open(&s, NULL);
	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		talkative_supervisor(&s);
	close(TAKE_FD(s.peer));
	alarm(60);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(sandbox_start_async(s.box, s.command, &calls[i], NULL), 0);
	for (size_t i = 0; i < MANY; i++) {
		char id[32];
		while (sandbox_call_state(calls[i]) == SANDBOX_CALL_STARTING)
			assert_int_equal(sandbox_call_wait(calls[i], 1, NULL), -ETIMEDOUT);
		snprintf(id, sizeof(id), "box.%zu", i + 1);
		assert_string_equal(sandbox_call_id(calls[i]), id);
	}
	sandbox_runtime_free(TAKE_PTR(s.runtime));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	alarm(0);
	for (size_t i = 0; i < MANY; i++)
		sandbox_call_free(calls[i]);
	stage_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_in_any_order),
		cmocka_unit_test(sleepers_are_woken),
		cmocka_unit_test(synchronous_requests_mix_with_starts),
		cmocka_unit_test(a_loss_ends_everything_and_is_told_once),
		cmocka_unit_test(nonsense_loses_the_connection),
		cmocka_unit_test(a_supervisor_that_gives_up_says_why),
		cmocka_unit_test(full_sockets_do_not_deadlock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
