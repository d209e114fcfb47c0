/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of the supervisor. The input is a list of steps: what clients, launcher, guardians, gateways
 * and auditors send, in form or not, and what else happens to them. Behind it everybody does what is still asked of
 * him: then every request has its answer, nothing is left open, the audit logs are intact, and nothing has happened
 * that nobody allowed.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "supervisor_steps.h"
#include "fuzz.h"

static struct peers w;

/* ---- the others ---- */

static void launcher_step(struct input *in, uint8_t what)
{
	const int null = steps_null();
	uint8_t which = take(in);
	struct peer_box *box = w.n_boxes ? &w.boxes[which % w.n_boxes] : NULL;
	struct peer_slot *slot = w.n_slots ? &w.slots[which % w.n_slots] : NULL;
	size_t len = which;

	if (w.f.launcher < 0)
		return;
	if (what == 0 && box && !box->answered)
		answer_box(&w, box, take(in) & 1);
	else if (what == 1 && slot && !slot->answered)
		answer_slot(&w, slot, take(in) & 1);
	else if (what == 2 && box && box->answered && !box->ended)
		answer_end(&w, box);
	else if (what == 5 && box)
		answer_listen(&w, box, take(in) & 1);
	else if (what == 3) {
		const uint8_t *p = take_bytes(in, &len);
		msg_send(w.f.launcher, p, len, &null, which & 1);
	} else if (what == 4)
		fd_close(TAKE_FD(w.f.launcher));
}

static void guardian_step(struct input *in, uint8_t what)
{
	const int null = steps_null();
	static const char *const digests[] = { "", "0123456789abcdef0123456789abcdef", "short",
					       "fedcba9876543210fedcba9876543210" };
	uint8_t which = take(in), how = take(in);
	struct peer_slot *slot = w.n_slots ? &w.slots[which % w.n_slots] : NULL;
	size_t len = how;

	if (!slot || slot->guardian < 0)
		return;
	/* Now and then also when it cannot be. */
	if (what == 0 && ((slot->told && !slot->started) || (how & 7) == 7))
		answer_start(&w, slot, how & 1);
	else if (what == 1 && slot->started)
		answer_exit(&w, slot, how & 1);
	else if (what == 2)
		guardian_leaves(slot);
	else if (what == 3) {
		const uint8_t *p = take_bytes(in, &len);
		msg_send(slot->guardian, p, len, &null, which & 1);
	} else if (what == 5 && slot->exec) {
		answer_shown(&w, slot, how, digests[(how ^ which) % ARRAY_LEN(digests)]);
	} else if (what == 6 && slot->exec && !slot->started) {
		answer_stale(&w, slot);
	} else if (what == 7 && slot->exec && !slot->told) {
		answer_shown(&w, slot, how, slot->program_asked ? digests[1] : "");
	} else if (what == 4 && slot->stdio[1] >= 0 && slot->flags & START_LOG) {
		if (write(slot->stdio[1 + (how & 1)], "output", how % 7) < 0)
			return; /* nobody reads any more */
	}
}

static void send_records(struct input *in, int sock, const struct peer_gateway *g)
{
	static const char *const events[] = { "net.allow", "http.deny", "limit.hit", "call.start" };
	_cleanup_buf_ struct buf b = { 0 };
	uint8_t how = take(in), n = take(in);
	size_t len = take(in) % 16, at = take(in);
	char members[] = "\"host\":\"a.\\u00e9\",\"port\":-443,\"rules\":[\"\\\"\",\"\xc3\xa9\"]";

	const uint8_t *change = take_bytes(in, &len);
	memcpy(members + at % (sizeof(members) - len), change, len);
	members[sizeof(members) - 1] = '\0';
	fake_put(&b, "uqu", GATEWAY_RECORDS, (uint64_t)(how & 8), (uint32_t)n);
	for (uint8_t i = 0; i < n; i++)
		fake_put(&b, "suss", events[how & 3], g->n_asked ? g->asked[how % g->n_asked] : 0u, how & 4 ? "no-rule" : "",
			 how & 16 ? "" : members);
	msg_send(sock, b.data, b.len, NULL, 0);
}

static void gateway_asks(struct input *in, size_t gateway)
{
	struct peer_gateway *g = &w.gateways[gateway];
	static const char *const more[] = { "", ",\"method\":\"GET\",\"headers\":[\"a\"]", ",\"grant\":{\"allow\":[]}",
					    ",\"call\":\"a.1\"" };
	uint8_t how = take(in);
	unsigned op = how & 3 ? AUDITOR_HTTP_REQUEST + (how & 1) : how >> 5;
	bool again = (how & 31) == 31 && g->n_tickets > 0;
	char members[128];

	if (!again && g->n_tickets == MAX_TICKETS)
		return;
	size_t ticket = again ? g->n_tickets : ++g->n_tickets;
	g->confused |= again;
	g->tickets[ticket - 1].op = op % _AUDITOR_OP_MAX;
	snprintf(members, sizeof(members), "\"host\":\"%u\"%s", KEY_TICKET + (unsigned)ticket, more[how >> 2 & 3]);
	fake_send(w.f.gateways[gateway].sock, NULL, 0, "uquus", GATEWAY_ASK, (uint64_t)ticket, (uint32_t)op,
		  g->n_asked ? g->asked[how % g->n_asked] : 0u, members);
}

