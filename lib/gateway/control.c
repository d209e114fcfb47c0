/* SPDX-License-Identifier: Apache-2.0 */
/* Messages from the supervisor. */
#include "gateway/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/addresses.h"
#include "base/util.h"
#include "base/wire.h"
#include "gateway/believed.h"
#include "gateway/change.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"
#include "policy/grant.h"
#include "source/protocol.h"
#include "supervisor/protocol.h"

#define POLICY_MAX (16u * 1024u * 1024u)
#define FIXED_FDS 6u /* bundle, key store, UDP 53, TCP 53, packet socket, quiet messages */

static uint8_t packet[WIRE_MAX_PACKET];

static int protocol_error(struct error *e, const char *what)
{
	return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, what, "The gateway got a malformed %s message.", what);
}

static void close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fd_close(TAKE_FD(fds[i]));
}

/* The next message while still blocking. A supervisor that is gone takes the gateway with it. */
static int receive(uint32_t type, struct wire_reader *ret, int *fds, size_t *ret_n_fds, struct error *e)
{
	ssize_t n = msg_recv(CONTROL_FD, packet, sizeof(packet), fds, WIRE_MAX_FDS, ret_n_fds);
	if (n == 0)
		_exit(0);
	if (n < 0)
		return fail_errno(e, (int)-n, SANDBOX_STAGE_PROTOCOL, "gateway", "The gateway cannot read its configuration");
	*ret = wire_reader(packet, (size_t)n);
	if (wire_get_u32(ret) != type) {
		close_fds(fds, *ret_n_fds);
		return protocol_error(e, "configuration");
	}
	return 0;
}

static int load_policy(struct gateway *gw, int fd, struct error *e)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = memfd_read_sealed(fd, POLICY_MAX, &bytes);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "policy", "The gateway cannot read the policy");
	r = policy_decode(bytes.data, bytes.len, &gw->policy, e);
	if (r == 0)
		quotas_init(&gw->quotas, gw->policy);
	return r;
}

static int configure(struct gateway *gw, struct error *e)
{
	struct wire_reader in;
	int fds[WIRE_MAX_FDS];
	size_t n_fds = 0;

	/* What needs no configuration comes first: the supervisor may have started us before it knows one. */
	int r = resolver_init(&gw->resolver, &gw->loop, e);
	if (r == 0)
		r = ca_init(&gw->ca, e);
	if (r == 0)
		r = receive(GATEWAY_CONFIG, &in, fds, &n_fds, e);
	if (r < 0)
		return r;
	uint32_t version = wire_get_u32(&in);
	gw->sandbox = wire_get_str(&in);
	uint32_t n_secrets = wire_get_u32(&in);
	if (!wire_done(&in) || version != WIRE_VERSION || n_fds < 1 || n_secrets != n_fds - 1) {
		close_fds(fds, n_fds);
		return protocol_error(e, "configuration");
	}
	r = load_policy(gw, fds[0], e);
	size_t n = 0, n_keys = 0;
	if (r == 0) {
		policy_secrets(gw->policy, &n);
		policy_client_certs(gw->policy, &n_keys);
		const struct policy_upstream_proxy *proxy = policy_upstream_proxy(gw->policy);
		r = n + n_keys + (proxy && proxy->source_arg) == n_secrets ? 0 : protocol_error(e, "configuration");
	}
	if (r == 0)
		r = secrets_read(&gw->secrets, gw->policy, fds + 1, n, CONTROL_FD, e);
	if (r == 0)
		r = trust_init(&gw->trust, gw->policy, fds + 1 + n, e);
	if (r == 0)
		r = upstream_login_init(&gw->login, gw->policy, &fds[n_fds - 1], CONTROL_FD, gw->secrets.unlocked, e);
	close_fds(fds, n_fds);
	return r;
}

