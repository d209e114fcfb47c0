/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one gateway process. main.c tells how the parts work together. */
#ifndef NSBOX_GATEWAY_GATEWAY_H
#define NSBOX_GATEWAY_GATEWAY_H

#include "gateway/attempts.h"
#include "gateway/ca.h"
#include "gateway/calls.h"
#include "gateway/dns_server.h"
#include "gateway/listener.h"
#include "gateway/loop.h"
#include "gateway/names.h"
#include "gateway/questions.h"
#include "gateway/quota.h"
#include "gateway/records.h"
#include "gateway/resolver.h"
#include "gateway/secrets.h"
#include "gateway/trust.h"
#include "gateway/upstream_login.h"
#include "policy/policy.h"

struct session;
struct http2;
struct ending;
struct dial;

struct gateway {
	struct loop loop;
	struct policy *policy;
	char *sandbox;
	struct source control; /* fd 3 */
	bool control_full;     /* it is also watched for room */
	int quiet;	       /* what is said of calls without waking anybody */
	struct records records;
	struct questions questions;
	struct secrets secrets;
	struct ca ca;
	struct trust trust;
	struct upstream_login login; /* at upstream_proxy */
	struct resolver resolver;
	struct names names;
	struct calls calls;
	struct ending *endings; /* issue.h */
	struct quotas quotas;
	struct listeners listeners;
	struct dns_server dns;
	struct attempts attempts;
	size_t n_sessions, n_lanes;
	size_t most_sessions;  /* with lanes, since memory was given back last */
	uint64_t given_back;   /* loop.busy then */
	struct session *dead; /* freed at the end of the round */
	struct upstream *dead_upstreams;
	struct dial *dead_dials;
	struct http2 *http2_pending; /* to be run before the end of the round */
};

#endif
