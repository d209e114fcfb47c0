/* SPDX-License-Identifier: Apache-2.0 */
/* Records of refused attempts. */
#include "gateway/attempts.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/addresses.h"
#include "base/json.h"
#include "base/util.h"
#include "gateway/gateway.h"

#define RECORDS_PER_SECOND 50u
#define REPEAT_US (60u * 1000000u)
#define BURST 64

#define IP_PROTO_AT 9
#define IP_FRAGMENT_AT 6
#define IP_DST_AT 16
#define TCP_FLAGS_AT 13
#define SYN 0x02
#define ACK 0x10

/* Only what opens something: TCP SYN without ACK, UDP other than to the resolver, ICMP echo; not our own replies, and
 * of fragments only the first. The numbers behind the lines are those that the jumps count. */
#define GOTO(from, to) ((to) - (from) - 1)
#define ACCEPT 18
#define REJECT 19
static const struct sock_filter FILTER[] = {
	/*  0 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_AD_OFF + SKF_AD_PKTTYPE),
	/*  1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, GOTO(1, REJECT), 0),
	/*  2 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, IP_FRAGMENT_AT),
	/*  3 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, GOTO(3, REJECT), 0),
	/*  4 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
	/*  5 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IP_PROTO_AT),
	/*  6 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, GOTO(6, 10)),
	/*  7 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, TCP_FLAGS_AT),
	/*  8 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
	/*  9 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, GOTO(9, ACCEPT), GOTO(9, REJECT)),
	/* 10 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, GOTO(10, 15)),
	/* 11 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
	/* 12 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DNS_PORT, 0, GOTO(12, ACCEPT)),
	/* 13 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP_DST_AT),
	/* 14 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GATEWAY_ADDR, GOTO(14, REJECT), GOTO(14, ACCEPT)),
	/* 15 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMP, 0, GOTO(15, REJECT)),
	/* 16 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
	/* 17 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_ECHO, GOTO(17, ACCEPT), GOTO(17, REJECT)),
	/* 18 */ BPF_STMT(BPF_RET | BPF_K, 128),
	/* 19 */ BPF_STMT(BPF_RET | BPF_K, 0),
};

static bool limit_reached(struct attempts *a, uint64_t now)
{
	uint64_t window = now / 1000000;

	if (window != a->window) {
		a->window = window;
		a->in_window = 0;
	}
	return a->in_window++ >= RECORDS_PER_SECOND;
}

/* True when the same attempt was recorded a short while ago. */
static bool seen(struct attempts *a, const struct attempt_key *key)
{
	uint32_t h = (key->src * 2654435761u) ^ (key->dst * 2246822519u) ^ ((uint32_t)key->port << 8 | key->proto) * 97u;
	struct attempt_key *slot = &a->seen[(h ^ h >> 16) % ATTEMPTS_SEEN];

	if (slot->at && slot->src == key->src && slot->dst == key->dst && slot->port == key->port &&
	    slot->proto == key->proto && slot->reason == key->reason && key->at - slot->at < REPEAT_US)
		return true;
	*slot = *key;
	return false;
}

void attempts_record(struct gateway *gw, struct call *call, uint32_t dst, uint16_t port, const char *proto,
		     const char *reason)
{
	struct attempts *a = &gw->attempts;
	struct attempt_key key = { .src = call ? call->addr : 0, .dst = dst, .port = port,
				   .proto = (uint8_t)proto[0], .reason = reason, .at = gw->loop.now };
	char addr[INET_ADDRSTRLEN];
	struct in_addr in = { .s_addr = htonl(dst) };

	if (seen(a, &key) || limit_reached(a, gw->loop.now))
		return;
	_cleanup_buf_ struct buf members = { 0 };
	const struct name *name = names_by_addr(&gw->names, dst);
	if (name)
		json_member_string(&members, "host", name->text);
	json_member_string(&members, "addr", inet_ntop(AF_INET, &in, addr, sizeof(addr)));
	json_member_int(&members, "port", port);
	json_member_string(&members, "proto", proto);
	records_add(&gw->records, "net.deny", call, reason, &members);
}

static void packet(struct gateway *gw, const uint8_t *p, size_t len)
{
	if (len < 20 || p[0] >> 4 != 4)
		return;
	size_t head = (size_t)(p[0] & 15) * 4;
	uint32_t src, dst;
	memcpy(&src, p + 12, 4);
	memcpy(&dst, p + IP_DST_AT, 4);
	struct call *call = calls_by_addr(&gw->calls, ntohl(src));
	uint8_t proto = p[IP_PROTO_AT];
	if (!call || head < 20 || len < head + 4)
		return;
	uint16_t port = (uint16_t)(p[head + 2] << 8 | p[head + 3]);
	if (proto == IPPROTO_TCP && listeners_has_port(&gw->listeners, port))
		return;
	const char *name = proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "icmp";
	attempts_record(gw, call, ntohl(dst), proto == IPPROTO_ICMP ? 0 : port, name, "no-listener");
}

static void attempts_ready(struct source *source, uint32_t events)
{
	struct attempts *a = (struct attempts *)source;
	uint8_t data[128];

	(void)events;
	for (int i = 0; i < BURST; i++) {
		struct sockaddr_ll from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(source->fd, data, sizeof(data), MSG_TRUNC, (struct sockaddr *)&from, &from_len);
		if (n < 0)
			return;
		if (from.sll_protocol == htons(ETH_P_IP) && from.sll_pkttype != PACKET_OUTGOING)
			packet(a->gw, data, (size_t)n < sizeof(data) ? (size_t)n : sizeof(data));
	}
}

int attempts_init(struct gateway *gw, int fd)
{
	struct attempts *a = &gw->attempts;
	struct sock_fprog program = { .len = ARRAY_LEN(FILTER), .filter = (struct sock_filter *)(uintptr_t)FILTER };

	*a = (struct attempts){ .source = { .fd = fd, .ready = attempts_ready }, .gw = gw };
	/* The launcher may have attached its own and locked it; ours only saves wake-ups. */
	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	return loop_add(&gw->loop, &a->source, EPOLLIN);
}