static int take_sockets(struct gateway *gw, int *fds, const uint16_t *ports, size_t n_ports, struct error *e)
{
	int r = 0;

	for (size_t i = 2; i < FIXED_FDS + n_ports && r == 0; i++)
		r = fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
	if (r == 0)
		r = dns_init(gw, TAKE_FD(fds[2]));
	if (r == 0)
		r = listeners_add(gw, TAKE_FD(fds[3]), DNS_PORT, true);
	if (r == 0)
		r = attempts_init(gw, TAKE_FD(fds[4]));
	if (r == 0)
		gw->quiet = TAKE_FD(fds[5]);
	for (size_t i = 0; i < n_ports && r == 0; i++)
		r = listeners_add(gw, TAKE_FD(fds[FIXED_FDS + i]), ports[i], false);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, "listeners", "Cannot use the listeners of the sandbox") : 0;
}

static int attach(struct gateway *gw, struct error *e)
{
	struct wire_reader in;
	int fds[WIRE_MAX_FDS];
	size_t n_fds = 0;
	uint16_t ports[MAX_PORTS];

	int r = receive(GATEWAY_ATTACH, &in, fds, &n_fds, e);
	if (r < 0)
		return r;
	uint32_t n = wire_get_u32(&in);
	bool ok = n <= MAX_PORTS;
	for (uint32_t i = 0; ok && i < n; i++) {
		uint32_t port = wire_get_u32(&in);
		ok = port > 0 && port <= UINT16_MAX;
		ports[i] = (uint16_t)port;
	}
	r = ok && wire_done(&in) && n_fds == FIXED_FDS + n ? 0 : protocol_error(e, "listener");
	if (r == 0)
		r = believed_write(&gw->ca, &gw->trust.bundle, fds[0], fds[1], e);
	if (r == 0)
		r = take_sockets(gw, fds, ports, n, e);
	close_fds(fds, n_fds);
	return r;
}

int control_configure(struct gateway *gw, struct error *e)
{
	int r = configure(gw, e);
	return r < 0 ? r : attach(gw, e);
}

int control_kill_call(struct gateway *gw, const struct call *call)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_CALL_KILL);
	if (r == 0)
		r = wire_put_u32(&m, call->addr);
	return r < 0 ? r : records_send(&gw->records, &m);
}

int control_ready(struct gateway *gw, const struct error *failed)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_READY);
	if (r == 0)
		r = wire_put_u8(&m, failed != NULL);
	if (r == 0 && failed)
		r = wire_put_error(&m, failed);
	return r < 0 ? r : records_send(&gw->records, &m);
}

void control_drain(void)
{
	ssize_t n;

	/* Descriptors are not taken here, which msg_recv tells as -EPROTO. */
	do
		n = msg_recv(CONTROL_FD, packet, sizeof(packet), NULL, 0, NULL);
	while (n > 0 || n == -EPROTO || n == -EMSGSIZE);
}

static int send_placeholders(struct gateway *gw, uint32_t addr, char **env)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_CALL_READY);
	if (r == 0)
		r = wire_put_u32(&m, addr);
	if (r == 0)
		r = wire_put_strv(&m, env);
	return r < 0 ? r : records_send(&gw->records, &m);
}

int control_placeholders(struct gateway *gw, const struct call *call, char **env)
{
	return send_placeholders(gw, call->addr, env);
}

static int on_call(struct gateway *gw, struct wire_reader *in)
{
	uint32_t addr = wire_get_u32(in);
	char **env = NULL;

	if (!wire_done(in))
		return -EPROTO;
	int r = calls_add(gw, addr, &env);
	if (r == 0)
		r = send_placeholders(gw, addr, env);
	strv_free(env);
	return r;
}

static int on_call_bind(struct gateway *gw, struct wire_reader *in)
{
	uint32_t addr = wire_get_u32(in), parent_addr = wire_get_u32(in);
	_cleanup_(grant_freep) struct grant *grant = NULL;
	size_t len = 0;

	const void *bytes = wire_get_bytes(in, &len);
	_cleanup_free_ char *about = wire_get_str(in);
	struct call *call = calls_by_addr(&gw->calls, addr);
	struct call *parent = parent_addr ? calls_by_addr(&gw->calls, parent_addr) : NULL;
	/* A parent that is not there has no bounds that could be kept: nothing may start under it. */
	if (!wire_done(in) || strlen(about) > SOURCE_CALL_MAX || !call || (parent_addr && !parent) ||
	    (len && grant_decode(bytes, len, &grant, NULL) < 0) || calls_bind(gw, call, parent, grant, *about ? about : NULL) < 0)
		return -EPROTO;
	TAKE_PTR(grant);
	if (*about)
		TAKE_PTR(about);
	return 0;
}

