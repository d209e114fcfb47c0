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
	/* It has ended; what it said before is still to be read, and then everything ends. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

int launcher_send_sandbox(struct sandbox *b, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 }, plan = { 0 }, base = { 0 };
	uint16_t ports[128];
	enum net_mode mode = policy_net_mode(b->policy);
	size_t n_ports = mode == NET_GATEWAY ? policy_ports(b->policy, ports, ARRAY_LEN(ports)) : 0;

	memcpy(b->ports, ports, n_ports * sizeof(*ports));
	b->n_ports = n_ports;

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
		r = wire_put_u32(&m, policy_limits(b->policy)->open_files);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)n_ports);
	for (size_t i = 0; i < n_ports && r == 0; i++)
		r = wire_put_u32(&m, ports[i]);
	if (r == 0)
		r = wire_put_bytes(&m, plan.data, plan.len);
	if (r == 0)
		r = call_paths_base(b->policy, &base);
	if (r == 0)
		r = wire_put_bytes(&m, base.data, base.len);
	if (r == 0)
		r = send_to_launcher(b->supervisor, &m, &b->layer, b->layer >= 0);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "launcher", "cannot ask the launcher for a sandbox") : 0;
}

int launcher_send_slot(const struct call *call)
{
	_cleanup_buf_ struct buf m = { 0 };
	const uint32_t head[] = { LAUNCHER_SLOT, call->sandbox->number, call->number, call->address };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(head) && r == 0; i++)
		r = wire_put_u32(&m, head[i]);
	if (r == 0)
		r = wire_put_u8(&m, call->full);
	if (r == 0)
		r = call->promised ? wire_put_bytes(&m, call->promised->covers.data, call->promised->covers.len) :
				     wire_put_bytes(&m, NULL, 0);
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

int launcher_send_listen(struct sandbox *b, uint32_t ticket, const uint16_t *ports, size_t n_ports)
{
	_cleanup_buf_ struct buf m = { 0 };
	const uint32_t head[] = { LAUNCHER_LISTEN, b->number, ticket, (uint32_t)n_ports };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(head) && r == 0; i++)
		r = wire_put_u32(&m, head[i]);
	for (size_t i = 0; i < n_ports && r == 0; i++)
		r = wire_put_u32(&m, ports[i]);
	return r < 0 ? r : send_to_launcher(b->supervisor, &m, NULL, 0);
}

/* Without its launcher the supervisor has nothing left to own, and ends. why NULL: the launcher has not said it. */
static void launcher_lost(struct supervisor *s, const struct error *why)
{
	static const struct error unknown = { .err = ECONNRESET, .stage = SANDBOX_STAGE_HELPER, .object = "nsbox-launcher",
					      .message = "the launcher of this supervisor has ended unexpectedly; its sandboxes "
							 "are gone" };

	for (struct client *c = s->clients; c && !s->launcher_dead; c = c->next)
		client_reply(c, 0, why ? why : &unknown, "", NULL, 0);
	s->launcher_dead = true;
	s->done = true;
}

/* What both answers of the launcher begin with, and ret_cookie what comes with a success; false when the message is out
 * of form. */
static bool get_outcome(struct wire_reader *in, uint32_t *ret_number, bool *ret_failed, uint64_t *ret_cookie,
			struct error *ret)
{
	*ret_number = wire_get_u32(in);
	*ret_failed = wire_get_u8(in);
	if (*ret_failed)
		wire_get_error(in, ret);
	else if (ret_cookie)
		*ret_cookie = wire_get_u64(in);
	return wire_done(in);
}

