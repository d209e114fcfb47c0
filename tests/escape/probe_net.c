/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 41-43, 45, 75: sockets by kind, the network's configuration, and ways around the socket calls. */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void try_socket(const char *row, int domain, int type, int protocol)
{
	int fd;

	errno = 0;
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	report(row, fd);
	if (fd >= 0)
		close(fd);
}

static void families(void)
{
	static const struct {
		const char *row;
		int domain, type, protocol;
	} table[] = {
		{ "vsock", 40, SOCK_STREAM, 0 },	  { "alg", 38, SOCK_SEQPACKET, 0 },
		{ "key", 15, SOCK_RAW, 2 },		  { "xdp", 44, SOCK_RAW, 0 },
		{ "packet", 17, SOCK_RAW, 0 },		  { "packet-dgram", 17, SOCK_DGRAM, 0x0300 },
		{ "tipc", 30, SOCK_DGRAM, 0 },		  { "rds", 21, SOCK_SEQPACKET, 0 },
		{ "can", 29, SOCK_RAW, 1 },		  { "bluetooth", 31, SOCK_RAW, 1 },
		{ "nfc", 39, SOCK_SEQPACKET, 1 },	  { "qipcrtr", 42, SOCK_DGRAM, 0 },
		{ "smc", 43, SOCK_STREAM, 0 },		  { "mctp", 45, SOCK_DGRAM, 0 },
		{ "kcm", 41, SOCK_DGRAM, 0 },		  { "ax25", 3, SOCK_DGRAM, 0 },
		{ "x25", 9, SOCK_SEQPACKET, 0 },	  { "llc", 26, SOCK_STREAM, 0 },
		{ "phonet", 35, SOCK_DGRAM, 0 },	  { "ieee802154", 36, SOCK_DGRAM, 0 },
		{ "mpls", 28, SOCK_DGRAM, 0 },		  { "pppox", 24, SOCK_STREAM, 0 },
		{ "netlink-netfilter", 16, SOCK_RAW, 12 }, { "netlink-xfrm", 16, SOCK_RAW, 6 },
		{ "netlink-audit", 16, SOCK_RAW, 9 },	  { "netlink-uevent", 16, SOCK_RAW, 15 },
		{ "netlink-connector", 16, SOCK_RAW, 11 }, { "netlink-generic", 16, SOCK_RAW, 16 },
		{ "netlink-diag", 16, SOCK_RAW, 4 },	  { "netlink-crypto", 16, SOCK_RAW, 21 },
		{ "netlink-scsi", 16, SOCK_RAW, 18 },	  { "netlink-selinux", 16, SOCK_RAW, 7 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		try_socket(table[i].row, table[i].domain, table[i].type, table[i].protocol);
}

/* Every domain there is: whatever is not one of the four granted is a finding, named in the row. */
static void domain_sweep(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_RDM, 10 };
	char row[64];
	int pair[2], extra = 0;

	try_socket("unix", AF_UNIX, SOCK_STREAM, 0);
	try_socket("inet", AF_INET, SOCK_STREAM, 0);
	try_socket("inet-udp", AF_INET, SOCK_DGRAM, 0);
	try_socket("inet6", AF_INET6, SOCK_STREAM, 0);
	try_socket("netlink-route", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	for (int domain = 0; domain < 64; domain++)
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
			for (int protocol = 0; protocol < (domain == AF_NETLINK ? 32 : 1); protocol++) {
				int fd = socket(domain, types[t], protocol);

				if (fd < 0)
					continue;
				close(fd);
				if (domain == AF_UNIX || domain == AF_INET || domain == AF_INET6 ||
				    (domain == AF_NETLINK && protocol == NETLINK_ROUTE))
					continue;
				snprintf(row, sizeof(row), "domain-%d-%zu-%d", domain, t, protocol);
				if (extra++ < 20)
					result("sweep", "ok", "%s", row);
			}
	if (!extra)
		result("sweep", "none", "-");
	for (int domain = 2; domain < 64; domain++)
		if (!socketpair(domain, SOCK_STREAM, 0, pair))
			result("pair-sweep", "ok", "domain %d", domain);
#ifdef __x86_64__
	/* 32-bit socketcall(SYS_SOCKET): the filter must not be blind to it. Its arguments have to sit below 4 GiB. */
	static unsigned args[3] = { 17, SOCK_RAW, 0 };
	int rc;

	__asm__ volatile("int $0x80" : "=a"(rc) : "a"(102), "b"(1), "c"(args) : "memory", "r8", "r9", "r10", "r11");
	errno = rc < 0 ? -rc : 0;
	report("socketcall", rc < 0 ? -1 : rc);
#endif
}

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct rtmsg route;
	} u;
	char attributes[64];
};

