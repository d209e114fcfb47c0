/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speaks the launcher's protocol without supervisor or gateway: starts sandboxes, runs one command in each, prints
 * where the time went. Usage: launcher_driver INIT none|gateway|host WORKDIR RUNS [-t] [-f] COMMAND...
 * -f: a full call; -p PROTECTED and -x HIDDEN: paths. Exit status: that of the last command.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/util.h"
#include "base/wire.h"
#include "namespace/launcher.h"
#include "namespace/plan.h"
#include "policy/policy.h"
#include "supervisor/protocol.h"

enum { T_LAUNCHER, T_READY, T_SLOT, T_STARTED, T_EXIT, T_ENDED, T_GONE, T_MAX };
static const char *const stage_names[] = { "launcher", "ready", "slot", "started", "exit", "ended", "gone" };

static uint8_t packet[WIRE_MAX_PACKET];
static int fds[WIRE_MAX_FDS];
static size_t n_fds;

static void put_step(struct buf *b, enum plan_kind kind, const char *path)
{
	wire_put_u8(b, (uint8_t)kind);
	wire_put_str(b, path);
	wire_put_str(b, "");
	wire_put_u64(b, 0);
	wire_put_u64(b, 0);
	wire_put_u8(b, 1);
	wire_put_u64(b, 0);
}

static void make_plan(struct buf *b, int net, const char *workdir, const char *protected, const char *hidden)
{
	char home[64];

	snprintf(home, sizeof(home), "/home/u%u", getuid());
	wire_put_u32(b, PLAN_VERSION);
	wire_put_u8(b, (uint8_t)net);
	wire_put_str(b, home);
	wire_put_u32(b, 1u + (protected != NULL ? 2u : 0) + (hidden != NULL));
	put_step(b, PLAN_BIND_RW, workdir);
	if (protected) { /* one level below the workdir's entries: dir/protected */
		char parent[4096];
		snprintf(parent, sizeof(parent), "%s", protected);
		*strrchr(parent, '/') = '\0';
		put_step(b, PLAN_PIN, parent);
		put_step(b, PLAN_PROTECT, protected);
	}
	if (hidden)
		put_step(b, PLAN_HIDE, hidden);
}

static struct wire_reader expect(int sock, uint32_t type)
{
	struct error e = { 0 };
	ssize_t n = msg_recv(sock, packet, sizeof(packet), fds, WIRE_MAX_FDS, &n_fds);
	if (n <= 0) {
		fprintf(stderr, "launcher is gone (%zd), waiting for %u\n", n, type);
		exit(125);
	}
	struct wire_reader r = wire_reader(packet, (size_t)n);
	uint32_t got = wire_get_u32(&r);
	if (got != type) {
		fprintf(stderr, "got message %u for %u\n", got, type);
		exit(125);
	}
	if (type == LAUNCHER_SANDBOX_READY || type == LAUNCHER_SLOT_READY || type == GUARDIAN_STARTED) {
		if (type != GUARDIAN_STARTED)
			wire_get_u32(&r);
		if (type == LAUNCHER_SLOT_READY)
			wire_get_u32(&r);
		if (wire_get_u8(&r)) {
			wire_get_error(&r, &e);
			fprintf(stderr, "failed: stage %d, errno %d, %s: %s\n", e.stage, e.err, e.object, e.message);
			exit(125);
		}
	}
	return r;
}

static void send_numbers(int sock, uint32_t type, uint32_t a)
{
	_cleanup_buf_ struct buf b = { 0 };

	wire_put_u32(&b, type);
	wire_put_u32(&b, a);
	msg_send(sock, b.data, b.len, NULL, 0);
}

/* Copies the terminal's other side to stdout until the call closes it. */
static void copy_terminal(int fd)
{
	char text[4096];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0)
		if (write(1, text, (size_t)n) < 0)
			break;
}

