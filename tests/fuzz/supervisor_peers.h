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
	char call[64]; /* MSG_START answered */
};

struct peer_box { /* a sandbox, as the launcher sees it */
	uint32_t number;
	char id[32];
	int log; /* index, -1 unknown */
	bool gateway, answered, end_asked, ended;
	unsigned n_exec;
	struct sockaddr_un control;
	socklen_t control_len; /* 0: it has none */
};

struct peer_slot {
	struct peer_box *box;
	uint32_t number, flags;
	bool answered, exec, started, exited, done;
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
	struct peer_slot slots[MAX_SLOTS];
	size_t n_slots;
	struct peer_gateway gateways[FAKE_GATEWAYS];
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

/* The cookie of our own network namespace, in which every connection is made. */
uint64_t peers_cookie(void);

/* Answers. failed: with an error record. */
void answer_box(struct peers *w, struct peer_box *box, bool failed);
void answer_end(struct peers *w, struct peer_box *box);
void answer_slot(struct peers *w, struct peer_slot *slot, bool failed);
void answer_start(struct peers *w, struct peer_slot *slot, bool failed);
void answer_exit(struct peers *w, struct peer_slot *slot, bool left);
void guardian_leaves(struct peer_slot *slot);
void answer_ready(struct peers *w, size_t gateway, bool failed);
/* The oldest of what it was asked. */
void answer_call(struct peers *w, size_t gateway);
void answer_call_end(struct peers *w, size_t gateway);

#endif
