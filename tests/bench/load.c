/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load client: load HOST PORT CAFILE [ADDRESS [TUNNEL]] connects to ADDRESS (default: HOST as it resolves), asks
 * there for a tunnel to TUNNEL (HOST:PORT, by CONNECT) when that is given, verifies HOST, shows $LOAD_KEY to it, and obeys lines on its standard input, one answer line each, so that a driver can interleave several of them:
 *   keep CONNECTIONS REQUESTS BYTES   over CONNECTIONS open connections
 *   new CONNECTIONS REQUESTS BYTES    every request on a connection of its own, no session resumed
 *   idle CONNECTIONS                  open that many, use each once, hold them until the next line
 * Answer: "ok REQUESTS SECONDS P50 P99 CPU_US" (latencies in microseconds) or "error WHY". One thread, epoll.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define BUFFER (64 << 10)

enum state { TUNNEL, CONNECTING, SENDING, HEAD, BODY, IDLE };

struct conn {
	int fd;
	SSL *ssl;
	enum state state;
	bool asked; /* for the tunnel */
	size_t got, length, answered;
	double started;
	char head[4096];
};

static SSL_CTX *ctx;
static struct addrinfo *target;
static const char *host, *tunnel;
static int poller = -1;
static struct conn conns[CONNECTIONS_MAX];
static char request[512], sink[BUFFER], problem[8192];
static double *latencies;
static long started, done, wanted;
static bool fresh;
static int open_conns; /* that a next "keep" with as many takes over: the handshakes are then not in its cost */

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void fail(const char *what, const char *why)
{
	if (!*problem)
		snprintf(problem, sizeof(problem), "%s: %s", what, why);
}

static void drop(struct conn *c)
{
	if (c->ssl)
		SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	c->ssl = NULL;
	c->fd = -1;
}

static void open_conn(struct conn *c)
{
	int on = 1;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };

	c->fd = socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->state = tunnel ? TUNNEL : CONNECTING;
	c->asked = false;
	c->got = 0;
	c->started = now_us();
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(c->fd, target->ai_addr, target->ai_addrlen) && errno != EINPROGRESS)
		fail("connect", strerror(errno));
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_tlsext_host_name(c->ssl, host);
	SSL_set1_host(c->ssl, host);
	SSL_set_connect_state(c->ssl);
	epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev);
}

static void begin_request(struct conn *c)
{
	c->state = IDLE;
	if (started == wanted)
		return;
	started++;
	if (!fresh)
		c->started = now_us();
	c->state = SENDING;
	c->got = 0;
}

/* True when the answer is complete. */
static bool take(struct conn *c, const char *data, size_t n)
{
	if (c->state == HEAD) {
		size_t room = sizeof(c->head) - 1 - c->got, part = n < room ? n : room;
		char *stop, *length;

		memcpy(c->head + c->got, data, part);
		c->got += part;
		c->head[c->got] = '\0';
		stop = strstr(c->head, "\r\n\r\n");
		if (!stop)
			return false;
		if (strncmp(c->head, "HTTP/1.1 200", 12)) {
			c->head[strcspn(c->head, "\r\n")] = '\0';
			fail("answer", c->head);
			return false;
		}
		length = strcasestr(c->head, "\r\ncontent-length:");
		c->length = length ? strtoul(length + 17, NULL, 10) : 0;
		c->answered = c->got - (size_t)(stop + 4 - c->head) + (n - part);
		c->state = BODY;
	} else {
		c->answered += n;
	}
	return c->answered >= c->length;
}

static void finish(struct conn *c)
{
	latencies[done++] = now_us() - c->started;
	if (!fresh) {
		begin_request(c);
		return;
	}
	drop(c);
	if (started < wanted) {
		open_conn(c);
		begin_request(c);
		c->state = tunnel ? TUNNEL : CONNECTING;
	}
}

/* True when the proxy has made it. */
static bool tunnelled(struct conn *c)
{
	if (!c->asked) {
		char text[512];
		int len = snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", tunnel, tunnel);
		if (send(c->fd, text, (size_t)len, 0) < 0)
			return false;
		c->asked = true;
	}
	ssize_t n = recv(c->fd, c->head + c->got, sizeof(c->head) - 1 - c->got, 0);
	if (n == 0)
		fail("tunnel", "closed");
	if (n <= 0)
		return false;
	c->got += (size_t)n;
	c->head[c->got] = '\0';
	if (!strstr(c->head, "\r\n\r\n"))
		return false;
	if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 && strncmp(c->head, "HTTP/1.0 200", 12) != 0)
		fail("tunnel", "refused");
	c->got = 0;
	return true;
}

