/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a sandbox: start (gateway and launcher side by side), ready, end. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/addresses.h"
#include "base/json.h"
#include "base/util.h"
#include "overlay/layer.h"
#include "overlay/scratch.h"
#include "supervisor/decided.h"
#include "supervisor/question.h"
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

/* failure NULL: nobody is there to be told. */
static void refuse_waiting(struct sandbox *b, const struct error *failure)
{
	while (b->waiting) {
		struct start *w = b->waiting;
		start_unqueue(b, w);
		if (failure)
			client_reply(w->client, w->asked, failure, "", NULL, 0);
		start_free(w);
	}
}

/* Before the entry of a named one, whose end is what others see. */
static void drop_layer(struct sandbox *b)
{
	_cleanup_close_ int layers = b->layer >= 0 && b->drops_layer ? openat(b->layer, "..", O_PATH | O_CLOEXEC) : -EBADF;

	struct layer of = LAYER_NONE;
	struct error ignored;

	fd_close(TAKE_FD(b->working));
	of.dir = b->layer;
	/* Not under a command that merges a call's layer into it just now. */
	_cleanup_close_ int lock = layers < 0 ? -EBADF : scratch_lock(&of, &ignored);
	if (lock >= 0)
		layer_erase(layers, b->id);
	fd_close(TAKE_FD(b->layer));
}

void sandbox_free(struct sandbox *b)
{
	for (struct sandbox **at = &b->supervisor->sandboxes; *at; at = &(*at)->next) {
		if (*at == b) {
			*at = b->next;
			b->supervisor->n_sandboxes--;
			break;
		}
	}
	refuse_waiting(b, NULL);
	while (b->calls)
		call_free(b->calls);
	decided_drop(b);
	control_close(b);
	gateway_forget(b);
	questions_drop(b);
	changes_drop(b);
	approvals_free(b);
	review_free(b);
	auditor_link_stop(b);
	programs_free(b);
	protected_free(b);
	drop_layer(b);
	if (b->named)
		named_remove(b);
	named_free(b->supervisor, b->named);
	audit_log_free(b->log);
	policy_free(b->policy);
	fd_close(b->policy_fd);
	free(b->id);
	free(b);
}

/* Its own descriptor of the same lock. */
static int keep_layer(struct sandbox *b, int layer_fd, struct error *e)
{
	const struct policy_path *overlays[POLICY_OVERLAYS_MAX];
	bool wanted = policy_overlays(b->policy, overlays) > 0;

	if (wanted != (layer_fd >= 0))
		return fail(e, EPROTO, SANDBOX_STAGE_PROTOCOL, b->id, "%s",
			    wanted ? "the client sent no layer for the overlays" : "the client sent a layer without overlays");
	if (wanted && (b->layer = fcntl(layer_fd, F_DUPFD_CLOEXEC, 3)) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_INTERNAL, b->id, "cannot keep the layer of the overlays");
	return 0;
}

int sandbox_load(struct sandbox *b, int policy_fd, int log_fd, bool goes_on, struct error *e)
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
	r = goes_on ? audit_log_continue(fd, b->id, &b->log, e) : audit_log_new(fd, b->id, &b->log, e);
	if (r < 0)
		fd_close(fd);
	return r;
}

struct sandbox *sandbox_new(struct supervisor *s, const struct create_request *q)
{
	struct sandbox *b = calloc(1, sizeof(*b));
	struct timespec now;