/* Stands in for the gateway: answers one connection with the addresses that it sees. */
static void answer_one(int listener)
{
	struct sockaddr_in peer = { 0 }, local = { 0 };
	socklen_t len = sizeof(peer);
	struct pollfd p = { .fd = listener, .events = POLLIN };
	char text[128], a[32], b[32];

	if (poll(&p, 1, 3000) != 1)
		_exit(1);
	int fd = accept(listener, (struct sockaddr *)&peer, &len);
	len = sizeof(local);
	getsockname(fd, (struct sockaddr *)&local, &len);
	inet_ntop(AF_INET, &peer.sin_addr, a, sizeof(a));
	inet_ntop(AF_INET, &local.sin_addr, b, sizeof(b));
	int n = snprintf(text, sizeof(text), "from %s to %s:%u\n", a, b, ntohs(local.sin_port));
	_exit(write(fd, text, (size_t)n) == n ? 0 : 1);
}

static void report_packets(int sock)
{
	unsigned char p[128];
	ssize_t n;

	while ((n = recv(sock, p, sizeof(p), MSG_DONTWAIT)) >= 20)
		printf("packet: protocol %u to %u.%u.%u.%u port %u\n", p[9], p[16], p[17], p[18], p[19],
		       (unsigned)p[22] << 8 | p[23]);
}

struct job {
	int net, terminal, full;
	const char *workdir, *protected, *hidden;
	char **argv;
};

static void ask_sandbox(int sock, uint32_t id, const struct job *job)
{
	_cleanup_buf_ struct buf b = { 0 }, plan = { 0 };
	static const uint32_t ports[] = { 80, 443 };

	make_plan(&plan, job->net, job->workdir, job->protected, job->hidden);
	wire_put_u32(&b, LAUNCHER_SANDBOX);
	wire_put_u32(&b, id);
	wire_put_u8(&b, (uint8_t)job->net);
	wire_put_u32(&b, 0);
	wire_put_u32(&b, 0);
	wire_put_u32(&b, job->net == NET_GATEWAY ? 2 : 0);
	for (size_t i = 0; i < 2 && job->net == NET_GATEWAY; i++)
		wire_put_u32(&b, ports[i]);
	wire_put_bytes(&b, plan.data, plan.len);
	wire_put_bytes(&b, "\0\0\0", 4); /* no grants here */
	msg_send(sock, b.data, b.len, NULL, 0);
}

/* The connection to the guardian of a new call. */
static int prepare_call(int sock, uint32_t id, const struct job *job)
{
	_cleanup_buf_ struct buf b = { 0 };

	wire_put_u32(&b, LAUNCHER_SLOT);
	wire_put_u32(&b, id);
	wire_put_u32(&b, id + 1);
	wire_put_u32(&b, job->net == NET_GATEWAY ? CALL_ADDR_FIRST : 0);
	wire_put_u8(&b, (uint8_t)job->full);
	wire_put_bytes(&b, NULL, 0);
	msg_send(sock, b.data, b.len, NULL, 0);
	expect(sock, LAUNCHER_SLOT_READY);
	return fds[0];
}

