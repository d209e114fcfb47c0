/* SPDX-License-Identifier: Apache-2.0 */
/* What a call may do on the network: the sandbox's policy, and the grant that the call was started with. */
#ifndef NSBOX_GATEWAY_AUTHORITY_H
#define NSBOX_GATEWAY_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/quota.h"
#include "policy/grant.h"
#include "policy/policy.h"

struct call;
struct gateway;

void authority_decide(const struct gateway *gw, const struct call *call, const struct net_target *t,
		      struct net_verdict *ret);
/* Never says no where authority_decide() could say yes. */
bool authority_host_possible(const struct gateway *gw, const struct call *call, enum net_proto proto, const char *host,
			     const struct in6_addr *addr, uint16_t port);
/* A deny rule of either names this address: for what a name resolved to. */
bool authority_addr_denied(const struct gateway *gw, const struct call *call, enum net_proto proto,
			   const struct in6_addr *addr, uint16_t port);
bool authority_secret(const struct call *call, const struct policy_secret *s, const struct net_target *t);
/* The auditor may be asked to raise a grant for this host. Never says no where authority_raise() could say yes. */
bool authority_host_raisable(const struct gateway *gw, enum net_proto proto, const char *host,
			     const struct in6_addr *addr, uint16_t port);
/* The grant lacks what the policy allows, and the auditor may be asked to raise it: true, and the verdict is then the
 * policy's. Nothing may happen unless it was raised. */
bool authority_raise(const struct gateway *gw, const struct net_target *t, struct net_verdict *verdict);
/* Only what carries a placeholder of the call may stand in a header for credentials. */
bool authority_placeholders_only(const struct call *call);

/* Whose quotas a request or connection to this target counts against. */
struct payers authority_payers(struct gateway *gw, const struct call *call, const struct net_target *t);

#endif