static int on_sandbox_ready(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	struct error e = { 0 };
	uint32_t number;
	bool failed;

	if (!get_outcome(in, &number, &failed, NULL, &e))
		return -EPROTO;
	struct sandbox *b = sandbox_by_number(s, number);
	if (!b) /* its start failed elsewhere in the meantime */
		return failed ? 0 : send_end(s, number);
	if (b->launched)
		return -EPROTO;
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

static int on_control(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	uint32_t number = wire_get_u32(in);
	struct error e;

	if (!wire_done(in) || n_fds != 1)
		return -EPROTO;
	struct sandbox *b = sandbox_by_number(s, number);
	if (!b) /* its start failed elsewhere in the meantime */
		return 0;
	if (b->control.fd >= 0 || b->launched)
		return -EPROTO;
	if (control_open(b, TAKE_FD(fds[0]), &e) < 0)
		sandbox_start_failed(b, &e);
	return 0;
}

static int on_working(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	uint32_t number = wire_get_u32(in);

	if (!wire_done(in) || n_fds != 1)
		return -EPROTO;
	struct sandbox *b = sandbox_by_number(s, number);
	if (!b) /* its start failed elsewhere in the meantime */
		return 0;
	if (b->working >= 0 || b->layer < 0 || b->launched)
		return -EPROTO;
	b->working = TAKE_FD(fds[0]);
	return 0;
}

static int on_slot_ready(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	struct error e = { 0 };
	struct sandbox *b = sandbox_by_number(s, wire_get_u32(in));
	uint64_t cookie = 0;
	uint32_t number;
	bool failed;

	if (!get_outcome(in, &number, &failed, &cookie, &e) || n_fds != !failed)
		return -EPROTO;
	/* Dropped in the meantime: closing the descriptor ends the guardian. */
	struct call *call = b ? call_by_number(b, number) : NULL;
	if (!call || call->state != CALL_PREPARING)
		return 0;
	if (call->guardian.fd >= 0)
		return -EPROTO;
	call->net_cookie = cookie;
	if (!failed && guardian_attach(call, TAKE_FD(fds[0])) < 0) {
		failed = true;
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "cannot watch the guardian of a call");
	}
	if (failed)
		pool_failed(call, &e);
	else
		pool_progress(call);
	return 0;
}

static int on_listening(struct supervisor *s, struct wire_reader *in, const int *fds, size_t n_fds)
{
	struct sandbox *b = sandbox_by_number(s, wire_get_u32(in));
	uint32_t ticket = wire_get_u32(in);
	bool failed = wire_get_u8(in);
	struct error e = { 0 };

	if (failed)
		wire_get_error(in, &e);
	if (!wire_done(in))
		return -EPROTO;
	if (b)
		change_listening(b, ticket, failed ? &e : NULL, fds, n_fds);
	return 0;
}

static int on_ended(struct supervisor *s, struct wire_reader *in)
{
	uint32_t number = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct sandbox *b = sandbox_by_number(s, number);
	if (b && (!b->launched || b->ended))
		return -EPROTO;
	if (b)
		sandbox_ended(b);
	return 0;
}

static int on_failed(struct supervisor *s, struct wire_reader *in)
{
	struct error e = { 0 };

	wire_get_error(in, &e);
	if (!wire_done(in))
		return -EPROTO;
	launcher_lost(s, &e);
	return 0;
}

static int handle(struct supervisor *s, struct wire_reader *in, int *fds, size_t n_fds)
{
	switch (wire_get_u32(in)) {
	case LAUNCHER_SANDBOX_READY:
		return on_sandbox_ready(s, in, fds, n_fds);
	case LAUNCHER_CONTROL:
		return on_control(s, in, fds, n_fds);
	case LAUNCHER_WORKING:
		return on_working(s, in, fds, n_fds);
	case LAUNCHER_SLOT_READY:
		return on_slot_ready(s, in, fds, n_fds);
	case LAUNCHER_LISTENING:
		return on_listening(s, in, fds, n_fds);
	case LAUNCHER_ENDED:
		return on_ended(s, in);
	case LAUNCHER_FAILED:
		return on_failed(s, in);
	default:
		return -EPROTO;
	}
}


static void launcher_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	int fds[WIRE_MAX_FDS];
	size_t n_fds = 0;

	if ((events & EPOLLOUT) && link_flush(&s->launcher) < 0) {
		launcher_lost(s, NULL);
		return;
	}
	loop_want_write(s, source, &s->launcher);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	ssize_t n = msg_recv(s->launcher.fd, packet, sizeof(packet), fds, WIRE_MAX_FDS, &n_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		launcher_lost(s, NULL);
		return;
	}
	struct wire_reader in = wire_reader(packet, (size_t)n);
	int r = handle(s, &in, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	if (r < 0)
		launcher_lost(s, NULL);
}

int launcher_link_start(struct supervisor *s, int sock, int pidfd)
{
	s->launcher_pidfd = pidfd;
	int r = link_init(&s->launcher, sock);
	return r < 0 ? r : loop_add(s, &s->launcher_source, sock, launcher_ready);
}
