/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: starting a command in a sandbox, and what becomes of it. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/user.h"
#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

void call_started(struct sandbox_call *call, const char *id, int terminal_fd)
{
	snprintf(call->id, sizeof(call->id), "%s", id);
	call->terminal_fd = terminal_fd;
	call->state = SANDBOX_CALL_RUNNING;
}

void call_failed(struct sandbox_call *call, const struct error *e)
{
	call->state = SANDBOX_CALL_FAILED;
	call->error = calloc(1, sizeof(*call->error));
	if (call->error)
		call->error->e = *e;
}

void call_ended(struct sandbox_call *call, uint32_t status, uint32_t signal, const char *reason)
{
	call->state = SANDBOX_CALL_ENDED;
	call->exit_status = (int)status;
	call->exit_signal = (int)signal;
	call->reason = strdup(reason);
}

void call_lost(struct sandbox_call *call)
{
	if (call->state != SANDBOX_CALL_RUNNING)
		return;
	call->state = SANDBOX_CALL_ENDED;
	call->lost = true;
	call->reason = strdup("lost");
}

static uint32_t start_flags(const struct sandbox_command *command, bool async)
{
	bool log = !command->terminal && command->stdio[1] == SANDBOX_STDIO_LOG;

	return (command->terminal ? START_TERMINAL : 0u) | (command->full ? START_FULL : 0u) |
	       (command->background ? START_BACKGROUND : 0u) | (command->detached ? START_DETACHED : 0u) |
	       (command->last ? START_REMOVES : 0u) | (command->drops ? START_DROPS : 0u) |
	       (log ? START_LOG : 0u) | (async && !command->terminal ? START_ASYNC : 0u);
}

static int put_start(struct sandbox *b, const struct sandbox_command *command, char *const *env, bool async, struct buf *m,
		     struct request *request)
{
	char here[PATH_MAX];
	const char *cwd = command->cwd ? command->cwd : b->policy ? policy_workdir(b->policy) : getcwd(here, sizeof(here));

	if (!cwd)
		return -errno;
	int r = request_begin(b->connection, m, MSG_START, request);
	if (r == 0)
		r = wire_put_str(m, b->id);
	if (r == 0)
		r = wire_put_strv(m, command->argv);
	if (r == 0)
		r = wire_put_strv(m, env);
	if (r == 0)
		r = wire_put_str(m, cwd);
	if (r == 0)
		r = wire_put_u32(m, start_flags(command, async));
	if (r == 0)
		r = wire_put_u32(m, command->rows);
	if (r == 0)
		r = wire_put_u32(m, command->columns);
	if (r == 0)
		r = wire_put_u64(m, command->timeout_us);
	if (r == 0)
		r = wire_put_bytes(m, command->grant.data, command->grant.len);
	return r < 0 ? r : wire_put_str(m, command->template ? command->template : "");
}

static int build_environment(struct sandbox *b, struct error *e)
{
	_cleanup_user_ struct user user = { 0 };

	if (b->inside) {
		strv_free(TAKE_PTR(b->env));
		return environment_inherit(&b->env, e);
	}
	if (b->env)
		return 0;
	if (user_lookup(&user) == -ENOMEM)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "environment", "out of memory");
	return environment_build(b->policy, user.name, &b->env, e);
}

static int ask_start(struct sandbox *b, const struct sandbox_command *command, bool async, struct sandbox_call *call,
		     struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	_cleanup_(strv_freep) char **own = NULL;
	_cleanup_(call_stdio_close) struct call_stdio stdio = { 0 };

	int r = build_environment(b, e);
	if (r == 0 && command->env)
		r = environment_add(b->policy, b->env, command->env, &own, e);
	if (r == 0)
		r = call_stdio_open(command, b->name[0] != '\0', call, &stdio, e);
	if (r < 0)
		return r;
	/* Most commands fit; growing would copy the environment several times. */
	r = buf_reserve(&m, 4096);
	if (r == 0)
		r = put_start(b, command, own ? own : b->env, async, &m, &call->request);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for a call");
	return request_send(b->connection, &m, &call->request, stdio.fds, stdio.n, e);
}

