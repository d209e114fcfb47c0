/* SPDX-License-Identifier: Apache-2.0 */
/* Changing what a sandbox may reach while it runs. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "client/client.h"
#include "supervisor/protocol.h"

#define MAX_POLICY (16u << 20)

static int check_usable(const struct sandbox *b, struct error *e)
{
	if (!b->connection || b->removed)
		return fail(e, ECONNRESET, SANDBOX_STAGE_PROTOCOL, b->id, "%s",
			    b->removed ? "the sandbox has been removed" : "the runtime of the sandbox has been freed");
	return sandbox_check_outside(b, e);
}

/* key: RULE_KEY_NONE to remove it. */
static int change(sandbox *b, enum rule_key key, const char *rule, sandbox_error **error)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct request request = { 0 };
	struct error e = { 0 };

	int r = check_usable(b, &e);
	if (r < 0)
		return error_publish(&e, error);
	r = request_begin(b->connection, &m, MSG_RULE, &request);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r == 0)
		r = wire_put_u8(&m, (uint8_t)key);
	if (r == 0)
		r = wire_put_str(&m, rule);
	if (r == 0)
		r = wire_put_str(&m, key ? "allow add" : "allow remove");
	if (r < 0)
		fail_errno(&e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for a change of sandbox %s", b->id);
	else
		r = request_run(b->connection, &m, &request, NULL, 0, NULL, NULL, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_add_rule(sandbox *box, const char *key, const char *rule, sandbox_error **error)
{
	_cleanup_buf_ struct buf text = { 0 };
	enum rule_key k = policy_rule_key(key);
	struct error e = { 0 };

	if (k == RULE_KEY_NONE) {
		fail(&e, EINVAL, SANDBOX_STAGE_USAGE, key, "%.50s: what can be added to a sandbox that runs is allow, "
		     "allow_private or passthrough", key);
		return error_publish(&e, error);
	}
	/* Names that are not ASCII are ours to read: the supervisor takes the form that the wire has. */
	int r = policy_rule_canonical(k, rule, &text, &e);
	return r < 0 ? error_publish(&e, error) : change(box, k, buf_str(&text), error);
}

int sandbox_disallow(sandbox *box, const char *rule, sandbox_error **error)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct error e = { 0 };

	int r = policy_rule_canonical(RULE_KEY_ALLOW, rule, &text, &e);
	return r < 0 ? error_publish(&e, error) : change(box, RULE_KEY_NONE, buf_str(&text), error);
}

/* As it is now. */
static int fetch_policy(struct sandbox *b, struct policy **ret, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 }, bytes = { 0 };
	struct request request = { 0 };
	int fd = -EBADF;

	int r = request_begin(b->connection, &m, MSG_POLICY, &request);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask sandbox %s for its policy", b->id);
	r = request_run(b->connection, &m, &request, NULL, 0, NULL, &fd, e);
	if (r < 0)
		return r;
	_cleanup_close_ int policy_fd = fd;
	r = memfd_read_sealed(policy_fd, MAX_POLICY, &bytes);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, b->id, "cannot read the policy of sandbox %s", b->id);
	return policy_decode(bytes.data, bytes.len, ret, e);
}

static int put_rule(void *arg, const char *key, const char *text, const char *origin)
{
	struct buf *b = arg;

	int r = buf_puts(b, b->len > 1 ? ",{" : "{");
	if (r == 0)
		r = json_member_string(b, "key", key);
	if (r == 0)
		r = json_member_string(b, "rule", text);
	if (r == 0)
		r = json_member_string(b, "source", origin);
	return r < 0 ? r : buf_putc(b, '}');
}

int sandbox_rules(sandbox *box, char **ret_json, sandbox_error **error)
{
	_cleanup_buf_ struct buf json = { 0 };
	struct policy *policy = NULL;
	struct error e = { 0 };

	int r = check_usable(box, &e);
	if (r == 0)
		r = fetch_policy(box, &policy, &e);
	if (r < 0)
		return error_publish(&e, error);
	r = buf_putc(&json, '[');
	if (r == 0)
		r = policy_rules_each(policy, put_rule, &json);
	if (r == 0)
		r = buf_putc(&json, ']');
	policy_free(policy);
	if (r < 0 || !buf_str(&json)) {
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, box->id, "out of memory");
		return error_publish(&e, error);
	}
	*ret_json = (char *)TAKE_PTR(json.data);
	return 0;
}

