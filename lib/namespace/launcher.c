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
 * A sandbox: an init in new namespaces (init_start.c), which mounts while the launcher makes the wire (net.c). A call
 * begins as a slot: a network namespace on that wire and a guardian (guardian.c), which from then on speaks with the
 * supervisor alone. One thread; everything that takes long is waited for in one epoll set. While the supervisor still
 * reads its first message, the launcher makes the first init ahead of time.
 */
#include "namespace/launcher.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/util.h"
#include "base/wire.h"
#include "namespace/cover.h"
#include "namespace/guardian.h"
#include "namespace/init_protocol.h"
#include "namespace/launcher_state.h"
#include "namespace/plan.h"
#include "policy/policy.h"
#include "supervisor/protocol.h"

static struct {
	int epoll;
	struct watch supervisor;
	int failure; /* why this is the last event */
	struct sandbox *sandboxes;
	size_t n_sandboxes;
	struct init spare; /* sock < 0: none */
	uint8_t packet[WIRE_MAX_PACKET];
	int fds[WIRE_MAX_FDS];
	size_t n_fds;
} launcher;

static void send_packet(const struct buf *b, int r, const int *fds, size_t n_fds)
{
	if (r == 0)
		r = msg_send(SUPERVISOR_FD, b->data, b->len, fds, n_fds);
	if (r < 0)
		launcher.failure = r;
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

static void send_number(uint32_t type, uint32_t number, int fd)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, type);
	send_packet(&b, r == 0 ? wire_put_u32(&b, number) : r, &fd, fd >= 0);
}

void send_slot_outcome(const struct slot *slot, const struct error *failure, int sock)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, LAUNCHER_SLOT_READY);
	if (r == 0)
		r = wire_put_u32(&b, slot->sandbox->number);
	if (r == 0)
		r = wire_put_u32(&b, slot->number);
	if (r == 0)
		r = wire_put_u8(&b, failure != NULL);
	if (r == 0)
		r = failure ? wire_put_error(&b, failure) : wire_put_u64(&b, slot->net_cookie);
	send_packet(&b, r, &sock, sock >= 0);
}

int watch_add(struct watch *w, int fd, void *owner, void (*ready)(void *owner))
{
	*w = (struct watch){ .fd = fd, .owner = owner, .ready = ready };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };
	return epoll_ctl(launcher.epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void watch_remove(struct watch *w)
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
	slots_free(s);
	init_close(&s->init);
	wire_close(&s->wire);
	fd_close(s->ruleset);
	fd_close(s->store);
	buf_free(&s->base);
	free(s);
}

/* Why an init that failed could not start, if it said so. */
static void read_last_words(const struct sandbox *s, struct error *ret)
{
	static uint8_t packet[4096];
	struct pollfd p = { .fd = s->init.sock, .events = POLLIN };
	struct error e = { 0 };

	if (poll(&p, 1, 0) != 1)
		return;
	ssize_t n = msg_recv(s->init.sock, packet, sizeof(packet), NULL, 0, NULL);
	struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	if (wire_get_u32(&in) != INIT_READY || !wire_get_u8(&in))
		return;
	wire_get_error(&in, &e);
	if (wire_done(&in))
		*ret = e;
}

/* Init died, by our hand or not: with it every process of its pid namespace. */
static void on_init_dead(void *owner)
{
	struct sandbox *s = owner;
	struct error gone = { .err = ECHILD, .stage = SANDBOX_STAGE_MOUNT, .object = "nsbox-init",
			      .message = "nsbox-init ended before it had prepared the sandbox" };
	const uint32_t number = s->number;
	bool starting = s->state == SANDBOX_STARTING;

	init_wait(&s->init);
	if (starting)
		read_last_words(s, &gone);
	sandbox_free(s);
	if (starting)
		send_outcome(LAUNCHER_SANDBOX_READY, number, &gone, NULL, 0);
	else
		send_number(LAUNCHER_ENDED, number, -EBADF);
}

