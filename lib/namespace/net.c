/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces and the wire between a call and the gateway.
 *
 * G, the gateway's namespace, has no way out. Everything that arrives from a call is local there (rule 20: any
 * destination is ours), so a listener bound to 0.0.0.0 with IP_TRANSPARENT takes connections to any address. Rule 10
 * is for what G itself sends: the replies, one /32 route a call. The kernel's default rule 0 is deleted because it
 * would find the /32 of another call first and forward. Nothing in a sandbox has a capability over these namespaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/util.h"
#include "namespace/aside.h"
#include "namespace/launcher_state.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define TABLE_REPLIES 100
#define BACKLOG 4096

struct sysctl {
	const char *path, *value;
};

/* Values of a new namespace come from the host's. */
static const struct sysctl gateway_sysctls[] = {
	{ "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1" },
	{ "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1" },
	{ "/proc/sys/net/ipv4/ip_forward", "0" },
	/* The larger one of both counts, and a device takes the default when it is made: 2 is looser. */
	{ "/proc/sys/net/ipv4/conf/all/rp_filter", "1" },
	{ "/proc/sys/net/ipv4/conf/default/rp_filter", "1" },
	/* Else refusals of UDP are throttled and clients wait. */
	{ "/proc/sys/net/ipv4/icmp_ratelimit", "0" },
};

/* Before eth0 exists, or TCP over link-local addresses would reach G; lo keeps ::1. */
static const struct sysctl call_sysctls[] = { { "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1" } };

static int apply(const struct sysctl *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int fd = open(s[i].path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT) /* no IPv6 in this kernel */
			continue;
		if (fd < 0 || write(fd, s[i].value, strlen(s[i].value)) < 0)
			return -errno;
	}
	return 0;
}

/* ret_cookie, if wanted: the number of this namespace, which is never given to another; 0 before Linux 5.14. */
static int lo_up(uint64_t *ret_cookie)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	socklen_t len = sizeof(*ret_cookie);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return -errno;
	if (ret_cookie && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0)
		*ret_cookie = 0;
	return 0;
}

static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int net_new_work(void *ret_cookie)
{
	_cleanup_close_ int net = new_namespace();
	int r = net < 0 ? net : apply(call_sysctls, ARRAY_LEN(call_sysctls));

	if (r == 0)
		r = lo_up(ret_cookie);
	return r < 0 ? r : TAKE_FD(net);
}

int net_new(uint64_t *ret_cookie, struct error *e)
{
	int r = aside(net_new_work, ret_cookie);

	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_NETWORK, "lo", "cannot make a network namespace") : r;
}

static int set_routing(void)
{
	_cleanup_(netlink_closep) struct nl_sock *nl = NULL;

	int r = netlink_open(&nl);
	if (r == 0)
		r = netlink_add_address(nl, "lo", GATEWAY_ADDR);
	if (r == 0)
		r = netlink_add_route(nl, "lo", 0, 0, RT_TABLE_LOCAL, true);
	if (r == 0)
		r = netlink_add_rule(nl, 10, "lo", TABLE_REPLIES);
	if (r == 0)
		r = netlink_add_rule(nl, 20, NULL, RT_TABLE_LOCAL);
	if (r == 0)
		r = netlink_del_rule(nl, 0, RT_TABLE_LOCAL);
	return r;
}

static int bind_to(int fd, uint32_t address, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address) };

	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
}

