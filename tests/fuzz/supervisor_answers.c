/* SPDX-License-Identifier: Apache-2.0 */
/* The peers of a supervisor: what they answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "supervisor_peers.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

uint64_t peers_cookie(void)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len);
	return cookie;
}

static void answer_control(struct peers *w, struct peer_box *box)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	box->control = (struct sockaddr_un){ .sun_family = AF_UNIX };
	box->control_len = sizeof(box->control);
	if (bind(fd, (struct sockaddr *)&box->control, sizeof(box->control.sun_family)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&box->control, &box->control_len) < 0)
		abort();
	fake_send(w->f.launcher, &fd, 1, "uu", LAUNCHER_CONTROL, box->number);
}

/* Of the calls of a sandbox one at a time has our network namespace. */
static uint64_t cookie_of(const struct peers *w, struct peer_slot *slot)
{
	for (size_t i = 0; i < w->n_slots; i++) {
		if (w->slots[i].box == slot->box && w->slots[i].known && !w->slots[i].done)
			return 0;
	}
	slot->known = true;
	return peers_cookie();
}

void answer_box(struct peers *w, struct peer_box *box, bool failed)
{
	int null[5];

	box->answered = true;
	if (failed) {
		box->ended = true;
		fake_send(w->f.launcher, NULL, 0, "uube", LAUNCHER_SANDBOX_READY, box->number, 1u);
		return;
	}
	answer_control(w, box);
	null[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	null[1] = null[2] = null[3] = null[4] = null[0];
	fake_send(w->f.launcher, null, box->gateway ? 5 : 0, "uub", LAUNCHER_SANDBOX_READY, box->number, 0u);
	fd_close(null[0]);
}

void answer_end(struct peers *w, struct peer_box *box)
{
	box->ended = box->answered = true;
	fake_send(w->f.launcher, NULL, 0, "uu", LAUNCHER_ENDED, box->number);
	for (size_t i = 0; i < w->n_slots; i++) {
		if (w->slots[i].box == box) {
			guardian_leaves(&w->slots[i]);
			w->slots[i].answered = true;
		}
	}
}

void answer_slot(struct peers *w, struct peer_slot *slot, bool failed)
{
	int pair[2];

	slot->answered = true;
	if (failed || w->no_slots) {
		fake_send(w->f.launcher, NULL, 0, "uuube", LAUNCHER_SLOT_READY, slot->box->number, slot->number, 1u);
		return;
	}
	fake_pair(pair);
	if (fake_send(w->f.launcher, pair, 1, "uuubq", LAUNCHER_SLOT_READY, slot->box->number, slot->number, 0u,
		      cookie_of(w, slot)) == 0 && slot->guardian < 0)
		slot->guardian = TAKE_FD(pair[1]);
	fd_close(pair[0]);
	fd_close(pair[1]);
}

static void close_stdio(struct peer_slot *slot)
{
	for (size_t i = 0; i < 3; i++)
		fd_close(TAKE_FD(slot->stdio[i]));
}

void guardian_leaves(struct peer_slot *slot)
{
	close_stdio(slot);
	fd_close(TAKE_FD(slot->guardian));
	slot->done = true;
}

void answer_start(struct peers *w, struct peer_slot *slot, bool failed)
{
	(void)w;
	slot->started = true;
	if (failed) {
		fake_send(slot->guardian, NULL, 0, "ube", GUARDIAN_STARTED, 1u);
		guardian_leaves(slot);
		return;
	}
	_cleanup_close_ int terminal = open("/dev/null", O_RDWR | O_CLOEXEC);
	fake_send(slot->guardian, &terminal, !!(slot->flags & START_TERMINAL), "ub", GUARDIAN_STARTED, 0u);
}

#define LOOKS 5u

void answer_shown(struct peers *w, struct peer_slot *slot, uint8_t look, const char *digest)
{
	static const char *const paths[LOOKS] = { "/usr/bin/true", "/tmp/true", "/usr/bin/python3", "/usr/bin/false", "" };

	(void)w;
	if (slot->shown)
		slot->shown_again = true;
	slot->shown = true;
	slot->look = look;
	fake_send(slot->guardian, NULL, 0, "usbbqqqqs", GUARDIAN_SHOWN, paths[(look & 15) % LOOKS], look >> 4 & 1u,
		  look >> 5 & 1u, (uint64_t)1, (uint64_t)(look >> 6), (uint64_t)1000, (uint64_t)7, digest);
}

void answer_stale(struct peers *w, struct peer_slot *slot)
{
	const struct error stale = { .err = ESTALE, .stage = SANDBOX_STAGE_AUDITOR, .object = "true",
				     .message = "another one" };
	_cleanup_buf_ struct buf m = { 0 };

	(void)w;
	slot->started = true;
	if (wire_put_u32(&m, GUARDIAN_STARTED) < 0 || wire_put_u8(&m, 1) < 0 || wire_put_error(&m, &stale) < 0)
		abort();
	msg_send(slot->guardian, m.data, m.len, NULL, 0);
	guardian_leaves(slot);
}

/* Its part until somebody has decided; false: it waits for that. */
static bool show(struct peers *w, struct peer_slot *slot)
{
	if (slot->shown && (!slot->program_asked || slot->shown_again))
		return false;
	answer_shown(w, slot, slot->look, slot->shown ? "0123456789abcdef0123456789abcdef" : "");
	return true;
}

void answer_exit(struct peers *w, struct peer_slot *slot, bool left)
{
	(void)w;
	if (slot->exited) {
		fake_send(slot->guardian, NULL, 0, "u", GUARDIAN_DONE);
		guardian_leaves(slot);
		return;
	}
	slot->exited = true;
	left = left && slot->flags & START_BACKGROUND;
	fake_send(slot->guardian, NULL, 0, "uuubb", GUARDIAN_EXIT, 3u, 0u, (unsigned)left, 1u);
	if (!left)
		guardian_leaves(slot);
}

void answer_ready(struct peers *w, size_t gateway, bool failed)
{
	w->gateways[gateway].ready = true;
	if (failed)
		fake_send(w->f.gateways[gateway].sock, NULL, 0, "ube", GATEWAY_READY, 1u);
	else
		fake_send(w->f.gateways[gateway].sock, NULL, 0, "ub", GATEWAY_READY, 0u);
}

void answer_call(struct peers *w, size_t gateway)
{
	struct peer_gateway *g = &w->gateways[gateway];
	char *const env[] = { (char *)"TOKEN=placeholder", NULL };

	if (g->n_calls_answered < g->n_asked)
		fake_send(w->f.gateways[gateway].sock, NULL, 0, "uuv", GATEWAY_CALL_READY,
			  g->asked[g->n_calls_answered++], env);
}

void answer_call_end(struct peers *w, size_t gateway)
{
	struct peer_gateway *g = &w->gateways[gateway];

	if (g->n_ends_answered < g->n_ends)
		fake_send(w->f.gateways[gateway].sock, NULL, 0, "uu", GATEWAY_CALL_ENDED, g->ends[g->n_ends_answered++]);
}

/* Everybody answers one thing each; false when nothing was open. */
static bool answer_all(struct peers *w)
{
	bool any = false;

	for (size_t i = 0; i < w->n_boxes && w->f.launcher >= 0; i++) {
		struct peer_box *box = &w->boxes[i];
		any |= answer_listen(w, box, false);
		if (box->ended || (box->answered && !box->end_asked))
			continue;
		any = true;
		if (!box->answered)
			answer_box(w, box, false);
		else
			answer_end(w, box);
	}
	for (size_t i = 0; i < w->f.n_gateways; i++) {
		struct peer_gateway *g = &w->gateways[i];
		if (w->f.gateways[i].gone)
			continue;
		any |= (g->attach && !g->ready) || g->n_calls_answered < g->n_asked || g->n_ends_answered < g->n_ends;
		if (g->attach && !g->ready)
			answer_ready(w, i, false);
		answer_call(w, i);
		answer_call_end(w, i);
		any |= answer_change(w, i, false);
	}
	for (size_t i = 0; i < w->n_slots && w->f.launcher >= 0; i++) {
		struct peer_slot *slot = &w->slots[i];
		bool prepared = slot->answered || !slot->box->answered || slot->box->ended;
		if (prepared && (slot->guardian < 0 || !slot->exec))
			continue;
		if (prepared && !slot->told) {
			any |= show(w, slot);
			continue;
		}
		any = true;
		if (!prepared)
			answer_slot(w, slot, false);
		else if (!slot->started)
			answer_start(w, slot, false);
		else
			answer_exit(w, slot, false);
	}
	for (size_t i = 0; i < w->n_auditors; i++)
		any |= auditor_answers_all(w, &w->auditors[i]);
	return any;
}

void peers_finish(struct peers *w)
{
	w->f.no_gateways = w->f.gateways_stay = false;
	for (size_t i = 0; i < w->n_clients; i++)
		w->clients[i].deaf = false;
	for (size_t i = 0; i < w->n_auditors; i++)
		w->auditors[i].deaf = false;
	/* Once more when nobody has answered the last questions. */
	for (int i = 0; i < 2; i++) {
		do
			peers_run(w);
		while (answer_all(w));
		fake_nobody_decides(&w->f);
	}
	do
		peers_run(w);
	while (answer_all(w));
	peers_check(w);
	if (w->overflow || w->f.s.done)
		return;
	check_tickets(w);
	for (size_t i = 0; i < w->n_requests; i++) {
		const struct peer_request *q = &w->requests[i];
		/* A connection of no call is closed by a thread. */
		for (unsigned tries = 0; tries < 10000 && q->client->inside && q->client->sock >= 0 && q->answers == 0; tries++) {
			usleep(1000);
			peers_run(w);
		}
		if (q->client->sock >= 0 && q->answers == 0) {
			fprintf(stderr, "request %u of type %u was not answered\n", q->number, q->type);
			abort();
		}
		if (q->client->sock >= 0 && q->type == MSG_START && q->call[0] && q->exits == 0) {
			fprintf(stderr, "nobody was told of the end of call %s\n", q->call);
			abort();
		}
	}
}
