/* SPDX-License-Identifier: Apache-2.0 */
/* The peers of a supervisor: reading and checking what it sends, and sensible answers. */
#include "supervisor_peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/util.h"

void peers_require(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "broken invariant: %s\n", what);
		abort();
	}
}

/* ---- audit logs ---- */

size_t peers_count(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what)) != NULL) {
		n++;
		text += strlen(what);
	}
	return n;
}

static bool log_has(int log, const char *event, const char *sandbox, const char *call)
{
	_cleanup_free_ char *text = fake_log_text(log);
	char what[256];

	snprintf(what, sizeof(what), "\"event\":\"%s\",\"sandbox\":\"%s\",\"call\":\"%s\"", event, sandbox, call);
	return strstr(text, what) != NULL;
}

/* Every line is JSON, and every call that began is said to have ended. */
static void check_lines(char *text, bool full)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		json_t *record = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		if (!record)
			fprintf(stderr, "%s\n", line);
		peers_require(record != NULL, "a record is not JSON");
		json_decref(record);
		if (full || !strstr(line, "\"event\":\"call.start\""))
			continue;
		char what[256];
		const char *from = strstr(line, "\"sandbox\":");
		int len = (int)strcspn(from, "}"), id = (int)(strstr(from, "\"call\":") - from) + 7;
		peers_require(id < len, "call.start without a call");
		id += 1 + (int)strcspn(from + id + 1, "\"") + 1;
		snprintf(what, sizeof(what), "\"event\":\"call.exit\",%.*s", id, from);
		bool ended = false;
		/* What is behind this line is still one text. */
		for (const char *rest = save; rest && (rest = strstr(rest, what)) != NULL; rest++)
			ended = true;
		peers_require(ended, "a call began and never ended");
	}
}

void peers_check_logs(const struct peers *w)
{
	for (size_t i = 0; i < w->n_logs; i++) {
		_cleanup_buf_ struct buf why = { 0 };
		_cleanup_free_ char *text = fake_log_text(w->logs[i]);
		int r = audit_verify(w->logs[i], NULL, &why);
		if (r != 1)
			fprintf(stderr, "%s\n", buf_str(&why));
		peers_require(r == 1, "the audit log is not intact");
		check_lines(text, w->log_full[i]);
	}
}

static int log_of(const struct sandbox *b)
{
	char path[128];
	unsigned index;

	if (!b || audit_log_path(b->log, path, sizeof(path)) < 0 || sscanf(path, "/memfd:log%u", &index) != 1)
		return -1;
	return (int)index;
}

/* ---- from the supervisor to the launcher ---- */

static struct peer_box *box_by_number(struct peers *w, uint32_t number)
{
	for (size_t i = 0; i < w->n_boxes; i++) {
		if (w->boxes[i].number == number)
			return &w->boxes[i];
	}
	return NULL;
}

static void asked_for_sandbox(struct peers *w, struct fake_packet *p)
{
	uint32_t number = wire_get_u32(&p->in);
	uint8_t mode = wire_get_u8(&p->in);
	const struct sandbox *b = sandbox_by_number(&w->f.s, number);

	peers_require(!p->in.bad && mode <= NET_HOST && !box_by_number(w, number), "LAUNCHER_SANDBOX");
	if (w->n_boxes == MAX_BOXES) {
		w->overflow = true;
		return;
	}
	struct peer_box *box = &w->boxes[w->n_boxes++];
	*box = (struct peer_box){ .number = number, .log = log_of(b), .gateway = mode == NET_GATEWAY,
				  .auditor = b ? auditor_of(w, b) : -1 };
	snprintf(box->id, sizeof(box->id), "%s", b ? b->id : "");
}

static void asked_for_slot(struct peers *w, struct fake_packet *p)
{
	struct peer_box *box = box_by_number(w, wire_get_u32(&p->in));
	uint32_t number = wire_get_u32(&p->in), address = wire_get_u32(&p->in);

	size_t covers = 0;
	bool full = wire_get_u8(&p->in);
	wire_get_bytes(&p->in, &covers);
	peers_require(wire_done(&p->in) && (full || covers == 0) && (box || w->overflow), "LAUNCHER_SLOT");
	if (!box || w->n_slots == MAX_SLOTS) {
		w->overflow = true;
		return;
	}
	peers_require(box->gateway == (address != 0), "an address goes with a gateway");
	struct peer_slot *slot = &w->slots[w->n_slots++];
	*slot = (struct peer_slot){ .box = box, .number = number, .guardian = -EBADF,
				    .stdio = { -EBADF, -EBADF, -EBADF } };
}

