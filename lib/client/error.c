/* SPDX-License-Identifier: Apache-2.0 */
/* Public errors. */
#include "client/client.h"

#include <stdlib.h>

#include "base/util.h"

int error_publish(const struct error *e, sandbox_error **ret)
{
	if (ret) {
		/* Out of memory leaves NULL there; the return value still tells. */
		*ret = calloc(1, sizeof(**ret));
		if (*ret)
			(*ret)->e = *e;
	}
	return -e->err;
}

int sandbox_error_errno(const sandbox_error *error)
{
	return error ? error->e.err : 0;
}

int sandbox_error_stage(const sandbox_error *error)
{
	return error ? error->e.stage : SANDBOX_STAGE_NONE;
}

const char *sandbox_stage_name(int stage)
{
	static const char *const names[] = {
		[SANDBOX_STAGE_NONE] = "none",
		[SANDBOX_STAGE_USAGE] = "usage",
		[SANDBOX_STAGE_POLICY] = "policy",
		[SANDBOX_STAGE_HELPER] = "helper",
		[SANDBOX_STAGE_PROTOCOL] = "protocol",
		[SANDBOX_STAGE_USER_NAMESPACE] = "user-namespace",
		[SANDBOX_STAGE_NAMESPACE] = "namespace",
		[SANDBOX_STAGE_MOUNT] = "mount",
		[SANDBOX_STAGE_NETWORK] = "network",
		[SANDBOX_STAGE_LANDLOCK] = "landlock",
		[SANDBOX_STAGE_SECCOMP] = "seccomp",
		[SANDBOX_STAGE_CAPABILITIES] = "capabilities",
		[SANDBOX_STAGE_LIMITS] = "limits",
		[SANDBOX_STAGE_GATEWAY] = "gateway",
		[SANDBOX_STAGE_SECRET] = "secret",
		[SANDBOX_STAGE_AUDIT] = "audit",
		[SANDBOX_STAGE_TERMINAL] = "terminal",
		[SANDBOX_STAGE_EXEC] = "exec",
		[SANDBOX_STAGE_AUDITOR] = "auditor",
		[SANDBOX_STAGE_INTERNAL] = "internal",
		[SANDBOX_STAGE_OVERLAY] = "overlay",
	};
	_Static_assert(ARRAY_LEN(names) == _SANDBOX_STAGE_MAX, "every stage has a name");
	return stage >= 0 && stage < _SANDBOX_STAGE_MAX ? names[stage] : "unknown";
}

const char *sandbox_error_object(const sandbox_error *error)
{
	return error ? error->e.object : "";
}

const char *sandbox_error_message(const sandbox_error *error)
{
	return error ? error->e.message : "";
}

void sandbox_error_free(sandbox_error *error)
{
	free(error);
}