void sandbox_kill(struct sandbox *s)
{
	init_kill(&s->init);
}

/* The start failed after init was made: nothing of it stays, and only then the failure is told. */
static void start_failed(struct sandbox *s, const struct error *e)
{
	const uint32_t number = s->number;

	init_kill(&s->init);
	init_wait(&s->init);
	sandbox_free(s);
	send_outcome(LAUNCHER_SANDBOX_READY, number, e, NULL, 0);
}

static void init_is_ready(struct sandbox *s, struct wire_reader *in, const int *fds, size_t n_fds)
{
	struct error e = { 0 };
	size_t want = (s->net_mode == NET_HOST ? 1 : s->net_mode == NET_NONE ? 2 : 2 + INIT_TRUST) + (s->overlaid ? 2 : 0);

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
	s->store = s->overlaid ? fds[want - 2] : -EBADF;
	s->state = SANDBOX_READY;
	if (s->overlaid) {
		send_number(LAUNCHER_WORKING, s->number, fds[want - 1]);
		fd_close(fds[want - 1]);
	}
	if (s->net_mode != NET_HOST) {
		send_number(LAUNCHER_CONTROL, s->number, fds[1]);
		fd_close(fds[1]);
	}
	if (s->net_mode != NET_GATEWAY) {
		send_outcome(LAUNCHER_SANDBOX_READY, s->number, NULL, NULL, 0);
		slots_start(s);
		return;
	}
	int out[INIT_TRUST + ARRAY_LEN(s->wire.fds)];
	memcpy(out, fds + 2, INIT_TRUST * sizeof(int));
	memcpy(out + INIT_TRUST, s->wire.fds, s->wire.n_fds * sizeof(int));
	send_outcome(LAUNCHER_SANDBOX_READY, s->number, NULL, out, INIT_TRUST + s->wire.n_fds);
	for (size_t i = 0; i < INIT_TRUST + s->wire.n_fds; i++)
		fd_close(out[i]);
	s->wire.n_fds = 0;
	slots_start(s);
}

static void on_init_message(void *owner)
{
	struct sandbox *s = owner;
	static uint8_t packet[4096];
	int fds[INIT_MAX_FDS];
	size_t n_fds = 0;

	ssize_t n = msg_recv(s->init.sock, packet, sizeof(packet), fds, ARRAY_LEN(fds), &n_fds);
	if (n <= 0) { /* it is dying: its pidfd tells the rest */
		watch_remove(&s->sock_watch);
		sandbox_kill(s);
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
	sandbox_kill(s); /* nothing else is ever said */
}

static int send_plan(struct sandbox *s, uint32_t pids, const void *plan, size_t len, int layer, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, INIT_ROOT);
	if (r == 0)
		r = wire_put_u32(&b, pids);
	if (r == 0)
		r = wire_put_bytes(&b, plan, len);
	if (r == 0)
		r = msg_send(s->init.sock, b.data, b.len, &layer, layer >= 0);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "nsbox-init", "cannot send nsbox-init its plan") : 0;
}

/* One that has something to say before it was asked has failed. */
static bool spare_is_well(void)
{
	struct pollfd p = { .fd = launcher.spare.sock, .events = POLLIN };

	if (launcher.spare.sock < 0 || poll(&p, 1, 0) == 0)
		return launcher.spare.sock >= 0;
	init_kill(&launcher.spare);
	init_wait(&launcher.spare);
	init_close(&launcher.spare);
	return false;
}

static int take_init(uint32_t pids, struct init *ret, struct error *e)
{
	/* The spare was made with the default ceiling, which cannot be changed later. */
	if (pids == DEFAULT_PIDS && spare_is_well()) {
		*ret = launcher.spare;
		launcher.spare = (struct init){ .pidfd = -EBADF, .sock = -EBADF, .net = -EBADF };
		return 0;
	}
	return init_start(INIT_FD, pids, ret, e);
}

