/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to a gateway. A gateway parses hostile bytes, so nothing it says is trusted beyond its own sandbox:
 * records are written under that sandbox's name whatever they hold, and a message out of form ends it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/util.h"
#include "supervisor/members.h"
#include "policy/grant.h"
#include "supervisor/decided.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

#define MAX_RECORDS 1024u
#define MAX_REASON 1024u
#define ATTACH_LISTENERS 5u /* descriptors before them, of LAUNCHER_SANDBOX_READY */

static void gateway_ready(struct supervisor *s, struct source *source, uint32_t events);

static int send_to_gateway(struct sandbox *b, const struct buf *m, const int *fds, size_t n_fds)
{
	int r = link_send(&b->gateway_link, m, fds, n_fds);
	loop_want_write(b->supervisor, &b->gateway_source, &b->gateway_link);
	return r;
}

int gateway_spawn(struct sandbox *b, int policy_fd, const int *secret_fds, size_t n_secrets, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	int sock = -EBADF, fds[WIRE_MAX_FDS];

	if (n_secrets + 1 > WIRE_MAX_FDS)
		return fail(e, E2BIG, SANDBOX_STAGE_SECRET, b->id, "at most %u secrets in one sandbox", WIRE_MAX_FDS - 1);
	int r = gateway_process(b->supervisor, &sock, &b->gateway_pidfd);
	if (r == 0)
		r = link_init(&b->gateway_link, sock);
	if (r == 0)
		r = loop_add(b->supervisor, &b->gateway_source, sock, gateway_ready);
	b->gateway = GATEWAY_STARTING;
	b->gateway_deadline = now_us() + GATEWAY_READY_US;
	loop_deadline(b->supervisor, b->gateway_deadline);

	fds[0] = policy_fd;
	memcpy(fds + 1, secret_fds, n_secrets * sizeof(int));
	if (r == 0)
		r = wire_put_u32(&m, GATEWAY_CONFIG);
	if (r == 0)
		r = wire_put_u32(&m, WIRE_VERSION);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)n_secrets);
	if (r == 0)
		r = send_to_gateway(b, &m, fds, n_secrets + 1);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, "nsbox-gateway", "cannot start the helper") : 0;
}

/* The gateway's end, or -errno. */
static int make_quiet(struct sandbox *b)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	b->gateway_quiet = pair[0];
	return pair[1];
}

int gateway_attach(struct sandbox *b, const int *fds, size_t n_fds, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	uint16_t ports[128];
	size_t n = policy_ports(b->policy, ports, ARRAY_LEN(ports));
	int all[WIRE_MAX_FDS];

	if (n_fds < ATTACH_LISTENERS || n_fds >= WIRE_MAX_FDS)
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, b->id, "the launcher made other sockets than a gateway needs");
	int quiet = make_quiet(b), r = quiet < 0 ? quiet : wire_put_u32(&m, GATEWAY_ATTACH);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = wire_put_u32(&m, ports[i]);
	memcpy(all, fds, ATTACH_LISTENERS * sizeof(int));
	all[ATTACH_LISTENERS] = quiet;
	memcpy(all + ATTACH_LISTENERS + 1, fds + ATTACH_LISTENERS, (n_fds - ATTACH_LISTENERS) * sizeof(int));
	if (r == 0)
		r = send_to_gateway(b, &m, all, n_fds + 1);
	fd_close(quiet);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, "nsbox-gateway", "cannot pass the gateway its listeners") : 0;
}

static int send_now(struct sandbox *b, const struct buf *m)
{
	return send_to_gateway(b, m, NULL, 0);
}

/* Without waking it: it looks before it believes an address. */
static int send_quietly(struct sandbox *b, const struct buf *m)
{
	/* Full, or broken, which shows there too. From then on all of them go there, or they would change their order. */
	b->gateway_loud = b->gateway_loud || msg_send(b->gateway_quiet, m->data, m->len, NULL, 0) < 0;
	return b->gateway_loud ? send_now(b, m) : 0;
}

