/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and calls of the client library against a supervisor that the test plays at the other end of a socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

#include <cmocka.h>

struct stage {
	sandbox_runtime *runtime;
	struct connection *connection;
	sandbox *box;
	sandbox_command *command;
	int peer;
};

/* A sandbox at one end, the test at the other. name NULL: as of sandbox_create(). */
static void stage_open(struct stage *s, const char *name)
{
	static const char *const argv[] = { "true", NULL };
	uint8_t hello[4096];
	int pair[2];

	*s = (struct stage){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	s->peer = pair[1];
	assert_int_equal(sandbox_runtime_new(&s->runtime, NULL), 0);
	assert_int_equal(connection_adopt(s->runtime, name, pair[0], &s->connection, NULL), 0);
	assert_true(msg_recv(s->peer, hello, sizeof(hello), NULL, 0, NULL) > 0);
	s->box = sandbox_new(s->runtime, NULL);
	assert_non_null(s->box);
	snprintf(s->box->id, sizeof(s->box->id), "box");
	snprintf(s->box->name, sizeof(s->box->name), "%s", name ? name : "");
	s->box->connection = s->connection;
	connection_ref(s->connection);
	sandbox_policy *p = NULL;
	assert_int_equal(sandbox_policy_new(&p, NULL), 0);
	assert_int_equal(sandbox_policy_set_workdir(p, "/usr/share", 0, NULL), 0);
	assert_int_equal(sandbox_policy_check(p, NULL), 0);
	s->box->policy = TAKE_PTR(p->policy);
	sandbox_policy_free(p);
	assert_int_equal(sandbox_command_new(argv, &s->command, NULL), 0);
}

static void stage_close(struct stage *s)
{
	fd_close(s->peer);
	sandbox_runtime_free(s->runtime);
	sandbox_command_free(s->command);
	sandbox_free(s->box);
}

/* What the client sent next. */
struct got {
	uint32_t type, request;
	struct wire_reader in;
	uint8_t bytes[WIRE_MAX_PACKET];
	int fds[16];
	size_t n_fds;
};

static struct got *receive(struct stage *s)
{
	static struct got got;

	ssize_t n = msg_recv(s->peer, got.bytes, sizeof(got.bytes), got.fds, ARRAY_LEN(got.fds), &got.n_fds);
	assert_true(n > 0);
	got.in = wire_reader(got.bytes, (size_t)n);
	got.type = wire_get_u32(&got.in);
	got.request = wire_get_u32(&got.in);
	for (size_t i = 0; i < got.n_fds; i++)
		close(got.fds[i]);
	return &got;
}

static uint32_t receive_start(struct stage *s)
{
	struct got *got = receive(s);
	assert_int_equal(got->type, MSG_START);
	return got->request;
}

static void reply(struct stage *s, uint32_t request, const char *text, int fd)
{
	_cleanup_buf_ struct buf m = { 0 };
	wire_put_u32(&m, MSG_REPLY);
	wire_put_u32(&m, request);
	wire_put_u8(&m, 0);
	wire_put_str(&m, text);
	assert_int_equal(msg_send(s->peer, m.data, m.len, &fd, fd >= 0), 0);
}

static void reply_error(struct stage *s, uint32_t request, int err, int stage, const char *text)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e = { .err = err, .stage = stage, .object = "object" };
	snprintf(e.message, sizeof(e.message), "%s", text);
	wire_put_u32(&m, MSG_REPLY);
	wire_put_u32(&m, request);
	wire_put_u8(&m, 1);
	wire_put_error(&m, &e);
	assert_int_equal(msg_send(s->peer, m.data, m.len, NULL, 0), 0);
}

static void send_exit(struct stage *s, const char *id, uint32_t status, uint32_t sig, const char *reason)
{
	_cleanup_buf_ struct buf m = { 0 };
	wire_put_u32(&m, MSG_CALL_EXIT);
	wire_put_str(&m, "box");
	wire_put_str(&m, id);
	wire_put_u32(&m, status);
	wire_put_u32(&m, sig);
	wire_put_str(&m, reason);
	wire_put_u32(&m, 0);
	assert_int_equal(msg_send(s->peer, m.data, m.len, NULL, 0), 0);
}

static void send_event(struct stage *s, const char *name)
{
	_cleanup_buf_ struct buf m = { 0 };
	const char *texts[] = { name, "box", "box.1", "no-rule", "{}" };
	wire_put_u32(&m, MSG_EVENT);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_put_str(&m, texts[i]);
	assert_int_equal(msg_send(s->peer, m.data, m.len, NULL, 0), 0);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}

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
		cmocka_unit_test(answers_come_in_any_order),
		cmocka_unit_test(sleepers_are_woken),
		cmocka_unit_test(synchronous_requests_mix_with_starts),
		cmocka_unit_test(a_loss_ends_everything_and_is_told_once),
		cmocka_unit_test(nonsense_loses_the_connection),
		cmocka_unit_test(a_supervisor_that_gives_up_says_why),
		cmocka_unit_test(full_sockets_do_not_deadlock),
		cmocka_unit_test(flags_and_descriptors_of_a_start),
		cmocka_unit_test(what_cannot_work_is_refused),
		cmocka_unit_test(freeing_cancels),
		cmocka_unit_test(closed_stdio_stays_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
