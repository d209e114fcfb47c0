/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a sandbox: start (gateway and launcher side by side), ready, end. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "supervisor/supervisor.h"

struct sandbox *sandbox_by_id(struct supervisor *s, const char *id)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (strcmp(b->id, id) == 0)
			return b;
	}
	return NULL;
}

struct sandbox *sandbox_by_number(struct supervisor *s, uint32_t number)
{
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (b->number == number)
			return b;
	}
	return NULL;
}

static void sandbox_free_one(struct sandbox *b)
{
	for (struct sandbox **at = &b->supervisor->sandboxes; *at; at = &(*at)->next) {
		if (*at == b) {
			*at = b->next;
			b->supervisor->n_sandboxes--;
			break;
		}
	}
	while (b->calls)
		call_free(b->calls);
	gateway_forget(b);
	audit_log_free(b->log);
	policy_free(b->policy);
	free(b->id);
	free(b);
}

static int load(struct sandbox *b, int policy_fd, int log_fd, struct error *e)
{
	_cleanup_buf_ struct buf bytes = { 0 };

	int r = memfd_read_sealed(policy_fd, MAX_POLICY, &bytes);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, "policy", "cannot read the policy that the client sent");
	r = policy_decode(bytes.data, bytes.len, &b->policy, e);
	if (r < 0)
		return r;
	int fd = fcntl(log_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, b->id, "cannot keep the audit log open");
	r = audit_log_new(fd, b->id, &b->log, e);
	if (r < 0)
		fd_close(fd);
	return r;
}

void sandbox_start(struct supervisor *s, uint32_t request, const char *id, int policy_fd, int log_fd,
		   const int *secret_fds, size_t n_secrets)
{
	struct error e = { 0 };
	struct sandbox *b = calloc(1, sizeof(*b));

	if (!b || !(b->id = strdup(id))) {
		free(b);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, id, "out of memory");
		client_reply(s, request, &e, NULL, 0);
		return;
	}
	b->supervisor = s;
	b->number = ++s->last_number;
	b->request = request;
	b->gateway_pidfd = b->gateway_link.fd = b->gateway_source.fd = b->gateway_exit.fd = -EBADF;
	b->next = s->sandboxes;
	s->sandboxes = b;
	s->n_sandboxes++;

	int r = load(b, policy_fd, log_fd, &e);
	/* The gateway first: its program start and key making overlap with the launcher's work on another core. */
	if (r == 0 && policy_net_mode(b->policy) == NET_GATEWAY)
		r = gateway_spawn(b, policy_fd, secret_fds, n_secrets, &e);
	if (r == 0)
		r = launcher_send_sandbox(b, &e);
	if (r < 0)
		sandbox_start_failed(b, &e);
}

static const char *mode_name(enum net_mode mode)
{
	static const char *const names[] = { [NET_GATEWAY] = "gateway", [NET_NONE] = "none", [NET_HOST] = "host" };
	return names[mode];
}

/* Called when launcher or gateway finished its part; the start is complete when both did. */
void sandbox_progress(struct sandbox *b)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;
	char *const *degraded = policy_degraded(b->policy);

	if (b->state != SANDBOX_STARTING || !b->launched || b->gateway == GATEWAY_STARTING)
		return;
	int r = json_member_string(&m, "workdir", policy_workdir(b->policy));
	if (r == 0)
		r = json_member_string(&m, "net", mode_name(policy_net_mode(b->policy)));
	if (r == 0 && degraded && degraded[0])
		r = json_member_strv(&m, "degraded", degraded);
	const char *members = r == 0 ? buf_str(&m) : NULL;
	if (!members || record_write(b, "sandbox.start", NULL, NULL, members) < 0) {
		fail(&e, EIO, SANDBOX_STAGE_AUDIT, b->id, "cannot write the audit log; without it nothing runs");
		sandbox_start_failed(b, &e);
		return;
	}
	b->state = SANDBOX_READY;
	client_reply(b->supervisor, b->request, NULL, NULL, 0);
	b->request = 0;
}

void sandbox_start_failed(struct sandbox *b, const struct error *failure)
{
	if (b->log)
		record_write(b, "sandbox.exit", NULL, failure->message, "");
	b->exit_recorded = true;
	client_reply(b->supervisor, b->request, failure, NULL, 0);
	b->request = 0;
	/* When the launcher is still at work, its late READY finds no sandbox and is answered with END. */
	if (b->launched)
		sandbox_end(b, 0);
	else
		sandbox_free_one(b);
}

void sandbox_gateway_died(struct sandbox *b)
{
	struct error e;
	bool starting = b->gateway == GATEWAY_STARTING;

	gateway_stop(b);
	b->gateway = GATEWAY_DEAD;
	if (b->state == SANDBOX_ENDING)
		return;
	if (starting) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_GATEWAY, "nsbox-gateway", "the gateway ended before it was ready");
		sandbox_start_failed(b, &e);
		return;
	}
	/* Not restarted: what it knew (who may use which secret) is gone, and a crash may have been an attack. */
	record_write(b, "gateway.exit", NULL, "the gateway ended; this sandbox has no network any more", "");
	for (struct call *c = b->calls, *next; c; c = next) {
		next = c->next;
		if (c->state == CALL_WAITS_CUT) {
			call_cut(c);
		} else if (c->state == CALL_WAITS_GATEWAY) {
			fail(&e, ECONNRESET, SANDBOX_STAGE_GATEWAY, b->id, "the gateway of this sandbox has ended");
			call_started(c, &e, -EBADF);
		}
	}
}

void sandbox_end(struct sandbox *b, uint32_t request)
{
	if (b->state == SANDBOX_ENDING)
		return;
	b->state = SANDBOX_ENDING;
	b->request = request;
	for (struct call *c = b->calls; c; c = c->next)
		c->killed = true;
	gateway_stop(b);
	b->gateway = GATEWAY_DEAD;
	if (b->supervisor->launcher_dead || launcher_send_end(b) < 0)
		sandbox_ended(b);
}

void sandbox_ended(struct sandbox *b)
{
	/* Not asked for: its init died by itself (killed from outside, out of memory). */
	const char *reason = b->state == SANDBOX_ENDING ? NULL : "the init of the sandbox ended";
	if (!b->exit_recorded)
		record_write(b, "sandbox.exit", NULL, reason, "");
	b->exit_recorded = b->ended = true;
	b->state = SANDBOX_ENDING;
	gateway_stop(b);
	sandbox_part_gone(b);
}

/* Answered when both are gone, launcher's part and gateway. */
void sandbox_part_gone(struct sandbox *b)
{
	struct supervisor *s = b->supervisor;
	uint32_t request = b->request;

	if (!b->ended || b->gateway_pidfd >= 0)
		return;
	sandbox_free_one(b);
	if (request)
		client_reply(s, request, NULL, NULL, 0);
}

void sandbox_abandon_all(struct supervisor *s, const char *reason)
{
	while (s->sandboxes) {
		struct sandbox *b = s->sandboxes;
		for (struct call *c = b->calls; c; c = c->next) {
			if (c->state == CALL_RUNNING || c->state == CALL_WAITS_CUT)
				record_add(b, "call.exit", c->id, reason, "");
		}
		if (b->log && !b->exit_recorded)
			record_write(b, "sandbox.exit", NULL, reason, "");
		sandbox_free_one(b);
	}
}
