/* SPDX-License-Identifier: Apache-2.0 */
/* What a start of the client library sends, and what it keeps of it. */
#include "client_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static void flags_and_descriptors_of_a_start(void **state)
{
	sandbox_call *a;
	struct stage s;
	char buf[8];
	(void)state;

	stage_open(&s, "work");
	assert_int_equal(sandbox_command_set_stdio(s.command, SANDBOX_STDIO_PIPE, SANDBOX_STDIO_NULL, SANDBOX_STDIO_PIPE), 0);
	assert_int_equal(sandbox_command_set_isolation(s.command, "full", NULL), 0);
	assert_int_equal(sandbox_command_set_background(s.command, 1), 0);
	assert_int_equal(sandbox_command_set_timeout(s.command, 1500), 0);
	assert_int_equal(sandbox_command_set_directory(s.command, "/tmp", NULL), 0);
	assert_int_equal(sandbox_command_set_template(s.command, "", NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_template(s.command, "*", NULL), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	static struct got got;
	ssize_t n = msg_recv(s.peer, got.bytes, sizeof(got.bytes), got.fds, ARRAY_LEN(got.fds), &got.n_fds);
	assert_true(n > 0);
	assert_int_equal(got.n_fds, 3);
	got.in = wire_reader(got.bytes, (size_t)n);
	assert_int_equal(wire_get_u32(&got.in), MSG_START);
	uint32_t request = wire_get_u32(&got.in);
	_cleanup_free_ char *id = wire_get_str(&got.in);
	_cleanup_(strv_freep) char **argv = wire_get_strv(&got.in, 10);
	_cleanup_(strv_freep) char **env = wire_get_strv(&got.in, 100);
	_cleanup_free_ char *cwd = wire_get_str(&got.in);
	assert_string_equal(id, "box");
	assert_string_equal(argv[0], "true");
	assert_true(strv_len(env) > 5);
	assert_string_equal(cwd, "/tmp");
	assert_int_equal(wire_get_u32(&got.in), START_FULL | START_BACKGROUND | START_ASYNC);
	wire_get_u32(&got.in);
	wire_get_u32(&got.in);
	assert_int_equal(wire_get_u64(&got.in), 1500000);
	_cleanup_free_ char *grant = wire_get_str(&got.in);
	assert_string_equal(grant, "");
	_cleanup_free_ char *template = wire_get_str(&got.in);
	assert_string_equal(template, "*");
	assert_true(wire_done(&got.in));

	int in = sandbox_call_take_stdio(a, 0), err = sandbox_call_take_stdio(a, 2);
	assert_true(in > 2 && err > 2);
	assert_int_equal(fcntl(in, F_GETFD), FD_CLOEXEC);
	assert_int_equal(sandbox_call_take_stdio(a, 0), -1); /* taken */
	assert_int_equal(sandbox_call_take_stdio(a, 1), -1); /* no pipe */
	assert_int_equal(sandbox_call_take_stdio(a, 3), -1);
	assert_int_equal(write(in, "abc", 3), 3);
	assert_int_equal(read(got.fds[0], buf, sizeof(buf)), 3);
	assert_int_equal(write(got.fds[2], "de", 2), 2);
	assert_int_equal(read(err, buf, sizeof(buf)), 2);
	/* Ours of its ends are closed: when the call's close, there is an end of file. */
	for (size_t i = 0; i < got.n_fds; i++)
		close(got.fds[i]);
	assert_int_equal(read(err, buf, sizeof(buf)), 0);
	close(in);
	close(err);
	reply(&s, request, "box.1", -1);
	send_exit(&s, "box.1", 0, 0, "exit");
	assert_int_equal(sandbox_call_wait(a, -1, NULL), 0);
	sandbox_call_free(a);

	/* Into the file of the sandbox: standard input only. */
	assert_int_equal(sandbox_command_set_stdio(s.command, SANDBOX_STDIO_NULL, SANDBOX_STDIO_LOG, SANDBOX_STDIO_LOG), 0);
	assert_int_equal(sandbox_command_set_detached(s.command, 1), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	struct got *start = receive(&s);
	assert_int_equal(start->n_fds, 1);
	reply(&s, start->request, "box.2", -1);
	sandbox_call_free(a); /* goes on: nothing is asked for it */
	assert_false(readable(s.peer));
	stage_close(&s);
}

static void what_cannot_work_is_refused(void **state)
{
	struct stage s;
	sandbox_error *error = NULL;
	sandbox_call *a;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_command_set_isolation(s.command, "none", NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_stdio(s.command, SANDBOX_STDIO_LOG, 1, 2), -EINVAL);
	assert_int_equal(sandbox_command_set_stdio(s.command, 0, -4, 2), -EINVAL);
	assert_int_equal(sandbox_command_set_detached(s.command, 1), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, &error), -EINVAL);
	assert_non_null(strstr(sandbox_error_message(error), "sandbox_create_named()"));
	sandbox_error_free(error);
	assert_int_equal(sandbox_command_set_detached(s.command, 0), 0);
	assert_int_equal(sandbox_command_set_last(s.command, 1), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_last(s.command, 0), 0);
	assert_int_equal(sandbox_command_set_stdio(s.command, -1, SANDBOX_STDIO_LOG, SANDBOX_STDIO_LOG), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_stdio(s.command, -1, 999, -1), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), -EBADF);
	assert_false(readable(s.peer)); /* nothing of it was sent */
	stage_close(&s);

	stage_open(&s, "work");
	assert_int_equal(sandbox_command_set_stdio(s.command, -1, SANDBOX_STDIO_LOG, -1), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_stdio(s.command, -1, SANDBOX_STDIO_PIPE, -1), 0);
	assert_int_equal(sandbox_command_set_detached(s.command, 1), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), -EINVAL);
	assert_int_equal(sandbox_command_set_terminal(s.command, 24, 80), 0);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), -EINVAL);
	assert_false(readable(s.peer));
	stage_close(&s);
}

