/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A supervisor without processes, for tests and fuzz targets: launcher, guardians, gateways and clients are sockets
 * whose other ends the test holds, and its loop turns only when the test says so. Linked in the place of
 * supervisor/gateway_process.c and auditor_process.c. What cannot be set up aborts.
 */
#ifndef NSBOX_TESTS_SUPERVISOR_DOUBLES_H
#define NSBOX_TESTS_SUPERVISOR_DOUBLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"
#include "supervisor/supervisor.h"

#define FAKE_GATEWAYS 64u
#define FAKE_AUDITORS 16u

struct fake_gateway {
	int sock;    /* the gateway's end */
	int quiet;   /* the same of the socket that wakes nobody, when it has taken it: fake_attached() */
	int process; /* readable when it is gone; the supervisor has a copy as its pidfd */
	bool gone;
};

struct fake {
	struct supervisor s;
	int launcher; /* the launcher's end */
	struct fake_gateway gateways[FAKE_GATEWAYS];
	size_t n_gateways;
	bool no_gateways; /* none can be started */
	bool gateways_stay; /* killed ones are not gone at once */
};

/* One message as a peer of the supervisor reads it. */
struct fake_packet {
	size_t len, n_fds;
	int fds[WIRE_MAX_FDS];
	uint32_t type;
	struct wire_reader in; /* behind the type; what it reads is valid until the next packet */
};

void fake_open(struct fake *f, bool scopes);
/* Ends as main() does, and then gives back everything. */
void fake_close(struct fake *f);
/* Turn the loop until nothing is left to do. Killed gateways go on the way. */
void fake_run(struct fake *f);
/* Let every deadline come, but for those of questions to auditors and to persons. */
void fake_pass_time(struct fake *f);
/* Let those come, too. */
void fake_nobody_decides(struct fake *f);
/* Let the time come at which what was taken of the pools is made anew. */
void fake_refill(struct fake *f);
/* Our end of a new client connection. */
int fake_client(struct fake *f);
void fake_gateway_exit(struct fake_gateway *g);
/* p: its GATEWAY_ATTACH, with the sockets. */
void fake_attached(struct fake_gateway *g, struct fake_packet *p);

/* A pair of sockets, neither of which blocks. */
void fake_pair(int pair[2]);
/* 1 a packet, 0 none yet, -1 the end. fake_packet_close() closes its descriptors that are still there. */
int fake_receive(int sock, struct fake_packet *p);
void fake_packet_close(struct fake_packet *p);
/* b: u8, u: u32, q: u64, s: str, v: strv, e: an error record. */
void fake_put(struct buf *b, const char *format, ...);
/* The same as one packet; descriptors stay the caller's. 0 or -errno. */
int fake_send(int sock, const int *fds, size_t n_fds, const char *format, ...);

/* Sealed memfd with the policy of a light sandbox, made once. */
int fake_policy(bool gateway);
/* The same with an auditor, one for each sandbox. */
int fake_audited_policy(void);
struct fake_auditor {
	int sock;   /* the auditor's end, the test's to close */
	int theirs; /* number of the supervisor's end */
};
/* Those that were reached since fake_open(), the oldest first; at most FAKE_AUDITORS can be. */
const struct fake_auditor *fake_auditors(size_t *ret_n);
/* The end of the newest one. */
int fake_auditor(void);
/* A directory as supervisors take for that of the state. */
int fake_state(void);
/* An empty file as supervisors take for a log; it cannot grow any more after fake_log_full(). */
int fake_log(const char *name);
void fake_log_full(int log);
/* Everything in it, NUL-terminated. Freed by the caller. */
char *fake_log_text(int log);

#endif
