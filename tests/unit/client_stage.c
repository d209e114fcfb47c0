/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor that the test plays. */
#include "client_stage.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

void stage_open(struct stage *s, const char *name)
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

void stage_close(struct stage *s)
{
	fd_close(s->peer);
	sandbox_runtime_free(s->runtime);
	sandbox_command_free(s->command);
	sandbox_free(s->box);
}

struct got *receive(struct stage *s)
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

uint32_t receive_start(struct stage *s)
{
	struct got *got = receive(s);
	assert_int_equal(got->type, MSG_START);
	return got->request;
}

void reply(struct stage *s, uint32_t request, const char *text, int fd)
{
	_cleanup_buf_ struct buf m = { 0 };
	wire_put_u32(&m, MSG_REPLY);
	wire_put_u32(&m, request);
	wire_put_u8(&m, 0);
	wire_put_str(&m, text);
	assert_int_equal(msg_send(s->peer, m.data, m.len, &fd, fd >= 0), 0);
}

void reply_error(struct stage *s, uint32_t request, int err, int stage, const char *text)
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

void send_exit(struct stage *s, const char *id, uint32_t status, uint32_t sig, const char *reason)
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

void send_event(struct stage *s, const char *name)
{
	_cleanup_buf_ struct buf m = { 0 };
	const char *texts[] = { name, "box", "box.1", "no-rule", "{}" };
	wire_put_u32(&m, MSG_EVENT);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_put_str(&m, texts[i]);
	assert_int_equal(msg_send(s->peer, m.data, m.len, NULL, 0), 0);
}

bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, 0) == 1;
}
