/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection from inside, or one stream of an HTTP/2 connection from inside. session_run() is its state machine:
 * it may be called at any time by anything that happened (bytes, room, an acknowledged record, an answer of the
 * resolver or the auditor, a timer) and goes on until nothing moves.
 */
#ifndef NSBOX_GATEWAY_SESSION_H
#define NSBOX_GATEWAY_SESSION_H

#include "gateway/questions.h"
#include "gateway/quota.h"
#include "gateway/records.h"
#include "gateway/stream.h"
#include "gateway/upstream.h"

struct gateway;
struct call;
struct name;
struct exchange;
struct http2;

enum session_state {
	SESSION_FIRST_BYTES,  /* TLS or HTTP? */
	SESSION_CLIENT_HELLO, /* passthrough: reading the name */
	SESSION_HANDSHAKE,
	SESSION_HTTP,
	SESSION_HTTP2, /* its streams are sessions of their own */
	SESSION_RELAY_ASK,    /* the auditor has the word */
	SESSION_RELAY_RECORD, /* decided; the record is on its way to the log */
	SESSION_RELAY_DIAL,
	SESSION_RELAY,
	SESSION_LINGER, /* our answer is out; drain what the client still sends so that it can read the answer */
	SESSION_DEAD,
};

struct session {
	struct stream client; /* first */
	struct gateway *gw;
	struct call *call;
	struct session *next, **prev; /* of the call; next also links the dead */
	enum session_state state;
	uint32_t dst;   /* dialled, host byte order */
	uint16_t port;
	bool tls;
	bool stalled; /* waits until the audit log has caught up */
	bool misdirected; /* SNI is not the name of the dialled address: every request gets 421 */
	bool acked, refused; /* of the decision that is waited for */
	bool running, again;
	bool shut; /* lingering: our side is closed */
	bool head_timed; /* HTTP/2: the timer is that of a head */
	const struct name *name; /* of the dialled synthetic address, NULL for a raw address */
	char *sni;
	struct timer timer;
	struct waiter waiter;
	struct question question; /* of the request, or of the relay */
	struct http2 *h2; /* SESSION_HTTP2 */
	struct upstream *up;
	struct exchange *x; /* the request being handled */
	uint64_t started;
	struct payers payers; /* for the request, or the relay */
	const char *quota;    /* of the policy, that is used up */
	struct net_verdict relay_verdict;
	bool relay_passthrough, relay_up_ended, relay_down_ended;
	bool beyond_grant, raised; /* of a relay, as in struct exchange */
	uint64_t relay_up, relay_down; /* bytes */
};

#define FIRST_BYTES_US (10u * 1000000u)

/* Takes the accepted socket over. */
void session_start(struct gateway *gw, struct call *call, int fd, uint32_t dst, uint16_t port);
/* A stream of this HTTP/2 connection, to be tied to it by the caller; NULL: no memory, or the call has too many. */
struct session *session_open_lane(struct session *connection);
void session_wake(struct stream *stream);
void session_run(struct session *s);
/* Gone at once: RST both ways (a call's end, a refusal that has no other language). */
void session_abort(struct session *s);
/* Both ends are done: close without more ado. */
void session_close(struct session *s);
/* Everything was said: close after what is queued went out. */
void session_finish(struct session *s);
/* Wait for the records added so far; then s->acked, or s->refused when the log cannot be written. */
void session_wait_record(struct session *s);
/* As question_ask(), about what this connection does next; it runs when there is an answer. */
int session_ask(struct session *s, enum auditor_op op, const struct buf *members);
void session_timeout(struct session *s, uint64_t us);
void session_free_dead(struct gateway *gw);
/* Host as decided about: the name, or the text of the raw address in to (INET_ADDRSTRLEN). */
const char *session_host(const struct session *s, char *to);
/* The dialled address, mapped. */
struct in6_addr session_raw_addr(const struct session *s);
/* members: host or addr, and port. */
void session_members(const struct session *s, struct buf *members);
/* The address that was dialled for it, where a name alone does not tell. */
void session_upstream_addr(const struct session *s, struct buf *members);

/* session_tls.c: the ClientHello is complete; on failure the session is gone. */
void session_start_tls(struct session *s);
/* SESSION_HANDSHAKE; true when something moved. */
bool session_handshake(struct session *s);

/* http.c: an exchange begins (its request may be filled in already). 0 or -ENOMEM. */
int http_open(struct session *s);
/* SESSION_HTTP; true when something moved. */
bool http_run(struct session *s);
void http_drop(struct session *s);
void http_timeout(struct session *s);
/* http2_server.c: SESSION_HTTP2. */
int http2_server_start(struct session *s);
bool http2_server_run(struct session *s);
void http2_server_timeout(struct session *s);
/* Its streams end with it. */
void http2_server_drop(struct session *s);
/* The memory, after http2_server_drop() and outside of any step. */
void http2_server_free(struct session *s);
/* relay.c */
/* beyond_grant: the verdict is the policy's, and the grant has to be raised for it. */
void relay_decide(struct session *s, bool passthrough, bool beyond_grant, const struct net_verdict *verdict);
bool relay_run(struct session *s);
void relay_drop(struct session *s);

#endif
