/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes: making and removing them, and what is asked of one as a whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/util.h"
#include "client/changes.h"
#include "client/client.h"
#include "client/state.h"
#include "supervisor/protocol.h"

#define ID_LENGTH 8
#define POOL_MAX 256u

int sandbox_id_new(char ret[ID_MAX])
{
	/* Letters first, and nothing that reads as another: an id is typed, and begins like a word. */
	static const char alphabet[32] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t bytes[ID_LENGTH];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < ID_LENGTH; i++)
		ret[i] = alphabet[bytes[i] % (i ? sizeof(alphabet) : sizeof(alphabet) - 8)];
	ret[ID_LENGTH] = '\0';
	return 0;
}

/* A copy through the wire form: the same bytes that the supervisor gets, checked the same way. */
static int copy_policy(const struct policy *p, struct policy **ret, struct error *e)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = policy_encode(p, &bytes);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_POLICY, "policy", "cannot encode the policy");
	return policy_decode(bytes.data, bytes.len, ret, e);
}

int policy_memfd(const struct policy *p, struct error *e)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = policy_encode(p, &bytes);
	int fd = r < 0 ? r : above_stdio(memfd_from_bytes("policy", bytes.data, bytes.len));
	return fd < 0 ? fail_errno(e, -fd, SANDBOX_STAGE_POLICY, "policy", "cannot pass on the policy") : fd;
}

static int put_create(struct sandbox *b, size_t n_secrets, struct buf *m, struct request *request)
{
	int r = request_begin(b->connection, m, MSG_CREATE, request);
	if (r == 0)
		r = wire_put_str(m, b->id);
	if (r == 0)
		r = wire_put_str(m, b->name);
	return r < 0 ? r : wire_put_u32(m, (uint32_t)n_secrets);
}

