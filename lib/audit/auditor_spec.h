/* SPDX-License-Identifier: Apache-2.0 */
/* Where the auditor is: `unix:PATH` or `exec:CMD`, and the deadline of [audit]. */
#ifndef NSBOX_AUDIT_AUDITOR_SPEC_H
#define NSBOX_AUDIT_AUDITOR_SPEC_H

#include <stdint.h>

#include "base/error.h"

#define AUDITOR_MIN_DEADLINE_US 5000u
#define AUDITOR_MAX_DEADLINE_US 60000000u
#define AUDITOR_CHILD_FD 3

enum auditor_kind { AUDITOR_UNIX, AUDITOR_EXEC };

struct auditor_spec {
	enum auditor_kind kind;
	const char *value; /* path or command line; within the text that was parsed */
};

/* PATH absolute and short enough for a socket, CMD not blank; no control bytes in either. 0 or -EINVAL. */
int auditor_spec_parse(const char *text, struct auditor_spec *ret, struct error *e);
/* `250ms`, `2s`, `1m`: digits and a unit, 5ms to 60s. 0 or -EINVAL. */
int auditor_deadline_parse(const char *text, uint64_t *ret_us, struct error *e);

/* Connect to the socket of an AUDITOR_UNIX without waiting; whoever listens there must be this user or root. */
int auditor_connect(const char *path, int *ret_fd, struct error *e);

/* What to execute for an AUDITOR_EXEC: the socket is descriptor AUDITOR_CHILD_FD then. Everything points at constants
 * and into the spec; env has room for what the caller adds (HOME), both end with NULL. */
#define AUDITOR_COMMAND_ENV 8
struct auditor_command {
	const char *argv[4];
	const char *env[AUDITOR_COMMAND_ENV + 1];
};
void auditor_spec_command(const struct auditor_spec *spec, struct auditor_command *ret);

#endif
