/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inits, guardians and wires for a launcher that makes no process and no namespace: in the place of
 * namespace/init_start.c, guardian_start.c and net.c. The fuzz target holds their ends of the sockets and lets them
 * die; what the launcher may not do with them aborts.
 */
#ifndef NSBOX_TESTS_FAKE_LAUNCHER_H
#define NSBOX_TESTS_FAKE_LAUNCHER_H

#include "namespace/launcher_state.h"

#define FAKE_PROCESSES 256u

struct fake_process {
	int pidfd; /* the launcher's */
	int alive; /* a copy of it: readable when it is dead */
	int sock;  /* the process's end; -EBADF: closed */
	bool dead, orderly, reaped;
	const struct fake_process *init; /* of a guardian; NULL: it is one */
};

struct fake_launcher {
	struct fake_process processes[FAKE_PROCESSES];
	size_t n;
	bool no_inits, no_nets, no_wires, no_guardians; /* making one fails */
};

extern struct fake_launcher fake;

/* An init takes its guardians along. orderly: a guardian that has said its last word. */
void fake_die(struct fake_process *p, bool orderly);
/* All that was made is dead, reaped and closed. */
void fake_check_end(void);

#endif
