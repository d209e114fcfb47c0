/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher.
 *
 * Theory of operation. It is cloned from the supervisor, without exec and before the supervisor has read anything,
 * into a user namespace U1 and a pid namespace P1 of its own, of which it is pid 1. From U1 it has the capabilities to
 * make network namespaces and everything below; nothing in a sandbox has any over U1. P1 makes its death the death of
 * every process below, daemons too, within milliseconds. It keeps the host's mount namespace and may read
 * the host's files as the caller, but reads nothing that a sandbox wrote: its only peers are the supervisor and the
 * inits, whose packets are a type and an error record.
 *
 * A sandbox: an init in new namespaces (init_start.c), which mounts while the launcher makes the wire (net.c). A call:
 * a child that enters init's namespaces (call_start.c). One thread; everything that takes long is waited for in one
 * epoll set. While the supervisor still reads its first message, the launcher makes the first init ahead of time.
 *
 * When the main process of a call is dead, init kills what is left in its pid namespace, so this version runs one call
 * at a time in a sandbox.
 */
#include "namespace/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/init_protocol.h"
#include "namespace/launcher_state.h"
#include "namespace/plan.h"
#include "policy/policy.h"
#include "supervisor/protocol.h"

#define MAX_ARGS 65536u

static struct {
	int epoll;
	struct sandbox *sandboxes;
	size_t n_sandboxes;
	struct init spare; /* sock < 0: none */
	uint8_t packet[WIRE_MAX_PACKET];
	int fds[WIRE_MAX_FDS];
	size_t n_fds;
} launcher;

/* Without its supervisor nothing here has a purpose; pid 1 going ends all the rest. */
static _Noreturn void finish(int status)
{
	_exit(status);
}

static void send_packet(const struct buf *b, int r, const int *fds, size_t n_fds)
{
	if (r < 0 || msg_send(SUPERVISOR_FD, b->data, b->len, fds, n_fds) < 0)
		finish(1);
}

static void send_outcome(uint32_t type, uint32_t number, const struct error *failure, const int *fds, size_t n_fds)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, type);
	if (r == 0)
		r = wire_put_u32(&b, number);
	if (r == 0)
		r = wire_put_u8(&b, failure != NULL);
	if (r == 0 && failure)
		r = wire_put_error(&b, failure);
	send_packet(&b, r, fds, n_fds);
}

static void send_numbers(uint32_t type, const uint32_t *v, size_t n)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, type);
	for (size_t i = 0; i < n && r == 0; i++)
		r = wire_put_u32(&b, v[i]);
	send_packet(&b, r, NULL, 0);
}

