/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of clients. Dispatch by type; everything that is not legal in the present state is an error (OpenSSH's
 * monitor rule). */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/client_request.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

/* Policy, log, state directory; with a name its directory, lock, directory of the socket, listening socket. */
#define CREATE_FDS 3u
#define NAMED_FDS 4u
/* Policy, log, questions. */
#define REVIEW_FDS 3u

int client_refuse(struct client *c, uint32_t request, int err, const char *object, const char *text)
{
	struct error e;
	fail(&e, err, SANDBOX_STAGE_PROTOCOL, object, "%s", text);
	client_reply(c, request, &e, "", NULL, 0);
	return 0;
}

int client_no_sandbox(struct client *c, uint32_t request, const char *id)
{
	struct error e;
	fail(&e, ENOENT, SANDBOX_STAGE_PROTOCOL, id, "there is no sandbox %s (any more)", id);
	client_reply(c, request, &e, "", NULL, 0);
	return 0;
}

struct sandbox *client_only_sandbox(struct supervisor *s, struct client *c, struct client_message_in *m,
				    uint32_t *ret_request, int *ret)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	bool ok = wire_done(&m->in) && !m->n_fds;
	struct sandbox *b = ok ? sandbox_by_id(s, id) : NULL;

	*ret_request = request;
	if (!b)
		*ret = ok ? client_no_sandbox(c, request, id) : -EPROTO;
	return b;
}

static int on_hello(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t version = wire_get_u32(&m->in);
	_cleanup_free_ char *wanted = wire_get_str(&m->in);
	bool gateway = wire_get_u8(&m->in);
	if (version != WIRE_VERSION) {
		struct error e;
		fail(&e, EPROTONOSUPPORT, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor",
		     "the helper nsbox-supervisor speaks protocol %u and this library %u: install both from one build%s",
		     WIRE_VERSION, version, s->sandboxes ? ", and make the sandbox anew" : "");
		client_reply(c, 0, &e, "", NULL, 0);
		return 0;
	}
	if (!wire_done(&m->in) || m->n_fds)
		return -EPROTO;
	c->greeted = true;
	c->wanted = *wanted ? TAKE_PTR(wanted) : NULL;
	if (gateway && s->spare_sock < 0 && !s->sandboxes)
		gateway_prepare(s);
	return 0;
}

/* Files are made and removed under it: as sandbox_create_named() promises. "": not a named sandbox. */
static bool name_ok(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = strlen(name);

	return len <= 64 && name[0] != '-' && strspn(name, letters) == len;
}

/* Of a message, whose descriptors these are. */
static struct named *take_named(const char *name, int *from)
{
	int fds[NAMED_FDS];

	for (size_t i = 0; i < NAMED_FDS; i++)
		fds[i] = TAKE_FD(from[i]);
	return named_new(name, fds);
}

static int on_create(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	struct create_request q = { .client = c, .request = wire_get_u32(&m->in) };
	_cleanup_free_ char *id = wire_get_str(&m->in);
	_cleanup_free_ char *name = wire_get_str(&m->in);
	uint32_t n_secrets = wire_get_u32(&m->in);
	bool ok = wire_done(&m->in) && *id && strlen(id) < 32 && name_ok(name);
	size_t n_fixed = ok && *name ? CREATE_FDS + NAMED_FDS : CREATE_FDS;

	bool layer = ok && m->n_fds == (size_t)n_secrets + n_fixed + 1;
	if (!ok || m->n_fds != (size_t)n_secrets + n_fixed + layer)
		return -EPROTO;
	if (sandbox_by_id(s, id))
		return client_refuse(c, q.request, EEXIST, id, "a sandbox with this id is there already");
	if (s->n_sandboxes >= MAX_SANDBOXES)
		return client_refuse(c, q.request, EMFILE, id, "this supervisor has 4096 sandboxes already; use another runtime");
	if (*name) {
		q.named = take_named(name, m->fds + CREATE_FDS);
		if (!q.named)
			return client_refuse(c, q.request, ENOMEM, id, "out of memory");
	}
	q.id = id;
	q.policy_fd = m->fds[0];
	q.log_fd = m->fds[1];
	q.state_fd = m->fds[2];
	q.layer_fd = layer ? m->fds[m->n_fds - 1] : -EBADF;
	q.secret_fds = m->fds + n_fixed;
	q.n_secrets = n_secrets;
	sandbox_start(s, &q);
	return 0;
}

