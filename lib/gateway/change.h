/* SPDX-License-Identifier: Apache-2.0 */
/* What is changed about the policy while the sandbox runs, also for connections that are open. */
#ifndef NSBOX_GATEWAY_CHANGE_H
#define NSBOX_GATEWAY_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct gateway;

/* A rule more, and the listeners of its ports (taken over); or one less: when this returns, nothing is open that only it
 * allowed. What fails changes nothing. */
int change_rule(struct gateway *gw, bool add, const char *rule, const char *origin, const uint16_t *ports, int *fds,
		size_t n_ports, struct error *e);

#endif
