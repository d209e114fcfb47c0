/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that this version cannot apply are errors, unless the policy says that it may do without (invariant 1).
 * pids, open_files, timeout and disk need nothing special; memory and cpus need a delegated cgroup v2.
 */
#include <errno.h>

#include "client/client.h"

int limits_check(const struct policy *p, struct error *e)
{
	const struct policy_limits *l = policy_limits(p);

	if (l->memory && !policy_degraded_allowed(p, "memory"))
		return fail(e, ENOTSUP, SANDBOX_STAGE_LIMITS, "memory",
			    "the memory limit needs a delegated cgroup v2, which this version does not use yet; leave "
			    "--memory away, or run without the limit by --allow-degraded memory");
	if (l->cpus_milli && !policy_degraded_allowed(p, "cpus"))
		return fail(e, ENOTSUP, SANDBOX_STAGE_LIMITS, "cpus",
			    "the cpu limit needs a delegated cgroup v2, which this version does not use yet; leave --cpus "
			    "away, or run without the limit by --allow-degraded cpus");
	return 0;
}
