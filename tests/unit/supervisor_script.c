/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of the tests of the supervisor. */
#include "supervisor_script.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"

#include <cmocka.h>

static char place[64];

uint32_t new_request(void)
{
	static uint32_t last;
	return ++last;
}

struct fake_packet *expect(struct fake *f, int sock, uint32_t type)
{
	static struct fake_packet p;

	fake_run(f);
	fake_packet_close(&p);
	assert_int_equal(fake_receive(sock, &p), 1);
	assert_int_equal(p.type, type);
	return &p;
}

void expect_nothing(struct fake *f, int sock)
{
	struct fake_packet p = { 0 };

	fake_run(f);
	int r = fake_receive(sock, &p);
	if (r > 0)
		fail_msg("message of type %u", p.type);
	assert_int_equal(r, 0);
}

void expect_hung_up(struct fake *f, int sock)
{
	struct fake_packet p;

	fake_run(f);
	assert_int_equal(fake_receive(sock, &p), -1);
}

int script_client(struct fake *f)
{
	int sock = fake_client(f);

	fake_send(sock, NULL, 0, "uusb", MSG_HELLO, WIRE_VERSION, ",", 0u);
	fake_run(f);
	return sock;
}

const char *expect_success(struct fake *f, int sock, uint32_t request)
{
	static char *text;
	struct fake_packet *p = expect(f, sock, MSG_REPLY);
	struct error e = { 0 };

	assert_int_equal(wire_get_u32(&p->in), request);
	if (wire_get_u8(&p->in)) {
		wire_get_error(&p->in, &e);
		fail_msg("%s", e.message);
	}
	free(text);
	text = wire_get_str(&p->in);
	assert_true(wire_done(&p->in));
	return text;
}

int expect_failure(struct fake *f, int sock, uint32_t request)
{
	struct fake_packet *p = expect(f, sock, MSG_REPLY);
	struct error e = { 0 };

	assert_int_equal(wire_get_u32(&p->in), request);
	assert_int_equal(wire_get_u8(&p->in), 1);
	wire_get_error(&p->in, &e);
	assert_true(wire_done(&p->in));
	return e.err;
}

void expect_exit(struct fake *f, int sock, const char *call, uint32_t status, const char *reason)
{
	struct fake_packet *p = expect(f, sock, MSG_CALL_EXIT);

	_cleanup_free_ char *sandbox = wire_get_str(&p->in);
	_cleanup_free_ char *id = wire_get_str(&p->in);
	uint32_t got = wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	_cleanup_free_ char *why = wire_get_str(&p->in);
	wire_get_u32(&p->in);
	assert_true(wire_done(&p->in));
	assert_string_equal(id, call);
	assert_int_equal(got, status);
	assert_string_equal(why, reason);
}

uint32_t expect_slot(struct fake *f, const struct box *box)
{
	struct fake_packet *p = expect(f, f->launcher, LAUNCHER_SLOT);

	assert_int_equal(wire_get_u32(&p->in), box->number);
	return wire_get_u32(&p->in);
}

/* What the launcher and the gateway do for a new sandbox; then the answer. */
static void make_ready(struct fake *f, int sock, uint32_t request, bool gateway, struct box *box)
{
	const int null[5] = { 0, 0, 0, 0, 0 };

	box->number = wire_get_u32(&expect(f, f->launcher, LAUNCHER_SANDBOX)->in);
	box->first = expect_slot(f, box);
	box->gateway = gateway ? &f->gateways[f->n_gateways - 1] : NULL;
	if (gateway)
		expect(f, box->gateway->sock, GATEWAY_CONFIG);
	expect_nothing(f, sock);
	fake_send(f->launcher, null, gateway ? 5 : 0, "uub", LAUNCHER_SANDBOX_READY, box->number, 0u);
	if (gateway) {
		fake_attached(box->gateway, expect(f, box->gateway->sock, GATEWAY_ATTACH));
		expect_nothing(f, sock);
		fake_send(box->gateway->sock, NULL, 0, "ub", GATEWAY_READY, 0u);
	}
	if (gateway && box->audited) {
		static const char hello[] = "{\"hello\":\"a\",\"version\":1,\"ops\":[\"call.start\",\"http.request\"]}";
		fake_run(f);
		expect_nothing(f, sock);
		assert_int_equal(send(fake_auditor(), hello, strlen(hello), 0), strlen(hello));
		assert_int_equal(wire_get_u32(&expect(f, box->gateway->sock, GATEWAY_AUDIT)->in),
				 AUDITOR_OP(AUDITOR_HTTP_REQUEST));
	}
	expect_success(f, sock, request);
}

