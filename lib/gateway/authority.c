/* SPDX-License-Identifier: Apache-2.0 */
/* The policy decides first and the grant can only take away; a call without a grant has all of the policy. */
#include "gateway/authority.h"

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

bool authority_secret(const struct call *call, const struct policy_secret *s, const struct net_target *t)
{
	return call->grant ? grant_secret_allowed(call->grant, s, t) : secret_allowed(s, t);
}

bool authority_placeholders_only(const struct call *call)
{
	return call->grant && grant_placeholders_only(call->grant);
}

const char *authority_count_request(struct call *call, uint64_t length)
{
	uint64_t uses = call->grant ? grant_number(call->grant, GRANT_USES) : 0;
	uint64_t bytes = call->grant ? grant_number(call->grant, GRANT_BYTES_UP) : 0;

	if (uses && call->requests >= uses)
		return "uses";
	if (bytes && (call->bytes_up >= bytes || length > bytes - call->bytes_up))
		return "bytes-up";
	call->requests++;
	return NULL;
}

bool authority_count_upload(struct call *call, uint64_t bytes)
{
	uint64_t limit = call->grant ? grant_number(call->grant, GRANT_BYTES_UP) : 0;

	call->bytes_up += bytes;
	return !limit || call->bytes_up <= limit;
}