static int change_secret(sandbox *b, enum secret_change how, const char *name, const struct policy_secret *added, int fd,
			 struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 }, bytes = { 0 };
	struct request request = { 0 };

	int r = added ? policy_secret_encode(added, &bytes) : 0;
	if (r == 0)
		r = request_begin(b->connection, &m, MSG_SECRET, &request);
	if (r == 0)
		r = wire_put_str(&m, b->id);
	if (r == 0)
		r = wire_put_u8(&m, (uint8_t)how);
	if (r == 0)
		r = wire_put_str(&m, name);
	if (r == 0)
		r = wire_put_bytes(&m, bytes.data, bytes.len);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "request", "cannot ask for a change of sandbox %s", b->id);
	return request_run(b->connection, &m, &request, &fd, fd >= 0, NULL, NULL, e);
}

static int no_secret(const char *name, const char *where, struct error *e)
{
	return fail(e, ENOENT, SANDBOX_STAGE_USAGE, name, "%s has no secret %s", where, name);
}

int sandbox_add_secret(sandbox *box, sandbox_policy *policy, const char *name, sandbox_error **error)
{
	struct policy *present = NULL;
	struct error e = { 0 };

	int r = check_usable(box, &e);
	const struct policy_secret *s = policy_find_secret(policy->policy, name);
	if (r == 0 && !s)
		r = no_secret(name, "the given policy", &e);
	/* Its command is not to see what the others are read from, and no call may change that or see the file. */
	if (r == 0 && (s->source == SOURCE_EXEC || s->source == SOURCE_FILE)) {
		r = fetch_policy(box, &present, &e);
		if (r == 0)
			r = policy_check_source(present, s, &e);
	}
	_cleanup_close_ int fd = r == 0 ? secret_open(box, policy, present, s, &e) : -EBADF;
	policy_free(present);
	if (r == 0)
		r = fd < 0 ? fd : change_secret(box, CHANGE_ADD, name, s, fd, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_rotate_secret(sandbox *box, sandbox_policy *policy, const char *name, sandbox_error **error)
{
	struct sandbox_policy present = { 0 };
	struct error e = { 0 };

	int r = check_usable(box, &e);
	const struct sandbox_policy *from = policy ? policy : &present;
	const struct policy_secret *s = r == 0 && policy ? policy_find_secret(policy->policy, name) : NULL;
	if (r == 0 && (!policy || (s && s->source == SOURCE_FILE)))
		r = fetch_policy(box, &present.policy, &e);
	if (r == 0 && !policy)
		s = policy_find_secret(present.policy, name);
	if (r == 0 && !s)
		r = no_secret(name, policy ? "the given policy" : "the sandbox", &e);
	bool command = r == 0 && s->source == SOURCE_EXEC;
	if (command && policy)
		r = fail(&e, EINVAL, SANDBOX_STAGE_SECRET, name,
			 "secret %s: a command is named when a secret is added; revoke this one and add it again, or rotate it "
			 "without a source, which asks its command anew", name);
	if (r == 0 && s->source == SOURCE_FILE)
		r = policy_check_source(present.policy, s, &e);
	/* Of the one that it has the gateway has the helper. */
	_cleanup_close_ int fd = r == 0 && !command ? secret_open(box, from, NULL, s, &e) : -EBADF;
	if (r == 0)
		r = fd < 0 && !command ? fd : change_secret(box, CHANGE_ROTATE, name, NULL, fd, &e);
	policy_free(present.policy);
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_revoke_secret(sandbox *box, const char *name, sandbox_error **error)
{
	struct error e = { 0 };

	int r = check_usable(box, &e);
	if (r == 0)
		r = change_secret(box, CHANGE_REVOKE, name, NULL, -EBADF, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}
