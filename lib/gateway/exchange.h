/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request and its answer, over HTTP/1.1 or HTTP/2 on either side (codec.h). http.c moves it along, request.c
 * decides, credentials.c puts secrets in and finds misuse, upload.c and download.c carry the bodies.
 */
#ifndef NSBOX_GATEWAY_EXCHANGE_H
#define NSBOX_GATEWAY_EXCHANGE_H

#include "gateway/http1_body.h"
#include "gateway/http1_message.h"
#include "gateway/http1_write.h"
#include "gateway/placeholder_inject.h"
#include "gateway/problem.h"
#include "gateway/range.h"
#include "gateway/rewrite.h"
#include "gateway/session.h"
#include "policy/policy.h"

enum exchange_state {
	EXCHANGE_HEAD,    /* reading the request's head */
	EXCHANGE_BODY,    /* a small body is read and looked at as a whole before anything is decided */
	EXCHANGE_SECRET,  /* a command gives the value that it needs */
	EXCHANGE_ASK,     /* allowed by policy and grant, or to be raised; the auditor has the word */
	EXCHANGE_RECORD,  /* allowed; the record is on its way to the log */
	EXCHANGE_REFUSED, /* denied; the record too */
	EXCHANGE_CONNECT, /* upstream is on its way */
	EXCHANGE_FORWARD,
	EXCHANGE_TUNNEL, /* a WebSocket (tunnel.h) */
};

#define MAX_USES 16

struct secret_use {
	size_t secret;
	enum inject_place place;
};

/* A request that was signed anew (signing.h): as good as the key for what it says, to whoever sees it. */
struct resigned {
	bool made;
	size_t secret; /* the key */
	char was[64], is[64]; /* signatures: the client's, and that of what was sent */
};

struct answer_scrub;
struct holder;
struct tunnel;

struct exchange {
	enum exchange_state state;
	struct http1_head request, answer;
	struct http1_body upload, download;
	struct net_target target;
	struct net_verdict verdict;
	char *path, *method; /* canonical path */
	struct in6_addr raw;  /* dialled address, for target */
	struct buf head; /* request as it goes upstream; may hold secrets */
	struct secret_use uses[MAX_USES];
	size_t n_uses;
	struct secret_use passed[MAX_USES]; /* misuse that the policy lets go on as text; recorded */
	size_t n_passed;
	const char *misuse; /* why, when a placeholder was found where it may not be */
	const char *unsignable; /* why the signature could not be made anew */
	struct holder *awaits; /* a placeholder whose value the command is asked for, or */
	struct holder *lacks; /* has not given */
	struct holder *issued; /* what it awaited has been answered, and it has not been run since */
	bool beyond_grant;  /* the policy allows it and the grant does not: nothing happens unless that is raised */
	bool raised;	    /* it was */
	char *auditor;	    /* the auditor's reason */
	struct problem problem;
	struct buf what, flag, detail; /* texts of the problem */
	struct rewrite body;	/* the request's while it is streamed, or a message's */
	struct buf small_body;	/* what goes out instead of one that was read as a whole and holds placeholders */
	enum http1_framing send_framing; /* of the request as it goes upstream */
	struct iobuf held; /* payload on its way out */
	size_t held_body;  /* room kept for one that is signed (signing.h) */
	bool body_seen;    /* looked at as a whole: no scan needed while it is sent */
	bool body_sent;    /* some of it went into the upstream's buffer */
	bool retried;
	bool upload_done, answer_begun, answer_final, download_done;
	struct resigned resigned;
	struct range range; /* what the client asked for of an answer that is searched; the server is asked for more */
	struct range_cut cut; /* what of the answer goes on, if is_cut */
	bool is_cut;
	uint64_t part; /* as many bytes have to come, however they are framed; 0: it is none */
	struct answer_scrub *scrub; /* NULL: the answer holds no secret */
	struct tunnel *tunnel; /* NULL: no WebSocket, or one that nobody reads */
	enum body_form message_form; /* of its message that goes out */
	enum http1_framing answer_framing; /* as written to the client */
	bool keep_client;
	uint64_t started;
};

