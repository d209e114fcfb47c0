/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the launcher share. Theory of operation: launcher.c. */
#ifndef NSBOX_NAMESPACE_LAUNCHER_STATE_H
#define NSBOX_NAMESPACE_LAUNCHER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "namespace/pid_ceiling.h"

#define MAX_PORTS 128u
#define MAX_SANDBOXES 4096u

/* The descriptors that the launcher has beside 0 to 2, which hold their places. */
#define SUPERVISOR_FD 3
#define INIT_FD 4

struct sandbox;

/* A descriptor in the epoll set. */
struct watch {
	int fd;
	struct sandbox *sandbox;
	void (*ready)(struct sandbox *sandbox);
};

/* pid 1 of a sandbox, and the network namespace for its first call. */
struct init {
	pid_t pid;
	int pidfd, sock;
	int net;
};

/* The gateway's side of the wire: its namespace and the listeners made in it. */
struct wire {
	int net;
	unsigned connected; /* interfaces made after the first */
	int fds[3 + MAX_PORTS]; /* UDP 53, TCP 53, packet socket, listeners: the order of LAUNCHER_SANDBOX_READY */
	size_t n_fds;
};

struct call {
	uint32_t number; /* 0: none */
	pid_t pid;
	int pidfd;
	bool reaped; /* init is killing what it left */
	uint32_t status, signal;
};

enum sandbox_state { SANDBOX_STARTING, SANDBOX_READY, SANDBOX_ENDING };

struct sandbox {
	struct sandbox *next;
	uint32_t number;
	enum sandbox_state state;
	uint8_t net_mode;
	bool init_net_taken; /* by the first call */
	struct init init;
	struct wire wire;
	int ruleset;
	struct call call;
	struct watch init_watch, sock_watch, call_watch;
};

/* What LAUNCHER_CALL asks for; borrowed from the message. */
struct call_request {
	uint32_t number, address, rows, columns, open_files;
	bool terminal;
	char **argv, **env;
	char *cwd;
	int stdio[3];
};

/* launcher.c: answers the supervisor until its end. */
_Noreturn void launcher_serve(void);

/* init_start.c */
int init_start(int init_fd, uint32_t pids, struct init *ret, struct error *e);
/* Kill it and wait for its end, and so for that of everything in its pid namespace. */
void init_kill(const struct init *init);
void init_close(struct init *init);

/* net.c */
/* A namespace with only lo, up; IPv6 only there. Its descriptor. */
int net_new(struct error *e);
/* G and everything in it; first, the namespace of the first call, is connected already, without an address. */
int wire_open(const uint16_t *ports, size_t n_ports, int first, struct wire *ret, struct error *e);
void wire_close(struct wire *wire);
/* Connect a namespace of net_new to it under this address; for the first one only the address is missing. */
int wire_connect(struct wire *wire, int net, uint32_t address, bool first, struct error *e);

/* netlink.c: the caller is in the namespace in question. */
struct nl_sock;
int netlink_open(struct nl_sock **ret);
void netlink_closep(struct nl_sock **sock);
int netlink_link_up(struct nl_sock *sock, const char *name, unsigned extra_flags);
int netlink_add_address(struct nl_sock *sock, const char *name, uint32_t address);
/* Device route without gateway; destination 0 with prefix 0 is the default; local: type local in table local. */
int netlink_add_route(struct nl_sock *sock, const char *name, uint32_t destination, uint8_t prefix, uint32_t table,
		      bool local);
int netlink_add_rule(struct nl_sock *sock, uint32_t preference, const char *input, uint32_t table);
int netlink_del_rule(struct nl_sock *sock, uint32_t preference, uint32_t table);
/* A veth pair without ARP: name here, eth0 in the namespace peer_net. */
int netlink_add_veth(struct nl_sock *sock, const char *name, int peer_net);

/* watch_socket.c: reports what no listener takes. */
int watch_socket(const uint16_t *ports, size_t n_ports);

/* call_start.c: ret_terminal is the private terminal's other side, or -EBADF. */
int call_launch(struct sandbox *sandbox, int net, const struct call_request *request, struct call *ret,
	       int *ret_terminal, struct error *e);

#endif
