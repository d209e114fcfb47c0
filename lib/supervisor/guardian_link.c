/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the guardian of a call. Guardians are ours and read nothing untrusted, but each is alone with the
 * call it guards: what one says concerns that call only, and a message out of form counts as its death. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/question.h"
#include "supervisor/supervisor.h"

static int send_to_guardian(struct call *call, const struct buf *m, const int *fds, size_t n_fds)
{
	int r = link_send(&call->guardian, m, fds, n_fds);
	loop_want_write(call->sandbox->supervisor, &call->guardian_source, &call->guardian);
	return r;
}

static int put_limits(struct buf *m, const struct start *start)
{
	int r = wire_put_u32(m, start->open_files);

	if (r == 0)
		r = wire_put_u8(m, start->on_base);
	if (r == 0)
		r = wire_put_u32(m, start->n_paths);
	return r < 0 ? r : buf_append(m, start->paths.data, start->paths.len);
}

static int put_expected(struct buf *m, const struct shown *p)
{
	const uint64_t numbers[] = { p->dev, p->ino, p->size, p->ctime_ns };

	int r = wire_put_str(m, p->path);
	for (size_t i = 0; i < ARRAY_LEN(numbers) && r == 0; i++)
		r = wire_put_u64(m, numbers[i]);
	return r;
}

int guardian_send_exec(struct call *call, struct error *e)
{
	_cleanup_buf_ struct buf m = { 0 };
	const struct start *start = call->start;

	int r = wire_put_u32(&m, GUARDIAN_EXEC);
	if (r == 0)
		r = wire_put_strv(&m, start->argv);
	if (r == 0)
		r = wire_put_strv(&m, start->env);
	if (r == 0)
		r = wire_put_str(&m, start->cwd);
	if (r == 0)
		r = wire_put_u32(&m, start->flags);
	if (r == 0)
		r = wire_put_u32(&m, start->rows);
	if (r == 0)
		r = wire_put_u32(&m, start->columns);
	if (r == 0)
		r = put_limits(&m, start);
	if (r == 0 && start->flags & START_EXPECT)
		r = put_expected(&m, call->shown);
	if (r == 0)
		r = send_to_guardian(call, &m, start->stdio, start->flags & START_TERMINAL ? 0 : 3);
	/* It has ended. What it said before is still to be read: that, or its silence, tells what has happened. */
	if (r == -EPIPE || r == -ECONNRESET)
		return 0;
	if (r == -EMSGSIZE)
		return fail(e, E2BIG, SANDBOX_STAGE_EXEC, start->argv[0],
			    "the arguments and the environment are together over %u KiB", WIRE_MAX_PACKET / 1024u);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_PROTOCOL, call->id, "cannot reach the guardian of the call") : 0;
}

int guardian_send_program(struct call *call, bool copied)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GUARDIAN_PROGRAM);
	if (r == 0)
		r = wire_put_u8(&m, copied);
	return r < 0 ? r : send_to_guardian(call, &m, NULL, 0);
}