static void gateway_gives_up(size_t gateway, uint8_t which)
{
	struct peer_gateway *g = &w.gateways[gateway];
	size_t ticket = g->n_tickets ? 1 + which / 4u % g->n_tickets : 0;

	if (ticket)
		g->tickets[ticket - 1].given_up = true;
	fake_send(w.f.gateways[gateway].sock, NULL, 0, "uq", GATEWAY_ASK_CANCEL, (uint64_t)ticket);
}

static void gateway_step(struct input *in, uint8_t what)
{
	const int null = steps_null();
	uint8_t which = take(in);
	size_t i = w.f.n_gateways ? which % w.f.n_gateways : 0, len = which;

	if (!w.f.n_gateways || w.f.gateways[i].gone)
		return;
	switch (what) {
	case 0:
		answer_ready(&w, i, take(in) & 1);
		break;
	case 1:
		answer_call(&w, i);
		if (w.gateways[i].n_changes)
			answer_change(&w, i, take(in) & 1);
		break;
	case 2:
		answer_call_end(&w, i);
		break;
	case 3:
		send_records(in, w.f.gateways[i].sock, &w.gateways[i]);
		break;
	case 4: {
		const uint8_t *p = take_bytes(in, &len);
		msg_send(w.f.gateways[i].sock, p, len, &null, which & 1);
		break;
	}
	case 5:
		gateway_asks(in, i);
		break;
	case 6:
		gateway_gives_up(i, which);
		break;
	default:
		fake_gateway_exit(&w.f.gateways[i]);
	}
}

/* Whatever call is at the other end, if any: it may end at any time, and this with it. */
static void connect_inside(const struct peer_box *box)
{
	int fd = box->control_len ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -EBADF;

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&box->control, box->control_len) == 0) {
		new_client(&w, fd, true);
		w.clients[w.n_clients - 1].inside = w.clients[w.n_clients - 1].malformed = true;
	} else {
		fd_close(fd);
	}
}

static void other_step(struct input *in, uint8_t what)
{
	uint8_t which = take(in);

	if (what == 0 && w.n_clients < MAX_PEERS) {
		new_client(&w, fake_client(&w.f), false);
	} else if (what == 1 && w.n_clients < MAX_PEERS) {
		connect_named(&w, which);
	} else if (what == 2) {
		if (which & 1)
			fake_nobody_decides(&w.f);
		fake_pass_time(&w.f);
	} else if (what == 3 && w.n_logs) {
		w.log_full[which % w.n_logs] = true;
		fake_log_full(w.logs[which % w.n_logs]);
	} else if (what == 4) {
		w.f.no_gateways = which & 1;
		w.f.gateways_stay = which & 2;
		w.no_slots = which & 4;
	} else if (what == 5) {
		peers_finish(&w);
	} else if (what == 6) {
		in->at_once = 1 + which % 4;
	} else if (what == 7 && w.n_boxes && w.n_clients < MAX_PEERS) {
		connect_inside(&w.boxes[which % w.n_boxes]);
	}
}

static void step(struct input *in)
{
	uint8_t what = take(in);

	switch (what >> 5) {
	case 0:
	case 1:
		client_step(in, what % 8);
		break;
	case 2:
		launcher_step(in, what % 8);
		break;
	case 3:
		guardian_step(in, what % 8);
		break;
	case 4:
		gateway_step(in, what % 8);
		break;
	case 6:
		auditor_step(in, what % 8);
		break;
	default:
		other_step(in, what % 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size, 0, &w };

	steps_make_place();
	closer_start();
	size_t before = n_descriptors();
	memset(&w, 0, offsetof(struct peers, slots));
	memset(w.gateways, 0, sizeof(w.gateways));
	w.n_slots = w.n_auditors = 0;
	w.overflow = w.no_slots = false;
	fake_open(&w.f, !(take(&in) & 1));
	w.f.s.net_cookie = peers_cookie();
	new_client(&w, fake_client(&w.f), false);
	for (size_t i = 0; i < MAX_STEPS && in.p < in.end && !w.f.s.done; i++) {
		step(&in);
		if (in.at_once) {
			in.at_once--;
			continue;
		}
		peers_run(&w);
		peers_check(&w);
	}
	peers_finish(&w);

	fake_close(&w.f);
	peers_check_logs(&w);
	for (size_t i = 0; i < w.n_clients; i++)
		fd_close(w.clients[i].sock);
	for (size_t i = 0; i < w.n_slots; i++)
		guardian_leaves(&w.slots[i]);
	for (size_t i = 0; i < w.n_logs; i++)
		fd_close(w.logs[i]);
	auditors_find(&w);
	for (size_t i = 0; i < w.n_auditors; i++)
		fd_close(w.auditors[i].sock);
	steps_remove_entries();
	/* Those of calls are closed by a thread. */
	for (unsigned tries = 0; n_descriptors() != before && tries < 10000; tries++)
		usleep(1000);
	if (n_descriptors() != before) {
		fprintf(stderr, "a descriptor was left open\n");
		abort();
	}
	return 0;
}