static bool read_launcher(struct peers *w)
{
	struct fake_packet p;

	if (w->f.launcher < 0)
		return false;
	int r = fake_receive(w->f.launcher, &p);
	if (r < 0)
		fd_close(TAKE_FD(w->f.launcher));
	if (r <= 0)
		return r < 0;
	peers_require(p.n_fds == 0, "a descriptor for the launcher");
	if (p.type == LAUNCHER_SANDBOX) {
		asked_for_sandbox(w, &p);
	} else if (p.type == LAUNCHER_SLOT) {
		asked_for_slot(w, &p);
	} else if (p.type == LAUNCHER_LISTEN) {
		struct peer_box *box = box_by_number(w, wire_get_u32(&p.in));
		asked_to_listen(w, box, &p);
	} else {
		struct peer_box *box = box_by_number(w, wire_get_u32(&p.in));
		peers_require(p.type == LAUNCHER_END && wire_done(&p.in), "message to the launcher");
		if (box)
			box->end_asked = true;
	}
	return true;
}

/* ---- from the supervisor to a guardian ---- */

static void read_limits(struct fake_packet *p)
{
	wire_get_u32(&p->in);
	wire_get_u8(&p->in);
	for (uint32_t n = wire_get_u32(&p->in); n > 0 && !p->in.bad; n--) {
		free(wire_get_str(&p->in));
		wire_get_u32(&p->in);
	}
}

static void asked_to_exec(struct peers *w, struct peer_slot *slot, struct fake_packet *p)
{
	_cleanup_(strv_freep) char **argv = wire_get_strv(&p->in, MAX_ARGS);

	strv_free(wire_get_strv(&p->in, MAX_ARGS));
	free(wire_get_str(&p->in));
	slot->flags = wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	read_limits(p);
	if (slot->flags & START_EXPECT) {
		free(wire_get_str(&p->in));
		for (int i = 0; i < 4; i++)
			wire_get_u64(&p->in);
	}
	peers_require(wire_done(&p->in) && argv[0] && p->n_fds == (slot->flags & START_TERMINAL ? 0u : 3u), "GUARDIAN_EXEC");
	peers_require(!(slot->flags & START_SHOW) || !(slot->flags & START_EXPECT), "shown and expected");
	peers_require(!slot->exec, "two starts on one call");
	slot->exec = true;
	slot->key = argv[1] ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	for (size_t i = 0; i < p->n_fds; i++)
		slot->stdio[i] = TAKE_FD(p->fds[i]);
	if (!(slot->flags & START_SHOW))
		told_to_run(w, slot);
}

static bool read_guardian(struct peers *w, struct peer_slot *slot)
{
	struct fake_packet p;

	if (slot->guardian < 0)
		return false;
	int r = fake_receive(slot->guardian, &p);
	if (r < 0)
		guardian_leaves(slot);
	if (r <= 0)
		return r < 0;
	if (p.type == GUARDIAN_EXEC) {
		asked_to_exec(w, slot, &p);
	} else if (p.type == GUARDIAN_PROGRAM) {
		wire_get_u8(&p.in);
		peers_require(wire_done(&p.in) && slot->shown && !slot->program_asked && !slot->told, "GUARDIAN_PROGRAM");
		slot->program_asked = true;
	} else if (p.type == GUARDIAN_GO) {
		wire_get_u8(&p.in);
		read_limits(&p);
		peers_require(wire_done(&p.in) && slot->shown && slot->flags & START_SHOW, "GUARDIAN_GO");
		told_to_run(w, slot);
	} else {
		uint32_t signal = wire_get_u32(&p.in);
		peers_require(p.type == GUARDIAN_SIGNAL && wire_done(&p.in) && signal > 0 && signal <= 64, "message to a guardian");
		peers_require(slot->told, "a signal before the command");
	}
	fake_packet_close(&p);
	return true;
}

/* ---- from the supervisor to a gateway ---- */

/* The end of one is asked for once more when it was revoked. */
static void asked_of_call(struct peers *w, uint32_t *list, size_t *n, unsigned times, struct fake_packet *p)
{
	uint32_t address = wire_get_u32(&p->in);

	peers_require(wire_done(&p->in) && address, "message about a call");
	for (size_t i = 0; i < *n; i++)
		times -= list[i] == address;
	peers_require(times > 0, "an address was used twice");
	if (*n < MAX_ASKED)
		list[(*n)++] = address;
	else
		w->overflow = true;
}