static int watch_add(struct watch *w, struct sandbox *s, int fd, void (*ready)(struct sandbox *))
{
	*w = (struct watch){ .fd = fd, .sandbox = s, .ready = ready };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };
	return epoll_ctl(launcher.epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Before its descriptor is closed: another process may still hold the same file open, and epoll would go on. */
static void watch_remove(struct watch *w)
{
	if (w->ready)
		epoll_ctl(launcher.epoll, EPOLL_CTL_DEL, w->fd, NULL);
	*w = (struct watch){ .fd = -EBADF };
}

static struct sandbox *find(uint32_t number)
{
	for (struct sandbox *s = launcher.sandboxes; s; s = s->next)
		if (s->number == number)
			return s;
	return NULL;
}

static void sandbox_free(struct sandbox *s)
{
	for (struct sandbox **at = &launcher.sandboxes; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			launcher.n_sandboxes--;
			break;
		}
	watch_remove(&s->init_watch);
	watch_remove(&s->sock_watch);
	watch_remove(&s->call_watch);
	init_close(&s->init);
	wire_close(&s->wire);
	fd_close(s->ruleset);
	if (s->call.number)
		fd_close(s->call.pidfd);
	free(s);
}

static void call_report(struct sandbox *s)
{
	const uint32_t v[] = { s->call.number, s->call.status, s->call.signal };

	watch_remove(&s->call_watch);
	fd_close(s->call.pidfd);
	s->call = (struct call){ 0 };
	send_numbers(LAUNCHER_CALL_EXIT, v, ARRAY_LEN(v));
}

static void call_reap(struct sandbox *s)
{
	int status = 0;

	if (s->call.reaped)
		return;
	while (waitpid(s->call.pid, &status, __WALL) < 0 && errno == EINTR)
		;
	s->call.reaped = true;
	if (WIFSIGNALED(status))
		s->call.signal = (uint32_t)WTERMSIG(status);
	else
		s->call.status = (uint32_t)WEXITSTATUS(status);
}

static void on_call_dead(struct sandbox *s)
{
	const uint32_t type = INIT_KILL;

	call_reap(s);
	watch_remove(&s->call_watch);
	/* When init is gone too, on_init_dead does the rest. */
	(void)msg_send(s->init.sock, &type, sizeof(type), NULL, 0);
}

/* Init died, by our hand or not: with it every process of its pid namespace. */
static void on_init_dead(struct sandbox *s)
{
	static const struct error gone = { .err = ECHILD, .stage = SANDBOX_STAGE_MOUNT, .object = "nsbox-init",
					   .message = "nsbox-init ended before it had prepared the sandbox" };
	const uint32_t number = s->number;
	bool starting = s->state == SANDBOX_STARTING;

	if (s->call.number) {
		call_reap(s);
		call_report(s);
	}
	while (waitpid(s->init.pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	sandbox_free(s);
	if (starting)
		send_outcome(LAUNCHER_SANDBOX_READY, number, &gone, NULL, 0);
	else
		send_numbers(LAUNCHER_ENDED, &number, 1);
}

static void kill_init(struct sandbox *s)
{
	syscall(SYS_pidfd_send_signal, s->init.pidfd, SIGKILL, NULL, 0);
}

/* The start failed after init was made: nothing of it stays, and only then the failure is told. */
static void start_failed(struct sandbox *s, const struct error *e)
{
	const uint32_t number = s->number;

	init_kill(&s->init);
	sandbox_free(s);
	send_outcome(LAUNCHER_SANDBOX_READY, number, e, NULL, 0);
}

static void init_is_ready(struct sandbox *s, struct wire_reader *in, const int *fds, size_t n_fds)
{
	struct error e = { 0 };
	size_t want = s->net_mode == NET_GATEWAY ? 2 : 1;

	bool failed = wire_get_u8(in);
	if (failed)
		wire_get_error(in, &e);
	if (!wire_done(in) || (!failed && n_fds != want)) {
		failed = true;
		fail(&e, EPROTO, SANDBOX_STAGE_PROTOCOL, "nsbox-init", "nsbox-init sent a broken answer");
	}
	if (failed) {
		for (size_t i = 0; i < n_fds; i++)
			fd_close(fds[i]);
		start_failed(s, &e);
		return;
	}
	s->ruleset = fds[0];
	s->state = SANDBOX_READY;
	if (s->net_mode != NET_GATEWAY) {
		send_outcome(LAUNCHER_SANDBOX_READY, s->number, NULL, NULL, 0);
		return;
	}
	int out[1 + ARRAY_LEN(s->wire.fds)];
	out[0] = fds[1];
	memcpy(out + 1, s->wire.fds, s->wire.n_fds * sizeof(int));
	send_outcome(LAUNCHER_SANDBOX_READY, s->number, NULL, out, 1 + s->wire.n_fds);
	for (size_t i = 0; i < 1 + s->wire.n_fds; i++)
		fd_close(out[i]);
	s->wire.n_fds = 0;
}

static void on_init_message(struct sandbox *s)
{
	static uint8_t packet[4096];
	int fds[2];
	size_t n_fds = 0;

	ssize_t n = msg_recv(s->init.sock, packet, sizeof(packet), fds, ARRAY_LEN(fds), &n_fds);
	if (n <= 0) { /* it is dying: its pidfd tells the rest */
		watch_remove(&s->sock_watch);
		kill_init(s);
		return;
	}
	struct wire_reader in = wire_reader(packet, (size_t)n);
	uint32_t type = wire_get_u32(&in);
	if (type == INIT_READY && s->state == SANDBOX_STARTING) {
		init_is_ready(s, &in, fds, n_fds);
		return;
	}
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
	if (type == INIT_KILL && s->call.number && s->call.reaped)
		call_report(s);
	else
		kill_init(s);
}

static int send_plan(struct sandbox *s, uint32_t pids, const void *plan, size_t len, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, INIT_ROOT);
	if (r == 0)
		r = wire_put_u32(&b, pids);
	if (r == 0)
		r = wire_put_bytes(&b, plan, len);
	if (r == 0)
		r = msg_send(s->init.sock, b.data, b.len, NULL, 0);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "nsbox-init", "cannot send nsbox-init its plan") : 0;
}

static int take_init(uint32_t pids, struct init *ret, struct error *e)
{
	/* The spare was made with the default ceiling, which cannot be changed later. */
	if (launcher.spare.sock >= 0 && pids == DEFAULT_PIDS) {
		*ret = launcher.spare;
		launcher.spare = (struct init){ .pidfd = -EBADF, .sock = -EBADF, .net = -EBADF };
		return 0;
	}
	return init_start(INIT_FD, pids, ret, e);
}

static void sandbox_start(uint32_t number, uint8_t net_mode, uint32_t pids, const uint16_t *ports, size_t n_ports,
			  const void *plan, size_t plan_len)
{
	struct error e = { 0 };
	struct sandbox *s = calloc(1, sizeof(*s));

	if (!s || launcher.n_sandboxes >= MAX_SANDBOXES) {
		free(s);
		fail(&e, s ? EUSERS : ENOMEM, SANDBOX_STAGE_NAMESPACE, "sandbox", "no room for another sandbox");
		send_outcome(LAUNCHER_SANDBOX_READY, number, &e, NULL, 0);
		return;
	}
	s->number = number;
	s->net_mode = net_mode;
	s->ruleset = s->wire.net = s->init_watch.fd = s->sock_watch.fd = s->call_watch.fd = -EBADF;
	if (take_init(pids ? pids : DEFAULT_PIDS, &s->init, &e) < 0) {
		free(s);
		send_outcome(LAUNCHER_SANDBOX_READY, number, &e, NULL, 0);
		return;
	}
	s->next = launcher.sandboxes;
	launcher.sandboxes = s;
	launcher.n_sandboxes++;
	/* Init mounts on its own while the wire is made here. */
	int r = send_plan(s, pids, plan, plan_len, &e);
	if (r == 0 && net_mode == NET_GATEWAY)
		r = wire_open(ports, n_ports, s->init.net, &s->wire, &e);
	if (r == 0 && (watch_add(&s->init_watch, s, s->init.pidfd, on_init_dead) < 0 ||
		       watch_add(&s->sock_watch, s, s->init.sock, on_init_message) < 0))
		r = fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, "epoll", "cannot watch the sandbox");
	if (r < 0)
		start_failed(s, &e);
}

