/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands around the supervisor in fuzz_supervisor.c: what its peers were asked, what they have answered, and the
 * checks of everything that it sends. A check that fails aborts.
 */
#ifndef NSBOX_TESTS_SUPERVISOR_PEERS_H
#define NSBOX_TESTS_SUPERVISOR_PEERS_H

#include <sys/un.h>

#include "../unit/supervisor_doubles.h"

#define MAX_PEERS 8u /* clients */
#define MAX_REQUESTS 128u
#define MAX_LOGS 16u
#define MAX_BOXES 32u
#define MAX_SLOTS 2048u
#define MAX_ASKED 256u /* calls of one gateway */
#define MAX_TICKETS 128u /* its questions */
#define MAX_QUESTIONS 256u /* to one auditor */
#define MAX_PERMITS 256u
#define MAX_PARKED_SEEN 128u
#define MAX_REVIEWS 8u

/* Keys tell what is asked about: a start by its second argument, a request by its host. */
#define KEY_SHARED 1u	   /* any number of starts are equal */
#define KEY_START 0x1000u  /* one start: this and the number of the request */
#define KEY_REVIEW 0x4000u /* one question about a commit: this, eight for each of those, and its number */
#define KEY_TICKET 0x2000u /* one request or connection: this and the gateway's ticket */

struct peer_client {
	int sock; /* -EBADF: closed, by whichever side */
	bool greeted;
	bool connecting; /* by the socket of a named sandbox, and nothing came back yet */
	bool malformed; /* it sent something out of form: the supervisor may hang up */
	bool deaf;	/* does not read */
	bool inside;	/* by the control socket of a sandbox */
};

struct peer_request {
	struct peer_client *client;
	uint32_t number, type;
	unsigned answers, exits;
	bool failed;
	char call[64]; /* MSG_START answered; MSG_REVOKE: which */
	uint32_t cancels; /* MSG_CANCEL: the request */
	struct peer_parked *decides; /* MSG_DECIDE: of what the person was shown */
	bool right;		     /* with the digest that it has */
};

/* What somebody with the right to it said about one key, in the sandbox of one auditor. */
struct peer_permit {
	int auditor;
	uint32_t key;
	unsigned allowed, used;
	bool lasting; /* remembered: for any number */
	bool ended;   /* given up or revoked: never again */
};

struct peer_parked { /* of the list that a client got */
	char box[32], ticket[64], digest[65];
	uint32_t key;
	int auditor;
	bool counted, decided;
};

struct peer_review { /* a commit that somebody decides about */
	uint32_t request, key; /* key: of the first of n questions */
	unsigned n;
	char id[16];
	int auditor; /* index, -1 none */
	bool bad;    /* what was sent is out of form */
};

struct peer_box { /* a sandbox, as the launcher sees it */
	uint32_t number;
	char id[32];
	int log; /* index, -1 unknown */
	bool gateway, answered, end_asked, ended;
	unsigned n_told; /* commands that guardians were told to run */
	int auditor;	 /* index, -1 none */
	struct sockaddr_un control;
	socklen_t control_len; /* 0: it has none */
	uint32_t listen, n_listen; /* the ticket that waits, for so many listeners */
};

struct peer_slot {
	struct peer_box *box;
	uint32_t number, flags;
	bool answered, exec, started, exited, done;
	bool shown, program_asked, shown_again, told; /* told: to run its command */
	uint8_t look;				      /* what was shown */
	uint32_t key;
	bool known; /* connections from this process are its */
	int guardian; /* the guardian's end */
	int stdio[3];
};

struct peer_gateway {
	bool config, attach, ready;
	uint32_t asked[MAX_ASKED];
	size_t n_asked, n_calls_answered;
	uint32_t ends[MAX_ASKED];
	size_t n_ends, n_ends_answered;
	uint32_t changes[64]; /* tickets that wait */
	size_t n_changes;
	char box[32];
	uint32_t audit; /* what it asks about */
	bool confused; /* it used a ticket twice */
	struct {
		bool given_up, settled, decided;
		unsigned op;
	} tickets[MAX_TICKETS]; /* the first is 1 */
	size_t n_tickets;
};

struct peer_auditor {
	int sock;
	bool spoke, greeted; /* greeted: in form */
	bool deaf;
	unsigned ops; /* that it decides */
	bool asked_hello;
	struct {
		bool seen, answered, allows, lasting;
		bool start; /* of a call; else of a gateway */
		uint32_t key;
		char call[64];
	} questions[MAX_QUESTIONS]; /* the first is 1 */
	size_t n_questions;
};