int control_ended(struct gateway *gw, uint32_t addr)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_CALL_ENDED);
	if (r == 0)
		r = wire_put_u32(&m, addr);
	return r < 0 ? r : records_send(&gw->records, &m);
}

static int on_call_end(struct gateway *gw, struct wire_reader *in)
{
	uint32_t addr = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct call *call = calls_by_addr(&gw->calls, addr);
	/* It may be said twice: when the call is revoked, and when its processes are dead. */
	bool waits = call ? calls_end(gw, call) : issues_ending(gw, addr);
	return waits ? 0 : control_ended(gw, addr);
}

static int on_written(struct gateway *gw, struct wire_reader *in)
{
	uint64_t ticket = wire_get_u64(in);
	bool failed = wire_get_u8(in);

	if (!wire_done(in))
		return -EPROTO;
	records_written(&gw->records, ticket, failed);
	return 0;
}

static int on_audit(struct gateway *gw, struct wire_reader *in)
{
	uint32_t ops = wire_get_u32(in);

	return wire_done(in) ? questions_configure(&gw->questions, ops) : -EPROTO;
}

static int on_decided(struct gateway *gw, struct wire_reader *in)
{
	uint64_t ticket = wire_get_u64(in);
	uint8_t allowed = wire_get_u8(in), equal = wire_get_u8(in);
	_cleanup_free_ char *reason = wire_get_str(in);

	if (!wire_done(in) || allowed > 1 || equal > 1)
		return -EPROTO;
	return questions_decided(gw, ticket, allowed, equal, reason);
}

int control_changed(struct gateway *gw, uint32_t ticket, const struct error *failed)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GATEWAY_CHANGED);
	if (r == 0)
		r = wire_put_u32(&m, ticket);
	if (r == 0)
		r = wire_put_u8(&m, failed != NULL);
	if (r == 0 && failed)
		r = wire_put_error(&m, failed);
	return r < 0 ? r : records_send(&gw->records, &m);
}

static int on_rule(struct gateway *gw, struct wire_reader *in, int *fds, size_t n_fds)
{
	uint32_t ticket = wire_get_u32(in);
	uint8_t key = wire_get_u8(in);
	_cleanup_free_ char *rule = wire_get_str(in);
	_cleanup_free_ char *origin = wire_get_str(in);
	uint32_t n_ports = wire_get_u32(in);
	uint16_t ports[WIRE_MAX_FDS];
	struct error e;

	if (in->bad || key > RULE_KEY_PASSTHROUGH || n_ports != n_fds)
		return -EPROTO;
	for (uint32_t i = 0; i < n_ports; i++)
		ports[i] = (uint16_t)wire_get_u32(in);
	if (!wire_done(in))
		return -EPROTO;
	/* The supervisor has changed its own already: who cannot follow must not go on by the old one. */
	int r = change_rule(gw, key, rule, origin, ports, fds, n_ports, &e);
	return r < 0 ? r : control_changed(gw, ticket, NULL);
}

static int on_secret(struct gateway *gw, struct wire_reader *in, int *fds, size_t n_fds)
{
	_cleanup_(policy_secret_freep) struct policy_secret *added = NULL;
	uint32_t ticket = wire_get_u32(in);
	uint8_t how = wire_get_u8(in);
	_cleanup_free_ char *name = wire_get_str(in);
	size_t len = 0;
	const void *bytes = wire_get_bytes(in, &len);
	struct error e;

	if (!wire_done(in) || how > CHANGE_REVOKE || n_fds > (how != CHANGE_REVOKE) ||
	    (how == CHANGE_ADD && !n_fds) || !len == (how == CHANGE_ADD) || (len && policy_secret_decode(bytes, len, &added) < 0))
		return -EPROTO;
	if (how == CHANGE_REVOKE) {
		int r = change_revoke_secret(gw, name);
		return r < 0 ? r : control_changed(gw, ticket, NULL);
	}
	int r = n_fds ? change_secret(gw, ticket, name, added, fds[0]) : change_renew_secret(gw, ticket, name, &e);
	if (r == 0 && !n_fds)
		return 0;
	if (r == -EPROTO)
		return r;
	if (r < 0) {
		if (n_fds)
			fail_errno(&e, -r, SANDBOX_STAGE_SECRET, name, "The gateway cannot take a value of secret %s", name);
		return control_changed(gw, ticket, &e);
	}
	TAKE_PTR(added);
	TAKE_FD(fds[0]);
	return 0;
}