static int send_call(struct call *call, uint32_t type, int (*send)(struct sandbox *, const struct buf *))
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, type);
	if (r == 0)
		r = wire_put_u32(&m, call->address);
	return r < 0 ? r : send(call->sandbox, &m);
}

int gateway_send_call(struct call *call)
{
	return send_call(call, GATEWAY_CALL, send_now);
}

int gateway_send_bind(struct call *call, const char *about)
{
	_cleanup_buf_ struct buf m = { 0 }, grant = { 0 };

	int r = call->start->grant ? decided_bytes(call->start, &grant) : 0;
	if (r == 0)
		r = wire_put_u32(&m, GATEWAY_CALL_BIND);
	if (r == 0)
		r = wire_put_u32(&m, call->address);
	if (r == 0)
		r = wire_put_u32(&m, call->parent);
	if (r == 0)
		r = wire_put_bytes(&m, grant.data, grant.len);
	if (r == 0)
		r = wire_put_str(&m, about);
	return r < 0 ? r : send_quietly(call->sandbox, &m);
}

int gateway_send_call_end(struct call *call)
{
	return send_call(call, GATEWAY_CALL_END, send_now);
}

int gateway_send_quiet_end(struct call *call)
{
	return send_call(call, GATEWAY_CALL_END, send_quietly);
}

int gateway_send_audit(struct sandbox *b)
{
	_cleanup_buf_ struct buf m = { 0 };
	unsigned ops = auditor_ops(b->auditor) & ~(AUDITOR_OP(AUDITOR_CALL_START) | AUDITOR_OP(AUDITOR_FS_COMMIT));

	if (!ops)
		return 0;
	int r = wire_put_u32(&m, GATEWAY_AUDIT);
	if (r == 0)
		r = wire_put_u32(&m, ops);
	return r < 0 ? r : send_to_gateway(b, &m, NULL, 0);
}

void gateway_send_decided(struct sandbox *b, uint64_t ticket, bool allowed, bool always, const char *reason)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_DECIDED);
	if (r == 0)
		r = wire_put_u64(&m, ticket);
	if (r == 0)
		r = wire_put_u8(&m, allowed);
	if (r == 0)
		r = wire_put_u8(&m, always);
	if (r == 0)
		r = wire_put_str(&m, reason);
	if (r == 0)
		send_to_gateway(b, &m, NULL, 0); /* a failure shows as the gateway's end; without memory it waits, and nothing passes */
}

void gateway_send_rule(struct sandbox *b, uint32_t ticket, enum rule_key key, const char *rule, const char *origin,
		       const uint16_t *ports, const int *fds, size_t n_ports)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_RULE);
	if (r == 0)
		r = wire_put_u32(&m, ticket);
	if (r == 0)
		r = wire_put_u8(&m, (uint8_t)key);
	if (r == 0)
		r = wire_put_str(&m, rule);
	if (r == 0)
		r = wire_put_str(&m, origin);
	if (r == 0)
		r = wire_put_u32(&m, (uint32_t)n_ports);
	for (size_t i = 0; i < n_ports && r == 0; i++)
		r = wire_put_u32(&m, ports[i]);
	/* One that does not hear of it would go on allowing what is not allowed any more. */
	if (r < 0 || send_to_gateway(b, &m, fds, n_ports) < 0)
		pidfd_send_signal(b->gateway_pidfd, SIGKILL, NULL, 0);
}

void gateway_send_secret(struct sandbox *b, uint32_t ticket, uint8_t how, const char *name, const void *bytes, size_t len,
			 int fd)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_SECRET);
	if (r == 0)
		r = wire_put_u32(&m, ticket);
	if (r == 0)
		r = wire_put_u8(&m, how);
	if (r == 0)
		r = wire_put_str(&m, name);
	if (r == 0)
		r = wire_put_bytes(&m, bytes, len);
	/* As above. */
	if (r < 0 || send_to_gateway(b, &m, &fd, fd >= 0) < 0)
		pidfd_send_signal(b->gateway_pidfd, SIGKILL, NULL, 0);
}

