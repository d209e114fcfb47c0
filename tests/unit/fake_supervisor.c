/* SPDX-License-Identifier: Apache-2.0 */
/* The fake supervisor of named sandboxes: protocol and files, no namespaces. */
#include "fake_supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/util.h"
#include "base/wire.h"
#include "supervisor/protocol.h"

#define MAX_CLIENTS 32

enum { FD_POLICY, FD_LOG, FD_STATE, FD_ENTRY, FD_LOCK, FD_SOCKET_DIR, FD_SOCKET, N_FDS };

static char *id, *name;
static int place[N_FDS], clients[MAX_CLIENTS], n_clients;
static unsigned n_calls;

static bool named(const char *prefix)
{
	return name && strncmp(name, prefix, strlen(prefix)) == 0;
}

static void reply(int client, uint32_t request, int err, const char *text, int fd)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e = { .err = err, .stage = SANDBOX_STAGE_MOUNT };

	snprintf(e.message, sizeof(e.message), "%s", text);
	wire_put_u32(&m, MSG_REPLY);
	wire_put_u32(&m, request);
	wire_put_u8(&m, err != 0);
	if (err)
		wire_put_error(&m, &e);
	else
		wire_put_str(&m, text);
	msg_send(client, m.data, m.len, &fd, fd >= 0);
}

static void remove_files(void)
{
	static const char *const files[] = { "output", "info", "lock" };
	char text[128];

	if (named("untidy"))
		return;
	snprintf(text, sizeof(text), "%s.sock", name);
	unlinkat(place[FD_SOCKET_DIR], text, 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(place[FD_ENTRY], files[i], 0);
	snprintf(text, sizeof(text), "../%s", name);
	unlinkat(place[FD_ENTRY], text, AT_REMOVEDIR);
}

static void create(int client, uint32_t request, struct wire_reader *in, const int *fds, size_t n_fds)
{
	id = wire_get_str(in);
	name = wire_get_str(in);
	uint32_t n_secrets = wire_get_u32(in);

	if (named("crash") || !wire_done(in) || n_fds != N_FDS + n_secrets)
		_exit(1);
	if (named("refuse")) {
		reply(client, request, ENOTSUP, "it was refused", -1);
		return;
	}
	memcpy(place, fds, sizeof(place));
	reply(client, request, 0, "", -1);
}

static void start(int client, uint32_t request)
{
	_cleanup_buf_ struct buf m = { 0 };
	char call[64];

	snprintf(call, sizeof(call), "%s.%u", id, ++n_calls);
	reply(client, request, 0, call, -1);
	wire_put_u32(&m, MSG_CALL_EXIT);
	wire_put_str(&m, id);
	wire_put_str(&m, call);
	wire_put_u32(&m, 5);
	wire_put_u32(&m, 0);
	wire_put_str(&m, "exit");
	wire_put_u32(&m, 0);
	msg_send(client, m.data, m.len, NULL, 0);
}

static void destroy(int client, uint32_t request, struct wire_reader *in)
{
	_cleanup_free_ char *which = wire_get_str(in);
	bool force = wire_get_u8(in);

	if (!wire_done(in) || strcmp(which, id) != 0)
		_exit(1);
	if (!force && named("busy")) {
		reply(client, request, EBUSY, "a call runs", -1);
		return;
	}
	remove_files();
	reply(client, request, 0, "", -1);
	_exit(0);
}

static void serve(int client)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	int fds[16];
	size_t n_fds = 0;

	ssize_t n = msg_recv(client, packet, sizeof(packet), fds, ARRAY_LEN(fds), &n_fds);
	if (n <= 0) {
		for (int i = 0; i < n_clients; i++) {
			if (clients[i] == client)
				clients[i] = clients[--n_clients];
		}
		close(client);
		/* Without a sandbox there is nobody to stay for. */
		if (place[FD_ENTRY] == 0)
			_exit(0);
		return;
	}
	struct wire_reader in = wire_reader(packet, (size_t)n);
	uint32_t type = wire_get_u32(&in), request = wire_get_u32(&in);
	if (type == MSG_CREATE)
		create(client, request, &in, fds, n_fds);
	else if (type == MSG_OPEN)
		reply(client, request, 0, id, place[FD_POLICY]);
	else if (type == MSG_START)
		start(client, request);
	else if (type == MSG_DESTROY)
		destroy(client, request, &in);
	else if (type != MSG_HELLO)
		_exit(1);
}

void fake_supervisor_main(char **argv)
{
	if (strcmp(argv[0], "nsbox-supervisor") != 0)
		return;
	signal(SIGPIPE, SIG_IGN);
	alarm(60);
	clients[n_clients++] = 3;
	for (;;) {
		struct pollfd p[MAX_CLIENTS + 1] = { { .fd = place[FD_SOCKET] ? place[FD_SOCKET] : -1, .events = POLLIN } };
		int n = n_clients;
		for (int i = 0; i < n; i++)
			p[i + 1] = (struct pollfd){ .fd = clients[i], .events = POLLIN };
		poll(p, (nfds_t)n + 1, -1);
		if (p[0].revents && n_clients < MAX_CLIENTS)
			clients[n_clients++] = accept4(place[FD_SOCKET], NULL, NULL, SOCK_CLOEXEC);
		for (int i = 0; i < n; i++) {
			if (p[i + 1].revents)
				serve(p[i + 1].fd);
		}
	}
}

void fake_supervisor_install(const char *dir)
{
	char program[4096] = "", path[4096];

	if (mkdir(dir, 0700) < 0 || readlink("/proc/self/exe", program, sizeof(program) - 1) < 0 ||
	    snprintf(path, sizeof(path), "%s/nsbox-supervisor", dir) >= (int)sizeof(path) || symlink(program, path) < 0)
		abort();
}
