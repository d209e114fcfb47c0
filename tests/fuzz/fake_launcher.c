/* SPDX-License-Identifier: Apache-2.0 */
/* Inits, guardians and wires of a launcher that makes none. */
#include "fake_launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/util.h"
#include "policy/policy.h"

#define FIRST_PID 1000000 /* no process of ours has such a number */

struct fake_launcher fake;

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "broken invariant: %s\n", what);
		abort();
	}
}

static bool is_open(int fd)
{
	return fd >= 0 && fcntl(fd, F_GETFD) >= 0;
}

static int null_fd(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	check(fd >= 0, "/dev/null");
	return fd;
}

static struct fake_process *process(const struct fake_process *init, int *ret_pidfd, int *ret_sock)
{
	int pair[2];

	if (fake.n == FAKE_PROCESSES)
		return NULL;
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
	struct fake_process *p = &fake.processes[fake.n++];
	*p = (struct fake_process){ .sock = pair[1], .init = init, .alive = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	p->pidfd = fcntl(p->alive, F_DUPFD_CLOEXEC, 3);
	check(p->pidfd >= 0, "eventfd");
	*ret_pidfd = p->pidfd;
	*ret_sock = pair[0];
	return p;
}

void fake_die(struct fake_process *p, bool orderly)
{
	const uint64_t one = 1;

	if (p->dead)
		return;
	p->dead = true;
	p->orderly = orderly;
	check(write(p->alive, &one, sizeof(one)) == sizeof(one), "eventfd");
	fd_close(TAKE_FD(p->sock));
	for (size_t i = 0; i < fake.n && !p->init; i++) {
		if (fake.processes[i].init == p)
			fake_die(&fake.processes[i], false);
	}
}

static void reap(struct fake_process *p)
{
	check(p->dead, "the launcher waits for what lives");
	check(!p->reaped, "reaped twice");
	p->reaped = true;
}

void fake_check_end(void)
{
	for (size_t i = 0; i < fake.n; i++) {
		struct fake_process *p = &fake.processes[i];
		check(p->reaped, "a process that nobody reaped");
		fd_close(p->alive);
	}
	fake.n = 0;
}

/* ---- init_start.c ---- */

static struct fake_process *init_of(const struct init *init)
{
	size_t i = (size_t)(init->pid - FIRST_PID);

	check(i < fake.n && fake.processes[i].pidfd == init->pidfd && !fake.processes[i].reaped, "not an init");
	return &fake.processes[i];
}

int init_start(int init_fd, uint32_t pids, struct init *ret, struct error *e)
{
	struct init init = { .pid = FIRST_PID + (pid_t)fake.n, .net = -EBADF };

	(void)init_fd;
	check(pids > 0, "a sandbox without processes");
	if (fake.no_inits || !process(NULL, &init.pidfd, &init.sock))
		return fail(e, EAGAIN, SANDBOX_STAGE_NAMESPACE, "clone3", "no init can be made");
	init.net = null_fd();
	*ret = init;
	return 0;
}

void init_kill(const struct init *init)
{
	fake_die(init_of(init), false);
}

void init_wait(const struct init *init)
{
	reap(init_of(init));
}

void init_close(struct init *init)
{
	fd_close(init->pidfd);
	fd_close(init->sock);
	fd_close(init->net);
	*init = (struct init){ .pidfd = -EBADF, .sock = -EBADF, .net = -EBADF };
}

/* ---- guardian_start.c ---- */

int guardian_start(const struct sandbox *s, struct slot *slot, int *ret_sock, struct error *e)
{
	check(s->state == SANDBOX_READY && is_open(s->ruleset), "a guardian in a sandbox that is not ready");
	check(s->net_mode == NET_HOST ? slot->net < 0 : is_open(slot->net), "network namespace of a call");
	check(slot->pidfd < 0, "a second guardian for one call");
	if (fake.no_guardians || !process(init_of(&s->init), &slot->pidfd, ret_sock))
		return fail(e, EAGAIN, SANDBOX_STAGE_NAMESPACE, "clone3", "no guardian can be made");
	fd_close(TAKE_FD(slot->net));
	return 0;
}

bool guardian_reap(int pidfd)
{
	for (size_t i = 0; i < fake.n; i++) {
		struct fake_process *p = &fake.processes[i];
		if (p->pidfd == pidfd && p->init && !p->reaped) {
			reap(p);
			return p->orderly;
		}
	}
	check(false, "not a guardian");
	return false;
}

/* ---- net.c ---- */

int net_new(uint64_t *ret_cookie, struct error *e)
{
	*ret_cookie = 1;
	return fake.no_nets ? fail(e, EAGAIN, SANDBOX_STAGE_NETWORK, "unshare", "no namespace can be made") : null_fd();
}

int wire_open(const uint16_t *ports, size_t n_ports, int first, struct wire *ret, struct error *e)
{
	(void)ports;
	check(is_open(first) && n_ports <= MAX_PORTS, "wire");
	if (fake.no_wires)
		return fail(e, EAGAIN, SANDBOX_STAGE_NETWORK, "gateway", "no wire can be made");
	*ret = (struct wire){ .net = null_fd() };
	while (ret->n_fds < 3 + n_ports)
		ret->fds[ret->n_fds++] = null_fd();
	return 0;
}

int wire_listen(const struct wire *wire, const uint16_t *ports, size_t n_ports, int *fds, struct error *e)
{
	check(is_open(wire->net) && n_ports > 0, "listening nowhere");
	if (fake.no_wires)
		return fail(e, EADDRINUSE, SANDBOX_STAGE_NETWORK, "gateway", "no listener for %u", ports[0]);
	for (size_t i = 0; i < n_ports; i++)
		fds[i] = null_fd();
	return 0;
}

void wire_close(struct wire *wire)
{
	for (size_t i = 0; i < wire->n_fds; i++)
		fd_close(wire->fds[i]);
	fd_close(wire->net);
	*wire = (struct wire){ .net = -EBADF };
}

int wire_connect(struct wire *wire, int net, uint32_t address, bool first, struct error *e)
{
	(void)address;
	check(is_open(wire->net) && is_open(net), "connecting to nothing");
	check(!first || wire->connected == 0, "the first call comes first");
	wire->connected += !first;
	return fake.no_wires ? fail(e, EAGAIN, SANDBOX_STAGE_NETWORK, "gw", "no wire can be made") : 0;
}