/* The gateway is gone, with every socket of it. */
static void gateway_exited(struct supervisor *s, struct source *source, uint32_t events)
{
	struct sandbox *b = SOURCE_OWNER(source, struct sandbox, gateway_exit);
	siginfo_t info;

	(void)events;
	loop_remove(s, source);
	waitid(P_PIDFD, (id_t)b->gateway_pidfd, &info, WEXITED);
	fd_close(TAKE_FD(b->gateway_pidfd));
	sandbox_part_gone(b);
}

void gateway_stop(struct sandbox *b)
{
	b->gateway_deadline = 0;
	if (b->gateway_source.fd >= 0)
		loop_remove(b->supervisor, &b->gateway_source);
	link_close(&b->gateway_link);
	fd_close(TAKE_FD(b->gateway_quiet));
	/* Not waited for here: closing its packet socket takes the kernel 10 ms, and other sandboxes are served. */
	if (b->gateway_pidfd >= 0 && b->gateway_exit.fd < 0) {
		pidfd_send_signal(b->gateway_pidfd, SIGKILL, NULL, 0);
		loop_add(b->supervisor, &b->gateway_exit, b->gateway_pidfd, gateway_exited);
	}
}

void gateway_forget(struct sandbox *b)
{
	gateway_stop(b);
	loop_remove(b->supervisor, &b->gateway_exit);
	fd_close(TAKE_FD(b->gateway_pidfd));
}

static int on_ready(struct sandbox *b, struct wire_reader *in)
{
	struct error e = { 0 };
	bool failed = wire_get_u8(in);

	if (failed)
		wire_get_error(in, &e);
	if (!wire_done(in) || b->gateway != GATEWAY_STARTING)
		return -EPROTO;
	if (failed) {
		sandbox_start_failed(b, &e);
		return 0;
	}
	b->gateway_deadline = 0;
	b->gateway = GATEWAY_UP;
	sandbox_progress(b);
	return 0;
}

static int add_placeholders(struct call *call, char **env)
{
	size_t have = strv_len(call->placeholders), more = strv_len(env);
	char **all = have + more > SECRETS_EVER ? NULL : reallocarray(call->placeholders, have + more + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	call->placeholders = all;
	for (size_t i = 0; i < more; i++)
		all[have + i] = TAKE_PTR(env[i]);
	all[have + more] = NULL;
	return 0;
}

static int on_call_ready(struct sandbox *b, struct wire_reader *in)
{
	uint32_t address = wire_get_u32(in);
	_cleanup_(strv_freep) char **env = wire_get_strv(in, POLICY_SECRETS_MAX);

	if (!wire_done(in))
		return -EPROTO;
	struct call *call = call_by_address(b, address);
	/* More of them: a secret was added. One that runs by now was bound before the gateway heard of that. */
	if (call && call->has_placeholders && call->state <= CALL_PREPARED)
		return add_placeholders(call, env);
	if (call && call->state == CALL_PREPARING && !call->has_placeholders) {
		call->placeholders = TAKE_PTR(env);
		call->has_placeholders = true;
		pool_progress(call);
	}
	return 0;
}

static int on_call_ended(struct sandbox *b, struct wire_reader *in)
{
	uint32_t address = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct call *call = call_by_address(b, address);
	if (call && call->state == CALL_CUTTING)
		call_cut(call);
	return 0;
}

static int on_call_kill(struct sandbox *b, struct wire_reader *in)
{
	uint32_t address = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct call *call = call_by_address(b, address);
	return call && !call->revoked ? call_revoke(call, NULL, 0) : 0;
}

/* Names that a gateway may use; the others are ours to write. */
static bool gateway_event(const char *event)
{
	static const char *const names[] = { "dns.query", "net.allow",	"net.deny",	 "http.request",
					     "http.deny", "secret.use", "secret.misuse", "secret.scrub",
					     "secret.ask", "limit.hit" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(event, names[i]) == 0)
			return true;
	}
	return false;
}

