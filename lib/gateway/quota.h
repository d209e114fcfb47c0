/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was used, and how much may be: of a call by its grant, and of all calls together by the quotas of the policy.
 * A request counts when it starts, and so does a connection that is relayed unopened; retries of the gateway's own do
 * not count again. Bytes count before they leave. Time is that of the loop, which is monotonic.
 */
#ifndef NSBOX_GATEWAY_QUOTA_H
#define NSBOX_GATEWAY_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

/* It counts against the call that asked for it too, and so on up, also when that one has ended: this lives as long as
 * anybody counts against it. Of a quota of the policy: parent NULL. */
struct usage {
	struct usage *parent; /* NULL: not asked for by a call */
	size_t refs;
	uint64_t requests, bytes_up;
	uint64_t max_requests, max_bytes_up; /* 0: no bound */
	size_t names; /* that nobody had asked for before: calls.h */
	/* Requests an hour, 0: no bound. Credit grows by that each microsecond, and a request costs an hour of them. */
	uint64_t rate, credit, credit_at;
};

struct quotas {
	const struct policy_quota *of; /* of the policy */
	struct usage usage[POLICY_QUOTAS_MAX];
	size_t n;
};

/* Whom something counts against: a call with those above it, and quotas of the policy (policy_quotas_of()). */
struct payers {
	struct quotas *quotas;
	uint64_t mask;
	struct usage *call;
};

/* Why something is over. */
struct over_quota {
	const char *reason;  /* stable token; NULL: it is not */
	const char *quota;   /* of the policy, or NULL: the call's grant */
	unsigned retry_after; /* seconds, for the rate; else 0 */
};

void quotas_init(struct quotas *q, const struct policy *p);
void usage_set_rate(struct usage *u, uint64_t an_hour);
/* One more request now, whose body has this length as far as it is known (0: not). Counts nothing. */
struct over_quota quota_over(const struct payers *by, uint64_t length, uint64_t now);
/* It starts. */
void quota_count_request(const struct payers *by, uint64_t now);
/* Bytes that go up: they count, and then whether they are over. */
struct over_quota quota_count_upload(const struct payers *by, uint64_t bytes);
/* One sentence about it for whoever reads the refusal. */
const char *quota_detail(const struct over_quota *over);

#endif
