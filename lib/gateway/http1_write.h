/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTTP/1.1 messages from parsed ones. Host, Content-Length, Transfer-Encoding and Connection are always
 * written anew from what was decided and never copied; hop-by-hop fields and those that Connection names are left out
 * (http1_forwarded()). Writers append to a buf and return 0 or -ENOMEM (the value function's error as it is).
 */
#ifndef NSBOX_GATEWAY_HTTP1_WRITE_H
#define NSBOX_GATEWAY_HTTP1_WRITE_H

#include "gateway/http1_message.h"

/*
 * Appends the value of field i to out. 0: leave the field as it is, 1: value written, < 0: stop with this error.
 */
typedef int (*http1_value_fn)(void *data, const struct http1_head *h, size_t i, struct buf *out);

struct http1_request_out {
	const char *host;   /* for Host: the verified name or literal, brackets of IPv6 included */
	uint16_t port;	    /* appended to host; 0: not (the default port of the scheme) */
	const char *path;   /* NULL: the head's own */
	size_t path_len;
	const char *query;  /* NULL: the head's own */
	size_t query_len;
	bool whole;	    /* Range and its like are left out, so that the answer comes whole, */
	const char *range;  /* or that it does from the one of range_name, which has this value then, and If-Range */
	const char *range_name;
	http1_value_fn value; /* NULL: fields as they are */
	void *data;
};

/* Field i goes on to the next hop: not hop-by-hop, not named by Connection, not one that the writers set themselves. A
 * Connection that names fields which every recipient needs (Authorization, Host, Content-Length, Cookie ...) does not
 * take those away. */
bool http1_forwarded(const struct http1_head *h, size_t i);

/* Request line, fields, empty line. The framing is the head's: Content-Length or chunked as it came. */
int http1_write_request(struct buf *out, const struct http1_head *h, const struct http1_request_out *how);

struct http1_response_out {
	bool http10;	 /* the client is HTTP/1.0: a body of unknown length ends with the connection, 1xx are not for it */
	bool keep_alive; /* ours to the client; written as Connection when it is not the version's default */
	http1_value_fn value;
	void *data;
};

/* How the body of this response is written: as the head has it, except that HTTP1_BODY_EOF becomes chunked, and
 * chunked becomes HTTP1_BODY_EOF for a client of HTTP/1.0 (then keep_alive has to be false). */
enum http1_framing http1_response_framing(const struct http1_head *h, const struct http1_response_out *how);
/* The phrase that RFC 9110 gives a status, or "". */
const char *http1_reason(unsigned status);
/* Status line, fields, empty line. Also for 1xx. A head without a phrase (HTTP/2 has none) gets the usual one, without
 * which some clients see no status. Alt-Svc is left out: it would lead clients to QUIC, which has no way
 * out. */
int http1_write_response(struct buf *out, const struct http1_head *h, const struct http1_response_out *how);

/* "1a2b\r\n" before n > 0 bytes of payload; behind them comes "\r\n". Length written. */
#define HTTP1_CHUNK_HEAD_MAX 18u
size_t http1_chunk_head(char to[HTTP1_CHUNK_HEAD_MAX], uint64_t n);
/* "0\r\n", the trailers (may be NULL or without fields), "\r\n". */
int http1_write_last_chunk(struct buf *out, const struct http1_head *trailers);

#endif
