/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's state: messages of the supervisor and of inits, and ends of inits and guardians, in any order. Behind
 * the input every sandbox is ended: then nothing of it is left, and each has had the answers that it should.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "base/wire.h"
#include "fake_launcher.h"
#include "namespace/init_protocol.h"
#include "policy/policy.h"
#include "supervisor/protocol.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

#define MAX_STEPS 96u
#define MAX_BOXES 64u
#define MAX_CALLS 64u

/* What was asked, and what came back. */
static struct {
	int sock; /* the supervisor's end */
	int null;
	bool lost; /* the launcher has given up: a packet was out of form */
	struct {
		bool asked, gateway, ready, failed, ended, end_asked;
		unsigned n_slots, n_slots_answered, n_listens;
	} boxes[MAX_BOXES];
} w;

struct input {
	const uint8_t *p, *end;
};

static void check(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "broken invariant: %s\n", what);
		abort();
	}
}

static uint8_t take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static const uint8_t *take_bytes(struct input *in, size_t *len)
{
	const uint8_t *p = in->p;
	size_t left = (size_t)(in->end - in->p);

	*len = *len < left ? *len : left;
	in->p += *len;
	return p;
}

/* The launcher finds its supervisor as descriptor 3. */
static void set_up(void)
{
	int pair[2], big = 8 << 20;

	if (w.null)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	w.null = fcntl(null, F_DUPFD_CLOEXEC, 10);
	close(null);
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	/* Answers are read only between steps. */
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
	w.sock = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
	int theirs = fcntl(pair[0], F_DUPFD_CLOEXEC, 10);
	check(dup3(w.null, INIT_FD, O_CLOEXEC) >= 0 && dup3(theirs, SUPERVISOR_FD, O_CLOEXEC) >= 0, "descriptors");
	if (pair[0] > INIT_FD)
		close(pair[0]);
	if (pair[1] > INIT_FD)
		close(pair[1]);
	close(theirs);
	fcntl(w.sock, F_SETFL, O_NONBLOCK);
	check(launcher_open() == 0, "launcher_open");
}

/* Before the fuzzer has files of its own under these numbers. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	set_up();
	return 0;
}

/* ---- from the launcher ---- */

static void check_outcome(struct wire_reader *in, bool failed)
{
	struct error e;

	if (failed)
		wire_get_error(in, &e);
	check(wire_done(in), "out of form");
}

static void got(uint32_t type, struct wire_reader *in, size_t n_fds)
{
	uint32_t number = wire_get_u32(in);
	uint32_t i = number - 1;
	bool failed;

	check(i < MAX_BOXES && w.boxes[i].asked, "about a sandbox that nobody asked for");
	check(!w.boxes[i].ended && !w.boxes[i].failed, "about a sandbox that is gone");
	switch (type) {
	case LAUNCHER_SANDBOX_READY:
		failed = wire_get_u8(in);
		check_outcome(in, failed);
		check(!w.boxes[i].ready, "ready twice");
		check(failed || !w.boxes[i].gateway ? n_fds == 0 : n_fds >= 5, "descriptors of a sandbox");
		w.boxes[i].failed = failed;
		w.boxes[i].ready = !failed;
		break;
	case LAUNCHER_CONTROL:
		check(wire_done(in) && n_fds == 1 && !w.boxes[i].ready, "the control socket of a sandbox");
		break;
	case LAUNCHER_SLOT_READY:
		check(wire_get_u32(in) > 0, "a call without a number");
		failed = wire_get_u8(in);
		if (!failed)
			wire_get_u64(in);
		check_outcome(in, failed);
		check(n_fds == !failed, "descriptors of a call");
		check(failed || w.boxes[i].ready, "a call in a sandbox that is not ready");
		check(++w.boxes[i].n_slots_answered <= w.boxes[i].n_slots, "a call that nobody asked for");
		break;
	case LAUNCHER_LISTENING:
		wire_get_u32(in);
		failed = wire_get_u8(in);
		check_outcome(in, failed);
		check(w.boxes[i].ready && w.boxes[i].gateway && w.boxes[i].n_listens-- > 0, "listeners that nobody asked for");
		check(failed ? n_fds == 0 : n_fds > 0, "listeners");
		break;
	default:
		check(type == LAUNCHER_ENDED && wire_done(in) && n_fds == 0, "unknown message");
		check(w.boxes[i].ready || w.boxes[i].end_asked, "ended before it began");
		w.boxes[i].ended = true;
	}
}

