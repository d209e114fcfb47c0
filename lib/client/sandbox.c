/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes: making and removing them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

#define ID_LENGTH 8

static int random_id(char ret[16])
{
	static const char alphabet[32] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t bytes[ID_LENGTH];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < ID_LENGTH; i++)
		ret[i] = alphabet[bytes[i] % sizeof(alphabet)];
	ret[ID_LENGTH] = '\0';
	return 0;
}

/* A copy through the wire form: the same bytes that the supervisor gets, checked the same way. */
static int copy_policy(const struct policy *p, struct buf *bytes, struct policy **ret, struct error *e)
{
	int r = policy_encode(p, bytes);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, "policy", "cannot encode the policy");
	return policy_decode(bytes->data, bytes->len, ret, e);
}

static int send_create(struct sandbox *b, const struct sandbox_policy *policy, const struct buf *bytes, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	int fds[WIRE_MAX_FDS];
	size_t n_secrets;
	uint32_t request;

	_cleanup_close_ int policy_fd = memfd_from_bytes("policy", bytes->data, bytes->len);
	if (policy_fd < 0)
		return fail_errno(e, -policy_fd, SANDBOX_STAGE_POLICY, "policy", "cannot pass on the policy");
	int r = secrets_open(policy, fds + 2, WIRE_MAX_FDS - 2, &n_secrets, e);
	if (r < 0)
		return r;
	_cleanup_close_ int log_fd = policy->audit_log ?
					     audit_file_open(b->policy, policy->audit_log, &b->log_path, e) :
					     state_audit_open(b->id, &b->log_path, e);
	r = log_fd < 0 ? log_fd : connection_open(b->runtime, false, e);
	if (r == 0) {
		fds[0] = policy_fd;
		fds[1] = log_fd;
		int k = request_begin(b->runtime, &m, MSG_CREATE, &request);
		if (k == 0)
			k = wire_put_str(&m, b->id);
		if (k == 0)
			k = wire_put_u32(&m, (uint32_t)n_secrets);
		r = k < 0 ? fail_errno(e, -k, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for a sandbox") :
			    request_run(b->runtime, &m, request, fds, n_secrets + 2, NULL, e);
	}
	for (size_t i = 0; i < n_secrets; i++)
		fd_close(fds[i + 2]);
	return r;
}

static void sandbox_drop(struct sandbox *b)
{
	if (b->runtime) {
		for (struct sandbox **at = &b->runtime->sandboxes; *at; at = &(*at)->next) {
			if (*at == b) {
				*at = b->next;
				break;
			}
		}
	}
	policy_free(b->policy);
	free(b->log_path);
	free(b);
}

int sandbox_create(sandbox_runtime *runtime, sandbox_policy *policy, sandbox **ret_sandbox, sandbox_error **error)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct error e = { 0 };

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	struct sandbox *b = calloc(1, sizeof(*b));
	if (!b) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "sandbox", "out of memory");
		return error_publish(&e, error);
	}
	b->runtime = runtime;
	b->next = runtime->sandboxes;
	runtime->sandboxes = b;
	r = random_id(b->id);
	if (r < 0)
		fail(&e, -r, SANDBOX_STAGE_INTERNAL, "sandbox", "no random numbers");
	if (r == 0)
		r = copy_policy(policy->policy, &bytes, &b->policy, &e);
	if (r == 0)
		r = send_create(b, policy, &bytes, &e);
	if (r < 0) {
		sandbox_drop(b);
		return error_publish(&e, error);
	}
	*ret_sandbox = b;
	return 0;
}

const char *sandbox_id(const sandbox *box)
{
	return box->id;
}

const char *sandbox_audit_log(const sandbox *box)
{
	return box->log_path;
}

void sandbox_free(sandbox *box)
{
	_cleanup_buf_ struct buf m = { 0 };
	uint32_t request;

	if (!box)
		return;
	/* When this fails the supervisor is gone, and with it the sandbox. */
	if (box->runtime && box->runtime->fd >= 0 && request_begin(box->runtime, &m, MSG_DESTROY, &request) == 0 &&
	    wire_put_str(&m, box->id) == 0)
		request_run(box->runtime, &m, request, NULL, 0, NULL, NULL);
	sandbox_drop(box);
}