struct peers {
	struct fake f;
	struct peer_client clients[MAX_PEERS];
	size_t n_clients;
	struct peer_request requests[MAX_REQUESTS];
	size_t n_requests;
	int logs[MAX_LOGS];
	bool log_full[MAX_LOGS];
	size_t n_logs;
	struct peer_box boxes[MAX_BOXES];
	size_t n_boxes;
	struct peer_review reviews[MAX_REVIEWS];
	size_t n_reviews;
	struct peer_permit permits[MAX_PERMITS];
	size_t n_permits;
	struct peer_parked parked[MAX_PARKED_SEEN];
	size_t n_parked;
	struct peer_slot slots[MAX_SLOTS];
	size_t n_slots;
	struct peer_gateway gateways[FAKE_GATEWAYS];
	struct peer_auditor auditors[FAKE_AUDITORS];
	size_t n_auditors;
	bool no_slots; /* the launcher can make none */
	bool overflow; /* more was asked than there is room for: nobody promises answers any more */
};

/* Turn the loop, read and check whatever comes, until all is quiet. */
void peers_run(struct peers *w);
/* The invariants of the supervisor's own lists. */
void peers_check(const struct peers *w);
/* Everybody does what is still asked, until nothing is; then every request has its answer. */
void peers_finish(struct peers *w);
/* After the end of the supervisor: what the audit logs say. */
void peers_check_logs(const struct peers *w);

/* Aborts when it is not so. */
void peers_require(bool ok, const char *what);
size_t peers_count(const char *text, const char *what);

/* supervisor_auditors.c */
void auditors_find(struct peers *w);
/* The one of this sandbox, -1 none. */
int auditor_of(const struct peers *w, const struct sandbox *b);
/* One packet of it was read, or its end. */
bool read_auditor(struct peers *w, struct peer_auditor *a);
/* It says this, in form or not. */
void auditor_says(struct peers *w, struct peer_auditor *a, const void *data, size_t len);
void auditor_hello(struct peers *w, struct peer_auditor *a, unsigned ops);
enum peer_answer { ANSWER_ALLOW, ANSWER_DENY, ANSWER_ASK, ANSWER_NARROW, ANSWER_CACHED, ANSWER_BAD };
void auditor_answers(struct peers *w, struct peer_auditor *a, uint64_t id, enum peer_answer answer, unsigned grant);
/* Whatever it was asked and has not answered; false: nothing. */
bool auditor_answers_all(struct peers *w, struct peer_auditor *a);

/* supervisor_permits.c */
struct peer_permit *permit(struct peers *w, int auditor, uint32_t key);
/* Something happens about which the auditor of its sandbox decides. */
void use_permit(struct peers *w, int auditor, uint32_t key);
/* A guardian was told to run its command. */
void told_to_run(struct peers *w, struct peer_slot *slot);
void got_decided(struct peers *w, size_t gateway, struct fake_packet *p);
void got_approvals(struct peers *w, struct fake_packet *p);
void got_answer_of(struct peers *w, struct peer_request *q);
/* Of what a person or an auditor was asked: host or arguments. */
uint32_t key_of(const char *json);
/* Every question is of somebody who waits for its answer. */
void check_questions(const struct sandbox *b);
void check_tickets(const struct peers *w);

/* The cookie of our own network namespace, in which every connection is made. */
uint64_t peers_cookie(void);

/* Answers. failed: with an error record. */
void answer_box(struct peers *w, struct peer_box *box, bool failed);
void answer_end(struct peers *w, struct peer_box *box);
void answer_slot(struct peers *w, struct peer_slot *slot, bool failed);
void answer_start(struct peers *w, struct peer_slot *slot, bool failed);
/* What its guardian found: for the first time, or read. */
void answer_shown(struct peers *w, struct peer_slot *slot, uint8_t look, const char *digest);
/* The program is another one than was decided about. */
void answer_stale(struct peers *w, struct peer_slot *slot);
void answer_exit(struct peers *w, struct peer_slot *slot, bool left);
void guardian_leaves(struct peer_slot *slot);
void answer_ready(struct peers *w, size_t gateway, bool failed);
/* The oldest of what it was asked. */
void answer_call(struct peers *w, size_t gateway);
void answer_call_end(struct peers *w, size_t gateway);

/* supervisor_reviews.c: whose auditor is whose; the one of this id, -1 none. */
void reviews_find(struct peers *w);
int review_auditor(const struct peers *w, const char *id);
/* It is allowed; decided: by whom and why, "": nobody decides about commits. */
void got_review(struct peers *w, const struct peer_request *q, const char *decided);

/* supervisor_changes.c: what is asked for, and the answer; false when nothing is open. */
void asked_to_listen(struct peers *w, struct peer_box *box, struct fake_packet *p);
bool answer_listen(struct peers *w, struct peer_box *box, bool failed);
void asked_to_change(struct peer_gateway *g, struct fake_packet *p);
bool answer_change(struct peers *w, size_t gateway, bool failed);

#endif