static int listener(uint32_t address, uint16_t port, bool transparent)
{
	const int one = 1;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	/* The resolver's listener and one for any address on the same port: the more specific one wins. */
	if (port == DNS_PORT && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return -errno;
	if (transparent && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof(one)) < 0)
		return -errno;
	int r = bind_to(fd, address, port);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

static int open_sockets(struct wire *w, const uint16_t *ports, size_t n_ports)
{
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (udp < 0)
		return -errno;
	w->fds[w->n_fds++] = udp;
	int r = bind_to(udp, GATEWAY_ADDR, DNS_PORT);
	if (r < 0)
		return r;
	int tcp = listener(GATEWAY_ADDR, DNS_PORT, false);
	if (tcp < 0)
		return tcp;
	w->fds[w->n_fds++] = tcp;
	int packets = watch_socket(ports, n_ports);
	if (packets < 0)
		return packets;
	w->fds[w->n_fds++] = packets;
	for (size_t i = 0; i < n_ports; i++) {
		int fd = listener(INADDR_ANY, ports[i], true);
		if (fd < 0)
			return fd;
		w->fds[w->n_fds++] = fd;
	}
	return 0;
}

/* The two ends, up, without an address. */
static int connect_here(const struct wire *w, int net, const char *name)
{
	_cleanup_(netlink_closep) struct nl_sock *nl = NULL, *inside = NULL;

	if (setns(w->net, CLONE_NEWNET) < 0)
		return -errno;
	int r = netlink_open(&nl);
	if (r == 0)
		r = netlink_add_veth(nl, name, net);
	if (r == 0 && setns(net, CLONE_NEWNET) < 0)
		r = -errno;
	if (r == 0)
		r = netlink_open(&inside);
	if (r == 0)
		r = netlink_link_up(inside, "eth0", IFF_NOARP);
	/* Up only now: an interface up before its peer exists is ENOTCONN. */
	return r < 0 ? r : netlink_link_up(nl, name, IFF_NOARP);
}

struct opening {
	const uint16_t *ports;
	size_t n_ports;
	int first;
	struct wire *wire;
};

static int wire_open_work(void *arg)
{
	const struct opening *o = arg;

	o->wire->net = new_namespace();
	int r = o->wire->net < 0 ? o->wire->net : apply(gateway_sysctls, ARRAY_LEN(gateway_sysctls));
	if (r == 0)
		r = lo_up(NULL);
	if (r == 0)
		r = set_routing();
	if (r == 0)
		r = open_sockets(o->wire, o->ports, o->n_ports);
	return r < 0 ? r : connect_here(o->wire, o->first, "gw0");
}

int wire_open(const uint16_t *ports, size_t n_ports, int first, struct wire *ret, struct error *e)
{
	struct wire w = { .net = -EBADF };
	struct opening o = { .ports = ports, .n_ports = n_ports, .first = first, .wire = &w };

	int r = aside(wire_open_work, &o);
	if (r < 0) {
		wire_close(&w);
		return fail_errno(e, -r, SANDBOX_STAGE_NETWORK, "gateway", "cannot make the gateway's network namespace");
	}
	*ret = w;
	return 0;
}

struct listening {
	const struct wire *wire;
	const uint16_t *ports;
	size_t n_ports;
	int *fds;
};

static int wire_listen_work(void *arg)
{
	const struct listening *l = arg;
	int r = setns(l->wire->net, CLONE_NEWNET) < 0 ? -errno : 0;
	size_t n = 0;

	for (; n < l->n_ports && r >= 0; n++)
		l->fds[n] = r = listener(INADDR_ANY, l->ports[n], true);
	if (r >= 0)
		return 0;
	while (n > 0)
		fd_close(l->fds[--n]);
	return r;
}

int wire_listen(const struct wire *w, const uint16_t *ports, size_t n_ports, int *fds, struct error *e)
{
	struct listening l = { .wire = w, .ports = ports, .n_ports = n_ports, .fds = fds };

	int r = aside(wire_listen_work, &l);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_NETWORK, "gateway", "cannot listen on another port of the gateway") : 0;
}

void wire_close(struct wire *w)
{
	for (size_t i = 0; i < w->n_fds; i++)
		fd_close(w->fds[i]);
	fd_close(w->net);
	*w = (struct wire){ .net = -EBADF };
}

static int address_here(const struct wire *w, int net, const char *name, uint32_t address)
{
	_cleanup_(netlink_closep) struct nl_sock *nl = NULL, *inside = NULL;

	if (setns(net, CLONE_NEWNET) < 0)
		return -errno;
	int r = netlink_open(&inside);
	if (r == 0)
		r = netlink_add_address(inside, "eth0", address);
	if (r == 0)
		r = netlink_add_route(inside, "eth0", 0, 0, RT_TABLE_MAIN, false);
	if (r == 0 && setns(w->net, CLONE_NEWNET) < 0)
		r = -errno;
	if (r == 0)
		r = netlink_open(&nl);
	return r < 0 ? r : netlink_add_route(nl, name, address, 32, TABLE_REPLIES, false);
}

struct connecting {
	const struct wire *wire;
	int net;
	uint32_t address;
	bool ready_made;
	char name[IFNAMSIZ];
};

static int wire_connect_work(void *arg)
{
	const struct connecting *c = arg;

	int r = c->ready_made ? 0 : connect_here(c->wire, c->net, c->name);
	return r < 0 ? r : address_here(c->wire, c->net, c->name, c->address);
}

int wire_connect(struct wire *w, int net, uint32_t address, bool first, struct error *e)
{
	struct connecting c = { .wire = w, .net = net, .address = address, .ready_made = first };

	/* gw0 was made with the wire. */
	snprintf(c.name, sizeof(c.name), "gw%u", first ? 0 : ++w->connected);
	int r = aside(wire_connect_work, &c);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_NETWORK, c.name, "cannot connect the call to the gateway") : 0;
}