/* made: number, mode, limits and base of the new sandbox. */
static void sandbox_start(struct sandbox *made, uint32_t pids, const uint16_t *ports, size_t n_ports,
			  const void *plan, size_t plan_len, int layer)
{
	struct error e = { 0 };
	uint32_t number = made->number;
	struct sandbox *s = calloc(1, sizeof(*s));

	if (!s || launcher.n_sandboxes >= MAX_SANDBOXES) {
		free(s);
		fail(&e, s ? EUSERS : ENOMEM, SANDBOX_STAGE_NAMESPACE, "sandbox", "no room for another sandbox");
		send_outcome(LAUNCHER_SANDBOX_READY, number, &e, NULL, 0);
		return;
	}
	*s = *made;
	s->overlaid = layer >= 0;
	s->ruleset = s->store = s->wire.net = s->init_watch.fd = s->sock_watch.fd = -EBADF;
	made->base = (struct buf){ 0 };
	if (take_init(pids ? pids : DEFAULT_PIDS, &s->init, &e) < 0) {
		buf_free(&s->base);
		free(s);
		send_outcome(LAUNCHER_SANDBOX_READY, number, &e, NULL, 0);
		return;
	}
	s->next = launcher.sandboxes;
	launcher.sandboxes = s;
	launcher.n_sandboxes++;
	/* Init mounts on its own while the wire is made here. */
	int r = send_plan(s, pids, plan, plan_len, layer, &e);
	if (r < 0)
		read_last_words(s, &e);
	if (r == 0 && s->net_mode == NET_GATEWAY)
		r = wire_open(ports, n_ports, s->init.net, &s->wire, &e);
	if (r == 0 && (watch_add(&s->init_watch, s->init.pidfd, s, on_init_dead) < 0 ||
		       watch_add(&s->sock_watch, s->init.sock, s, on_init_message) < 0))
		r = fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, "epoll", "cannot watch the sandbox");
	if (r < 0)
		start_failed(s, &e);
}

static int on_sandbox(struct wire_reader *in)
{
	uint16_t ports[MAX_PORTS];
	size_t plan_len = 0, base_len = 0;
	struct call_paths paths;
	struct sandbox made = { .number = wire_get_u32(in), .net_mode = wire_get_u8(in) };
	uint32_t pids = wire_get_u32(in);
	made.open_files = wire_get_u32(in);
	uint32_t n_ports = wire_get_u32(in);

	if (in->bad || n_ports > MAX_PORTS)
		return -EPROTO;
	for (uint32_t i = 0; i < n_ports; i++)
		ports[i] = (uint16_t)wire_get_u32(in);
	const void *plan = wire_get_bytes(in, &plan_len), *base = wire_get_bytes(in, &base_len);
	if (!wire_done(in) || made.net_mode > NET_HOST || find(made.number) || launcher.n_fds > 1 ||
	    call_paths_parse(base, base_len, &paths) < 0)
		return -EPROTO;
	if (buf_append(&made.base, base, base_len) < 0)
		return -ENOMEM;
	sandbox_start(&made, pids, ports, n_ports, plan, plan_len, launcher.n_fds ? launcher.fds[0] : -EBADF);
	buf_free(&made.base);
	return 0;
}

static int on_slot(struct wire_reader *in)
{
	struct sandbox *s = find(wire_get_u32(in));
	uint32_t number = wire_get_u32(in), address = wire_get_u32(in);
	bool full = wire_get_u8(in);
	size_t covers_len = 0;
	const void *covers = wire_get_bytes(in, &covers_len);

	/* A light call's mount namespace is that of the others. */
	if (!wire_done(in) || number == 0 || (covers_len > 0 && !full) || covers_len > COVERS_MAX_BYTES)
		return -EPROTO;
	/* One that has ended in the meantime has told so. */
	if (s && s->state != SANDBOX_ENDING)
		slot_new(s, number, address, full, covers, covers_len);
	return 0;
}

