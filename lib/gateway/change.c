/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the policy. Every request and relay that was allowed is decided about anew: what is not allowed any more is
 * cut, the rest gets the verdict of a rule that is there. Connections that wait for a request stay, their next one is
 * decided as any; kept ones to servers that no rule allows are closed.
 */
#include "gateway/change.h"

#include "base/util.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/relay.h"

static bool holds(struct session *s)
{
	return s->x ? request_review(s) : relay_review(s);
}

/* From the beginning after each: one that ends may take others along. */
static void review_call(struct call *call)
{
	for (struct session *s = call->sessions; s;) {
		if (holds(s)) {
			s = s->next;
		} else {
			session_abort(s);
			s = call->sessions;
		}
	}
	upstream_drop_denied(call);
}

int change_rule(struct gateway *gw, enum rule_key key, const char *rule, const char *origin, const uint16_t *ports, int *fds,
		size_t n_ports, struct error *e)
{
	int r = key ? policy_add_rule(gw->policy, key, rule, origin, e) : policy_remove_rule(gw->policy, key, rule, e);

	for (size_t i = 0; i < n_ports && r == 0; i++) {
		r = listeners_add(gw, TAKE_FD(fds[i]), ports[i], false);
		if (r < 0)
			fail_errno(e, -r, SANDBOX_STAGE_GATEWAY, "listeners", "Cannot listen on port %u", ports[i]);
	}
	for (size_t i = 0; i < CALL_BUCKETS && r == 0; i++) {
		for (struct call *call = gw->calls.buckets[i]; call; call = call->chain)
			review_call(call);
	}
	return r;
}
