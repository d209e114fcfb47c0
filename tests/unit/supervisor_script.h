/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of the tests of the supervisor: what a client, the launcher, a guardian or a gateway sends or expects to get.
 * Each turns the loop first; an expectation that fails ends the test.
 */
#ifndef NSBOX_TESTS_SUPERVISOR_SCRIPT_H
#define NSBOX_TESTS_SUPERVISOR_SCRIPT_H

#include "supervisor_doubles.h"

/* A client that has said hello and wants no events. */
int script_client(struct fake *f);

/* The next message, of this type. */
struct fake_packet *expect(struct fake *f, int sock, uint32_t type);
/* No message, and the connection is open. */
void expect_nothing(struct fake *f, int sock);
void expect_hung_up(struct fake *f, int sock);
/* Answer to a request; its payload, valid until the next packet. */
const char *expect_success(struct fake *f, int sock, uint32_t request);
/* The errno. */
int expect_failure(struct fake *f, int sock, uint32_t request);
/* MSG_CALL_EXIT of this call. */
void expect_exit(struct fake *f, int sock, const char *call, uint32_t status, const char *reason);

struct box {
	const char *id;
	uint32_t number; /* the launcher's */
	uint32_t first;	 /* slot that is prepared beside the rest */
	int log;
	struct fake_gateway *gateway; /* NULL: none */
	bool audited;
};

/* Up to and with the answer to MSG_CREATE; its first slot was asked for. */
void script_sandbox(struct fake *f, int sock, const char *id, bool gateway, struct box *ret);
/* The same with a gateway and an auditor that decides everything. */
void script_audited(struct fake *f, int sock, const char *id, struct box *ret);
/* The same for a named one, whose entry is in a new directory. */
void script_named(struct fake *f, int sock, const char *id, bool gateway, struct box *ret);
/* Connection of another client by the socket of the named sandbox. */
int script_second_client(struct fake *f);
void script_remove_place(void);

/* The launcher was asked for a slot: its number. */
uint32_t expect_slot(struct fake *f, const struct box *box);
/* It is there: the guardian's end. With a gateway the placeholders come too. */
int script_slot(struct fake *f, const struct box *box, uint32_t slot);
void script_slot_failed(struct fake *f, const struct box *box, uint32_t slot);
/* MSG_START; a new request number. */
uint32_t script_start(struct fake *f, int sock, const char *id, uint32_t flags);
/* The guardian is told, after the record: it says that the command runs. */
void script_started(struct fake *f, const struct box *box, int guardian);
void script_exited(struct fake *f, int guardian, uint32_t status);
/* From MSG_START to the answer, on a prepared call: its id. */
const char *script_run(struct fake *f, int sock, const struct box *box, int guardian, uint32_t flags);
/* How often the log of the sandbox says this. */
size_t log_count(const struct box *box, const char *what);
uint32_t new_request(void);

#endif
