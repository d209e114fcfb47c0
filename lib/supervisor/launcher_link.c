/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the launcher. The launcher is ours and reads nothing untrusted, so a broken message is a bug:
 * everything ends. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "namespace/plan.h"
#include "supervisor/supervisor.h"

static int send_to_launcher(struct supervisor *s, const struct buf *b, const int *fds, size_t n_fds)
{
	if (s->launcher_dead)
		return -ECONNRESET;
	int r = link_send(&s->launcher, b, fds, n_fds);
	loop_want_write(s, &s->launcher_source, &s->launcher);
	return r;
}

int launcher_send_sandbox(struct sandbox *b, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 }, plan = { 0 };
	uint16_t ports[128];
	enum net_mode mode = policy_net_mode(b->policy);
	size_t n_ports = mode == NET_GATEWAY ? policy_ports(b->policy, ports, ARRAY_LEN(ports)) : 0;

	int r = root_plan_build(b->policy, &plan, e);
	if (r < 0)
		return r;
	r = wire_put_u32(&m, LAUNCHER_SANDBOX);
	if (r == 0)
		r = wire_put_u32(&m, b->number);
	if (r == 0)
		r = wire_put_u8(&m, (uint8_t)mode);
	if (r == 0)
		r = wire_put_u32(&m, policy_limits(b->policy)->pids);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)n_ports);
	for (size_t i = 0; i < n_ports && r == 0; i++)
		r = wire_put_u32(&m, ports[i]);
	if (r == 0)
		r = wire_put_bytes(&m, plan.data, plan.len);
	if (r == 0)
		r = send_to_launcher(b->supervisor, &m, NULL, 0);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "launcher", "cannot ask the launcher for a sandbox") : 0;
}

int launcher_send_call(struct call *call, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	const uint32_t head[] = { LAUNCHER_CALL, call->sandbox->number, call->number, call->address };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(head) && r == 0; i++)
		r = wire_put_u32(&m, head[i]);
	if (r == 0)
		r = wire_put_strv(&m, call->argv);
	if (r == 0)
		r = wire_put_strv(&m, call->env);
	if (r == 0)
		r = wire_put_str(&m, call->cwd);
	if (r == 0)
		r = wire_put_u8(&m, call->terminal);
	if (r == 0)
		r = wire_put_u32(&m, call->rows);
	if (r == 0)
		r = wire_put_u32(&m, call->columns);
	if (r == 0)
		r = wire_put_u32(&m, policy_limits(call->sandbox->policy)->open_files);
	if (r == 0)
		r = send_to_launcher(call->sandbox->supervisor, &m, call->stdio, call->terminal ? 0 : 3);
	if (r == -EMSGSIZE)
		return fail(e, E2BIG, SANDBOX_STAGE_EXEC, call->argv[0],
			    "the arguments and the environment are together over %u KiB", WIRE_MAX_PACKET / 1024u);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "launcher", "cannot ask the launcher for a call") : 0;
}

int launcher_send_signal(struct call *call, uint32_t signal)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, LAUNCHER_SIGNAL);
	if (r == 0)
		r = wire_put_u32(&m, call->number);
	if (r == 0)
		r = wire_put_u32(&m, signal);
	return r < 0 ? r : send_to_launcher(call->sandbox->supervisor, &m, NULL, 0);
}

static int send_end(struct supervisor *s, uint32_t number)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, LAUNCHER_END);
	if (r == 0)
		r = wire_put_u32(&m, number);
	return r < 0 ? r : send_to_launcher(s, &m, NULL, 0);
}

int launcher_send_end(struct sandbox *b)
{
	return send_end(b->supervisor, b->number);
}

/* What both answers of the launcher begin with; false when the message is out of form. */
static bool get_outcome(struct wire_reader *in, uint32_t *ret_number, bool *ret_failed, struct error *ret)
{
	*ret_number = wire_get_u32(in);
	*ret_failed = wire_get_u8(in);
	if (*ret_failed)
		wire_get_error(in, ret);
	return wire_done(in);
}

static int on_sandbox_ready(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	struct error e = { 0 };
	uint32_t number;
	bool failed;

	if (!get_outcome(in, &number, &failed, &e))
		return -EPROTO;
	struct sandbox *b = sandbox_by_number(s, number);
	if (!b) /* its start failed elsewhere in the meantime */
		return failed ? 0 : send_end(s, number);
	if (failed) {
		sandbox_start_failed(b, &e);
		return 0;
	}
	b->launched = true;
	if (b->gateway == GATEWAY_STARTING && gateway_attach(b, fds, n_fds, &e) < 0)
		sandbox_start_failed(b, &e);
	else
		sandbox_progress(b);
	return 0;
}

static int on_call_started(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	struct error e = { 0 };
	uint32_t number;
	bool failed;

	if (!get_outcome(in, &number, &failed, &e))
		return -EPROTO;
	struct call *call = call_by_number(s, number);
	if (call)
		call_started(call, failed ? &e : NULL, n_fds ? fds[0] : -EBADF);
	return 0;
}

static int on_call_exit(struct supervisor *s, struct wire_reader *in)
{
	uint32_t number = wire_get_u32(in);
	uint32_t status = wire_get_u32(in);
	uint32_t signal = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct call *call = call_by_number(s, number);
	if (call)
		call_exited(call, status, signal);
	return 0;
}

static int on_ended(struct supervisor *s, struct wire_reader *in)
{
	uint32_t number = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct sandbox *b = sandbox_by_number(s, number);
	if (b)
		sandbox_ended(b);
	return 0;
}

static int handle(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	switch (wire_get_u32(in)) {
	case LAUNCHER_SANDBOX_READY:
		return on_sandbox_ready(s, in, fds, n_fds);
	case LAUNCHER_CALL_STARTED:
		return on_call_started(s, in, fds, n_fds);
	case LAUNCHER_CALL_EXIT:
		return on_call_exit(s, in);
	case LAUNCHER_ENDED:
		return on_ended(s, in);
	default:
		return -EPROTO;
	}
}

/* Without its launcher the supervisor has nothing left to own; the client sees the end of the connection. */
static void launcher_lost(struct supervisor *s)
{
	s->launcher_dead = true;
	s->done = true;
}

static void launcher_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	int fds[WIRE_MAX_FDS];
	size_t n_fds = 0;

	if ((events & EPOLLOUT) && link_flush(&s->launcher) < 0) {
		launcher_lost(s);
		return;
	}
	loop_want_write(s, source, &s->launcher);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	ssize_t n = msg_recv(s->launcher.fd, packet, sizeof(packet), fds, WIRE_MAX_FDS, &n_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		launcher_lost(s);
		return;
	}
	struct wire_reader in = wire_reader(packet, (size_t)n);
	int r = handle(s, &in, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	if (r < 0)
		launcher_lost(s);
}

int launcher_link_start(struct supervisor *s, int sock, int pidfd)
{
	s->launcher_pidfd = pidfd;
	int r = link_init(&s->launcher, sock);
	return r < 0 ? r : loop_add(s, &s->launcher_source, sock, launcher_ready);
}
