/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the client: requests in, answers and events out. A malformed request ends the supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/supervisor.h"

struct request {
	struct wire_reader in;
	int fds[WIRE_MAX_FDS];
	size_t n_fds;
};

static void broken(struct supervisor *s)
{
	s->done = true;
}

static void send_to_client(struct supervisor *s, const struct buf *b, const int *fds, size_t n_fds)
{
	if (link_send(&s->client, b, fds, n_fds) < 0)
		broken(s);
	else
		loop_want_write(s, &s->client_source, &s->client);
}

void client_reply(struct supervisor *s, uint32_t request, const struct error *failure, const int *fds, size_t n_fds)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, MSG_REPLY);
	if (r == 0)
		r = wire_put_u32(&b, request);
	if (r == 0)
		r = wire_put_u8(&b, failure != NULL);
	if (r == 0 && failure)
		r = wire_put_error(&b, failure);
	if (r < 0)
		broken(s); /* out of memory: the client must not wait for ever */
	else
		send_to_client(s, &b, fds, n_fds);
}

static bool event_wanted(const struct supervisor *s, const char *event)
{
	size_t len = strlen(event);

	for (const char *at = s->wanted; at && (at = strstr(at, event)); at += len) {
		if (at > s->wanted && at[-1] == ',' && at[len] == ',')
			return true;
	}
	return !s->wanted;
}

/* Events are a convenience, the log is the record: they wait up to a bound and are then counted instead. */
static bool event_fits(struct supervisor *s)
{
	if (s->client.queued >= MAX_EVENTS_WAITING) {
		s->events_lost++;
		return false;
	}
	return true;
}

static int put_event(struct buf *b, const char *sandbox, const char *event, const char *call, const char *reason,
		     const char *json)
{
	int r = wire_put_u32(b, MSG_EVENT);
	const char *texts[] = { event, sandbox, call, reason, json };
	for (size_t i = 0; i < ARRAY_LEN(texts) && r == 0; i++)
		r = wire_put_str(b, texts[i]);
	return r;
}

void client_event(struct supervisor *s, const struct sandbox *sandbox, const char *event, const char *call,
		  const char *reason, const char *json)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (s->client.fd < 0 || s->done || !event_wanted(s, event) || !event_fits(s))
		return;
	if (s->events_lost) {
		_cleanup_buf_ struct buf lost = { 0 }, text = { 0 };
		if (buf_printf(&text, "{\"event\":\"events.lost\",\"count\":%llu}", (unsigned long long)s->events_lost) < 0 ||
		    !buf_str(&text) ||
		    put_event(&lost, sandbox->id, "events.lost", "", "", (const char *)text.data) < 0)
			return;
		s->events_lost = 0;
		send_to_client(s, &lost, NULL, 0);
	}
	if (put_event(&b, sandbox->id, event, call, reason, json) == 0)
		send_to_client(s, &b, NULL, 0);
}

void client_call_exit(struct supervisor *s, const struct call *call, const char *reason)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = wire_put_u32(&b, MSG_CALL_EXIT);
	if (r == 0)
		r = wire_put_str(&b, call->sandbox->id);
	if (r == 0)
		r = wire_put_str(&b, call->id);
	if (r == 0)
		r = wire_put_u32(&b, call->exit_status);
	if (r == 0)
		r = wire_put_u32(&b, call->exit_signal);
	if (r == 0)
		r = wire_put_str(&b, reason);
	if (r < 0)
		broken(s);
	else
		send_to_client(s, &b, NULL, 0);
}

static int refuse(struct supervisor *s, uint32_t request, int err, const char *object, const char *text)
{
	struct error e;
	fail(&e, err, SANDBOX_STAGE_PROTOCOL, object, "%s", text);
	client_reply(s, request, &e, NULL, 0);
	return 0;
}

static int on_hello(struct supervisor *s, struct request *q)
{
	uint32_t version = wire_get_u32(&q->in);
	_cleanup_free_ char *wanted = wire_get_str(&q->in);
	bool gateway = wire_get_u8(&q->in);
	if (!wire_done(&q->in) || q->n_fds)
		return -EPROTO;
	if (version != WIRE_VERSION) {
		struct error e;
		fail(&e, EPROTONOSUPPORT, SANDBOX_STAGE_PROTOCOL, "nsbox-supervisor",
		     "the helper nsbox-supervisor speaks protocol %u and this library %u: install both from one build",
		     WIRE_VERSION, version);
		client_reply(s, 0, &e, NULL, 0);
		return 0;
	}
	s->greeted = true;
	s->wanted = *wanted ? TAKE_PTR(wanted) : NULL;
	if (gateway)
		gateway_prepare(s);
	return 0;
}

