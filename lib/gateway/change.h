/* SPDX-License-Identifier: Apache-2.0 */
/* What is changed about the policy while the sandbox runs, also for connections that are open. */
#ifndef NSBOX_GATEWAY_CHANGE_H
#define NSBOX_GATEWAY_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "policy/policy.h"

struct gateway;
struct policy_secret;

/* A rule more under this key, and the listeners of its ports (taken over); or (RULE_KEY_NONE) one less: when this returns, nothing is open that only it
 * allowed. What fails changes nothing. */
int change_rule(struct gateway *gw, enum rule_key key, const char *rule, const char *origin, const uint16_t *ports, int *fds,
		size_t n_ports, struct error *e);

/* A value for a secret by its name, or for one more (added): fd is read to its end, or is the socket of its command, and
 * control_changed() tells what came of it. Both are taken over unless this fails: then nothing was begun. */
int change_secret(struct gateway *gw, uint32_t ticket, const char *name, struct policy_secret *added, int fd);
/* The command of this one is asked anew, for every call that has a value of it: as above. -EPROTO: there is no such
 * secret; else e is filled. */
int change_renew_secret(struct gateway *gw, uint32_t ticket, const char *name, struct error *e);
/* When this returns its placeholders are worth nothing, and nothing that carries its value goes on. */
int change_revoke_secret(struct gateway *gw, const char *name);

#endif
