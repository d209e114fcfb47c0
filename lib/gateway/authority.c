/* SPDX-License-Identifier: Apache-2.0 */
/* The policy decides first and the grant can only take away; a call without a grant has all of the policy. */
#include "gateway/authority.h"

#include <string.h>

#include "gateway/gateway.h"

void authority_decide(const struct gateway *gw, const struct call *call, const struct net_target *t,
		      struct net_verdict *ret)
{
	if (call->grant)
		grant_decide(gw->policy, call->grant, t, ret);
	else
		policy_decide(gw->policy, t, ret);
}

bool authority_host_possible(const struct gateway *gw, const struct call *call, enum net_proto proto, const char *host,
			     const struct in6_addr *addr, uint16_t port)
{
	return call->grant ? grant_host_possible(gw->policy, call->grant, proto, host, addr, port) :
			     policy_host_possible(gw->policy, proto, host, addr, port);
}

bool authority_host_raisable(const struct gateway *gw, enum net_proto proto, const char *host,
			     const struct in6_addr *addr, uint16_t port)
{
	return questions_wanted(gw, AUDITOR_GRANT_RAISE) && policy_host_possible(gw->policy, proto, host, addr, port);
}

bool authority_raise(const struct gateway *gw, const struct net_target *t, struct net_verdict *verdict)
{
	/* "grant-deny" is final. */
	if (verdict->allowed || strcmp(verdict->reason, "grant") != 0 || !questions_wanted(gw, AUDITOR_GRANT_RAISE))
		return false;
	policy_decide(gw->policy, t, verdict);
	return verdict->allowed;
}

bool authority_addr_denied(const struct gateway *gw, const struct call *call, enum net_proto proto,
			   const struct in6_addr *addr, uint16_t port)
{
	return call->grant ? grant_addr_denied(gw->policy, call->grant, proto, addr, port) :
			     policy_addr_denied(gw->policy, proto, addr, port);
}

bool authority_secret(const struct call *call, const struct policy_secret *s, const struct net_target *t)
{
	return call->grant ? grant_secret_allowed(call->grant, s, t) : secret_allowed(s, t);
}

bool authority_placeholders_only(const struct call *call)
{
	return call->grant && grant_placeholders_only(call->grant);
}

struct payers authority_payers(struct gateway *gw, const struct call *call, const struct net_target *t)
{
	return (struct payers){ .quotas = &gw->quotas, .mask = policy_quotas_of(gw->policy, t), .call = call->usage };
}
