/* SPDX-License-Identifier: Apache-2.0 */
/* Grants of calls: what goes with a command to the supervisor, which decides about it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"
#include "policy/grant.h"

int sandbox_command_set_grant(sandbox_command *command, sandbox_grant *grant, sandbox_error **error)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct error e = { 0 };

	/* Finished here, where relative paths are the caller's. */
	int r = grant_finish(grant->grant, &e);
	if (r == 0)
		r = grant_encode(grant->grant, &bytes);
	if (r < 0) {
		if (e.err == 0)
			fail_errno(&e, -r, SANDBOX_STAGE_POLICY, "grant", "cannot send the grant of the call");
		return error_publish(&e, error);
	}
	buf_free(&command->grant);
	command->grant = bytes;
	bytes = (struct buf){ 0 };
	return 0;
}

int sandbox_command_set_template(sandbox_command *command, const char *name, sandbox_error **error)
{
	struct error e = { 0 };

	char *copy = *name ? strdup(name) : NULL;
	if (!copy) {
		fail(&e, *name ? ENOMEM : EINVAL, SANDBOX_STAGE_USAGE, "template", "%s",
		     *name ? "out of memory" : "a template has a name; \"*\" is the one that binds the command");
		return error_publish(&e, error);
	}
	free(command->template);
	command->template = copy;
	return 0;
}

int sandbox_grant_from_sandbox(const sandbox *box, const char *name, sandbox_grant **ret_grant, sandbox_error **error)
{
	struct error e = { 0 };

	if (sandbox_check_outside(box, &e) < 0)
		return error_publish(&e, error);
	const struct grant *template = policy_grant(box->policy, name);
	if (!template) {
		fail(&e, ENOENT, SANDBOX_STAGE_POLICY, name,
		     "the sandbox has no grant %s: it was made from a policy without [grant %s]", name, name);
		return error_publish(&e, error);
	}
	struct sandbox_grant *g = calloc(1, sizeof(*g));
	if (!g || grant_copy(template, &g->grant) < 0) {
		free(g);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "grant", "out of memory");
		return error_publish(&e, error);
	}
	*ret_grant = g;
	return 0;
}
