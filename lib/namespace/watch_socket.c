/* SPDX-License-Identifier: Apache-2.0 */
/* The packet socket in G that shows the gateway what no listener takes, so that it can be recorded. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/util.h"
#include "namespace/launcher_state.h"

/* Enough for the headers; what a call sends to nobody is not kept. */
#define SNAP 128
#define MAX_CODE (MAX_PORTS + 48)

/* Offsets in the IP header, where SOCK_DGRAM packet sockets begin, and behind it (X = its length). */
#define IP_FRAGMENT 6
#define IP_PROTOCOL 9
#define IP_DESTINATION 16
#define L4_PORT 2
#define TCP_FLAGS 13
#define TCP_SYN_ACK 0x12
#define TCP_SYN 0x02

struct program {
	struct sock_filter op[MAX_CODE];
	unsigned short n;
	unsigned short to_drop[MAX_CODE], n_to_drop; /* tests whose jt is the drop at the end */
};

static void add(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	p->op[p->n++] = (struct sock_filter){ code, jt, jf, k };
}

/* Drop when the accumulator is k; only equality is needed. */
static void drop_if(struct program *p, uint32_t k)
{
	p->to_drop[p->n_to_drop++] = p->n;
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, k);
}

/* Drop what goes to port 53 of the resolver; X is set. Two instructions before its last test. */
static void drop_dns(struct program *p)
{
	add(p, BPF_LD | BPF_H | BPF_IND, 0, 0, L4_PORT);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, DNS_PORT);
	add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, IP_DESTINATION);
	drop_if(p, GATEWAY_ADDR);
}

static void build(struct program *p, const uint16_t *ports, size_t n_ports)
{
	/* Later fragments have no ports; they have been seen by their first one. */
	add(p, BPF_LD | BPF_H | BPF_ABS, 0, 0, IP_FRAGMENT);
	add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x1fff);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0);
	add(p, BPF_RET | BPF_K, 0, 0, 0);
	add(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0);

	/* UDP */
	add(p, BPF_LD | BPF_B | BPF_ABS, 0, 0, IP_PROTOCOL);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 5, IPPROTO_UDP);
	drop_dns(p);
	add(p, BPF_RET | BPF_K, 0, 0, SNAP);

	/* ICMP: requests; the rest answers something. */
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, IPPROTO_ICMP);
	add(p, BPF_LD | BPF_B | BPF_IND, 0, 0, 0);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ICMP_ECHO);
	add(p, BPF_RET | BPF_K, 0, 0, 0);
	add(p, BPF_RET | BPF_K, 0, 0, SNAP);

	/* Any other protocol but TCP */
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, IPPROTO_TCP);
	add(p, BPF_RET | BPF_K, 0, 0, SNAP);

	/* TCP: first packets to ports without a listener. */
	add(p, BPF_LD | BPF_B | BPF_IND, 0, 0, TCP_FLAGS);
	add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, TCP_SYN_ACK);
	add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, TCP_SYN);
	add(p, BPF_RET | BPF_K, 0, 0, 0);
	drop_dns(p);
	add(p, BPF_LD | BPF_H | BPF_IND, 0, 0, L4_PORT);
	for (size_t i = 0; i < n_ports; i++)
		drop_if(p, ports[i]);
	add(p, BPF_RET | BPF_K, 0, 0, SNAP);
	add(p, BPF_RET | BPF_K, 0, 0, 0);
	for (unsigned i = 0; i < p->n_to_drop; i++)
		p->op[p->to_drop[i]].jt = (uint8_t)(p->n - 1 - p->to_drop[i] - 1);
}

int watch_socket(const uint16_t *ports, size_t n_ports)
{
	static struct program p;
	/* Bound to the protocol at the end only, so that nothing arrives before the filter is in place. One protocol also
	 * means incoming packets only. */
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || n_ports > MAX_PORTS)
		return fd < 0 ? -errno : -E2BIG;
	p.n = p.n_to_drop = 0;
	build(&p, ports, n_ports);
	struct sock_fprog program = { .len = p.n, .filter = p.op };
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return -errno;
	return bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : TAKE_FD(fd);
}