static int on_review(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	struct review_request q = { .client = c, .request = wire_get_u32(&m->in) };
	_cleanup_free_ char *id = wire_get_str(&m->in);
	_cleanup_free_ char *name = wire_get_str(&m->in);

	if (!wire_done(&m->in) || !*id || strlen(id) >= 32 || !*name || !name_ok(name) || m->n_fds != REVIEW_FDS + NAMED_FDS)
		return -EPROTO;
	if (s->n_sandboxes > 0)
		return client_refuse(c, q.request, EBUSY, id, "this supervisor has a sandbox already");
	q.named = take_named(name, m->fds + REVIEW_FDS);
	if (!q.named)
		return client_refuse(c, q.request, ENOMEM, id, "out of memory");
	q.id = id;
	q.policy_fd = m->fds[0];
	q.log_fd = m->fds[1];
	q.list_fd = m->fds[2];
	review_start(s, &q);
	return 0;
}

static size_t stdio_count(uint32_t flags)
{
	return flags & START_TERMINAL ? 0 : flags & START_LOG ? 1 : 3;
}

/* grant: points into the message. */
static struct start *read_start(struct client *c, struct client_message_in *m, char **ret_sandbox, const void **ret_grant,
				size_t *ret_len)
{
	struct start *start = calloc(1, sizeof(*start));

	if (!start)
		return NULL;
	start->client = c;
	/* From the beginning: it decides how its descriptors are closed. */
	start->parent_number = c->asker ? c->asker->number : 0;
	start->asked = wire_get_u32(&m->in);
	*ret_sandbox = wire_get_str(&m->in);
	start->argv = wire_get_strv(&m->in, MAX_ARGS);
	start->env = wire_get_strv(&m->in, MAX_ARGS);
	start->cwd = wire_get_str(&m->in);
	start->flags = wire_get_u32(&m->in);
	start->rows = wire_get_u32(&m->in);
	start->columns = wire_get_u32(&m->in);
	start->timeout_us = wire_get_u64(&m->in);
	*ret_grant = wire_get_bytes(&m->in, ret_len);
	start->template = wire_get_str(&m->in);
	for (size_t i = 0; i < 3; i++)
		start->stdio[i] = -EBADF;
	if (!wire_done(&m->in) || !start->argv[0] || start->flags > _START_CLIENT_FLAGS ||
	    m->n_fds != stdio_count(start->flags) ||
	    (start->flags & START_TERMINAL && start->flags & (START_LOG | START_ASYNC))) {
		start_free(start);
		return NULL;
	}
	for (size_t i = 0; i < m->n_fds; i++)
		start->stdio[i] = TAKE_FD(m->fds[i]);
	return start;
}

/* Running and waiting; those that are only prepared do not count. */
static size_t n_calls(const struct sandbox *b)
{
	size_t n = 0;

	for (const struct start *w = b->waiting; w; w = w->next)
		n++;
	for (const struct call *call = b->calls; call; call = call->next)
		n += call->start && call->state != CALL_OVER;
	return n;
}