static int start(sandbox *box, const sandbox_command *command, bool async, sandbox_call **ret_call, sandbox_error **error)
{
	struct error e = { 0 };

	if (!box->runtime || box->removed) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, box->id, "%s",
		     box->removed ? "the sandbox has been removed" : "the runtime of the sandbox has been freed");
		return error_publish(&e, error);
	}
	struct sandbox_call *call = calloc(1, sizeof(*call));
	if (!call) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "call", "out of memory");
		return error_publish(&e, error);
	}
	call->terminal_fd = call->pipes[0] = call->pipes[1] = call->pipes[2] = -EBADF;
	call->detached = command->detached;
	call->request.call = call;
	call->connection = box->connection;
	connection_ref(call->connection);
	call->next = box->connection->calls;
	box->connection->calls = call;
	int r = ask_start(box, command, async, call, &e);
	if (r < 0) {
		call->state = SANDBOX_CALL_FAILED;
		sandbox_call_free(call);
		return error_publish(&e, error);
	}
	*ret_call = call;
	return 0;
}

int sandbox_start_async(sandbox *box, const sandbox_command *command, sandbox_call **ret_call, sandbox_error **error)
{
	return start(box, command, true, ret_call, error);
}

/* Take messages in until the call is past a state, at most timeout_ms: 0, -ETIMEDOUT, or the loss. */
static int wait_past(struct sandbox_call *call, enum sandbox_call_state state, int timeout_ms, struct error *e)
{
	uint64_t end = timeout_ms > 0 ? now_us() + (uint64_t)timeout_ms * 1000u : 0;
	struct sandbox_runtime *r = call->connection->runtime;
	int k = 0, left = timeout_ms;

	r->awaited = call;
	while (call->state <= state && k >= 0) {
		k = connection_take(call->connection, left, e);
		if (k == 0 && timeout_ms >= 0 && left == 0)
			k = -ETIMEDOUT;
		if (k >= 0 && timeout_ms > 0) {
			uint64_t now = now_us();
			left = now >= end ? 0 : (int)((end - now + 999) / 1000);
		}
	}
	r->awaited = NULL;
	return call->state > state ? 0 : k;
}

int sandbox_start(sandbox *box, const sandbox_command *command, sandbox_call **ret_call, sandbox_error **error)
{
	sandbox_call *call;

	int r = start(box, command, false, &call, error);
	if (r < 0)
		return r;
	wait_past(call, SANDBOX_CALL_STARTING, -1, NULL);
	if (call->state == SANDBOX_CALL_FAILED) {
		struct error e;
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "call", "out of memory");
		if (call->error)
			e = call->error->e;
		sandbox_call_free(call);
		return error_publish(&e, error);
	}
	*ret_call = call;
	return 0;
}

