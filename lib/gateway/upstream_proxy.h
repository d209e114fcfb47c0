/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP proxy through which servers are reached, when the policy names one: its password. */
#ifndef NSBOX_GATEWAY_UPSTREAM_PROXY_H
#define NSBOX_GATEWAY_UPSTREAM_PROXY_H

#include "base/error.h"
#include "gateway/locked.h"
#include "policy/policy.h"

struct upstream_proxy {
	struct locked value; /* USER:PASSWORD */
	size_t len;
};

/* fd holds USER:PASSWORD whole; it is not looked at without a proxy that has a source for it. */
int upstream_proxy_init(struct upstream_proxy *p, const struct policy *policy, int fd, bool unlocked, struct error *e);

#endif