/* Bodies up to this size are read before the request is decided, so that misuse in them reaches nobody. */
#define SMALL_BODY (16u * 1024u)

/* request.c: the head is complete (and a small body in client.in): leads to RECORD or REFUSED. */
void request_decide(struct session *s);
/* An answer of our own instead of the server's, with a record of this event. */
void request_refuse(struct session *s, const char *event, int status, const char *reason, const char *detail);
/* The same because of a quota. */
void request_over_quota(struct session *s, const struct over_quota *over);
/* request_failed.c: upstream could not be reached: the right status and text for it. */
void request_unreachable(struct session *s);
/* A secret that it needs has no value. */
void request_without_secret(struct session *s);
/* The policy is another one: false when what goes on here is not allowed any more. */
bool request_review(struct session *s);
void request_record(struct session *s, const char *event, const char *reason, bool finished);
/* EXCHANGE_SECRET: true when there is a value, or why not. */
bool request_issued(struct session *s);
/* EXCHANGE_ASK: true when there is an answer, which leads to RECORD or REFUSED. */
bool request_asked(struct session *s);

/* request_path.c: append the path, percent-encoded; in_rule: as the text of a rule that matches nothing else. 0 or
 * -ENOMEM. */
int request_encode_path(const char *path, bool in_rule, struct buf *out);
/* Percent-decoded, but dot segments and all where they were: what path_canonical() compares equal to when it had
 * nothing to remove. */
bool request_path_is_plain(const char *raw, size_t len, const char *canonical);

/* A header names another method, which no rule allows here, or another path. */
bool request_is_overridden(const struct session *s);

/* request_question.c: the members of the question whether it may go on. 0, -EMSGSIZE, -EILSEQ or -ENOMEM. */
int request_question(const struct session *s, struct buf *members);

/* credentials.c: fill x->head with the request to send. 0, -EACCES (misuse; recorded), -EINPROGRESS (x->awaits),
 * -ENOKEY (x->lacks), -ENOTSUP (x->unsignable), -ENOMEM, -EINVAL. */
int credentials_write(struct session *s, const struct http1_request_out *how);
/* credentials_value.c: the value of a secret for the call that holds this. 0, -EINPROGRESS, -ENOKEY, as above. */
int credentials_value(struct session *s, struct holder *h, struct secret_value *ret);
/* What is not looked at before it goes out, a long body or messages, may need any value that can stand in it, and could
 * not wait for one then: 0, or -EINPROGRESS. */
int credentials_fetch(struct session *s);
/* It goes out now: record which secrets are in it. */
void credentials_record(struct session *s);
/* A request that is denied anyway: is there a placeholder in it? Records it then. */
bool credentials_leak(struct session *s);
/* credentials_foreign.c: a header for credentials without a placeholder of this call. */
bool credentials_foreign(struct session *s);
/* The same for fields that get no value: any at all is foreign. */
bool credentials_named(const struct http1_head *trailers);
/* The whole small body at the head of client.in, before credentials_write(). 0, -EACCES (recorded) or -ENOMEM. */
int credentials_small_body(struct session *s, const uint8_t *data, size_t len);
/* Where no value can be: trailers, control frames. 0, -EACCES (recorded) or -ENOMEM. */
int credentials_check(struct session *s, const uint8_t *data, size_t len);
/* The next piece of a streamed one: appended to x->held, of which *ret_clean bytes may go on. */
int credentials_stream_body(struct session *s, const uint8_t *data, size_t len, bool last, size_t *ret_clean);

/* The next piece of a message of a WebSocket: what may go on now is appended to out. 0, -EACCES (recorded) or -ENOMEM. */
int credentials_message(struct session *s, const uint8_t *data, size_t len, bool last, struct buf *out);

/* upload.c, download.c: true when something moved; they may end the session. */
bool upload_run(struct session *s);
bool download_run(struct session *s);

void exchange_free(struct exchange *x);

#endif
