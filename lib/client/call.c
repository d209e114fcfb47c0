/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: starting, signalling and waiting for a command in a sandbox. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

void call_note_exit(struct sandbox_runtime *r, const char *id, uint32_t status, uint32_t signal, const char *reason)
{
	for (struct sandbox_call *c = r->calls; c; c = c->next) {
		if (strcmp(c->id, id) == 0) {
			c->ended = true;
			c->exit_status = (int)status;
			c->exit_signal = (int)signal;
			c->reason = strdup(reason);
			return;
		}
	}
}

static int put_start(struct sandbox *b, const struct sandbox_command *command, const struct sandbox_call *call,
		     char *const *env, struct buf *m, uint32_t *ret_request)
{
	int r = request_begin(b->runtime, m, MSG_START, ret_request);
	if (r == 0)
		r = wire_put_str(m, b->id);
	if (r == 0)
		r = wire_put_str(m, call->id);
	if (r == 0)
		r = wire_put_strv(m, command->argv);
	if (r == 0)
		r = wire_put_strv(m, env);
	if (r == 0)
		r = wire_put_str(m, command->cwd ? command->cwd : policy_workdir(b->policy));
	if (r == 0)
		r = wire_put_u8(m, command->terminal);
	if (r == 0)
		r = wire_put_u32(m, command->rows);
	return r < 0 ? r : wire_put_u32(m, command->columns);
}

/* Descriptors for the message: -1 and those that the host has closed become /dev/null. */
static int collect_stdio(const struct sandbox_command *command, int null, int fds[3], struct error *e)
{
	for (int i = 0; i < 3; i++) {
		fds[i] = command->stdio[i];
		bool closed = fds[i] >= 0 && fcntl(fds[i], F_GETFD) < 0;
		if (closed && fds[i] != i)
			return fail(e, EBADF, SANDBOX_STAGE_USAGE, "stdio", "descriptor %d for the command is not open", fds[i]);
		if (closed || fds[i] < 0)
			fds[i] = null;
	}
	return 0;
}

static int start(struct sandbox *b, const struct sandbox_command *command, struct sandbox_call *call, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	_cleanup_(strv_freep) char **env = NULL;
	uint32_t request;
	int fds[3];

	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, "/dev/null", "cannot open /dev/null");
	int r = environment_build(b->policy, command->env, &env, e);
	if (r == 0)
		r = collect_stdio(command, null, fds, e);
	if (r < 0)
		return r;
	snprintf(call->sandbox_id, sizeof(call->sandbox_id), "%s", b->id);
	snprintf(call->id, sizeof(call->id), "%s.%u", b->id, ++b->n_calls);
	r = put_start(b, command, call, env, &m, &request);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for a call");
	return request_run(b->runtime, &m, request, fds, command->terminal ? 0 : 3, &call->terminal_fd, e);
}

int sandbox_start(sandbox *box, const sandbox_command *command, sandbox_call **ret_call, sandbox_error **error)
{
	struct error e = { 0 };

	if (!box->runtime) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, box->id, "the runtime of the sandbox has been freed");
		return error_publish(&e, error);
	}
	struct sandbox_call *call = calloc(1, sizeof(*call));

	if (!call) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "call", "out of memory");
		return error_publish(&e, error);
	}
	call->terminal_fd = -EBADF;
	call->runtime = box->runtime;
	/* In the list before it starts: a short command has ended by the time that the answer is read. */
	call->next = box->runtime->calls;
	box->runtime->calls = call;
	int r = start(box, command, call, &e);
	if (r < 0) {
		call->ended = true;
		sandbox_call_free(call);
		return error_publish(&e, error);
	}
	*ret_call = call;
	return 0;
}

const char *sandbox_call_id(const sandbox_call *call)
{
	return call->id;
}

int sandbox_call_terminal(const sandbox_call *call)
{
	return call->terminal_fd >= 0 ? call->terminal_fd : -1;
}

int sandbox_call_signal(sandbox_call *call, int signal, sandbox_error **error)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e = { 0 };
	uint32_t request;

	if (signal < 1 || signal > 64) {
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, call->id, "signal %d is not between 1 and 64", signal);
		return error_publish(&e, error);
	}
	if (call->ended || !call->runtime) {
		fail(&e, ESRCH, SANDBOX_STAGE_USAGE, call->id, "the call has ended");
		return error_publish(&e, error);
	}
	int r = request_begin(call->runtime, &m, MSG_SIGNAL, &request);
	if (r == 0)
		r = wire_put_str(&m, call->id);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)signal);
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_INTERNAL, call->id, "cannot ask for a signal");
	else
		r = request_run(call->runtime, &m, request, NULL, 0, NULL, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_call_wait(sandbox_call *call, int timeout_ms, sandbox_error **error)
{
	uint64_t end = now_us() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000u;
	struct error e = { 0 };

	while (!call->ended) {
		int left = timeout_ms;
		if (timeout_ms > 0) {
			uint64_t now = now_us();
			left = now >= end ? 0 : (int)((end - now + 999) / 1000);
		}
		if (!call->runtime) {
			fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, call->id, "the runtime of the call has been freed");
			return error_publish(&e, error);
		}
		int k = connection_take(call->runtime, left, &e);
		if (k < 0)
			return error_publish(&e, error);
		if (k == 0 && timeout_ms >= 0 && left == 0)
			return -ETIMEDOUT;
	}
	return 0;
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
	if (!call->ended && call->runtime && call->runtime->fd >= 0 && sandbox_call_signal(call, SIGKILL, NULL) == 0)
		sandbox_call_wait(call, -1, NULL);
	if (call->runtime) {
		for (struct sandbox_call **at = &call->runtime->calls; *at; at = &(*at)->next) {
			if (*at == call) {
				*at = call->next;
				break;
			}
		}
	}
	fd_close(call->terminal_fd);
	free(call->reason);
	free(call);
}
