/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revoking what a call was granted. The gateway forgets it at once: its connections are cut and its placeholders worth
 * nothing even while its processes are still dying. Whoever revokes hears of it when nothing of the call is left.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

struct revoker {
	struct revoker *next;
	struct client *client;
	uint32_t request;
};

static void cut(struct call *call)
{
	/* First, or the command may see its connections cut and end by itself. */
	call_signal(call, SIGKILL);
	/* A failure shows as the gateway's end. Asked again at the end of the call, when nothing can be sent any more. */
	if (!call->revoked && call->address && call->sandbox->gateway == GATEWAY_UP)
		gateway_send_call_end(call);
	call->revoked = true;
	/* What it asked for has it from this one. */
	for (struct call *c = call->sandbox->calls; c; c = c->next) {
		if (c->parent_number == call->number && call_is_running(c))
			cut(c);
	}
	/* And what has not started yet never will: the gateway does not know whose share it would have. */
	children_end(call);
}

int call_revoke(struct call *call, struct client *client, uint32_t request)
{
	struct revoker *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct revoker){ .next = call->revokers, .client = client, .request = request };
	call->revokers = r;
	/* Not started, and given up: nothing of it is left then. That may free it. */
	if (call->state == CALL_ASKING)
		call_signal(call, SIGKILL);
	else if (call_is_running(call))
		cut(call);
	return 0; /* or its end is on the way */
}

void call_revoked(struct call *call)
{
	while (call->revokers) {
		struct revoker *r = call->revokers;
		call->revokers = r->next;
		client_reply(r->client, r->request, NULL, "", NULL, 0);
		free(r);
	}
}

void call_forget_revoker(struct call *call, const struct client *client)
{
	for (struct revoker *r = call->revokers; r; r = r->next) {
		if (r->client == client)
			r->client = NULL;
	}
}
