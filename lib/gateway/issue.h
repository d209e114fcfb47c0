/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of commands: a value for each call that uses one.
 *
 * Theory of operation. When the sandbox starts the command is asked once, without a call: a sandbox whose command gives
 * nothing usable does not start. That value is the first's who needs one and has all of the policy, as it was told. For
 * any other call the command is asked when a request of it first carries the placeholder, and told the call; the
 * request waits. Before a value expires its successor is asked for, as long as the call lives. When the call ends the
 * helper (lib/source) revokes what was given for it; the end of the call is told after that, or when END_US are over.
 * A helper that is gone gives nothing any more, and requests that need the secret are refused.
 */
#ifndef NSBOX_GATEWAY_ISSUE_H
#define NSBOX_GATEWAY_ISSUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct call;
struct ending;
struct gateway;
struct holder;
struct issue;
struct issuer;
struct secret_value;
struct secrets;
struct source_answer;

/* first: what came for number 1. Takes fd over when it works. 0 or a negative errno with e filled. */
int issuer_new(struct secrets *s, size_t secret, int fd, const struct source_answer *first, struct error *e);
/* It gives nothing any more; what it gave is being revoked. */
void issuer_close(struct issuer *r);
/* From here on in the loop. 0 or -errno. */
int issuer_start(struct gateway *gw, struct issuer *r);
/* One that is used is this text. */
bool issuer_holds(const struct issuer *r, const void *text, size_t len);
/* All that are used are asked for anew: control_changed() tells when, or that one was not given (the old one stays).
 * False: that is going on already. */
bool issuer_renew(struct issuer *r, uint32_t ticket);

/*
 * What the call of this placeholder has been given: 0; -EINPROGRESS: the command has been asked, and its sessions are
 * run when it has answered; -ENOKEY: there is none, and asking again has to wait, or is in vain.
 */
int issue_value(struct gateway *gw, struct holder *h, struct secret_value *ret);
bool issue_asked(const struct holder *h);
/* Why there is none: a reason, and a text or NULL. */
const char *issue_failure(const struct gateway *gw, const struct holder *h, const char **ret_why);

/* Its values are worth nothing. True: control_ended() is called when they are revoked. */
bool issues_end(struct gateway *gw, struct call *call);
/* That is still to come for this address. */
bool issues_ending(const struct gateway *gw, uint32_t addr);

#endif