static void run(void)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	int fds[WIRE_MAX_FDS], r;
	size_t n_fds;
	ssize_t n;

	do {
		r = launcher_step(false);
		w.lost |= r < 0;
		while ((n = msg_recv(w.sock, packet, sizeof(packet), fds, WIRE_MAX_FDS, &n_fds)) > 0) {
			struct wire_reader in = wire_reader(packet, (size_t)n);
			uint32_t type = wire_get_u32(&in);
			got(type, &in, n_fds);
			for (size_t i = 0; i < n_fds; i++)
				fd_close(fds[i]);
		}
	} while (r != 0);
}

/* ---- from the supervisor ---- */

static void send_message(const struct buf *b)
{
	check(msg_send(w.sock, b->data, b->len, NULL, 0) == 0, "send");
	run();
}

static void put_numbers(struct buf *b, const uint32_t *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(wire_put_u32(b, numbers[i]) == 0, "memory");
}

static void ask_sandbox(struct input *in)
{
	_cleanup_buf_ struct buf b = { 0 };
	uint8_t how = take(in), n_ports = take(in) % 6;
	uint32_t number = 1 + how % MAX_BOXES;
	uint8_t mode = how >> 6;
	const uint32_t head[] = { LAUNCHER_SANDBOX, number }, limits[] = { how & 1 ? 0u : 100u, 1024, n_ports },
		       ports[] = { 80, 443, 1, 2, 3, 4 };

	/* A number is used once in the life of a supervisor. */
	if (w.boxes[number - 1].asked)
		return;
	put_numbers(&b, head, 2);
	wire_put_u8(&b, mode);
	put_numbers(&b, limits, 3);
	put_numbers(&b, ports, n_ports);
	wire_put_bytes(&b, "plan", 4);
	wire_put_bytes(&b, "\0\0\0", 4);
	w.boxes[number - 1].asked = mode <= NET_HOST;
	w.boxes[number - 1].gateway = mode == NET_GATEWAY;
	send_message(&b);
}

static void ask_slot(struct input *in)
{
	_cleanup_buf_ struct buf b = { 0 };
	uint8_t how = take(in);
	const uint32_t numbers[] = { LAUNCHER_SLOT, 1 + how % MAX_BOXES, 1u + take(in), 0x64400002 };

	put_numbers(&b, numbers, 4);
	size_t len = how >> 7 ? take(in) : 0;
	const uint8_t *covers = take_bytes(in, &len);
	wire_put_u8(&b, how >> 7);
	wire_put_bytes(&b, covers, len);
	w.boxes[how % MAX_BOXES].n_slots++;
	send_message(&b);
}

static void ask_listen(struct input *in)
{
	_cleanup_buf_ struct buf b = { 0 };
	uint32_t i = take(in) % MAX_BOXES, n = 1 + take(in) % 3;
	const uint32_t numbers[] = { LAUNCHER_LISTEN, 1 + i, take(in), n, 8001, 8002, 8003 };

	put_numbers(&b, numbers, 4 + n);
	w.boxes[i].n_listens++;
	send_message(&b);
}

static void ask_end(uint32_t i)
{
	_cleanup_buf_ struct buf b = { 0 };
	const uint32_t numbers[] = { LAUNCHER_END, 1 + i };

	put_numbers(&b, numbers, 2);
	w.boxes[i].end_asked = true;
	send_message(&b);
}

/* The launcher would end here with all that it has; this one is to go on, so nothing of it is believed. */
static void unformed(struct input *in)
{
	size_t len = take(in);
	const uint8_t *p = take_bytes(in, &len);
	struct wire_reader r = wire_reader(p, len);
	uint32_t type = wire_get_u32(&r), i = wire_get_u32(&r) - 1;

	if (len == 0)
		return;
	if (type == LAUNCHER_SANDBOX && i < MAX_BOXES && !w.boxes[i].asked) {
		w.boxes[i].asked = true;
		w.boxes[i].gateway = wire_get_u8(&r) == NET_GATEWAY;
	} else if (type == LAUNCHER_SANDBOX) {
		return; /* of a number that the book does not have */
	} else if (i < MAX_BOXES) {
		w.boxes[i].n_slots += type == LAUNCHER_SLOT;
		w.boxes[i].n_listens += type == LAUNCHER_LISTEN;
		w.boxes[i].end_asked |= type == LAUNCHER_END;
	}
	const int fds[] = { w.null, w.null };
	check(msg_send(w.sock, p, len, fds, take(in) % 3) == 0, "send");
	run();
}