static void step(struct conn *c)
{
	while (!*problem && c->ssl) {
		int n;

		if (c->state == TUNNEL) {
			if (!tunnelled(c))
				return;
			c->state = CONNECTING;
		}
		if (c->state == CONNECTING) {
			n = SSL_do_handshake(c->ssl);
			if (n == 1) {
				c->state = SENDING;
				if (!fresh)
					c->started = now_us();
				continue;
			}
		} else if (c->state == SENDING) {
			n = SSL_write(c->ssl, request, (int)strlen(request));
			if (n > 0) {
				c->state = HEAD;
				continue;
			}
		} else {
			n = SSL_read(c->ssl, sink, sizeof(sink));
			if (n > 0) {
				if (take(c, sink, (size_t)n))
					finish(c);
				continue;
			}
			if (c->state == IDLE && SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN) {
				drop(c);
				return;
			}
		}
		int e = SSL_get_error(c->ssl, n);

		if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
			return;
		if (e == SSL_ERROR_SYSCALL && errno == EAGAIN)
			return;
		fail(c->state == CONNECTING ? "handshake" : "connection",
		     e == SSL_ERROR_SSL ? ERR_reason_error_string(ERR_peek_error()) :
		     e == SSL_ERROR_ZERO_RETURN ? "closed" : strerror(errno));
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void close_all(void)
{
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		drop(&conns[i]);
	if (poller >= 0)
		close(poller);
	poller = -1;
}

static void measure(const char *mode, int n, long requests, long bytes)
{
	struct epoll_event events[256];
	struct rusage before, after;
	double begin;

	fresh = !strcmp(mode, "new");
	if (fresh || open_conns != n || *problem) {
		close_all();
		poller = epoll_create1(EPOLL_CLOEXEC);
	}
	*problem = '\0';
	wanted = requests;
	started = done = 0;
	latencies = realloc(latencies, sizeof(*latencies) * (size_t)(requests + 1));
	const char *key = getenv("LOAD_KEY");
	snprintf(request, sizeof(request), "GET /%ld HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n%s%s%s\r\n", bytes,
		 tunnel ? tunnel : host /* squid goes by this one, also for the port */, key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "");
	getrusage(RUSAGE_SELF, &before);
	begin = now_us();
	for (int i = 0; i < n && started < wanted; i++) {
		if (conns[i].ssl) {
			begin_request(&conns[i]);
			step(&conns[i]);
		} else {
			open_conn(&conns[i]);
			started++;
		}
	}
	open_conns = fresh ? 0 : n;
	while (done < wanted && !*problem) {
		int count = epoll_wait(poller, events, 256, 10000);

		if (!count)
			fail("wait", "no event for ten seconds");
		for (int i = 0; i < count; i++)
			step(events[i].data.ptr);
	}
	getrusage(RUSAGE_SELF, &after);
	if (*problem) {
		printf("error %s\n", problem);
		return;
	}
	double seconds = (now_us() - begin) / 1e6;
	double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
			      before.ru_stime.tv_sec) * 1e6 +
		     (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
			      before.ru_stime.tv_usec);

	qsort(latencies, (size_t)done, sizeof(*latencies), ascending);
	printf("ok %ld %.6f %.1f %.1f %.1f\n", done, seconds, latencies[done / 2], latencies[done * 99 / 100],
	       cpu / (double)done);
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET };
	char line[256], mode[16];
	int n, rc;
	long requests, bytes;

	if (argc < 4) {
		fprintf(stderr, "usage: load HOST PORT CAFILE [ADDRESS [TUNNEL]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < CONNECTIONS_MAX; i++)
		conns[i].fd = -1;
	host = argv[1];
	tunnel = argc > 5 ? argv[5] : NULL;
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	rc = getaddrinfo(argc > 4 ? argv[4] : host, argv[2], &hints, &target);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (rc || SSL_CTX_load_verify_locations(ctx, argv[3], NULL) != 1) {
		printf("error %s\n", rc ? gai_strerror(rc) : "no CA file");
		return 1;
	}
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		requests = bytes = 0;
		if (sscanf(line, "%15s %d %ld %ld", mode, &n, &requests, &bytes) < 2 || n < 1 || n > CONNECTIONS_MAX)
			printf("error bad line\n");
		else if (!strcmp(mode, "idle"))
			measure("keep", n, n, 0);
		else
			measure(mode, n, requests, bytes);
	}
	return 0;
}
