/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program beside the supervisor, with one end of a SEQPACKET socket as its descriptor 3 and nothing else. */
#ifndef NSBOX_SUPERVISOR_PROCESS_H
#define NSBOX_SUPERVISOR_PROCESS_H

#define PROCESS_SOCKET 3
/* Descriptors that become() needs lie from here on; all are close-on-exec. */
#define PROCESS_KEPT 10

struct process {
	/* Executes; runs in the supervisor's address space until then: system calls only, nothing that allocates.
	 * Returning is failure. It ends with the supervisor by then, and 0 to 2 are /dev/null. */
	void (*become)(const void *arg);
	const void *arg;
};

/* 0 or a negative errno; that it could not execute shows as the end of the socket. */
int process_start(const struct process *p, int *ret_sock, int *ret_pidfd);

#endif
