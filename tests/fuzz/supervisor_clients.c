/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of fuzz_supervisor.c: what clients do, and what they send along. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "supervisor_steps.h"

#define MAX_NAMED 8u

static struct {
	char top[64]; /* holds the entries of named sandboxes */
	int dir, null;
} place;

static struct {
	struct sockaddr_un at[MAX_NAMED];
	socklen_t len[MAX_NAMED];
	size_t n;
} named;

static void remove_place(void)
{
	unlinkat(place.dir, ".lock", 0);
	unlinkat(place.dir, "output", 0);
	rmdir(place.top);
}

void steps_make_place(void)
{
	if (place.top[0])
		return;
	signal(SIGPIPE, SIG_IGN);
	snprintf(place.top, sizeof(place.top), "%s/nsbox-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(place.top) || (place.dir = open(place.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	fd_close(openat(place.dir, ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	place.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	fake_policy(false);
	fake_policy(true);
	fake_audited_policy();
	fake_state();
	atexit(remove_place);
}

/* ---- descriptors for a client to send ---- */

int steps_log(struct peers *w)
{
	char name[16];

	if (w->n_logs == MAX_LOGS)
		return place.null;
	snprintf(name, sizeof(name), "log%zu", w->n_logs);
	return w->logs[w->n_logs++] = fake_log(name);
}

bool steps_entry(int fds[4], char name[16])
{
	if (named.n == MAX_NAMED)
		return false;
	size_t i = named.n++;
	struct sockaddr_un *at = &named.at[i];

	snprintf(name, 16, "n%zu", i);
	mkdirat(place.dir, name, 0700);
	fds[0] = openat(place.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fds[1] = openat(fds[0], "lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	fds[2] = fcntl(place.dir, F_DUPFD_CLOEXEC, 3);
	fds[3] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	named.len[i] = sizeof(*at);
	if (bind(fds[3], (struct sockaddr *)at, sizeof(at->sun_family)) < 0 || listen(fds[3], 4) < 0 ||
	    getsockname(fds[3], (struct sockaddr *)at, &named.len[i]) < 0)
		abort();
	return true;
}

void steps_remove_entries(void)
{
	char name[40];

	for (size_t i = 0; i < named.n; i++) {
		snprintf(name, sizeof(name), "n%zu/lock", i);
		unlinkat(place.dir, name, 0);
		snprintf(name, sizeof(name), "n%zu/output", i);
		unlinkat(place.dir, name, 0);
		snprintf(name, sizeof(name), "n%zu", i);
		unlinkat(place.dir, name, AT_REMOVEDIR);
	}
	named.n = 0;
}

/* Of any kind, for messages that are out of form. Borrowed. */
static int some_fd(struct peers *w, uint8_t kind)
{
	switch (kind % 5) {
	case 0:
		return fake_policy(false);
	case 1:
		return steps_log(w);
	case 2:
		return fake_policy(true);
	case 3:
		return place.dir;
	default:
		return place.null;
	}
}

int steps_null(void)
{
	return place.null;
}

/* ---- clients ---- */

static struct peer_client *client(struct input *in)
{
	struct peers *w = in->w;
	return w->n_clients ? &w->clients[take(in) % w->n_clients] : NULL;
}

void new_client(struct peers *w, int sock, bool connecting)
{
	w->clients[w->n_clients++] = (struct peer_client){ .sock = sock, .connecting = connecting };
}

static void hello(struct input *in, struct peer_client *c)
{
	static const char *const wanted[] = { "", ",", ",call.start,", ",net.allow,call.exit," };
	uint8_t how = take(in);
	uint32_t version = how & 8 ? WIRE_VERSION + 1 : WIRE_VERSION;

	c->malformed |= c->greeted;
	c->greeted |= version == WIRE_VERSION;
	fake_send(c->sock, NULL, 0, "uusb", MSG_HELLO, version, wanted[how & 3], how & 4u);
}

/* Numbers that an unformed message hardly has by accident. */
#define FIRST_REQUEST 0x51000000u

uint32_t steps_request(struct peers *w, struct peer_client *c, uint32_t type)
{
	uint32_t number = FIRST_REQUEST + (uint32_t)w->n_requests;

	c->malformed |= !c->greeted;
	if (w->n_requests < MAX_REQUESTS)
		w->requests[w->n_requests++] = (struct peer_request){ .client = c, .number = number, .type = type };
	return number;
}

static void create(struct input *in, struct peer_client *c)
{
	struct peers *w = in->w;
	uint8_t how = take(in);
	bool gateway = how & 1, is_named = false;
	bool audited = how & 32;
	int policy = how & 4 ? place.null : audited ? fake_audited_policy() : fake_policy(gateway);
	int fds[3 + 4 + 3] = { policy, steps_log(w), fake_state() };
	char id[16], name[16] = "";
	size_t n = 3, secrets = gateway ? how >> 6 : 0;

	/* Those with an auditor are told apart by their id. */
	snprintf(id, sizeof(id), audited ? "a%u" : "s%u", how & 8 && !audited ? 0 : (unsigned)w->n_requests);
	if (how & 16)
		fds[1] = place.null;
	if (how & 2)
		is_named = steps_entry(fds + n, name);
	n += is_named ? 4 : 0;
	for (size_t i = 0; i < secrets; i++)
		fds[n + i] = place.null;
	fake_send(c->sock, fds, n + secrets, "uussu", MSG_CREATE, steps_request(in->w, c, MSG_CREATE), id, name, (uint32_t)secrets);
	for (size_t i = 3; i < n; i++)
		fd_close(fds[i]);
}

/* The id of a sandbox that the supervisor has or had. */
static const char *sandbox_id(struct input *in)
{
	struct peers *w = in->w;
	uint8_t which = take(in);

	size_t n = w->n_boxes + w->n_reviews, i = n ? which % n : 0;

	return !n ? "none" : i < w->n_boxes ? w->boxes[i].id : w->reviews[i - w->n_boxes].id;
}

static void start(struct input *in, struct peer_client *c)
{
	static const char *const templates[] = { "", "", "*", "absent" };
	const char *id = sandbox_id(in);
	uint32_t flags = take(in) & _START_CLIENT_FLAGS;
	uint8_t how = take(in);
	uint32_t number = steps_request(in->w, c, MSG_START);
	char key[16];
	char *const argv[] = { (char *)"true", key, how & 1 ? (char *)"\xc2\x9b\"\\" : NULL, NULL };
	char *const env[] = { how & 2 ? (char *)"A=b" : NULL, NULL };
	const int fds[3] = { place.null, place.null, place.null };
	size_t n = flags & START_TERMINAL ? 0 : flags & START_LOG ? 1 : 3;

	if (flags & START_TERMINAL)
		flags &= ~(uint32_t)(START_LOG | START_ASYNC);
	snprintf(key, sizeof(key), "%u", how & 16 ? KEY_SHARED : KEY_START + number - FIRST_REQUEST);
	fake_send(c->sock, fds, n, "uusvvsuuuqss", MSG_START, number, c->inside && !(how & 8) ? "" : id, argv, env, "/",
		  flags, 24u, 80u, how & 4 ? (uint64_t)1000000 : (uint64_t)0, "", templates[how >> 6]);
}

static void cancel(struct peers *w, struct peer_client *c, uint32_t which)
{
	uint32_t number = steps_request(w, c, MSG_CANCEL);

	/* Of its own ones only. */
	if (which < w->n_requests && w->requests[which].client == c && w->requests[which].type == MSG_START)
		w->requests[w->n_requests - 1].cancels = which;
	else
		w->requests[w->n_requests - 1].cancels = MAX_REQUESTS;
	fake_send(c->sock, NULL, 0, "uuu", MSG_CANCEL, number, FIRST_REQUEST + which);
}

static void short_request(struct input *in, struct peer_client *c)
{
	uint8_t what = take(in), how = take(in);
	char id[64];

	snprintf(id, sizeof(id), "%s", sandbox_id(in));
	switch (what % 6) {
	case 0:
		if (how & 1)
			snprintf(id + strlen(id), 16, ".%u", how >> 4);
		fake_send(c->sock, NULL, 0, "uusu", MSG_SIGNAL, steps_request(in->w, c, MSG_SIGNAL), id, how & 2 ? 9u : 15u);
		break;
	case 1:
		fake_send(c->sock, NULL, 0, "uusb", MSG_DESTROY, steps_request(in->w, c, MSG_DESTROY), id, how & 1u);
		break;
	case 2:
		fake_send(c->sock, NULL, 0, "uu", MSG_OPEN, steps_request(in->w, c, MSG_OPEN));
		break;
	case 3:
		fake_send(c->sock, NULL, 0, "uus", MSG_INSPECT, steps_request(in->w, c, MSG_INSPECT), id);
		break;
	case 4:
		fake_send(c->sock, NULL, 0, "uusu", MSG_POOL, steps_request(in->w, c, MSG_POOL), id, how % 10u);
		break;
	default:
		cancel(in->w, c, how % MAX_STEPS);
	}
}

static void unformed(struct input *in, struct peer_client *c)
{
	uint8_t n_fds = take(in) % 8;
	size_t len = take(in);
	int fds[8];

	for (size_t i = 0; i < n_fds; i++)
		fds[i] = some_fd(in->w, take(in));
	const uint8_t *p = take_bytes(in, &len);
	c->malformed = true;
	msg_send(c->sock, p, len, fds, n_fds);
}

static void decide(struct input *in, struct peer_client *c, uint8_t how)
{
	struct peers *w = in->w;
	uint32_t number = steps_request(w, c, MSG_DECIDE), decision = how & 3;
	struct peer_parked *p = w->n_parked ? &w->parked[take(in) % w->n_parked] : NULL;
	struct peer_request *q = &w->requests[w->n_requests - 1];
	static const char wrong[] = "0000000000000000000000000000000000000000000000000000000000000000";

	if (decision > APPROVAL_ALWAYS)
		decision = APPROVAL_YES;
	q->decides = p;
	q->right = p && !(how & 4);
	if (q->right && decision != APPROVAL_NO && !p->counted && p->auditor >= 0) {
		struct peer_permit *allows = permit(w, p->auditor, p->key);
		p->counted = true;
		if (allows) {
			allows->allowed++;
			allows->lasting |= decision == APPROVAL_ALWAYS;
		}
	}
	fake_send(c->sock, NULL, 0, "uusssu", MSG_DECIDE, number, p ? p->box : "none", p ? p->ticket : "none-1",
		  q->right ? p->digest : how & 8 ? "" : wrong, decision);
}

/* What is decided and taken back. */
static void audit_request(struct input *in, struct peer_client *c)
{
	struct peers *w = in->w;
	uint8_t what = take(in), how = take(in);
	char id[64];

	snprintf(id, sizeof(id), "%s", sandbox_id(in));
	if (what >= 192) {
		change_step(in, c, id);
		return;
	}
	if (what >= 176) {
		review_step(in, c, how);
		return;
	}
	switch (what % 3) {
	case 0:
		fake_send(c->sock, NULL, 0, "uus", MSG_APPROVALS, steps_request(w, c, MSG_APPROVALS), id);
		break;
	case 1:
		decide(in, c, how);
		break;
	default:
		snprintf(id + strlen(id), 16, ".%u", how % 8u);
		uint32_t number = steps_request(w, c, MSG_REVOKE);
		snprintf(w->requests[w->n_requests - 1].call, sizeof(w->requests[0].call), "%s", id);
		fake_send(c->sock, NULL, 0, "uus", MSG_REVOKE, number, id);
	}
}

void client_step(struct input *in, uint8_t what)
{
	struct peer_client *c = client(in);

	if (!c || c->sock < 0)
		return;
	switch (what) {
	case 0:
		hello(in, c);
		break;
	case 1:
		create(in, c);
		break;
	case 2:
		start(in, c);
		break;
	case 3:
		short_request(in, c);
		break;
	case 4:
		unformed(in, c);
		break;
	case 5:
		c->deaf = !c->deaf;
		break;
	case 6:
		audit_request(in, c);
		break;
	default:
		fd_close(TAKE_FD(c->sock));
	}
}

void connect_named(struct peers *w, uint8_t which)
{
	int fd = named.n ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -EBADF;
	size_t i = named.n ? which % named.n : 0;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&named.at[i], named.len[i]) == 0)
		new_client(w, fd, true);
	else
		fd_close(fd);
}
