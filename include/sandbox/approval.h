/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file approval.h
 * What waits for a person: calls, requests, connections and commits of a sandbox about which its auditor said `ask`
 * (nsbox-auditor(7)). Anybody who can open the sandbox decides; sandboxes of sandbox_create_named() can be opened from
 * other processes of the same user. What nobody decides about within ten minutes is denied.
 */
#ifndef SANDBOX_APPROVAL_H
#define SANDBOX_APPROVAL_H

#include <sandbox/call.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sandbox_decision {
	SANDBOX_DENY = 0,
	SANDBOX_APPROVE = 1,
	/** An equal call in this sandbox, or an equal request of the same call, is not asked about again. */
	SANDBOX_APPROVE_ALWAYS = 2,
};

/**
 * JSON array in a fresh string (free()), oldest first: {ticket, sandbox, call, op, digest, reason, expires_s, question,
 * before}. reason is the auditor's; question is what it was asked (nsbox-auditor(7)), and digest is of exactly that;
 * before, where there is one, is the question about the same program or host that a person allowed last here.
 */
SANDBOX_API int sandbox_approvals(sandbox *box, char **ret_json, sandbox_error **error);
/** Decide about a ticket (enum sandbox_decision); digest is the one that was shown with it. -ENOENT: it does not wait any
 *  more. -ESTALE: the digest is another. Recorded as approval.decided before it takes effect. */
SANDBOX_API int sandbox_decide(sandbox *box, const char *ticket, const char *digest, int decision, sandbox_error **error);

#ifdef __cplusplus
}
#endif
#endif