/* What is said of calls is there before they can do anything. */
static void take_quiet(struct gateway *gw)
{
	static uint8_t bytes[WIRE_MAX_PACKET];

	for (;;) {
		ssize_t n = msg_recv(gw->quiet, bytes, sizeof(bytes), NULL, 0, NULL);
		if (n == -EAGAIN)
			return;
		if (n == 0 || n == -ECONNRESET)
			_exit(0);
		struct wire_reader in = wire_reader(bytes, n > 0 ? (size_t)n : 0);
		uint32_t type = n < 0 ? 0 : wire_get_u32(&in);
		if ((type != GATEWAY_CALL_BIND || on_call_bind(gw, &in) < 0) &&
		    (type != GATEWAY_CALL_END || on_call_end(gw, &in) < 0))
			_exit(1);
	}
}

static int handle(struct gateway *gw, struct wire_reader *in, int *fds, size_t n_fds)
{
	uint32_t type = wire_get_u32(in);

	/* Calls are bound before what was said later; what every request gets is no reason to look. */
	if (type != GATEWAY_WRITTEN)
		take_quiet(gw);
	switch (type) {
	case GATEWAY_CALL:
		return on_call(gw, in);
	case GATEWAY_CALL_BIND:
		return on_call_bind(gw, in);
	case GATEWAY_CALL_END:
		return on_call_end(gw, in);
	case GATEWAY_WRITTEN:
		return on_written(gw, in);
	case GATEWAY_AUDIT:
		return on_audit(gw, in);
	case GATEWAY_DECIDED:
		return on_decided(gw, in);
	case GATEWAY_RULE:
		return on_rule(gw, in, fds, n_fds);
	case GATEWAY_SECRET:
		return on_secret(gw, in, fds, n_fds);
	default:
		return -EPROTO;
	}
}

/* One message; false: there is none. */
static bool take_one(struct gateway *gw)
{
	int fds[WIRE_MAX_FDS];
	size_t n_fds = 0;

	ssize_t n = msg_recv(CONTROL_FD, packet, sizeof(packet), fds, WIRE_MAX_FDS, &n_fds);
	if (n == -EAGAIN)
		return false;
	/* Without a supervisor there is nobody to write the log: nothing may happen any more. */
	if (n == 0 || n == -ECONNRESET)
		_exit(0);
	struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	if (n < 0 || handle(gw, &in, fds, n_fds) < 0)
		_exit(1);
	close_fds(fds, n_fds);
	return true;
}

void control_take(struct gateway *gw)
{
	while (take_one(gw))
		;
	take_quiet(gw);
}

/* Level-triggered, unlike the streams: mostly one message comes at a time, and looking for a second one that is not there
 * would cost each request a system call. */
static void control_event(struct source *source, uint32_t events)
{
	struct gateway *gw = (struct gateway *)((char *)source - offsetof(struct gateway, control));

	if ((events & EPOLLOUT) && records_writable(&gw->records) < 0)
		_exit(0);
	if (events & ~(uint32_t)EPOLLOUT)
		take_one(gw);
}

int control_watch(struct gateway *gw)
{
	const bool waiting = gw->records.queue;

	if (waiting == gw->control_full)
		return 0;
	gw->control_full = waiting;
	return loop_change(&gw->loop, &gw->control, waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int control_start(struct gateway *gw)
{
	for (size_t i = 0; i < gw->secrets.n; i++) {
		int r = gw->secrets.v[i].issuer ? issuer_start(gw, gw->secrets.v[i].issuer) : 0;
		if (r < 0)
			return r;
	}
	int r = upstream_login_start(gw);
	if (r < 0)
		return r;
	gw->control = (struct source){ .fd = CONTROL_FD, .ready = control_event };
	if (fcntl(CONTROL_FD, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return loop_add(&gw->loop, &gw->control, EPOLLIN);
}