static int on_sandbox(struct wire_reader *in)
{
	uint16_t ports[MAX_PORTS];
	size_t plan_len = 0;
	uint32_t number = wire_get_u32(in);
	uint8_t net_mode = wire_get_u8(in);
	uint32_t pids = wire_get_u32(in);
	uint32_t n_ports = wire_get_u32(in);

	if (in->bad || n_ports > MAX_PORTS)
		return -EPROTO;
	for (uint32_t i = 0; i < n_ports; i++)
		ports[i] = (uint16_t)wire_get_u32(in);
	const void *plan = wire_get_bytes(in, &plan_len);
	if (!wire_done(in) || net_mode > NET_HOST || find(number))
		return -EPROTO;
	sandbox_start(number, net_mode, pids, ports, n_ports, plan, plan_len);
	return 0;
}

/* The namespace for a new call: the one made ahead for the first, a new one for each later one. */
static int call_net(struct sandbox *s, uint32_t address, int *ret, struct error *e)
{
	if (s->net_mode == NET_HOST)
		return 0;
	bool first = !s->init_net_taken;
	int net = !first ? net_new(e) : fcntl(s->init.net, F_DUPFD_CLOEXEC, 3);
	if (net < 0)
		return !first ? net : fail_errno(e, errno, SANDBOX_STAGE_NETWORK, "dup", "no descriptor left");
	s->init_net_taken = true;
	int r = s->net_mode == NET_GATEWAY ? wire_connect(&s->wire, net, address, first, e) : 0;
	if (r < 0)
		fd_close(net);
	else
		*ret = net;
	return r;
}

static int call_try(struct sandbox *s, const struct call_request *q, int *ret_terminal, struct error *e)
{
	_cleanup_close_ int net = -EBADF;

	if (!s || s->state != SANDBOX_READY)
		return fail(e, ESRCH, SANDBOX_STAGE_PROTOCOL, "sandbox", "the sandbox is not running");
	if (s->call.number)
		return fail(e, EBUSY, SANDBOX_STAGE_NAMESPACE, q->argv[0],
			    "a call is running in this sandbox, and this version runs one at a time: wait for its end");
	int r = call_net(s, q->address, &net, e);
	if (r == 0)
		r = call_launch(s, net, q, &s->call, ret_terminal, e);
	if (r == 0 && watch_add(&s->call_watch, s, s->call.pidfd, on_call_dead) < 0) {
		kill_init(s);
		r = fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, "epoll", "cannot watch the call");
	}
	return r;
}