int guardian_send_go(struct call *call)
{
	_cleanup_buf_ struct buf m = { 0 };
	const struct shown *p = call->shown;

	int r = wire_put_u32(&m, GUARDIAN_GO);
	if (r == 0)
		r = wire_put_u8(&m, !p->copied && policy_path_fixed(call->sandbox->policy, p->path));
	if (r == 0)
		r = put_limits(&m, call->start);
	if (r == 0)
		r = send_to_guardian(call, &m, NULL, 0);
	/* As in guardian_send_exec(): what it said before its end tells what has happened. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

int guardian_send_signal(struct call *call, uint32_t signal)
{
	_cleanup_buf_ struct buf m = { 0 };

	int r = wire_put_u32(&m, GUARDIAN_SIGNAL);
	if (r == 0)
		r = wire_put_u32(&m, signal);
	return r < 0 ? r : send_to_guardian(call, &m, NULL, 0);
}

void guardian_close(struct call *call)
{
	loop_remove(call->sandbox->supervisor, &call->guardian_source);
	link_close(&call->guardian);
}

static int on_started(struct call *call, struct wire_reader *in, const int *fds, size_t n_fds)
{
	struct error e = { 0 };
	bool failed = wire_get_u8(in);

	if (failed)
		wire_get_error(in, &e);
	if (!wire_done(in) || (failed ? call->state > CALL_STARTING : call->state != CALL_STARTING))
		return -EPROTO;
	if (call->state == CALL_ASKING)
		call_not_shown(call, &e);
	else if (call->state == CALL_STARTING)
		call_started(call, failed ? &e : NULL, n_fds ? fds[0] : -EBADF);
	else
		pool_failed(call, &e);
	return 0;
}

static int on_shown(struct call *call, struct wire_reader *in)
{
	struct shown *p = calloc(1, sizeof(*p));
	size_t len = 0;

	if (!p)
		return -ENOMEM;
	p->path = wire_get_str(in);
	p->fixed = wire_get_u8(in);
	p->script = wire_get_u8(in);
	p->dev = wire_get_u64(in);
	p->ino = wire_get_u64(in);
	p->size = wire_get_u64(in);
	p->ctime_ns = wire_get_u64(in);
	const void *digest = wire_get_bytes(in, &len);
	if (!wire_done(in) || (len != 0 && len != sizeof(p->digest)) || call->state != CALL_ASKING || call->question ||
	    call->parked) {
		shown_free(p);
		return -EPROTO;
	}
	p->read = len > 0;
	if (p->read)
		memcpy(p->digest, digest, len);
	return program_shown(call, p);
}

static int on_exit_message(struct call *call, struct wire_reader *in)
{
	uint32_t status = wire_get_u32(in);
	uint32_t signal = wire_get_u32(in);
	bool left = wire_get_u8(in);
	bool sent = wire_get_u8(in);

	if (!wire_done(in) || (call->state != CALL_RUNNING && !call_starts_async(call)) ||
	    (left && !(call->start->flags & START_BACKGROUND)))
		return -EPROTO;
	if (call->state == CALL_STARTING)
		call_runs(call);
	call->sent = sent;
	call_exited(call, status, signal, left);
	return 0;
}

static int handle(struct call *call, struct wire_reader *in, const int *fds, size_t n_fds)
{
	switch (wire_get_u32(in)) {
	case GUARDIAN_STARTED:
		return on_started(call, in, fds, n_fds);
	case GUARDIAN_SHOWN:
		return on_shown(call, in);
	case GUARDIAN_EXIT:
		return on_exit_message(call, in);
	case GUARDIAN_DONE:
		if (!wire_done(in) || call->state != CALL_LEFT)
			return -EPROTO;
		call->sent = true; /* it does not say */
		call_done(call);
		return 0;
	default:
		return -EPROTO;
	}
}

/* It died without a last word: then nobody can tell the processes of its call apart, and all of the sandbox ends. */
static void guardian_died(struct call *call)
{
	struct sandbox *b = call->sandbox;
	struct error e;

	guardian_close(call);
	if (b->state == SANDBOX_ENDING || call->state >= CALL_CUTTING)
		return;
	if (call->state > CALL_PREPARED) {
		record_write(b, "limit.hit", call->id, "the guardian of the call was killed; the sandbox ends", "");
		b->collapsed = true;
		sandbox_end(b, NULL, 0);
		return;
	}
	fail(&e, ECHILD, SANDBOX_STAGE_NAMESPACE, b->id, "the guardian of a prepared call ended");
	pool_failed(call, &e);
}

static void guardian_ready(struct supervisor *s, struct source *source, uint32_t events)
{
	static uint8_t packet[8192];
	struct call *call = SOURCE_OWNER(source, struct call, guardian_source);
	int fds[1];
	size_t n_fds = 0;

	if ((events & EPOLLOUT) && link_flush(&call->guardian) < 0) {
		guardian_died(call);
		return;
	}
	loop_want_write(s, source, &call->guardian);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	ssize_t n = msg_recv(call->guardian.fd, packet, sizeof(packet), fds, ARRAY_LEN(fds), &n_fds);
	if (n == -EAGAIN)
		return;
	struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	/* handle() may free the call. */
	if (n <= 0 || handle(call, &in, fds, n_fds) < 0)
		guardian_died(call);
	for (size_t i = 0; i < n_fds; i++)
		fd_close(fds[i]);
}

int guardian_attach(struct call *call, int sock)
{
	int r = link_init(&call->guardian, sock);
	return r < 0 ? r : loop_add(call->sandbox->supervisor, &call->guardian_source, sock, guardian_ready);
}
