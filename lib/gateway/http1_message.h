/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/1 messages: bytes in, in any pieces, facts out. Sans IO.
 *
 * Theory of operation. A filter has to be stricter than everything behind it: what two parsers could read in two ways
 * is refused here, not repaired. A head copies its bytes into one buffer of its own while it checks them, line by
 * line, so the input can be dropped at once and bad input is refused as early as its line ends (a byte that no line
 * may hold: at once). Nothing of the input is ever forwarded as it came: http1_write.h builds the outgoing message
 * from the parts. The body behind the head is http1_body.h's.
 *
 * 	struct http1_head head = { .kind = HTTP1_REQUEST };
 * 	ssize_t n = http1_head_feed(&head, data, len);  -- again with what comes later until head.complete
 * 	...
 * 	http1_head_reset(&head);                        -- before the next message of the connection
 */
#ifndef NSBOX_GATEWAY_HTTP1_MESSAGE_H
#define NSBOX_GATEWAY_HTTP1_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "base/buf.h"

#define HTTP1_LINE_MAX 8192u   /* request line or status line, without CRLF */
#define HTTP1_HEAD_MAX 65536u  /* all lines, with their CRLFs */
#define HTTP1_FIELDS_MAX 128u
#define HTTP1_METHOD_MAX 32u
#define HTTP1_TRAILERS_MAX 16384u /* trailer section, as HTTP1_HEAD_MAX */

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE, HTTP1_TRAILERS };

enum http1_framing {
	HTTP1_BODY_NONE,    /* the message ends with its head */
	HTTP1_BODY_LENGTH,  /* content_length bytes (may be 0) */
	HTTP1_BODY_CHUNKED,
	HTTP1_BODY_EOF,	    /* responses only: until the peer closes; the connection ends with it */
};

enum http1_form { HTTP1_ORIGIN, HTTP1_ABSOLUTE, HTTP1_ASTERISK };

/* Part of a head's bytes; http1_text() gives the address, valid until the head is fed or reset. Not terminated. */
struct http1_slice {
	uint32_t off, len;
};

struct http1_field {
	struct http1_slice name;  /* as sent; at least one byte, all of them token characters */
	struct http1_slice value; /* without the whitespace around it; no control bytes but HTAB; may hold 0x80-0xff */
};

struct http1_head {
	/* Set by the caller before the first byte. */
	enum http1_kind kind;
	bool to_head; /* responses: the request's method was HEAD */
	bool to_websocket; /* responses: the request asked for a WebSocket, and may get status 101 */

	/* Valid when complete. */
	bool complete;
	uint8_t minor;	   /* HTTP/1.minor: 0 or 1 */
	struct http1_slice method; /* requests; any token that is not CONNECT or TRACE, case kept */
	enum http1_form form;
	struct http1_slice path;  /* requests: raw, begins with '/'; "*" for HTTP1_ASTERISK */
	struct http1_slice query; /* raw, without '?' */
	bool has_query;		  /* "/p?" has an empty one */
	struct http1_slice host;  /* requests: from Host, without port; an IPv6 literal keeps its brackets. Characters are
				   * checked, the name is not: host_canonical() is the caller's duty */
	uint16_t port;		  /* requests: from Host; 0 when it names none */
	uint16_t status;	  /* responses: 100-599; 101 only as to_websocket says */
	struct http1_slice reason;
	enum http1_framing framing;
	uint64_t content_length; /* HTTP1_BODY_LENGTH; also of a bodiless response when has_content_length */
	bool has_content_length;
	bool keep_alive;	/* the sender lets the connection live on after this message */
	bool expect_continue;	/* requests of HTTP/1.1 with Expect: 100-continue */
	bool upgrade;		/* asks for another protocol; forwarded when it is websocket */
	bool websocket;		/* requests: a well-formed opening handshake (RFC 6455 4.1); responses: 101 that says so */
	bool te_trailers;	/* requests: the sender takes trailers */

	struct http1_field *fields; /* in the order sent, all of them */
	size_t n_fields;

	/* Valid after a failure: a stable token ("bad-content-length") and the status that says it to a client. For a
	 * response the status is 502. */
	const char *error;
	uint16_t error_status;

	/* Private. */
	struct buf bytes;
	size_t line;	    /* offset of the line being read */
	size_t fields_cap;
	bool started, skipped_empty, has_host, has_transfer_encoding, has_connection;
	bool upgrade_option, other_upgrade; /* Connection: upgrade; an Upgrade that is not just "websocket", once */
	struct http1_slice host_value, authority;
};

/*
 * Take bytes. The number consumed: all, unless the head became complete, whose last byte is the last one consumed.
 * -EBADMSG: refused, error and error_status tell why, nothing else of the head may be used; -ENOMEM. A head that
 * failed stays failed. Not to be called on a complete head.
 */
ssize_t http1_head_feed(struct http1_head *h, const void *data, size_t len);
/* True when no byte of a message has come yet (an idle kept-alive connection may be closed without a word). */
bool http1_head_idle(const struct http1_head *h);
/* Back to the state before the first byte, keeping only kind; frees all memory. */
void http1_head_reset(struct http1_head *h);

static inline const char *http1_text(const struct http1_head *h, struct http1_slice s)
{
	return (const char *)h->bytes.data + s.off;
}

/* Slice against text: exact, and without regard to ASCII case. Inline: mostly the length decides, known when compiled. */
static inline bool http1_slice_is(const struct http1_head *h, struct http1_slice s, const char *text)
{
	return s.len == strlen(text) && memcmp(http1_text(h, s), text, s.len) == 0;
}

static inline bool http1_slice_is_nocase(const struct http1_head *h, struct http1_slice s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(http1_text(h, s), text, s.len) == 0;
}

/* The same name, also to a server that makes variables of names, where '-' and '_' are one (CGI, WSGI, PHP). */
bool http1_names_variable(const struct http1_head *h, struct http1_slice name, const char *text);

/* The first field of this name at or behind index from, or n_fields. Name in any case. */
size_t http1_find(const struct http1_head *h, const char *name, size_t from);
/* All fields of this name are as if they had not been sent. */
void http1_drop(struct http1_head *h, const char *name);

#define _cleanup_http1_head_ __attribute__((cleanup(http1_head_reset)))

#endif