static int on_call(struct wire_reader *in)
{
	struct call_request q = { 0 };
	struct error e = { 0 };
	int terminal = -EBADF;
	uint32_t sandbox = wire_get_u32(in);

	q.number = wire_get_u32(in);
	q.address = wire_get_u32(in);
	_cleanup_(strv_freep) char **argv = wire_get_strv(in, MAX_ARGS);
	_cleanup_(strv_freep) char **env = wire_get_strv(in, MAX_ARGS);
	_cleanup_free_ char *cwd = wire_get_str(in);
	q.argv = argv;
	q.env = env;
	q.cwd = cwd;
	q.terminal = wire_get_u8(in);
	q.rows = wire_get_u32(in);
	q.columns = wire_get_u32(in);
	q.open_files = wire_get_u32(in);
	if (!wire_done(in) || !argv[0] || q.number == 0 || launcher.n_fds != (q.terminal ? 0 : 3))
		return -EPROTO;
	for (size_t i = 0; i < launcher.n_fds; i++)
		q.stdio[i] = launcher.fds[i];
	int r = call_try(find(sandbox), &q, &terminal, &e);
	send_outcome(LAUNCHER_CALL_STARTED, q.number, r < 0 ? &e : NULL, &terminal, r == 0 && terminal >= 0);
	fd_close(terminal);
	return 0;
}

/* The call is not reaped before s->call says so, hence its number cannot belong to another process. */
static int on_signal(struct wire_reader *in)
{
	uint32_t number = wire_get_u32(in), signal = wire_get_u32(in);

	if (!wire_done(in) || signal == 0 || signal >= NSIG)
		return -EPROTO;
	for (struct sandbox *s = launcher.sandboxes; s; s = s->next)
		if (s->call.number == number && !s->call.reaped)
			kill(-s->call.pid, (int)signal);
	return 0;
}

static int on_end(struct wire_reader *in)
{
	uint32_t number = wire_get_u32(in);

	if (!wire_done(in))
		return -EPROTO;
	struct sandbox *s = find(number);
	if (s) {
		s->state = SANDBOX_ENDING;
		kill_init(s);
	}
	return 0;
}

static int dispatch(struct wire_reader *in)
{
	switch (wire_get_u32(in)) {
	case LAUNCHER_SANDBOX:
		return on_sandbox(in);
	case LAUNCHER_CALL:
		return on_call(in);
	case LAUNCHER_SIGNAL:
		return on_signal(in);
	case LAUNCHER_END:
		return on_end(in);
	default:
		return -EPROTO;
	}
}

static void on_supervisor(struct sandbox *unused)
{
	(void)unused;
	launcher.n_fds = 0;
	ssize_t n = msg_recv(SUPERVISOR_FD, launcher.packet, sizeof(launcher.packet), launcher.fds, WIRE_MAX_FDS,
			     &launcher.n_fds);
	if (n <= 0)
		finish(n < 0);
	struct wire_reader in = wire_reader(launcher.packet, (size_t)n);
	int r = dispatch(&in);
	for (size_t i = 0; i < launcher.n_fds; i++)
		fd_close(launcher.fds[i]);
	if (r < 0)
		finish(1);
}

_Noreturn void launcher_serve(void)
{
	struct watch supervisor;
	struct epoll_event event;

	launcher.spare.sock = -EBADF;
	launcher.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (launcher.epoll < 0 || watch_add(&supervisor, NULL, SUPERVISOR_FD, on_supervisor) < 0)
		finish(1);
	/* A failure here comes again, and is reported, when a sandbox is asked for. */
	(void)init_start(INIT_FD, DEFAULT_PIDS, &launcher.spare, NULL);
	for (;;) {
		/* One at a time: an event may free what a later one of the same batch points to. */
		int n = epoll_wait(launcher.epoll, &event, 1, -1);
		if (n < 0 && errno != EINTR)
			finish(1);
		if (n == 1) {
			struct watch *w = event.data.ptr;
			w->ready(w->sandbox);
		}
	}
}