static void execute(int guardian, const struct job *job)
{
	_cleanup_buf_ struct buf b = { 0 };
	char *env[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", (char *)"TERM=xterm", NULL };
	static const int stdio[3] = { 0, 1, 2 };

	wire_put_u32(&b, GUARDIAN_EXEC);
	wire_put_strv(&b, job->argv);
	wire_put_strv(&b, env);
	wire_put_str(&b, job->workdir);
	wire_put_u32(&b, job->terminal ? START_TERMINAL : 0);
	wire_put_u32(&b, 24);
	wire_put_u32(&b, 80);
	wire_put_u32(&b, 0);
	wire_put_u8(&b, 0);
	wire_put_u32(&b, 0);
	msg_send(guardian, b.data, b.len, stdio, job->terminal ? 0 : 3);
	expect(guardian, GUARDIAN_STARTED);
}

static int run(int sock, uint32_t id, const struct job *job, uint64_t t[T_MAX])
{
	int gateway[8];
	size_t n_gateway = 0;
	pid_t helper = 0;

	ask_sandbox(sock, id, job);
	if (job->net != NET_HOST) {
		expect(sock, LAUNCHER_CONTROL);
		fd_close(fds[0]);
	}
	expect(sock, LAUNCHER_SANDBOX_READY);
	t[T_READY] = now_us();
	n_gateway = n_fds;
	memcpy(gateway, fds, n_fds * sizeof(int));
	if (n_gateway) {
		if (write(gateway[0], "bundle\n", 7) != 7)
			return 125;
		helper = fork();
		if (helper == 0)
			answer_one(gateway[5]);
	}
	int guardian = prepare_call(sock, id, job);
	t[T_SLOT] = now_us();
	execute(guardian, job);
	t[T_STARTED] = now_us();
	if (job->terminal) {
		copy_terminal(fds[0]);
		close(fds[0]);
	}
	struct wire_reader r = expect(guardian, GUARDIAN_EXIT);
	t[T_EXIT] = now_us();
	uint32_t status = wire_get_u32(&r), sig = wire_get_u32(&r);
	close(guardian);
	if (n_gateway) {
		kill(helper, SIGKILL);
		waitpid(helper, NULL, 0);
		report_packets(gateway[3]);
		for (size_t i = 0; i < n_gateway; i++)
			close(gateway[i]);
	}
	send_numbers(sock, LAUNCHER_END, id);
	expect(sock, LAUNCHER_ENDED);
	t[T_ENDED] = now_us();
	return sig ? 128 + (int)sig : (int)status;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	struct error e = { 0 };
	struct job job = { 0 };
	int sock, pidfd, status = 0;

	if (argc < 6)
		return 125;
	int init_fd = open(argv[1], O_PATH | O_CLOEXEC);
	job.net = strcmp(argv[2], "none") == 0 ? NET_NONE : strcmp(argv[2], "host") == 0 ? NET_HOST : NET_GATEWAY;
	job.workdir = argv[3];
	size_t runs = strtoul(argv[4], NULL, 10);
	job.argv = argv + 5;
	for (; job.argv[0] && job.argv[0][0] == '-'; job.argv++) {
		if (strcmp(job.argv[0], "-t") == 0)
			job.terminal = 1;
		else if (strcmp(job.argv[0], "-f") == 0)
			job.full = 1;
		else if (strcmp(job.argv[0], "-p") == 0)
			job.protected = *++job.argv;
		else if (strcmp(job.argv[0], "-x") == 0)
			job.hidden = *++job.argv;
	}
	uint64_t(*cost)[T_MAX + 1] = calloc(runs, sizeof(*cost));
	for (size_t i = 0; i < runs; i++) {
		/* Each run with a launcher of its own, as `nsbox run` has it. */
		uint64_t start = now_us(), t[T_MAX] = { 0 };
		if (launcher_start(init_fd, &sock, &pidfd, &e) < 0) {
			fprintf(stderr, "%s\n", e.message);
			return 125;
		}
		t[T_LAUNCHER] = now_us();
		status = run(sock, 10, &job, t);
		close(sock);
		waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){ 0 }, WEXITED);
		close(pidfd);
		t[T_GONE] = now_us();
		for (int k = 0; k < T_MAX; k++)
			cost[i][k] = t[k] - (k ? t[k - 1] : start);
		cost[i][T_MAX] = t[T_EXIT] - start;
		/* The kernel is still taking apart the namespaces of this run. */
		if (i + 1 < runs)
			usleep(20000);
	}
	for (int k = 0; k <= T_MAX && runs > 1; k++) {
		uint64_t *v = calloc(runs, sizeof(*v));
		for (size_t i = 0; i < runs; i++)
			v[i] = cost[i][k];
		qsort(v, runs, sizeof(*v), compare);
		fprintf(stderr, "%-10s p50 %6lu us  p95 %6lu us\n", k < T_MAX ? stage_names[k] : "to exit",
			(unsigned long)v[runs / 2], (unsigned long)v[runs * 95 / 100]);
		free(v);
	}
	free(cost);
	return status;
}