	if (!b || !(b->id = strdup(q->id))) {
		free(b);
		return NULL;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	b->created_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
	b->supervisor = s;
	b->number = ++s->last_number;
	b->client = q->client;
	b->request = q->request;
	b->named = q->named;
	b->creator = q->named ? q->client : NULL;
	s->named |= q->named != NULL;
	b->waiting_tail = &b->waiting;
	b->next_address = CALL_ADDR_FIRST;
	b->depth[s->scopes ? KIND_LIGHT : KIND_FULL] = 1;
	b->policy_fd = b->layer = b->working = b->gateway_pidfd = b->gateway_quiet = b->gateway_link.fd = b->gateway_source.fd = b->gateway_exit.fd = -EBADF;
	b->auditor_source.fd = b->auditor_pidfd = b->control.fd = -EBADF;
	b->next = s->sandboxes;
	s->sandboxes = b;
	s->n_sandboxes++;
	return b;
}

void sandbox_start(struct supervisor *s, const struct create_request *q)
{
	struct error e = { 0 };
	struct sandbox *b = sandbox_new(s, q);

	if (!b) {
		named_free(s, q->named);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, q->id, "out of memory");
		client_reply(q->client, q->request, &e, "", NULL, 0);
		return;
	}
	int r = sandbox_load(b, q->policy_fd, q->log_fd, false, &e);
	if (r == 0)
		r = keep_layer(b, q->layer_fd, &e);
	if (r == 0 && b->named && (b->policy_fd = fcntl(q->policy_fd, F_DUPFD_CLOEXEC, 3)) < 0)
		r = fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, q->id, "cannot keep the policy");
	/* The gateway first: its program start and key making overlap with the launcher's work on another core. */
	if (r == 0 && policy_net_mode(b->policy) == NET_GATEWAY)
		r = gateway_spawn(b, q->policy_fd, q->secret_fds, q->n_secrets, &e);
	if (r == 0)
		r = auditor_link_start(b, &e);
	if (r == 0)
		r = launcher_send_sandbox(b, &e);
	if (r < 0) {
		sandbox_start_failed(b, &e);
		return;
	}
	/* The launcher is at work meanwhile, and no call runs yet. */
	if (protected_start(b, q->state_fd, &e) < 0) {
		sandbox_start_failed(b, &e);
		return;
	}
	/* The first call is prepared beside the rest. */
	struct call *first = call_new(b, !s->scopes);
	if (first && launcher_send_slot(first) == 0)
		first->has_placeholders = b->gateway == GATEWAY_NONE;
	else if (first)
		call_drop(first);
}

static const char *mode_name(enum net_mode mode)
{
	static const char *const names[] = { [NET_GATEWAY] = "gateway", [NET_NONE] = "none", [NET_HOST] = "host" };
	return names[mode];
}

/* The gateway is up: it has to make the placeholders of what was prepared before. */
static void ask_placeholders(struct sandbox *b)
{
	for (struct call *c = b->calls; c; c = c->next) {
		if (b->gateway == GATEWAY_UP && c->state == CALL_PREPARING && !c->has_placeholders)
			gateway_send_call(c); /* a failure shows as the gateway's end */
	}
}

static void abandon(struct sandbox *b)
{
	record_write(b, "sandbox.exit", NULL, "who made it ended before its entry was complete", "");
	b->exit_recorded = true;
	sandbox_end(b, NULL, 0);
}

void sandbox_forget_creator(struct sandbox *b)
{
	b->creator = NULL;
	if (b->state == SANDBOX_READY && named_unfinished(b->named))
		abandon(b);
}

/* Called when launcher, gateway or auditor finished its part; the start is complete when all did. */
void sandbox_progress(struct sandbox *b)
{
	_cleanup_buf_ struct buf m = { 0 };
	struct error e;
	char *const *degraded = policy_degraded(b->policy);

	if (b->state != SANDBOX_STARTING || !b->launched || b->gateway == GATEWAY_STARTING || auditor_link_pending(b))
		return;
	if (b->auditor && b->gateway == GATEWAY_UP)
		gateway_send_audit(b); /* a failure shows as the gateway's end */
	ask_placeholders(b);
	int r = json_member_string(&m, "workdir", policy_workdir(b->policy));
	if (r == 0)
		r = json_member_string(&m, "net", mode_name(policy_net_mode(b->policy)));
	if (r == 0 && b->auditor)
		r = json_member_string(&m, "auditor", policy_auditor(b->policy)->spec);
	if (r == 0 && degraded && degraded[0])
		r = json_member_strv(&m, "degraded", degraded);
	if (r == 0 && protected_is_cut(b))
		r = json_member_string(&m, "unwatched", "repositories in the writable directories, behind the first that were found");
	const char *members = r == 0 ? buf_str(&m) : NULL;
	if (!members || record_write(b, "sandbox.start", NULL, NULL, members) < 0) {
		fail(&e, EIO, SANDBOX_STAGE_AUDIT, b->id, "cannot write the audit log; without it nothing runs");
		sandbox_start_failed(b, &e);
		return;
	}
	if (b->named && named_listen(b) < 0) {
		fail(&e, EIO, SANDBOX_STAGE_INTERNAL, b->id, "cannot listen on the socket of the sandbox");
		sandbox_start_failed(b, &e);
		return;
	}
	b->state = SANDBOX_READY;
	client_reply(b->client, b->request, NULL, "", NULL, 0);
	b->client = NULL;
	/* Its entry would say for ever that it is starting. */
	if (b->named && !b->creator)
		abandon(b);
	else
		pool_match(b);
}

