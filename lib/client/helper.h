/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting programs from inside a host application without leaving a trace in it: no SIGCHLD, no child that its own
 * waitpid(-1) could reap, no fork of its address space, no change of its signal handlers.
 */
#ifndef NSBOX_CLIENT_HELPER_H
#define NSBOX_CLIENT_HELPER_H

#include <stdbool.h>
#include <stddef.h>

struct helper {
	int dir_fd;		/* directory to look the program up in; AT_FDCWD with an absolute program */
	const char *program;
	char *const *argv, *const *env;
	/* What becomes 0, 1, 2, 3, ... of the program; -1: /dev/null. Everything else is closed. */
	const int *fds;
	size_t n_fds;
	bool at_root; /* it runs in the root directory, and not in ours */
};

#define HELPER_MAX_FDS 8u

/* 0 and a pidfd of the program, or -errno, also of its exec. It runs in a session of its own. */
int helper_spawn(const struct helper *helper, int *ret_pidfd);

#endif