int sandbox_call_signal(sandbox_call *call, int signal, sandbox_error **error)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	struct error e = { 0 };

	if (signal < 1 || signal > 64) {
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, call->id, "signal %d is not between 1 and 64", signal);
		return error_publish(&e, error);
	}
	if (call->connection && call->state == SANDBOX_CALL_STARTING)
		wait_past(call, SANDBOX_CALL_STARTING, -1, NULL);
	if (!call->connection || call->state != SANDBOX_CALL_RUNNING) {
		fail(&e, ESRCH, SANDBOX_STAGE_USAGE, call->id, "the call has ended");
		return error_publish(&e, error);
	}
	int r = request_begin(call->connection, &m, MSG_SIGNAL, &request);
	if (r == 0)
		r = wire_put_str(&m, call->id);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)signal);
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_INTERNAL, call->id, "cannot ask for a signal");
	else
		r = request_run(call->connection, &m, &request, NULL, 0, NULL, NULL, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_call_cancel(sandbox_call *call, sandbox_error **error)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	struct error e = { 0 };

	if (!call->connection || call->state > SANDBOX_CALL_RUNNING)
		return 0;
	int r = request_begin(call->connection, &m, MSG_CANCEL, &request);
	if (r == 0)
		r = wire_put_u32(&m, call->request.number);
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_INTERNAL, "call", "cannot ask for a cancellation");
	else
		r = request_run(call->connection, &m, &request, NULL, 0, NULL, NULL, &e);
	/* It ended while we asked. */
	if (r == -ESRCH)
		return 0;
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_call_revoke(sandbox_call *call, sandbox_error **error)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	struct error e = { 0 };

	/* Also behind its end: something of it may go on in the background. */
	if (!call->id[0])
		return sandbox_call_cancel(call, error);
	if (!call->connection || call->lost)
		return 0;
	int r = request_begin(call->connection, &m, MSG_REVOKE, &request);
	if (r == 0)
		r = wire_put_str(&m, call->id);
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_INTERNAL, call->id, "cannot ask for the end of the call");
	else
		r = request_run(call->connection, &m, &request, NULL, 0, NULL, NULL, &e);
	if (r == -ESRCH)
		return 0;
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_call_wait(sandbox_call *call, int timeout_ms, sandbox_error **error)
{
	struct error e = { 0 };

	if (call->state <= SANDBOX_CALL_RUNNING && !call->connection) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, call->id, "the runtime of the call has been freed");
		return error_publish(&e, error);
	}
	if (call->state <= SANDBOX_CALL_RUNNING) {
		int k = wait_past(call, SANDBOX_CALL_RUNNING, timeout_ms, &e);
		if (k == -ETIMEDOUT)
			return k;
	}
	if (call->state == SANDBOX_CALL_FAILED) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "call", "out of memory");
		return error_publish(call->error ? &call->error->e : &e, error);
	}
	if (!call->lost)
		return 0;
	if (!call->connection)
		fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, call->id, "the supervisor of the call is gone");
	return error_publish(call->connection ? &call->connection->why : &e, error);
}

int sandbox_call_state(const sandbox_call *call)
{
	return (int)call->state;
}

const sandbox_error *sandbox_call_error(const sandbox_call *call)
{
	return call->error;
}

const char *sandbox_call_id(const sandbox_call *call)
{
	return call->id;
}

int sandbox_call_terminal(const sandbox_call *call)
{
	return call->terminal_fd >= 0 ? call->terminal_fd : -1;
}

int sandbox_call_take_stdio(sandbox_call *call, int which)
{
	if (which < 0 || which > 2 || call->pipes[which] < 0)
		return -1;
	return TAKE_FD(call->pipes[which]);
}

int sandbox_call_exit_status(const sandbox_call *call)
{
	return call->exit_status;
}

int sandbox_call_exit_signal(const sandbox_call *call)
{
	return call->exit_signal;
}

const char *sandbox_call_reason(const sandbox_call *call)
{
	return call->reason ? call->reason : "";
}

void sandbox_call_free(sandbox_call *call)
{
	if (!call)
		return;
	/* The answer to its start has to find the handle; a detached call goes on without it. */
	if (call->connection && call->state <= SANDBOX_CALL_RUNNING) {
		if (call->detached)
			wait_past(call, SANDBOX_CALL_STARTING, -1, NULL);
		else if (sandbox_call_cancel(call, NULL) == 0)
			wait_past(call, SANDBOX_CALL_RUNNING, -1, NULL);
		else
			wait_past(call, SANDBOX_CALL_STARTING, -1, NULL);
	}
	if (call->connection) {
		for (struct sandbox_call **at = &call->connection->calls; *at; at = &(*at)->next) {
			if (*at == call) {
				*at = call->next;
				break;
			}
		}
		connection_unref(call->connection);
	}
	for (int i = 0; i < 3; i++)
		fd_close(call->pipes[i]);
	fd_close(call->terminal_fd);
	free(call->reason);
	sandbox_error_free(call->error);
	free(call);
}