/* Most are there; when the socket is full they come with the other messages. */
static bool read_quiet(struct peers *w, size_t index)
{
	struct fake_packet p;

	if (w->f.gateways[index].quiet < 0 || fake_receive(w->f.gateways[index].quiet, &p) <= 0)
		return false;
	struct peer_gateway *g = &w->gateways[index];
	if (p.type == GATEWAY_CALL_END)
		asked_of_call(w, g->ends, &g->n_ends, 2, &p);
	else
		peers_require(p.type == GATEWAY_CALL_BIND, "message that wakes nobody");
	fake_packet_close(&p);
	return true;
}

/* Again only when there is more. */
static void got_ops(struct peer_gateway *g, struct wire_reader *in)
{
	uint32_t ops = wire_get_u32(in);

	peers_require(wire_done(in) && !(ops & AUDITOR_OP(AUDITOR_CALL_START)) && !(g->audit & ~ops), "GATEWAY_AUDIT");
	g->audit = ops;
}

static bool read_gateway(struct peers *w, size_t index)
{
	struct peer_gateway *g = &w->gateways[index];
	struct fake_packet p;

	if (w->f.gateways[index].gone)
		return false;
	int r = fake_receive(w->f.gateways[index].sock, &p);
	if (r <= 0) /* its end is made by fake_run() */
		return false;
	switch (p.type) {
	case GATEWAY_CONFIG: {
		peers_require(!g->config && p.n_fds >= 1, "GATEWAY_CONFIG");
		g->config = true;
		wire_get_u32(&p.in);
		_cleanup_free_ char *id = wire_get_str(&p.in);
		snprintf(g->box, sizeof(g->box), "%s", id);
		break;
	}
	case GATEWAY_ATTACH:
		peers_require(g->config && !g->attach, "GATEWAY_ATTACH");
		g->attach = true;
		fake_attached(&w->f.gateways[index], &p);
		break;
	case GATEWAY_CALL:
		asked_of_call(w, g->asked, &g->n_asked, 1, &p);
		break;
	case GATEWAY_CALL_END:
		asked_of_call(w, g->ends, &g->n_ends, 2, &p);
		break;
	case GATEWAY_AUDIT:
		got_ops(g, &p.in);
		break;
	case GATEWAY_RULE:
	case GATEWAY_SECRET:
		asked_to_change(g, &p);
		break;
	case GATEWAY_DECIDED:
		got_decided(w, index, &p);
		break;
	default:
		peers_require(p.type == GATEWAY_WRITTEN || p.type == GATEWAY_CALL_BIND, "message to a gateway");
	}
	fake_packet_close(&p);
	return true;
}

/* ---- from the supervisor to a client ---- */

static void got_reply(struct peers *w, const struct peer_client *c, struct fake_packet *p)
{
	uint32_t number = wire_get_u32(&p->in);
	bool failed = wire_get_u8(&p->in);
	struct error e;
	_cleanup_free_ char *payload = failed ? NULL : wire_get_str(&p->in);

	if (failed)
		wire_get_error(&p->in, &e);
	peers_require(wire_done(&p->in) && p->n_fds <= !failed, "MSG_REPLY");
	for (size_t i = 0; i < w->n_requests; i++) {
		struct peer_request *q = &w->requests[i];
		if (q->client != c || q->number != number)
			continue;
		peers_require(++q->answers == 1 || c->malformed, "a request was answered twice");
		q->failed = failed;
		if (q->type == MSG_START && !failed)
			snprintf(q->call, sizeof(q->call), "%s", payload);
		if (q->type == MSG_APPROVALS && !failed)
			got_approvals(w, p);
		if (q->type == MSG_REVIEW && !failed)
			got_review(w, q, payload);
		got_answer_of(w, q);
	}
}

static void got_exit(struct peers *w, const struct peer_client *c, struct fake_packet *p)
{
	_cleanup_free_ char *sandbox = wire_get_str(&p->in);
	_cleanup_free_ char *call = wire_get_str(&p->in);

	wire_get_u32(&p->in);
	wire_get_u32(&p->in);
	free(wire_get_str(&p->in));
	wire_get_u32(&p->in);
	peers_require(wire_done(&p->in) && p->n_fds == 0, "MSG_CALL_EXIT");
	bool known = false, recorded = false;
	for (size_t k = 0; k < w->n_boxes; k++) {
		const struct peer_box *box = &w->boxes[k];
		if (strcmp(box->id, sandbox) != 0 || box->log < 0)
			continue;
		known = true;
		recorded |= w->log_full[box->log] || log_has(w->logs[box->log], "call.exit", sandbox, call);
	}
	peers_require(recorded || !known, "an end was told before it was recorded");
	/* An id can be that of a later sandbox again. */
	for (size_t i = 0; i < w->n_requests; i++) {
		struct peer_request *q = &w->requests[i];
		if (q->client == c && q->type == MSG_START && strcmp(q->call, call) == 0 && q->exits == 0) {
			q->exits = 1;
			return;
		}
	}
	peers_require(c->malformed, "the end of a call that did not run");
}

