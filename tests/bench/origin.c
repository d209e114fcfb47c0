/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The origin behind every path that is measured: origin PORT CERT KEY. TLS 1.3 or 1.2, HTTP/1.1 keep-alive, one thread,
 * epoll; GET /N answers N bytes (at most 4 MiB). It parses just enough for the load client and the proxies.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX (4u << 20)
#define HEAD_MAX 8192

struct client {
	int fd;
	SSL *ssl;
	bool ready;
	size_t in_len, head_len, head_sent, body_len, body_sent;
	char in[HEAD_MAX], head[256];
};

static int poller;
static char body[BODY_MAX];

static void end(struct client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	free(c);
}

static void want(struct client *c, int result)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (SSL_get_error(c->ssl, result) == SSL_ERROR_WANT_WRITE)
		ev.events = EPOLLOUT;
	epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &ev);
}

/* True when the whole answer is out; otherwise the socket is full or *dead is set. */
static bool send_answer(struct client *c, bool *dead)
{
	while (c->head_sent < c->head_len || c->body_sent < c->body_len) {
		bool head = c->head_sent < c->head_len;
		int n = head ? SSL_write(c->ssl, c->head + c->head_sent, (int)(c->head_len - c->head_sent)) :
			       SSL_write(c->ssl, body + c->body_sent, (int)(c->body_len - c->body_sent));

		if (n <= 0) {
			int e = SSL_get_error(c->ssl, n);

			*dead = e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
			want(c, n);
			return false;
		}
		*(head ? &c->head_sent : &c->body_sent) += (size_t)n;
	}
	return true;
}

/* Takes one request off the buffer; small answers go out together with their head, in one record. */
static bool take_request(struct client *c)
{
	char *stop = memmem(c->in, c->in_len, "\r\n\r\n", 4);
	size_t used;

	if (!stop)
		return false;
	used = (size_t)(stop - c->in) + 4;
	c->body_len = strncmp(c->in, "GET /", 5) ? 0 : strtoul(c->in + 5, NULL, 10);
	if (c->body_len > BODY_MAX)
		c->body_len = BODY_MAX;
	c->head_len = (size_t)snprintf(c->head, sizeof(c->head),
				       "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
				       c->body_len);
	c->head_sent = c->body_sent = 0;
	if (c->head_len + c->body_len <= sizeof(c->head)) {
		memcpy(c->head + c->head_len, body, c->body_len);
		c->head_len += c->body_len;
		c->body_len = 0;
	}
	c->in_len -= used;
	memmove(c->in, c->in + used, c->in_len);
	return true;
}

static void serve(struct client *c)
{
	bool dead = false;
	int n;

	if (!c->ready) {
		n = SSL_accept(c->ssl);
		if (n <= 0) {
			int e = SSL_get_error(c->ssl, n);

			if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
				want(c, n);
			else
				end(c);
			return;
		}
		c->ready = true;
	}
	for (;;) {
		if (!send_answer(c, &dead))
			break;
		if (take_request(c))
			continue;
		n = SSL_read(c->ssl, c->in + c->in_len, (int)(sizeof(c->in) - c->in_len));
		if (n <= 0) {
			dead = SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ;
			want(c, n);
			break;
		}
		c->in_len += (size_t)n;
	}
	ERR_clear_error();
	if (dead)
		end(c);
}

static void take_client(int listener, SSL_CTX *ctx)
{
	int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (!c)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->fd = fd;
	c->ssl = SSL_new(ctx);
	SSL_set_fd(c->ssl, fd);
	epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev);
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event events[64], ev = { .events = EPOLLIN };
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (argc != 4 || SSL_CTX_use_certificate_chain_file(ctx, argv[2]) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1) {
		fprintf(stderr, "usage: origin PORT CERT KEY\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	memset(body, 'x', sizeof(body));
	a.sin_port = htons((uint16_t)atoi(argv[1]));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) || listen(listener, 4096)) {
		perror("origin");
		return 1;
	}
	poller = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(poller, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		int n = epoll_wait(poller, events, 64, -1);

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				serve(events[i].data.ptr);
			else
				take_client(listener, ctx);
	}
}
