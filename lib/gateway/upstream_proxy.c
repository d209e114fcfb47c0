/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers behind an HTTP proxy: it is asked to CONNECT, for every protocol, and what it connects to is verified as if we
 * had dialled it. The name is resolved by the proxy: which address it leads to cannot be checked here.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/gateway.h"
#include "gateway/http1_message.h"
#include "gateway/placeholder_base64.h"
#include "gateway/upstream_private.h"

#define ANSWER_US (30u * 1000000u) /* it resolves and dials meanwhile */

/* The value is in the clear only there and in what is sent, as every secret that is put in. */
static int put_password(struct upstream *u)
{
	const struct upstream_login *p = &u->gw->login;
	_cleanup_(buf_wipe) struct buf line = { 0 };

	if (!p->len)
		return 0;
	int r = buf_puts(&line, "Proxy-Authorization: Basic ");
	if (r == 0)
		r = base64_encode(&line, p->value.data, p->len, false, true);
	if (r == 0)
		r = buf_puts(&line, "\r\n");
	u->stream.out.secret = true;
	return r < 0 ? r : iobuf_append(&u->stream.out, line.data, line.len);
}

static int put_request(struct upstream *u)
{
	char text[INET6_ADDRSTRLEN], head[600];
	const char *name = upstream_name(&u->to, text);
	bool v6 = strchr(name, ':');
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";

	int n = snprintf(head, sizeof(head), "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n", open, name, close,
			 u->to.port, open, name, close, u->to.port);
	int r = iobuf_append(&u->stream.out, head, (size_t)n);
	if (r == 0)
		r = put_password(u);
	return r < 0 ? r : iobuf_append(&u->stream.out, "\r\n", 2);
}

void proxy_begin(struct upstream *u)
{
	u->state = UPSTREAM_PROXY;
	if (!upstream_login_there(u->gw)) {
		upstream_fail(u, "upstream-proxy", "there is no password for it: what its command gave has expired");
		return;
	}
	u->proxy_answer = calloc(1, sizeof(*u->proxy_answer));
	if (!u->proxy_answer || put_request(u) < 0) {
		upstream_fail(u, "no-memory", NULL);
		return;
	}
	u->proxy_answer->kind = HTTP1_RESPONSE;
	timer_start(&u->gw->loop, &u->timer, ANSWER_US);
}

void proxy_stop(struct upstream *u)
{
	if (!u->proxy_answer)
		return;
	http1_head_reset(u->proxy_answer);
	free(TAKE_PTR(u->proxy_answer));
}

static void answered(struct upstream *u)
{
	char text[64];
	bool opaque = u->to.proto == PROTO_TCP || u->to.proto == PROTO_PASSTHROUGH;

	if (u->proxy_answer->status != 200) {
		snprintf(text, sizeof(text), "it answered with status %u", u->proxy_answer->status);
		upstream_fail(u, "upstream-proxy", text);
	} else if (iobuf_len(&u->stream.in) && !opaque) {
		/* No server of HTTP or TLS speaks first: this would be taken for the beginning of its answer. */
		upstream_fail(u, "upstream-proxy", "it sent more than its answer");
	} else {
		proxy_stop(u);
		timer_stop(&u->gw->loop, &u->timer);
		upstream_reached(u);
	}
}

void proxy_run(struct upstream *u)
{
	struct http1_head *h = u->proxy_answer;
	struct stream *s = &u->stream;

	stream_flush(s);
	while (!h->complete) {
		if (!iobuf_len(&s->in))
			stream_fill(s, STREAM_CHUNK);
		if (!iobuf_len(&s->in)) {
			if (s->eof || stream_gone(s))
				upstream_fail(u, "upstream-proxy", "it closed the connection");
			return;
		}
		ssize_t n = http1_head_feed(h, iobuf_head(&s->in), iobuf_len(&s->in));
		if (n < 0) {
			upstream_fail(u, "upstream-proxy", "its answer is not well-formed");
			return;
		}
		iobuf_consume(&s->in, (size_t)n);
		/* Something in between, such as 103: the answer comes. */
		if (h->complete && h->status < 200)
			http1_head_reset(h);
	}
	answered(u);
}