static int on_listen(struct wire_reader *in)
{
	const uint32_t number = wire_get_u32(in), ticket = wire_get_u32(in), n_ports = wire_get_u32(in);
	uint16_t ports[MAX_PORTS];
	int fds[MAX_PORTS];
	struct error e = { 0 };
	_cleanup_buf_ struct buf b = { 0 };

	if (in->bad || n_ports == 0 || n_ports > WIRE_MAX_FDS || n_ports > MAX_PORTS)
		return -EPROTO;
	for (uint32_t i = 0; i < n_ports; i++)
		ports[i] = (uint16_t)wire_get_u32(in);
	if (!wire_done(in))
		return -EPROTO;
	const struct sandbox *s = find(number);
	if (!s || s->state != SANDBOX_READY || s->net_mode != NET_GATEWAY)
		return 0; /* one that ends has told so, and takes what waits with it */
	bool failed = wire_listen(&s->wire, ports, n_ports, fds, &e) < 0;
	int r = wire_put_u32(&b, LAUNCHER_LISTENING);
	if (r == 0)
		r = wire_put_u32(&b, number);
	if (r == 0)
		r = wire_put_u32(&b, ticket);
	if (r == 0)
		r = wire_put_u8(&b, failed);
	if (r == 0 && failed)
		r = wire_put_error(&b, &e);
	send_packet(&b, r, fds, failed ? 0 : n_ports);
	for (uint32_t i = 0; i < n_ports && !failed; i++)
		fd_close(fds[i]);
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
		sandbox_kill(s);
	}
	return 0;
}

static int dispatch(struct wire_reader *in)
{
	switch (wire_get_u32(in)) {
	case LAUNCHER_SANDBOX:
		return on_sandbox(in);
	case LAUNCHER_SLOT:
		return on_slot(in);
	case LAUNCHER_LISTEN:
		return on_listen(in);
	case LAUNCHER_END:
		return on_end(in);
	default:
		return -EPROTO;
	}
}

static void on_supervisor(void *unused)
{
	(void)unused;
	launcher.n_fds = 0;
	ssize_t n = msg_recv(SUPERVISOR_FD, launcher.packet, sizeof(launcher.packet), launcher.fds, WIRE_MAX_FDS,
			     &launcher.n_fds);
	if (n <= 0) {
		launcher.failure = n < 0 ? (int)n : -ECONNRESET;
		return;
	}
	struct wire_reader in = wire_reader(launcher.packet, (size_t)n);
	int r = dispatch(&in);
	for (size_t i = 0; i < launcher.n_fds; i++)
		fd_close(launcher.fds[i]);
	if (r < 0)
		launcher.failure = r;
}

int launcher_open(void)
{
	launcher.spare.sock = -EBADF;
	launcher.epoll = epoll_create1(EPOLL_CLOEXEC);
	return launcher.epoll < 0 ? -errno : watch_add(&launcher.supervisor, SUPERVISOR_FD, NULL, on_supervisor);
}

void launcher_prepare(void)
{
	(void)init_start(INIT_FD, DEFAULT_PIDS, &launcher.spare, NULL);
}

int launcher_step(bool wait)
{
	struct epoll_event event;

	launcher.failure = 0;
	/* One at a time: an event may free what a later one of the same batch points to. */
	int n = epoll_wait(launcher.epoll, &event, 1, wait ? -1 : 0);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n == 1) {
		struct watch *w = event.data.ptr;
		w->ready(w->owner);
	}
	return launcher.failure < 0 ? launcher.failure : n == 1;
}

_Noreturn void launcher_serve(void)
{
	int r = launcher_open();

	if (r == 0)
		launcher_prepare();
	while (r >= 0)
		r = launcher_step(true);
	/* Without its supervisor nothing here has a purpose; pid 1 going ends all the rest. */
	if (r == -ECONNRESET)
		_exit(0);
	errno = -r;
	launcher_give_up(SUPERVISOR_FD, SANDBOX_STAGE_HELPER, "nsbox-launcher", "the launcher cannot go on");
}