void sandbox_start_failed(struct sandbox *b, const struct error *failure)
{
	if (b->log)
		record_write(b, "sandbox.exit", NULL, failure->message, "");
	b->exit_recorded = true;
	client_reply(b->client, b->request, failure, "", NULL, 0);
	b->client = NULL;
	/* When the launcher is still at work, its late READY finds no sandbox and is answered with END. */
	if (b->launched)
		sandbox_end(b, NULL, 0);
	else
		sandbox_free(b);
}

/* With everything that it asked and waits for. */
static void gateway_gone(struct sandbox *b)
{
	gateway_stop(b);
	b->gateway = GATEWAY_DEAD;
	questions_drop(b);
	changes_drop(b);
	while (approval_drop_gateway(b, 0))
		;
}

void sandbox_gateway_died(struct sandbox *b)
{
	struct error e;
	bool starting = b->gateway == GATEWAY_STARTING;

	gateway_gone(b);
	if (b->state == SANDBOX_ENDING)
		return;
	if (starting) {
		fail(&e, ECONNRESET, SANDBOX_STAGE_GATEWAY, "nsbox-gateway", "the gateway ended before it was ready");
		sandbox_start_failed(b, &e);
		return;
	}
	/* Not restarted: what it knew (who may use which secret) is gone, and a crash may have been an attack. */
	record_write(b, "gateway.exit", NULL, "the gateway ended; this sandbox has no network any more", "");
	fail(&e, ECONNRESET, SANDBOX_STAGE_GATEWAY, b->id, "the gateway of this sandbox has ended");
	refuse_waiting(b, &e);
	calls_release(b);
	for (struct call *c = b->calls, *next; c; c = next) {
		next = c->next;
		if (c->state == CALL_ASKING)
			call_denied(c, &e, e.message);
		else if (c->state == CALL_CUTTING)
			call_cut(c);
		else if (c->state <= CALL_PREPARED)
			call_drop(c);
	}
}

void sandbox_end(struct sandbox *b, struct client *client, uint32_t request)
{
	if (b->state == SANDBOX_ENDING)
		return;
	b->state = SANDBOX_ENDING;
	b->client = client;
	b->request = request;
	for (struct call *c = b->calls; c; c = c->next)
		c->killed |= call_is_running(c);
	gateway_gone(b);
	/* The launcher is gone: then everything ends, but not here, since callers still hold calls of this sandbox. */
	if (launcher_send_end(b) < 0)
		b->supervisor->done = true;
}

static void end_calls(struct sandbox *b)
{
	struct error e;

	while (b->calls)
		call_lost(b->calls);
	fail(&e, ECANCELED, SANDBOX_STAGE_EXEC, b->id, "the sandbox %s has ended", b->id);
	refuse_waiting(b, &e);
}

void sandbox_ended(struct sandbox *b)
{
	/* Not asked for: its init died by itself (killed from outside, out of memory). */
	const char *reason = b->state == SANDBOX_ENDING ? NULL : "the init of the sandbox ended";
	b->collapsed |= reason != NULL;
	b->state = SANDBOX_ENDING;
	gateway_gone(b);
	end_calls(b);
	/* Nobody is left who could undo it. */
	protected_check(b, NULL);
	if (!b->exit_recorded)
		record_write(b, "sandbox.exit", NULL, reason, "");
	b->exit_recorded = b->ended = true;
	sandbox_part_gone(b);
}

/* Answered when both are gone, launcher's part and gateway. */
void sandbox_part_gone(struct sandbox *b)
{
	struct client *client = b->client;
	uint32_t request = b->request;

	if (!b->ended || b->gateway_pidfd >= 0)
		return;
	sandbox_free(b);
	client_reply(client, request, NULL, "", NULL, 0);
}

void sandbox_abandon_all(struct supervisor *s, const char *reason)
{
	while (s->sandboxes) {
		struct sandbox *b = s->sandboxes;
		for (struct call *c = b->calls; c; c = c->next) {
			if (call_is_running(c) || (c->state == CALL_CUTTING && c->id[0]))
				record_add(b, "call.exit", c->id, reason, "");
		}
		protected_check(b, NULL);
		if (b->log && !b->exit_recorded)
			record_write(b, "sandbox.exit", NULL, reason, "");
		sandbox_free(b);
	}
}