static bool read_client(struct peers *w, struct peer_client *c)
{
	struct fake_packet p;

	if (c->sock < 0 || c->deaf)
		return false;
	int r = fake_receive(c->sock, &p);
	if (r < 0) {
		peers_require(c->malformed || c->connecting || w->f.s.done, "a client that keeps to the form was dropped");
		fd_close(TAKE_FD(c->sock));
	}
	if (r <= 0)
		return r < 0;
	c->connecting = false;
	if (p.type == MSG_REPLY)
		got_reply(w, c, &p);
	else if (p.type == MSG_CALL_EXIT)
		got_exit(w, c, &p);
	else
		peers_require(p.type == MSG_EVENT, "message to a client");
	fake_packet_close(&p);
	return true;
}

/* ---- all of them ---- */

void peers_run(struct peers *w)
{
	bool again;

	do {
		fake_run(&w->f);
		auditors_find(w);
		reviews_find(w);
		again = read_launcher(w);
		/* All of it, before the answers to clients that depend on it. */
		for (size_t i = 0; i < w->n_slots; i++) {
			while (read_guardian(w, &w->slots[i]))
				again = true;
		}
		for (size_t i = 0; i < w->f.n_gateways; i++)
			again |= read_gateway(w, i) | read_quiet(w, i);
		for (size_t i = 0; i < w->n_clients; i++)
			again |= read_client(w, &w->clients[i]);
		for (size_t i = 0; i < w->n_auditors; i++)
			again |= !w->auditors[i].deaf && read_auditor(w, &w->auditors[i]);
	} while (again);
	/* What was given up is not decided any more. */
	for (size_t i = 0; i < w->f.n_gateways; i++) {
		for (size_t k = 0; k < w->gateways[i].n_tickets; k++)
			w->gateways[i].tickets[k].settled |= w->gateways[i].tickets[k].given_up;
	}
}

static void check_sandbox(const struct sandbox *b)
{
	struct start *const *tail = &b->waiting;
	size_t asked = 0;
	bool prepared[KIND_MAX] = { 0 };

	for (const struct call *c = b->calls; c; c = c->next) {
		peers_require(c->sandbox == b, "a call in the wrong sandbox");
		peers_require(c->state <= CALL_PREPARED ? !c->start && !c->id[0] : c->state == CALL_CUTTING || c->start,
		      "a call without its command, or the other way round");
		peers_require(!c->deadline || c->state == CALL_RUNNING || c->state == CALL_LEFT,
			      "a deadline of a call that does not run");
		peers_require(!c->start || !c->start->next, "a command is in a call and in the queue");
		prepared[c->full ? KIND_FULL : KIND_LIGHT] |= c->state == CALL_PREPARED;
		asked += c->start != NULL;
	}
	for (const struct start *w = b->waiting; w; w = w->next) {
		bool full = w->flags & START_FULL || !b->supervisor->scopes;
		peers_require(!w->answered, "a command that was answered still waits");
		peers_require(b->state != SANDBOX_READY || !prepared[full ? KIND_FULL : KIND_LIGHT],
		      "a command waits beside a prepared call");
		tail = &w->next;
		asked++;
	}
	peers_require(b->waiting_tail == tail, "the end of the queue is lost");
	check_questions(b);
	peers_require(asked <= MAX_CALLS, "more calls than allowed");
}

void peers_check(const struct peers *w)
{
	size_t n = 0;

	for (const struct client *c = w->f.s.clients; c; c = c->next) {
		n += !c->inside;
		peers_require(!c->inside || (c->asker && call_is_running(c->asker) && c->asker->sandbox == c->inside),
		      "a connection of a call that does not run");
	}
	peers_require(n == w->f.s.n_clients && n <= MAX_CLIENTS, "number of clients");
	n = 0;
	for (const struct sandbox *b = w->f.s.sandboxes; b; b = b->next) {
		check_sandbox(b);
		n++;
	}
	peers_require(n == w->f.s.n_sandboxes && n <= MAX_SANDBOXES, "number of sandboxes");
}
