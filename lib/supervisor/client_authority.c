/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about what a sandbox may do, from outside of it: what waits for a person, rules and secrets that change, and the
 * working state of its overlays. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/client_request.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

int on_approvals(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	_cleanup_buf_ struct buf json = { 0 };
	uint32_t request;
	int r;

	struct sandbox *b = client_only_sandbox(s, c, m, &request, &r);
	if (!b)
		return r;
	/* Questions of up to 64 KiB each do not fit a packet. */
	_cleanup_close_ int fd = approvals_list(b, &json) < 0 ? -ENOMEM : memfd_from_bytes("approvals", json.data, json.len);
	if (fd < 0)
		return client_refuse(c, request, ENOMEM, b->id, "no memory or descriptors left");
	client_reply(c, request, NULL, "", &fd, 1);
	return 0;
}

int on_decide(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	_cleanup_free_ char *ticket = wire_get_str(&m->in);
	_cleanup_free_ char *digest = wire_get_str(&m->in);
	uint32_t decision = wire_get_u32(&m->in);
	struct error e;

	if (!wire_done(&m->in) || m->n_fds || decision > APPROVAL_ALWAYS)
		return -EPROTO;
	struct sandbox *b = sandbox_by_id(s, id);
	if (!b)
		return client_no_sandbox(c, request, id);
	int r = approval_decide(b, ticket, digest, decision, &e);
	client_reply(c, request, r < 0 ? &e : NULL, "", NULL, 0);
	return 0;
}

int on_rule(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	uint8_t key = wire_get_u8(&m->in);
	_cleanup_free_ char *rule = wire_get_str(&m->in);
	_cleanup_free_ char *origin = wire_get_str(&m->in);

	if (!wire_done(&m->in) || m->n_fds || key > RULE_KEY_PASSTHROUGH)
		return -EPROTO;
	struct sandbox *b = sandbox_by_id(s, id);
	if (!b)
		return client_no_sandbox(c, request, id);
	change_rule(b, c, request, key, rule, origin);
	return 0;
}

int on_secret(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	uint8_t how = wire_get_u8(&m->in);
	_cleanup_free_ char *name = wire_get_str(&m->in);
	size_t len = 0;
	const void *bytes = wire_get_bytes(&m->in, &len);

	if (!wire_done(&m->in) || how > CHANGE_REVOKE || m->n_fds > (how != CHANGE_REVOKE) || (how == CHANGE_ADD && !m->n_fds) ||
	    !len == (how == CHANGE_ADD))
		return -EPROTO;
	struct sandbox *b = sandbox_by_id(s, id);
	if (!b)
		return client_no_sandbox(c, request, id);
	change_secret(b, c, request, how, name, bytes, len, m->n_fds ? m->fds[0] : -EBADF);
	return 0;
}

int on_policy(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request;
	int r;

	struct sandbox *b = client_only_sandbox(s, c, m, &request, &r);
	if (!b)
		return r;
	_cleanup_close_ int fd = change_policy_fd(b);
	if (fd < 0)
		return client_refuse(c, request, -fd, b->id, "no memory or descriptors left");
	client_reply(c, request, NULL, "", &fd, 1);
	return 0;
}

/* The sandbox that the call ran in, unless it still does, or never did. */
static struct sandbox *sandbox_of_call(struct supervisor *s, const char *call)
{
	const char *dot = strrchr(call, '.');
	_cleanup_free_ char *id = dot && !call_by_id(s, call) ? strndup(call, (size_t)(dot - call)) : NULL;
	struct sandbox *b = id ? sandbox_by_id(s, id) : NULL;
	char text[16];

	unsigned long turn = b ? strtoul(dot + 1, NULL, 10) : 0;
	if (turn == 0 || turn > b->n_started)
		return NULL;
	snprintf(text, sizeof(text), "%lu", turn);
	return strcmp(text, dot + 1) == 0 ? b : NULL;
}

/* What a client is about to do with what a call wrote. */
static int record_working(struct sandbox *b, const char *call, uint32_t what, char *const *paths, uint64_t files,
			  uint64_t executed)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = json_member_strv(&m, "paths", paths);
	if (r == 0)
		r = json_member_int(&m, "files", (int64_t)files);
	if (r == 0)
		r = json_member_int(&m, "executed_by_host", (int64_t)executed);
	if (r == 0 && what == WORKING_ROLLBACK)
		r = json_member_string(&m, "rollback", call);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	return members ? record_write(b, what == WORKING_COMMIT ? "fs.commit" : "fs.discard", call, NULL, members) : -ENOMEM;
}

int on_working(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *call = wire_get_str(&m->in);
	uint32_t what = wire_get_u32(&m->in);
	__attribute__((cleanup(strv_freep))) char **paths = wire_get_strv(&m->in, WORKING_PATHS_MAX);
	uint64_t files = wire_get_u64(&m->in), executed = wire_get_u64(&m->in);

	if (!wire_done(&m->in) || m->n_fds || what > WORKING_ROLLBACK || files > INT64_MAX || executed > files)
		return -EPROTO;
	struct sandbox *b = sandbox_of_call(s, call);
	if (!b || b->state != SANDBOX_READY || b->working < 0)
		return client_refuse(c, request, ENOENT, call, "there is no sandbox with overlays of such a call that has ended");
	if (what != WORKING_LOOK && record_working(b, call, what, paths, files, executed) < 0)
		return client_refuse(c, request, EIO, call, "cannot write the audit log; without it nothing is done");
	client_reply(c, request, NULL, "", &b->working, 1);
	return 0;
}