static void add_attribute(struct request *r, unsigned short type, const void *data, unsigned short len)
{
	struct rtattr *a = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static int netlink(struct request *r)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	r->head.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(fd, r, r->head.nlmsg_len, 0) >= 0)
		n = recv(fd, &answer, sizeof(answer), 0);
	int saved = errno;
	close(fd);
	errno = saved;
	if (n < 0)
		return -1;
	errno = -answer.error.error;
	return answer.error.error ? -1 : 0;
}

static void configure(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	struct request r = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(r.u.link)), .nlmsg_type = RTM_NEWLINK,
				       .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL } };
	unsigned lo = if_nametoindex("lo"), address = htonl(0xc0000211); /* 192.0.2.17 */
	struct {
		struct rtattr kind;
		char name[8];
	} veth = { .kind = { .rta_type = IFLA_INFO_KIND, .rta_len = RTA_LENGTH(5) }, .name = "veth" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	keep_host_safe();
	add_attribute(&r, IFLA_LINKINFO, &veth, sizeof(veth));
	TRY("link-add", netlink(&r));

	r = (struct request){ .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(r.u.link)), .nlmsg_type = RTM_NEWLINK } };
	r.u.link = (struct ifinfomsg){ .ifi_index = (int)lo, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	TRY("link-up", netlink(&r));

	r = (struct request){ .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(r.u.link)), .nlmsg_type = RTM_NEWLINK } };
	r.u.link.ifi_index = (int)lo;
	add_attribute(&r, IFLA_NET_NS_PID, &(int){ getpid() }, 4);
	TRY("link-move", netlink(&r));

	address = htonl(0xc0000211);
	r = (struct request){ .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(r.u.addr)), .nlmsg_type = RTM_NEWADDR,
					.nlmsg_flags = NLM_F_CREATE } };
	r.u.addr = (struct ifaddrmsg){ .ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = lo };
	add_attribute(&r, IFA_LOCAL, &address, 4);
	TRY("address-add", netlink(&r));

	r = (struct request){ .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(r.u.route)), .nlmsg_type = RTM_NEWROUTE,
					.nlmsg_flags = NLM_F_CREATE } };
	r.u.route = (struct rtmsg){ .rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = RT_TABLE_MAIN,
				    .rtm_scope = RT_SCOPE_LINK, .rtm_type = RTN_UNICAST, .rtm_protocol = 4 };
	address = htonl(0xc0000212);
	add_attribute(&r, RTA_DST, &address, 4);
	add_attribute(&r, RTA_OIF, &lo, 4);
	TRY("route-add", netlink(&r));

	ifr.ifr_flags = IFF_UP | IFF_PROMISC;
	TRY("ioctl-flags", ioctl(fd, SIOCSIFFLAGS, &ifr));
	((struct sockaddr_in *)&ifr.ifr_addr)->sin_family = AF_INET;
	((struct sockaddr_in *)&ifr.ifr_addr)->sin_addr.s_addr = htonl(0x7f000002);
	strcpy(ifr.ifr_name, "lo:9");
	TRY("ioctl-address", ioctl(fd, SIOCSIFADDR, &ifr));
	close(fd);
	try_socket("nftables", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	try_socket("raw-iptables", AF_INET, SOCK_RAW, 255);
}

/* A ring reaches socket and connect without the filtered calls. */
static void ring(void)
{
	struct io_uring_params p = { 0 };
	int fd;

	errno = 0;
	fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	report("setup-ring", fd);
	TRY("enter", syscall(SYS_io_uring_enter, fd, 0, 0, 0, NULL, 0));
	/* 8: probe; a bad pointer would say EFAULT where the call is reachable */
	TRY("register", syscall(SYS_io_uring_register, fd, 8, NULL, 1));
	if (fd >= 0)
		close(fd);
}

/* Each descriptor that the hostile caller left open, by kind (see @caller): is it here, and does it work? */
static void inherited_sockets(void)
{
	static const char *const kinds[] = { "listening", "connected", "netlink", "packet", "unix", "pair" };
	char key[32];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct stat st;
		const char *value;

		snprintf(key, sizeof(key), "fd_%s", kinds[i]);
		value = fact(key);
		if (!value)
			continue;
		TRY(kinds[i], fstat(atoi(value), &st));
		snprintf(key, sizeof(key), "%s-use", kinds[i]);
		TRY(key, send(atoi(value), "", 0, MSG_DONTWAIT) < 0 && errno == EBADF ? -1 : 0);
	}
}

const struct attempt net_attempts[] = {
	{ 41, "socket-families", families },
	{ 42, "configure-network", configure },
	{ 43, "io-uring", ring },
	{ 45, "inherited-sockets", inherited_sockets },
	{ 75, "domain-sweep", domain_sweep },
	{ 0 },
};