static int on_records(struct sandbox *b, struct wire_reader *in)
{
	uint64_t ticket = wire_get_u64(in);
	uint32_t n = wire_get_u32(in);
	int written = 0;

	if (n > MAX_RECORDS)
		return -EPROTO;
	for (uint32_t i = 0; i < n; i++) {
		_cleanup_free_ char *event = wire_get_str(in);
		const struct call *call = call_by_address(b, wire_get_u32(in));
		_cleanup_free_ char *reason = wire_get_str(in);
		_cleanup_free_ char *members = wire_get_str(in);
		/* The log takes no record over its bound, and nothing after it. */
		if (in->bad || !gateway_event(event) || strlen(reason) > MAX_REASON || !members_are_flat(members))
			return -EPROTO;
		if (written == 0)
			written = record_add(b, event, call ? call->id : "", reason, members);
	}
	if (!wire_done(in))
		return -EPROTO;
	int flushed = audit_log_flush(b->log);
	if (ticket == 0)
		return 0;
	if (b->gateway_link.queued >= MAX_ANSWERS_WAITING)
		return -ENOBUFS;

	_cleanup_buf_ struct buf m = { 0 };
	int r = wire_put_u32(&m, GATEWAY_WRITTEN);
	if (r == 0)
		r = wire_put_u64(&m, ticket);
	if (r == 0)
		r = wire_put_u8(&m, written < 0 || flushed < 0);
	return r < 0 ? r : send_to_gateway(b, &m, NULL, 0);
}

static int on_ask(struct sandbox *b, struct wire_reader *in)
{
	uint64_t ticket = wire_get_u64(in);
	uint32_t op = wire_get_u32(in);
	const struct call *call = call_by_address(b, wire_get_u32(in));
	_cleanup_free_ char *members = wire_get_str(in);

	if (!wire_done(in) || b->gateway_link.queued >= MAX_ANSWERS_WAITING)
		return -EPROTO;
	return question_gateway(b, ticket, op, call, members);
}

static int on_ask_cancel(struct sandbox *b, struct wire_reader *in)
{
	uint64_t ticket = wire_get_u64(in);

	if (!wire_done(in) || ticket == 0)
		return -EPROTO;
	question_gateway_cancel(b, ticket);
	return 0;
}

static int on_changed(struct sandbox *b, struct wire_reader *in)
{
	uint32_t ticket = wire_get_u32(in);
	bool failed = wire_get_u8(in);
	struct error e = { 0 };

	if (failed)
		wire_get_error(in, &e);
	return wire_done(in) ? change_done(b, ticket, failed ? &e : NULL) : -EPROTO;
}

static int handle(struct sandbox *b, struct wire_reader *in)
{
	uint32_t type = wire_get_u32(in);

	if (type == GATEWAY_READY)
		return on_ready(b, in);
	if (b->gateway != GATEWAY_UP)
		return -EPROTO;
	switch (type) {
	case GATEWAY_CALL_READY:
		return on_call_ready(b, in);
	case GATEWAY_CALL_ENDED:
		return on_call_ended(b, in);
	case GATEWAY_CALL_KILL:
		return on_call_kill(b, in);
	case GATEWAY_RECORDS:
		return on_records(b, in);
	case GATEWAY_CHANGED:
		return on_changed(b, in);
	case GATEWAY_ASK:
		return on_ask(b, in);
	case GATEWAY_ASK_CANCEL:
		return on_ask_cancel(b, in);
	default:
		return -EPROTO;
	}
}

static void gateway_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	struct sandbox *b = SOURCE_OWNER(source, struct sandbox, gateway_source);

	if ((events & EPOLLOUT) && link_flush(&b->gateway_link) < 0) {
		sandbox_gateway_died(b);
		return;
	}
	loop_want_write(s, source, &b->gateway_link);
	if (b->gateway_link.queued == 0)
		calls_release(b);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	/* It has no descriptor to give: any that comes is closed by msg_recv and the message refused. */
	ssize_t n = msg_recv(b->gateway_link.fd, packet, sizeof(packet), NULL, 0, NULL);
	if (n == -EAGAIN)
		return;
	struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	if (n <= 0 || handle(b, &in) < 0)
		sandbox_gateway_died(b);
}