/* A log in which nothing was written is no evidence of anything. */
static void drop_empty_log(const struct sandbox *b)
{
	struct stat st;

	if (b->log_path && lstat(b->log_path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
		unlink(b->log_path);
}

/* The descriptors that only the gateway reads. */
static int open_hidden(struct sandbox *b, const struct sandbox_policy *policy, int *fds, size_t max, size_t *ret_n,
		       struct error *e)
{
	size_t more = 0;

	int r = secrets_open(b, policy, fds, max, ret_n, e);
	if (r < 0)
		return r;
	r = upstream_secrets_open(b, b->policy, fds + *ret_n, max - *ret_n, &more, e);
	while (r < 0 && *ret_n > 0)
		fd_close(fds[--*ret_n]);
	*ret_n += more;
	return r;
}

int sandbox_request_create(struct sandbox *b, const struct sandbox_policy *policy, const int place[4], struct error *e)
{
	const size_t before = place ? 7 : 3;
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	int fds[WIRE_MAX_FDS];
	size_t n_secrets;

	int r = policy_make_own_places(policy->policy, e);
	if (r == 0)
		r = copy_policy(policy->policy, &b->policy, e);
	if (r == 0)
		r = state_hide(b->policy, true, e);
	if (r == 0 && policy_auditor(b->policy)->spec)
		r = policy_check_auditor(b->policy, policy_auditor(b->policy)->spec, e);
	if (r == 0)
		r = policy_guard_sources(b->policy, e);
	if (r < 0)
		return r;
	_cleanup_close_ int policy_fd = policy_memfd(b->policy, e);
	if (policy_fd < 0)
		return policy_fd;
	/* One place behind them is the layer's. */
	r = open_hidden(b, policy, fds + before, WIRE_MAX_FDS - before - 1, &n_secrets, e);
	if (r < 0)
		return r;
	_cleanup_layer_ struct layer layer = LAYER_NONE;
	_cleanup_close_ int state_fd = state_open(true, e);
	_cleanup_close_ int log_fd = above_stdio(policy->audit_log ?
							 audit_file_open(b->policy, policy->audit_log, &b->log_path, e) :
							 state_audit_open(b->id, &b->log_path, e));
	r = state_fd < 0 ? state_fd : log_fd < 0 ? log_fd : 0;
	if (r == 0)
		r = layer_make_for(b, policy, &layer, e);
	if (r == 0) {
		fds[before + n_secrets] = layer.dir;
		fds[0] = policy_fd;
		fds[1] = log_fd;
		fds[2] = state_fd;
		for (size_t i = 3; i < before; i++)
			fds[i] = place[i - 3];
		r = put_create(b, n_secrets, &m, &request);
		r = r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for a sandbox") :
			    request_run(b->connection, &m, &request, fds, before + n_secrets + (layer.dir >= 0), NULL,
					NULL, e);
	}
	if (r < 0 && layer.dir >= 0)
		layer_drop(&layer);
	for (size_t i = 0; i < n_secrets; i++)
		fd_close(fds[before + i]);
	if (r < 0)
		drop_empty_log(b);
	return r;
}

struct sandbox *sandbox_new(struct sandbox_runtime *r, struct error *e)
{
	struct sandbox *b = calloc(1, sizeof(*b));

	if (!b || sandbox_id_new(b->id) < 0) {
		fail(e, b ? EIO : ENOMEM, SANDBOX_STAGE_INTERNAL, "sandbox", b ? "no random numbers" : "out of memory");
		free(b);
		return NULL;
	}
	b->runtime = r;
	b->next = r->sandboxes;
	r->sandboxes = b;
	return b;
}

void sandbox_drop(struct sandbox *b)
{
	if (b->runtime) {
		for (struct sandbox **at = &b->runtime->sandboxes; *at; at = &(*at)->next) {
			if (*at == b) {
				*at = b->next;
				break;
			}
		}
	}
	connection_unref(b->connection);
	policy_free(b->policy);
	strv_free(b->env);
	free(b->log_path);
	free(b);
}

int sandbox_create(sandbox_runtime *runtime, sandbox_policy *policy, sandbox **ret_sandbox, sandbox_error **error)
{
	struct error e = { 0 };

	int r = sandbox_policy_check(policy, error);
	if (r < 0)
		return r;
	struct sandbox *b = sandbox_new(runtime, &e);
	if (!b)
		return error_publish(&e, error);
	r = connection_own(runtime, policy_net_mode(policy->policy) == NET_GATEWAY, &e);
	if (r == 0) {
		b->connection = runtime->own;
		connection_ref(b->connection);
		r = sandbox_request_create(b, policy, NULL, &e);
	}
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

const char *sandbox_name(const sandbox *box)
{
	return box->name;
}

const char *sandbox_audit_log(const sandbox *box)
{
	return box->log_path;
}

/* One request about the sandbox or a call in it: the id of that and up to one number behind it. */
static int ask(sandbox *box, uint32_t type, const char *id, const uint32_t *number, char **ret_text,
	       sandbox_error **error)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	struct error e = { 0 };

	if (!box->connection || box->removed) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, box->id, "%s",
		     box->removed ? "the sandbox has been removed" : "the runtime of the sandbox has been freed");
		return error_publish(&e, error);
	}
	if ((type != MSG_SIGNAL || !*id) && sandbox_check_outside(box, &e) < 0)
		return error_publish(&e, error);
	int r = request_begin(box->connection, &m, type, &request);
	if (r == 0)
		r = wire_put_str(&m, id);
	if (r == 0 && number)
		r = wire_put_u32(&m, *number);
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask about sandbox %s", box->id);
	else
		r = request_run(box->connection, &m, &request, NULL, 0, ret_text, NULL, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_set_pool(sandbox *box, unsigned depth, sandbox_error **error)
{
	const uint32_t number = depth;

	if (depth > POOL_MAX) {
		struct error e;
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, "pool", "at most %u calls are prepared ahead, not %u", POOL_MAX, depth);
		return error_publish(&e, error);
	}
	return ask(box, MSG_POOL, box->id, &number, NULL, error);
}

int sandbox_signal_call(sandbox *box, const char *call, int signal, sandbox_error **error)
{
	const uint32_t number = (uint32_t)signal;

	if (signal < 1 || signal > 64) {
		struct error e;
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, call, "signal %d is not between 1 and 64", signal);
		return error_publish(&e, error);
	}
	return ask(box, MSG_SIGNAL, call, &number, NULL, error);
}

int sandbox_revoke_call(sandbox *box, const char *call, sandbox_error **error)
{
	return ask(box, MSG_REVOKE, call, NULL, NULL, error);
}

int sandbox_signal(sandbox *box, int signal, sandbox_error **error)
{
	return sandbox_signal_call(box, box->id, signal, error);
}

int sandbox_inspect(sandbox *box, char **ret_json, sandbox_error **error)
{
	return ask(box, MSG_INSPECT, box->id, NULL, ret_json, error);
}

int sandbox_request_destroy(struct sandbox *b, bool force, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };

	int r = request_begin(b->connection, &m, MSG_DESTROY, &request);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r == 0)
		r = wire_put_u8(&m, force);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for the end of sandbox %s", b->id);
	r = request_run(b->connection, &m, &request, NULL, 0, NULL, NULL, e);
	if (r == 0 && b->policy)
		layer_drop_unused(b);
	return r;
}

void sandbox_free(sandbox *box)
{
	if (!box)
		return;
	/* When this fails the supervisor is gone, and with it the sandbox. */
	if (!box->name[0] && !box->inside && !box->removed && box->connection && !box->connection->lost)
		sandbox_request_destroy(box, true, NULL);
	sandbox_drop(box);
}
