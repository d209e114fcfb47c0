/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor without processes. */
#include "supervisor_doubles.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/util.h"
#include "supervisor/auditor_process.h"
#include "supervisor/question.h"

/* More than any test has events; a loop that does not come to rest is a bug of the supervisor. */
#define MAX_STEPS 1000000u

static void need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fake supervisor: %s: %s\n", what, strerror(errno));
		abort();
	}
}

void fake_pair(int pair[2])
{
	need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "socketpair");
}

/* ---- in the place of gateway_process.c ---- */

static int start_gateway(struct supervisor *s, int *ret_sock, int *ret_pidfd)
{
	struct fake *f = SOURCE_OWNER(s, struct fake, s);
	int pair[2];

	if (f->no_gateways || f->n_gateways == FAKE_GATEWAYS)
		return -EAGAIN;
	fake_pair(pair);
	struct fake_gateway *g = &f->gateways[f->n_gateways++];
	*g = (struct fake_gateway){ .sock = pair[1], .quiet = -EBADF, .process = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	*ret_sock = pair[0];
	*ret_pidfd = dup(g->process);
	need(*ret_pidfd >= 0, "eventfd");
	return 0;
}

void gateway_prepare(struct supervisor *s)
{
	start_gateway(s, &s->spare_sock, &s->spare_pidfd);
}

int gateway_process(struct supervisor *s, int *ret_sock, int *ret_pidfd)
{
	if (s->spare_sock < 0)
		return start_gateway(s, ret_sock, ret_pidfd);
	*ret_sock = TAKE_FD(s->spare_sock);
	*ret_pidfd = TAKE_FD(s->spare_pidfd);
	return 0;
}

/* ---- in the place of auditor_process.c ---- */

static struct fake_auditor auditors[FAKE_AUDITORS];
static size_t n_auditors;

int auditor_reach(const char *text, const char *home, int *ret_sock, int *ret_pidfd, struct error *e)
{
	int pair[2];

	(void)text;
	(void)home;
	(void)ret_pidfd;
	if (n_auditors == FAKE_AUDITORS)
		return fail(e, EAGAIN, SANDBOX_STAGE_AUDITOR, "auditor", "no more auditors");
	fake_pair(pair);
	*ret_sock = pair[0];
	auditors[n_auditors++] = (struct fake_auditor){ .sock = pair[1], .theirs = pair[0] };
	return 0;
}

void auditor_kill(int pidfd)
{
	fd_close(pidfd);
}

const struct fake_auditor *fake_auditors(size_t *ret_n)
{
	*ret_n = n_auditors;
	return auditors;
}

int fake_auditor(void)
{
	return n_auditors ? auditors[n_auditors - 1].sock : -EBADF;
}

void fake_gateway_exit(struct fake_gateway *g)
{
	const uint64_t one = 1;

	if (g->gone)
		return;
	g->gone = true;
	need(write(g->process, &one, sizeof(one)) == sizeof(one), "eventfd");
	fd_close(TAKE_FD(g->sock));
	fd_close(TAKE_FD(g->quiet));
}

void fake_attached(struct fake_gateway *g, struct fake_packet *p)
{
	/* Behind the files of what is believed, two of DNS, and the one of packets. */
	need(p->n_fds > 5 && g->quiet < 0, "GATEWAY_ATTACH");
	g->quiet = TAKE_FD(p->fds[5]);
}

/* The signal goes to an eventfd, and nowhere; that the supervisor closed its end first shows that it was sent. */
static void let_killed_exit(struct fake *f)
{
	for (size_t i = 0; i < f->n_gateways; i++) {
		struct fake_gateway *g = &f->gateways[i];
		struct pollfd p = { .fd = g->sock };
		if (!g->gone && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
			fake_gateway_exit(g);
	}
}

/* ---- the supervisor ---- */

void fake_open(struct fake *f, bool scopes)
{
	int pair[2];

	*f = (struct fake){ .s = { .helper_dir = -EBADF, .spare_sock = -EBADF, .spare_pidfd = -EBADF, .scopes = scopes } };
	n_auditors = 0;
	f->s.epoll = epoll_create1(EPOLL_CLOEXEC);
	need(f->s.epoll >= 0, "epoll");
	fake_pair(pair);
	f->launcher = pair[1];
	need(launcher_link_start(&f->s, pair[0], -EBADF) == 0, "launcher link");
}

void fake_close(struct fake *f)
{
	sandbox_abandon_all(&f->s, "supervisor ends");
	for (struct client *c = f->s.clients; c; c = c->next)
		c->gone = true;
	clients_reap(&f->s);
	loop_remove(&f->s, &f->s.launcher_source);
	link_close(&f->s.launcher);
	fd_close(f->s.spare_sock);
	fd_close(f->s.spare_pidfd);
	fd_close(f->s.epoll);
	fd_close(f->launcher);
	for (size_t i = 0; i < f->n_gateways; i++) {
		fd_close(f->gateways[i].sock);
		fd_close(f->gateways[i].quiet);
		fd_close(f->gateways[i].process);
	}
}

void fake_run(struct fake *f)
{
	for (size_t steps = 0; !f->s.done; steps++) {
		int r = loop_step(&f->s, false);
		need(r >= 0 && steps < MAX_STEPS, "the loop");
		if (r == 0) {
			size_t gone = 0, before = 0;
			for (size_t i = 0; i < f->n_gateways; i++)
				before += f->gateways[i].gone;
			if (!f->gateways_stay)
				let_killed_exit(f);
			for (size_t i = 0; i < f->n_gateways; i++)
				gone += f->gateways[i].gone;
			if (gone == before)
				return;
		}
	}
}

void fake_pass_time(struct fake *f)
{
	for (struct sandbox *b = f->s.sandboxes; b; b = b->next) {
		b->gateway_deadline = b->gateway_deadline ? 1 : 0;
		b->pool_deadline = b->pool_deadline ? 1 : 0;
		b->refill_deadline = b->refill_deadline ? 1 : 0;
		for (struct call *c = b->calls; c; c = c->next)
			c->deadline = c->deadline ? 1 : 0;
	}
	f->s.next_deadline = f->s.next_deadline ? 1 : 0;
	fake_run(f);
}

/* Whether something was due; it may have removed the sandbox. */
static bool expire_questions(struct fake *f)
{
	/* An auditor's deadlines are its own to know. */
	const uint64_t late = now_us() + 60u * 60u * 1000000ull;

	/* The loop has ended, and with it the reading of what the others sent before. */
	if (f->s.done)
		return false;
	for (struct sandbox *b = f->s.sandboxes; b; b = b->next) {
		/* One that has ended is looked for again and again, for ever: not here. */
		bool asked = b->auditor && auditor_next_deadline(b->auditor);
		if ((asked && auditor_link_expire(b, late)) || approval_expire(b, late))
			return true;
	}
	return false;
}

void fake_nobody_decides(struct fake *f)
{
	while (expire_questions(f))
		;
	fake_run(f);
}

void fake_refill(struct fake *f)
{
	for (struct sandbox *b = f->s.sandboxes; b; b = b->next) {
		if (!b->refill_deadline)
			continue;
		b->refill_deadline = f->s.next_deadline = 1;
	}
	fake_run(f);
}

int fake_client(struct fake *f)
{
	int pair[2];

	fake_pair(pair);
	need(client_add(&f->s, pair[0]) == 0, "client");
	return pair[1];
}

/* ---- messages ---- */

int fake_receive(int sock, struct fake_packet *p)
{
	static uint8_t data[WIRE_MAX_PACKET];

	p->n_fds = 0;
	ssize_t n = msg_recv(sock, data, sizeof(data), p->fds, WIRE_MAX_FDS, &p->n_fds);
	if (n <= 0)
		return n == -EAGAIN ? 0 : -1;
	p->len = (size_t)n;
	p->in = wire_reader(data, p->len);
	p->type = wire_get_u32(&p->in);
	return 1;
}

void fake_packet_close(struct fake_packet *p)
{
	for (size_t i = 0; i < p->n_fds; i++)
		fd_close(p->fds[i]);
	p->n_fds = 0;
}

static void put(struct buf *b, const char *format, va_list args)
{
	const struct error failure = { .err = ENOENT, .stage = SANDBOX_STAGE_EXEC, .object = "o", .message = "it failed" };
	int r = 0;

	for (; *format && r == 0; format++) {
		if (*format == 'b')
			r = wire_put_u8(b, (uint8_t)va_arg(args, unsigned));
		else if (*format == 'u')
			r = wire_put_u32(b, va_arg(args, uint32_t));
		else if (*format == 'q')
			r = wire_put_u64(b, va_arg(args, uint64_t));
		else if (*format == 's')
			r = wire_put_str(b, va_arg(args, const char *));
		else if (*format == 'v')
			r = wire_put_strv(b, va_arg(args, char *const *));
		else if (*format == 'e')
			r = wire_put_error(b, &failure);
		else
			need(false, "format");
	}
	need(r == 0, "message");
}

void fake_put(struct buf *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put(b, format, args);
	va_end(args);
}

int fake_send(int sock, const int *fds, size_t n_fds, const char *format, ...)
{
	_cleanup_buf_ struct buf b = { 0 };
	va_list args;

	va_start(args, format);
	put(&b, format, args);
	va_end(args);
	return msg_send(sock, b.data, b.len, fds, n_fds);
}

/* ---- what a client sends along ---- */

static char workdir[32];

static void remove_workdir(void)
{
	rmdir(workdir);
}

/* A writable directory of our own, in which nothing appears. */
static const char *fake_workdir(void)
{
	if (!workdir[0]) {
		strcpy(workdir, "/tmp/test_supervisor.XXXXXX");
		need(mkdtemp(workdir) && atexit(remove_workdir) == 0, "workdir");
	}
	return workdir;
}

int fake_state(void)
{
	static int made = -1;

	if (made < 0)
		made = open(fake_workdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	return made;
}

static int make_policy(bool gateway, bool audited)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	struct error e = { 0 };
	struct policy *p;

	need(policy_new(&p) == 0 && policy_set_workdir(p, fake_workdir(), true, &e) == 0 &&
	     policy_set(p, "network", "mode", gateway ? "gateway" : "none", "/", "test", &e) == 0 &&
	     (!gateway || policy_set(p, "network", "allow", "https://example.org", "/", "test", &e) == 0) &&
	     (!audited || (policy_set(p, "audit", "auditor", "unix:/auditor", "/", "test", &e) == 0 &&
			   /* No test may depend on how fast it runs. */
			   policy_set(p, "audit", "deadline", "60s", "/", "test", &e) == 0)) &&
	     policy_finish(p, &e) == 0 && policy_encode(p, &bytes) == 0, e.message);
	policy_free(p);
	int fd = memfd_from_bytes("policy", bytes.data, bytes.len);
	need(fd >= 0, "policy");
	return fd;
}

int fake_policy(bool gateway)
{
	static int made[2] = { -1, -1 };

	if (made[gateway] < 0)
		made[gateway] = make_policy(gateway, false);
	return made[gateway];
}

int fake_audited_policy(void)
{
	static int made = -1;

	if (made < 0)
		made = make_policy(true, true);
	return made;
}

int fake_log(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	need(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0, "log");
	return fd;
}

void fake_log_full(int log)
{
	need(fcntl(log, F_ADD_SEALS, F_SEAL_GROW) == 0, "seal");
}

char *fake_log_text(int log)
{
	struct stat st;

	need(fstat(log, &st) == 0, "log");
	char *text = calloc(1, (size_t)st.st_size + 1);
	need(text && pread(log, text, (size_t)st.st_size, 0) == st.st_size, "log");
	return text;
}
