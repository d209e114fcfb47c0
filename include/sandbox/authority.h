/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file authority.h
 * What a sandbox that runs may reach, changed while it runs: for its open connections too, and done when the function
 * returns. Anybody who can open the sandbox can do this; nothing in it can. A change lasts as long as the sandbox.
 */
#ifndef SANDBOX_AUTHORITY_H
#define SANDBOX_AUTHORITY_H

#include <sandbox/call.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Add a rule to what the sandbox may reach, with the key of [network] under which it would stand in a policy ("allow",
 * "allow_private" or "passthrough") and in its form. It is refused where a policy would be, as beside another rule that
 * contradicts it. Calls without a grant, and those whose grant names no rule, have it at once; a grant that names rules
 * stays as it was made. -EEXIST: it is there already.
 */
SANDBOX_API int sandbox_add_rule(sandbox *box, const char *key, const char *rule, sandbox_error **error);
/**
 * Take away every allow, allow_private and passthrough rule of this text. Requests and connections that nothing else
 * allows are cut, whatever the grant of their call says. -ENOENT: there is no such rule.
 */
SANDBOX_API int sandbox_disallow(sandbox *box, const char *rule, sandbox_error **error);
/** The rules as they are now: JSON array in a fresh string (free()) of {key, rule, source}, key being allow, deny,
 *  allow_private or passthrough. */
SANDBOX_API int sandbox_rules(sandbox *box, char **ret_json, sandbox_error **error);

/**
 * Give it a secret of a policy that holds its section ("secret NAME", or "secret" with "spec"; sandbox_policy(3)); nothing
 * else of the policy is used, and it need not be checked. The value is read here, from a variable, a file or
 * sandbox_policy_set_secret_value(), or comes from a command, as long as the sandbox lives. Calls that start from now on
 * have the placeholder in their environment.
 */
SANDBOX_API int sandbox_add_secret(sandbox *box, sandbox_policy *policy, const char *name, sandbox_error **error);
/** Another value for a secret, used by the next request; placeholders stay. Read as the policy says for this name, or with
 *  policy NULL from where the sandbox's own policy has it; a command is asked anew for each call that has a value. */
SANDBOX_API int sandbox_rotate_secret(sandbox *box, sandbox_policy *policy, const char *name, sandbox_error **error);
/** Its placeholders are worth nothing from here on, and requests that carry the value are cut. */
SANDBOX_API int sandbox_revoke_secret(sandbox *box, const char *name, sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