/* Freeing a call that is starting takes it back, and its answer, which comes all the same, finds no freed handle. */
static void freeing_cancels(void **state)
{
	sandbox_call *a;
	struct stage s;
	(void)state;

	stage_open(&s, NULL);
	assert_int_equal(sandbox_start_async(s.box, s.command, &a, NULL), 0);
	uint32_t start = receive_start(&s);
	reply(&s, start + 1, "", -1); /* to the cancellation, before the answer to the start */
	reply_error(&s, start, ECANCELED, SANDBOX_STAGE_EXEC, "given up");
	sandbox_call_free(a);
	struct got *got = receive(&s);
	assert_int_equal(got->type, MSG_CANCEL);
	assert_int_equal(wire_get_u32(&got->in), start);
	assert_int_equal(sandbox_runtime_dispatch(s.runtime, NULL), 0);
	stage_close(&s);
}

/* A host that closed its standard descriptors must not find ours there. */
static void closed_stdio_stays_closed(void **state)
{
	int saved[3], pair[2];
	struct stage s;
	sandbox_call *a;
	(void)state;

	stage_open(&s, "work");
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
		close(i);
	}
	sandbox_runtime *second = NULL;
	int made = sandbox_runtime_new(&second, NULL);
	int set = sandbox_command_set_stdio(s.command, SANDBOX_STDIO_PIPE, SANDBOX_STDIO_PIPE, SANDBOX_STDIO_NULL);
	int started = sandbox_start_async(s.box, s.command, &a, NULL);
	_cleanup_buf_ struct buf m = { 0 };
	wire_put_u32(&m, MSG_REPLY);
	wire_put_u32(&m, a->request.number);
	wire_put_u8(&m, 0);
	wire_put_str(&m, "box.1");
	int sent = msg_send(s.peer, m.data, m.len, &pair[0], 1); /* as the terminal's other side */
	int dispatched = sandbox_runtime_dispatch(s.runtime, NULL);
	int open[3];
	for (int i = 0; i < 3; i++) {
		open[i] = fcntl(i, F_GETFD);
		dup2(saved[i], i);
		close(saved[i]);
	}
	assert_int_equal(made | set | started | sent | dispatched, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(open[i], -1);
	assert_true(sandbox_call_terminal(a) > 2);
	close(pair[0]);
	close(pair[1]);
	sandbox_runtime_free(second);
	sandbox_runtime_free(TAKE_PTR(s.runtime));
	sandbox_call_free(a);
	stage_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_and_descriptors_of_a_start),
		cmocka_unit_test(what_cannot_work_is_refused),
		cmocka_unit_test(freeing_cancels),
		cmocka_unit_test(closed_stdio_stays_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