static int on_create(struct supervisor *s, struct request *q)
{
	uint32_t request = wire_get_u32(&q->in);
	_cleanup_free_ char *id = wire_get_str(&q->in);
	uint32_t n_secrets = wire_get_u32(&q->in);

	if (!wire_done(&q->in) || !*id || q->n_fds != (size_t)n_secrets + 2)
		return -EPROTO;
	if (sandbox_by_id(s, id))
		return refuse(s, request, EEXIST, id, "a sandbox with this id is there already");
	if (s->n_sandboxes >= MAX_SANDBOXES)
		return refuse(s, request, EMFILE, id, "this supervisor has 4096 sandboxes already; use another runtime");
	sandbox_start(s, request, id, q->fds[0], q->fds[1], q->fds + 2, n_secrets);
	return 0;
}

static int on_start(struct supervisor *s, struct request *q)
{
	_cleanup_(freep) struct call *call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	uint32_t request = call->request = wire_get_u32(&q->in);
	_cleanup_free_ char *sandbox_id = wire_get_str(&q->in);
	call->id = wire_get_str(&q->in);
	call->argv = wire_get_strv(&q->in, MAX_ARGS);
	call->env = wire_get_strv(&q->in, MAX_ARGS);
	call->cwd = wire_get_str(&q->in);
	call->terminal = wire_get_u8(&q->in) != 0;
	call->rows = wire_get_u32(&q->in);
	call->columns = wire_get_u32(&q->in);
	bool ok = wire_done(&q->in) && *call->id && call->argv[0] && q->n_fds == (call->terminal ? 0u : 3u);

	for (size_t i = 0; i < 3; i++)
		call->stdio[i] = ok && !call->terminal ? TAKE_FD(q->fds[i]) : -EBADF;
	struct sandbox *sandbox = ok ? sandbox_by_id(s, sandbox_id) : NULL;
	if (!sandbox || sandbox->state != SANDBOX_READY || sandbox->n_calls >= MAX_CALLS || call_by_id(s, call->id)) {
		call_free(TAKE_PTR(call));
		if (!ok)
			return -EPROTO;
		return refuse(s, request, !sandbox ? ENOENT : EBUSY, sandbox_id,
			      !sandbox ? "there is no such sandbox" :
					 "the sandbox is ending, has 1024 calls already, or has a call with this id");
	}
	call->sandbox = sandbox;
	call_start(TAKE_PTR(call));
	return 0;
}

static int on_signal(struct supervisor *s, struct request *q)
{
	uint32_t request = wire_get_u32(&q->in);
	_cleanup_free_ char *id = wire_get_str(&q->in);
	uint32_t signal = wire_get_u32(&q->in);

	if (!wire_done(&q->in) || q->n_fds || signal == 0 || signal > 64)
		return -EPROTO;
	struct call *call = call_by_id(s, id);
	if (!call || call->state != CALL_RUNNING)
		return refuse(s, request, ESRCH, id, "the call has ended");
	if (signal == 9)
		call->killed = true;
	if (launcher_send_signal(call, signal) < 0)
		return refuse(s, request, EIO, id, "the launcher is gone");
	client_reply(s, request, NULL, NULL, 0);
	return 0;
}

static int on_destroy(struct supervisor *s, struct request *q)
{
	uint32_t request = wire_get_u32(&q->in);
	_cleanup_free_ char *id = wire_get_str(&q->in);

	if (!wire_done(&q->in) || q->n_fds)
		return -EPROTO;
	struct sandbox *sandbox = sandbox_by_id(s, id);
	if (!sandbox || sandbox->state != SANDBOX_READY)
		return refuse(s, request, ENOENT, id, "there is no such sandbox");
	sandbox_end(sandbox, request);
	return 0;
}

/* Dispatch by type; everything that is not legal in the present state is fatal (OpenSSH's monitor rule). */
static int handle(struct supervisor *s, struct request *q)
{
	static const struct {
		uint32_t type;
		bool greeted;
		int (*handler)(struct supervisor *, struct request *);
	} table[] = {
		{ MSG_HELLO, false, on_hello },	 { MSG_CREATE, true, on_create },   { MSG_START, true, on_start },
		{ MSG_SIGNAL, true, on_signal }, { MSG_DESTROY, true, on_destroy },
	};
	uint32_t type = wire_get_u32(&q->in);

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].type == type && table[i].greeted == s->greeted)
			return table[i].handler(s, q);
	}
	return -EPROTO;
}

static void client_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	struct request q = { 0 };

	if ((events & EPOLLOUT) && link_flush(&s->client) < 0) {
		broken(s);
		return;
	}
	loop_want_write(s, source, &s->client);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	ssize_t n = msg_recv(s->client.fd, packet, sizeof(packet), q.fds, WIRE_MAX_FDS, &q.n_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		broken(s);
		return;
	}
	q.in = wire_reader(packet, (size_t)n);
	int r = handle(s, &q);
	for (size_t i = 0; i < q.n_fds; i++)
		fd_close(q.fds[i]);
	if (r < 0)
		broken(s);
}

int client_link_start(struct supervisor *s, int fd)
{
	int r = link_init(&s->client, fd);
	return r < 0 ? r : loop_add(s, &s->client_source, fd, client_ready);
}