void script_audited(struct fake *f, int sock, const char *id, struct box *ret)
{
	*ret = (struct box){ .id = id, .log = fake_log(id), .audited = true };
	const int fds[3] = { fake_audited_policy(), ret->log, fake_state() };
	uint32_t request = new_request();

	assert_int_equal(fake_send(sock, fds, 3, "uussu", MSG_CREATE, request, id, "", 0u), 0);
	make_ready(f, sock, request, true, ret);
}

void script_sandbox(struct fake *f, int sock, const char *id, bool gateway, struct box *ret)
{
	*ret = (struct box){ .id = id, .log = fake_log(id) };
	const int fds[3] = { fake_policy(gateway), ret->log, fake_state() };
	uint32_t request = new_request();

	assert_int_equal(fake_send(sock, fds, 3, "uussu", MSG_CREATE, request, id, "", 0u), 0);
	make_ready(f, sock, request, gateway, ret);
}

void script_named(struct fake *f, int sock, const char *id, bool gateway, struct box *ret)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char path[96];

	strcpy(place, "/tmp/test_supervisor.XXXXXX");
	assert_non_null(mkdtemp(place));
	snprintf(path, sizeof(path), "%s/box", place);
	assert_int_equal(mkdir(path, 0700), 0);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), top = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int lock = openat(dir, "lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	fd_close(openat(top, ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/box.sock", place);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 8), 0);

	*ret = (struct box){ .id = id, .log = fake_log(id) };
	const int fds[7] = { fake_policy(gateway), ret->log, fake_state(), dir, lock, top, listener };
	uint32_t request = new_request();
	assert_int_equal(fake_send(sock, fds, 7, "uussu", MSG_CREATE, request, id, "box", 0u), 0);
	for (size_t i = 3; i < 7; i++)
		fd_close(fds[i]);
	make_ready(f, sock, request, gateway, ret);
}

int script_second_client(struct fake *f)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/box.sock", place);
	assert_int_equal(connect(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	fake_send(sock, NULL, 0, "uusb", MSG_HELLO, WIRE_VERSION, ",", 0u);
	fake_run(f);
	return sock;
}

/* The entry and the socket are the supervisor's to remove, and it has: then this is all there is. */
void script_remove_place(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/.lock", place);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(place), 0);
}

int script_slot(struct fake *f, const struct box *box, uint32_t slot)
{
	int pair[2];

	if (box->gateway) {
		uint32_t address = wire_get_u32(&expect(f, box->gateway->sock, GATEWAY_CALL)->in);
		char *const env[] = { (char *)"TOKEN=placeholder", NULL };
		fake_send(box->gateway->sock, NULL, 0, "uuv", GATEWAY_CALL_READY, address, env);
	}
	fake_pair(pair);
	fake_send(f->launcher, pair, 1, "uuubq", LAUNCHER_SLOT_READY, box->number, slot, 0u, (uint64_t)0);
	close(pair[0]);
	fake_run(f);
	return pair[1];
}

void script_slot_failed(struct fake *f, const struct box *box, uint32_t slot)
{
	fake_send(f->launcher, NULL, 0, "uuube", LAUNCHER_SLOT_READY, box->number, slot, 1u);
	fake_run(f);
}

uint32_t script_start(struct fake *f, int sock, const char *id, uint32_t flags)
{
	char *const argv[] = { (char *)"true", NULL }, *const env[] = { NULL };
	const int fds[3] = { 0, 1, 2 };
	uint32_t request = new_request();

	assert_int_equal(fake_send(sock, fds, flags & START_TERMINAL ? 0 : flags & START_LOG ? 1 : 3, "uusvvsuuuqss", MSG_START,
				   request, id, argv, env, "/", flags, 24u, 80u, (uint64_t)0, "", ""), 0);
	fake_run(f);
	return request;
}

void script_started(struct fake *f, const struct box *box, int guardian)
{
	expect(f, guardian, GUARDIAN_EXEC);
	assert_true(log_count(box, "call.start") > 0);
	fake_send(guardian, NULL, 0, "ub", GUARDIAN_STARTED, 0u);
	fake_refill(f);
}

void script_exited(struct fake *f, int guardian, uint32_t status)
{
	fake_send(guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, status, 0u, 0u, 1u);
	fake_run(f);
}

const char *script_run(struct fake *f, int sock, const struct box *box, int guardian, uint32_t flags)
{
	uint32_t request = script_start(f, sock, box->id, flags);

	script_started(f, box, guardian);
	return expect_success(f, sock, request);
}

size_t log_count(const struct box *box, const char *what)
{
	_cleanup_free_ char *text = fake_log_text(box->log);
	char event[64];
	size_t n = 0;

	snprintf(event, sizeof(event), "\"event\":\"%s\"", what);
	for (const char *at = text; (at = strstr(at, event)) != NULL; at++)
		n++;
	return n;
}
