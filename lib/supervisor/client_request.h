/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of requests: a negative errno when the message is out of form. */
#ifndef NSBOX_SUPERVISOR_CLIENT_REQUEST_H
#define NSBOX_SUPERVISOR_CLIENT_REQUEST_H

#include "supervisor/supervisor.h"

/* 0, for the handler to return. */
int client_refuse(struct client *client, uint32_t request, int err, const char *object, const char *text);
int client_no_sandbox(struct client *client, uint32_t request, const char *id);
/* A request that says only which sandbox it is about: that one, or NULL and what the handler has to return. */
struct sandbox *client_only_sandbox(struct supervisor *s, struct client *client, struct client_message_in *m,
				    uint32_t *ret_request, int *ret);

/* client_authority.c */
int on_approvals(struct supervisor *s, struct client *client, struct client_message_in *m);
int on_decide(struct supervisor *s, struct client *client, struct client_message_in *m);
int on_rule(struct supervisor *s, struct client *client, struct client_message_in *m);
int on_secret(struct supervisor *s, struct client *client, struct client_message_in *m);
int on_policy(struct supervisor *s, struct client *client, struct client_message_in *m);
int on_working(struct supervisor *s, struct client *client, struct client_message_in *m);

#endif
