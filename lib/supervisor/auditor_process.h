/* SPDX-License-Identifier: Apache-2.0 */
/* Reaching the auditor that a policy names. */
#ifndef NSBOX_SUPERVISOR_AUDITOR_PROCESS_H
#define NSBOX_SUPERVISOR_AUDITOR_PROCESS_H

#include "base/error.h"

/* text: unix:PATH or exec:COMMAND. *ret_sock: the connection; *ret_pidfd: of a program that was started, else untouched.
 * home: the user's, may be NULL. */
int auditor_reach(const char *text, const char *home, int *ret_sock, int *ret_pidfd, struct error *e);
/* Kill the program and what it started; closes pidfd, which may be negative. */
void auditor_kill(int pidfd);

#endif