static int on_start(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	_cleanup_free_ char *id = NULL;
	const void *grant = NULL;
	size_t grant_len = 0;
	struct start *start = read_start(c, m, &id, &grant, &grant_len);

	if (!start)
		return -EPROTO;
	uint32_t request = start->asked;
	struct sandbox *b = c->inside ? c->inside : sandbox_by_id(s, id);
	if (!b || (c->inside && *id)) {
		start_free(start);
		return client_no_sandbox(c, request, id);
	}
	const char *why = b->review ? "the sandbox has ended, and a commit of its changes is being decided about" :
			  b->state != SANDBOX_READY			     ? "the sandbox is ending" :
			  start->flags & ~(unsigned)(START_TERMINAL | START_FULL | START_BACKGROUND | START_ASYNC) &&
					  (!b->named || c->inside) ?
									       "only a named sandbox keeps calls and output, "
									       "and for those outside of it" :
			  n_calls(b) >= MAX_CALLS ? "the sandbox has 1024 calls already; wait for one to end" :
						    NULL;
	if (!why && b->gateway == GATEWAY_DEAD)
		why = "the gateway of this sandbox has ended, and with it its network; make a new sandbox";
	if (!why && c->asker)
		why = child_ask(c->asker, start);
	if (why) {
		start_free(start);
		if (c->asker)
			child_refused(c->asker, why);
		return client_refuse(c, request, EBUSY, id, why);
	}
	struct error e = { 0 };
	if (call_grant_decide(b, start, grant, grant_len, &e) < 0) {
		client_reply(c, request, &e, "", NULL, 0);
		if (c->asker)
			child_refused(c->asker, e.message);
		else
			record_write(b, "call.denied", NULL, e.message, "");
		start_free(start);
		return 0;
	}
	call_ask(b, start);
	return 0;
}

static void signal_all(struct sandbox *b, uint32_t signal)
{
	for (struct call *call = b->calls; call; call = call->next) {
		if (call_is_running(call))
			call_signal(call, signal);
	}
}

static int on_signal(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	uint32_t signal = wire_get_u32(&m->in);

	if (!wire_done(&m->in) || m->n_fds || signal == 0 || signal > 64)
		return -EPROTO;
	struct call *call = call_by_id(s, id);
	/* A call reaches what it started, over the connection that it did so. */
	if (c->inside && (!call || !call->start || call->start->client != c))
		return client_refuse(c, request, ESRCH, id, "this connection has started no such call, or it has ended");
	struct sandbox *b = call ? NULL : sandbox_by_id(s, id);
	if (b)
		signal_all(b, signal);
	else if (!call || !call_is_running(call))
		return client_refuse(c, request, ESRCH, id, "the call has ended");
	else
		call_signal(call, signal);
	client_reply(c, request, NULL, "", NULL, 0);
	return 0;
}

static int on_revoke(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);

	if (!wire_done(&m->in) || m->n_fds)
		return -EPROTO;
	struct call *call = call_by_id(s, id);
	if (!call)
		return client_refuse(c, request, ESRCH, id, "the call has ended");
	return call_revoke(call, c, request) < 0 ? client_refuse(c, request, ENOMEM, id, "out of memory") : 0;
}

static int on_cancel(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in), asked = wire_get_u32(&m->in);
	struct error e;

	if (!wire_done(&m->in) || m->n_fds)
		return -EPROTO;
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		for (struct start *w = b->waiting; w; w = w->next) {
			if (w->client != c || w->asked != asked)
				continue;
			fail(&e, ECANCELED, SANDBOX_STAGE_USAGE, w->argv[0], "%s was cancelled before it started", w->argv[0]);
			start_unqueue(b, w);
			client_reply(c, asked, &e, "", NULL, 0);
			start_free(w);
			break;
		}
		for (struct call *call = b->calls, *next; call; call = next) {
			next = call->next;
			if (call->start && call->start->client == c && call->start->asked == asked)
				call_signal(call, SIGKILL); /* one that waits to be let start is gone after it */
		}
	}
	client_reply(c, request, NULL, "", NULL, 0);
	return 0;
}

static bool has_running(const struct sandbox *b)
{
	for (const struct call *call = b->calls; call; call = call->next) {
		if (call_is_running(call))
			return true;
	}
	return b->waiting != NULL;
}

