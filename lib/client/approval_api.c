/* SPDX-License-Identifier: Apache-2.0 */
/* What waits for a person in a sandbox. */
#include <errno.h>

#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

#define MAX_LIST (64u << 20)

static int gone(const struct sandbox *b, struct error *e)
{
	return fail(e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, b->id, "the runtime of the sandbox has been freed");
}

static int ask(struct sandbox *b, const char *ticket, const char *digest, int decision, int *ret_fd, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };

	int r = request_begin(b->connection, &m, ticket ? MSG_DECIDE : MSG_APPROVALS, &request);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r == 0 && ticket)
		r = wire_put_str(&m, ticket);
	if (r == 0 && ticket)
		r = wire_put_str(&m, digest);
	if (r == 0 && ticket)
		r = wire_put_u32(&m, (uint32_t)decision);
	if (r < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, b->id, "out of memory");
	return request_run(b->connection, &m, &request, NULL, 0, NULL, ret_fd, e);
}

int sandbox_approvals(sandbox *box, char **ret_json, sandbox_error **error)
{
	_cleanup_buf_ struct buf json = { 0 };
	_cleanup_close_ int fd = -EBADF;
	struct error e = { 0 };

	int r = box->connection ? ask(box, NULL, NULL, 0, &fd, &e) : gone(box, &e);
	if (r == 0 && (memfd_read_sealed(fd, MAX_LIST, &json) < 0 || !buf_str(&json)))
		r = fail(&e, EPROTO, SANDBOX_STAGE_PROTOCOL, box->id, "cannot read what the supervisor sent");
	if (r < 0)
		return error_publish(&e, error);
	*ret_json = (char *)TAKE_PTR(json.data);
	return 0;
}

int sandbox_decide(sandbox *box, const char *ticket, const char *digest, int decision, sandbox_error **error)
{
	struct error e = { 0 };
	int r;

	if (decision < SANDBOX_DENY || decision > SANDBOX_APPROVE_ALWAYS)
		r = fail(&e, EINVAL, SANDBOX_STAGE_USAGE, ticket, "a decision is SANDBOX_DENY, SANDBOX_APPROVE or SANDBOX_APPROVE_ALWAYS");
	else
		r = box->connection ? ask(box, ticket, digest, decision, NULL, &e) : gone(box, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}