/* ---- from inits, and their ends ---- */

static struct fake_process *living(struct input *in, bool init)
{
	size_t which = take(in);

	for (size_t i = 0; i < fake.n; i++) {
		struct fake_process *p = &fake.processes[(which + i) % fake.n];
		if (!p->dead && p->sock >= 0 && !p->init == init)
			return p;
	}
	return NULL;
}

static void init_answers(struct input *in)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct fake_process *p = living(in, true);
	const struct error e = { .err = EPERM, .stage = SANDBOX_STAGE_MOUNT, .object = "/", .message = "no" };
	int fds[INIT_MAX_FDS];
	static const size_t n_fds[] = { 0, 1, 2, 2 + INIT_TRUST };
	uint8_t how = take(in);

	if (!p)
		return;
	for (size_t i = 0; i < INIT_MAX_FDS; i++)
		fds[i] = w.null;
	wire_put_u32(&b, INIT_READY);
	wire_put_u8(&b, how & 1);
	if (how & 1)
		wire_put_error(&b, &e);
	msg_send(p->sock, b.data, b.len, fds, n_fds[(how >> 1) % 4] + (how & 8 ? 2 : 0)); /* with overlays */
	run();
}

static void init_unformed(struct input *in)
{
	struct fake_process *p = living(in, true);
	size_t len = take(in);
	const uint8_t *bytes = take_bytes(in, &len);
	const int fds[] = { w.null, w.null, w.null };

	if (p) {
		msg_send(p->sock, bytes, len, fds, take(in) % 4);
		run();
	}
}

static void one_ends(struct input *in, bool init)
{
	struct fake_process *p = living(in, init);
	bool how = take(in) & 1;

	if (p && init && how)
		fd_close(TAKE_FD(p->sock)); /* it is dying: the rest comes with its end */
	else if (p)
		fake_die(p, how);
	run();
}

static void step(struct input *in)
{
	switch (take(in) % 10) {
	case 0:
		ask_sandbox(in);
		break;
	case 1:
		ask_slot(in);
		break;
	case 2:
		ask_end(take(in) % MAX_BOXES);
		break;
	case 3:
		unformed(in);
		break;
	case 4:
		init_answers(in);
		break;
	case 9:
		ask_listen(in);
		break;
	case 5:
		init_unformed(in);
		break;
	case 6:
		one_ends(in, true);
		break;
	case 7:
		one_ends(in, false);
		break;
	default: {
		uint8_t how = take(in);
		fake.no_inits = how & 1;
		fake.no_nets = how & 2;
		fake.no_wires = how & 4;
		fake.no_guardians = how & 8;
	}
	}
}

/* The init made ahead belongs to the next sandbox with the default ceiling. */
static void use_up_spare(void)
{
	_cleanup_buf_ struct buf b = { 0 };
	const uint32_t head[] = { LAUNCHER_SANDBOX, MAX_BOXES }, limits[] = { 0, 0, 0 };

	memset(&w.boxes[MAX_BOXES - 1], 0, sizeof(w.boxes[0]));
	w.boxes[MAX_BOXES - 1].asked = true;
	put_numbers(&b, head, 2);
	wire_put_u8(&b, NET_NONE);
	put_numbers(&b, limits, 3);
	wire_put_bytes(&b, "", 0);
	wire_put_bytes(&b, "\0\0\0", 4);
	send_message(&b);
	ask_end(MAX_BOXES - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	set_up();
	size_t before = n_descriptors();
	memset(w.boxes, 0, sizeof(w.boxes));
	w.lost = false;
	fake = (struct fake_launcher){ 0 };
	launcher_prepare();
	for (size_t i = 0; i < MAX_STEPS && in.p < in.end; i++)
		step(&in);

	fake.no_inits = fake.no_nets = fake.no_wires = fake.no_guardians = false;
	for (uint32_t i = 0; i < MAX_BOXES; i++) {
		if (w.boxes[i].asked && !w.boxes[i].failed && !w.boxes[i].ended)
			ask_end(i);
		check(w.lost || !w.boxes[i].asked || w.boxes[i].failed || w.boxes[i].ended, "a sandbox that has no end");
	}
	use_up_spare();
	fake_check_end();
	check(n_descriptors() == before, "a descriptor was left open");
	return 0;
}
