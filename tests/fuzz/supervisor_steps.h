/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of fuzz_supervisor.c, each read from the input. */
#ifndef NSBOX_TESTS_SUPERVISOR_STEPS_H
#define NSBOX_TESTS_SUPERVISOR_STEPS_H

#include "supervisor_peers.h"

#define MAX_STEPS 96u

struct input {
	const uint8_t *p, *end;
	unsigned at_once; /* so many steps happen before the supervisor's next turn */
	struct peers *w;
};

static inline uint8_t take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static inline const uint8_t *take_bytes(struct input *in, size_t *len)
{
	const uint8_t *p = in->p;
	size_t left = (size_t)(in->end - in->p);

	*len = *len < left ? *len : left;
	in->p += *len;
	return p;
}

/* supervisor_clients.c */
void steps_make_place(void);
/* Those of named sandboxes. */
void steps_remove_entries(void);
/* /dev/null, borrowed. */
int steps_null(void);
/* An empty audit log, borrowed; /dev/null when there are too many. */
int steps_log(struct peers *w);
/* The four descriptors of a named sandbox, and the name of its entry; false: there are too many. */
bool steps_entry(int fds[4], char name[16]);
void new_client(struct peers *w, int sock, bool connecting);
/* By the socket of one of the named sandboxes. */
void connect_named(struct peers *w, uint8_t which);
void client_step(struct input *in, uint8_t what);

/* Remembered, so that its one answer is known: its number. */
uint32_t steps_request(struct peers *w, struct peer_client *c, uint32_t type);

/* supervisor_changes.c */
void change_step(struct input *in, struct peer_client *c, const char *id);

/* supervisor_reviews.c */
void review_step(struct input *in, struct peer_client *c, uint8_t how);

/* supervisor_auditors.c */
void auditor_step(struct input *in, uint8_t what);

#endif
