/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the launcher share. Theory of operation: launcher.c. */
#ifndef NSBOX_NAMESPACE_LAUNCHER_STATE_H
#define NSBOX_NAMESPACE_LAUNCHER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "namespace/pid_ceiling.h"

#define MAX_PORTS 128u
#define MAX_SANDBOXES 4096u

/* The descriptors that the launcher has beside 0 to 2, which hold their places. */
#define SUPERVISOR_FD 3
#define INIT_FD 4

struct sandbox;
struct slot;

/* A descriptor in the epoll set. */
struct watch {
	int fd;
	void *owner;
	void (*ready)(void *owner);
};

/* pid 1 of a sandbox, and the network namespace for its first call. */
struct init {
	pid_t pid;
	int pidfd, sock;
	int net;
	uint64_t net_cookie;
};

/* The gateway's side of the wire: its namespace and the listeners made in it. */
struct wire {
	int net;
	unsigned connected; /* interfaces made after the first */
	int fds[3 + MAX_PORTS]; /* UDP 53, TCP 53, packet socket, listeners: the order of LAUNCHER_SANDBOX_READY */
	size_t n_fds;
};

enum sandbox_state { SANDBOX_STARTING, SANDBOX_READY, SANDBOX_ENDING };

struct sandbox {
	struct sandbox *next;
	uint32_t number, open_files;
	enum sandbox_state state;
	uint8_t net_mode;
	bool init_net_taken; /* by the first call */
	bool overlaid;
	struct init init;
	struct wire wire;
	int ruleset;
	int store; /* view.h; -EBADF: no overlays */
	struct buf base; /* of the files, what every grant has */
	struct slot *slots;
	struct watch init_watch, sock_watch;
};

/* A prepared or running call. The launcher knows its network namespace until it has a guardian, then only that. */
struct slot {
	struct slot *next;
	struct sandbox *sandbox;
	uint32_t number;
	bool full;
	int net; /* -EBADF: none, or handed to the guardian */
	uint64_t net_cookie; /* by which the supervisor knows connections of the call; 0: shared with others */
	int pidfd; /* of the guardian; -EBADF: not yet */
	struct buf covers; /* cover.h, for the guardian */
	struct watch watch;
};

/* launcher_start.c: tell the supervisor over this socket what made it impossible to go on (errno), and end. */
_Noreturn void launcher_give_up(int sock, enum sandbox_stage stage, const char *object, const char *what);
/* launcher_start.c calls it in the clone; launcher.c: answers the supervisor until its end. */
_Noreturn void launcher_serve(void);
/* launcher.c */
int launcher_open(void);
/* Make an init ahead of time. A failure here comes again, and is reported, when a sandbox is asked for. */
void launcher_prepare(void);
/* One event: 1, or 0 when there was none; -errno when the supervisor is gone or makes no sense. */
int launcher_step(bool wait);
int watch_add(struct watch *w, int fd, void *owner, void (*ready)(void *owner));
/* Before its descriptor is closed: another process may still hold the same file open, and epoll would go on. */
void watch_remove(struct watch *w);
void send_slot_outcome(const struct slot *slot, const struct error *failure, int sock);
/* Everything in the sandbox ends; on_init_dead does the rest. */
void sandbox_kill(struct sandbox *s);

/* launcher_slot.c */
/* Makes the network namespace now, and the guardian as soon as the sandbox is ready. */
void slot_new(struct sandbox *s, uint32_t number, uint32_t address, bool full, const void *covers, size_t covers_len);
void slots_start(struct sandbox *s);
/* The sandbox is dead: reap what is left of them. */
void slots_free(struct sandbox *s);

/* guardian_start.c: a guardian in the namespaces of the sandbox, with our end of its socket. */
int guardian_start(const struct sandbox *s, struct slot *slot, int *ret_sock, struct error *e);
/* Waits for its end; true when it left by itself, with nothing of its call left behind. */
bool guardian_reap(int pidfd);

/* init_start.c */
int init_start(int init_fd, uint32_t pids, struct init *ret, struct error *e);
void init_kill(const struct init *init);
/* For its end, and so for that of everything in its pid namespace. */
void init_wait(const struct init *init);
void init_close(struct init *init);

/* net.c */
/* A namespace with only lo, up; IPv6 only there. Its descriptor, and its cookie. */
int net_new(uint64_t *ret_cookie, struct error *e);
/* G and everything in it; first, the namespace of the first call, is connected already, without an address. */
int wire_open(const uint16_t *ports, size_t n_ports, int first, struct wire *ret, struct error *e);
void wire_close(struct wire *wire);
/* Connect a namespace of net_new to it under this address; for the first one only the address is missing. */
/* More listeners in it, in the order of the ports; all or none. */
int wire_listen(const struct wire *wire, const uint16_t *ports, size_t n_ports, int *fds, struct error *e);
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

#endif