static int on_destroy(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	bool force = wire_get_u8(&m->in);

	if (!wire_done(&m->in) || m->n_fds)
		return -EPROTO;
	struct sandbox *b = sandbox_by_id(s, id);
	if (b && b->review && force) {
		review_drop(b, "it was given up");
		client_reply(c, request, NULL, "", NULL, 0);
		return 0;
	}
	if (b && b->review)
		return client_refuse(c, request, EBUSY, id, "a commit is being decided about (nsbox approve); force it to give that up");
	if (!b || b->state == SANDBOX_STARTING || b->client)
		return client_no_sandbox(c, request, id);
	if (!force && has_running(b))
		return client_refuse(c, request, EBUSY, id, "calls are running in this sandbox; end them first, or force it");
	/* One that is ending by itself is answered at its end too. */
	if (b->state == SANDBOX_ENDING) {
		b->client = c;
		b->request = request;
	} else {
		sandbox_end(b, c, request);
	}
	return 0;
}

static int on_open(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);

	if (!wire_done(&m->in) || m->n_fds)
		return -EPROTO;
	for (struct sandbox *b = s->sandboxes; b; b = b->next) {
		if (b->named && (b->state == SANDBOX_READY || b->review)) {
			client_reply(c, request, NULL, b->id, &b->policy_fd, 1);
			return 0;
		}
	}
	return client_refuse(c, request, ENOENT, "sandbox", "the sandbox is starting or ending; try again");
}

static int on_inspect(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	_cleanup_buf_ struct buf json = { 0 };
	uint32_t request;
	int r;

	struct sandbox *b = client_only_sandbox(s, c, m, &request, &r);
	if (!b)
		return r;
	const char *text = inspect_sandbox(b, &json) == 0 ? buf_str(&json) : NULL;
	if (!text || json.len > WIRE_MAX_PACKET / 2)
		return client_refuse(c, request, text ? EMSGSIZE : ENOMEM, b->id, "too much to tell at once");
	client_reply(c, request, NULL, text, NULL, 0);
	return 0;
}

static int on_pool(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	uint32_t request = wire_get_u32(&m->in);
	_cleanup_free_ char *id = wire_get_str(&m->in);
	uint32_t depth = wire_get_u32(&m->in);

	if (!wire_done(&m->in) || m->n_fds || depth > MAX_POOL)
		return -EPROTO;
	struct sandbox *b = sandbox_by_id(s, id);
	if (!b || b->state != SANDBOX_READY)
		return client_no_sandbox(c, request, id);
	pool_set_depth(b, depth);
	client_reply(c, request, NULL, "", NULL, 0);
	return 0;
}

int client_request(struct supervisor *s, struct client *c, struct client_message_in *m)
{
	static const struct {
		uint32_t type;
		bool greeted, inside; /* inside: calls may send it too */
		int (*handler)(struct supervisor *, struct client *, struct client_message_in *);
	} table[] = {
		{ MSG_HELLO, false, true, on_hello },	 { MSG_CREATE, true, false, on_create },
		{ MSG_START, true, true, on_start },	 { MSG_SIGNAL, true, true, on_signal },
		{ MSG_CANCEL, true, true, on_cancel },	 { MSG_DESTROY, true, false, on_destroy },
		{ MSG_OPEN, true, false, on_open },	 { MSG_INSPECT, true, false, on_inspect },
		{ MSG_POOL, true, false, on_pool },
		{ MSG_APPROVALS, true, false, on_approvals }, { MSG_DECIDE, true, false, on_decide },
		{ MSG_REVOKE, true, false, on_revoke },	 { MSG_RULE, true, false, on_rule },
		{ MSG_POLICY, true, false, on_policy },	 { MSG_SECRET, true, false, on_secret },
		{ MSG_REVIEW, true, false, on_review },
		{ MSG_WORKING, true, false, on_working },
	};
	uint32_t type = wire_get_u32(&m->in);

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].type == type && table[i].greeted == c->greeted && (table[i].inside || !c->inside))
			return table[i].handler(s, c, m);
	}
	return -EPROTO;
}
