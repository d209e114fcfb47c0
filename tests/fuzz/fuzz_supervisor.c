/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of the supervisor. The input is a list of steps: what clients, launcher, guardians and gateways
 * send, in form or not, and what else happens to them. Behind it everybody does what is still asked of him: then every
 * request has its answer, nothing is left open and the audit logs are intact.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/util.h"
#include "supervisor_peers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 96u
#define MAX_NAMED 8u

static struct peers w;

static struct {
	char top[64]; /* holds the entries of named sandboxes */
	int dir, null;
} place;

static struct {
	struct sockaddr_un at[MAX_NAMED];
	socklen_t len[MAX_NAMED];
	size_t n;
} named;

struct input {
	const uint8_t *p, *end;
	unsigned at_once; /* so many steps happen before the supervisor's next turn */
};

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

static void remove_place(void)
{
	unlinkat(place.dir, ".lock", 0);
	unlinkat(place.dir, "output", 0);
	rmdir(place.top);
}

static void make_place(void)
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
	atexit(remove_place);
}

/* ---- descriptors for a client to send ---- */

static int new_log(void)
{
	char name[16];

	if (w.n_logs == MAX_LOGS)
		return place.null;
	snprintf(name, sizeof(name), "log%zu", w.n_logs);
	return w.logs[w.n_logs++] = fake_log(name);
}

/* The four of a named sandbox, or the first few of them; the name of its entry. */
static void new_entry(int fds[4], char name[16])
{
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
}

static void remove_entries(void)
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
static int some_fd(uint8_t kind)
{
	switch (kind % 5) {
	case 0:
		return fake_policy(false);
	case 1:
		return new_log();
	case 2:
		return fake_policy(true);
	case 3:
		return place.dir;
	default:
		return place.null;
	}
}

/* ---- clients ---- */

static struct peer_client *client(struct input *in)
{
	return w.n_clients ? &w.clients[take(in) % w.n_clients] : NULL;
}

static void new_client(int sock, bool connecting)
{
	w.clients[w.n_clients++] = (struct peer_client){ .sock = sock, .connecting = connecting };
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
static uint32_t request(struct peer_client *c, uint32_t type)
{
	uint32_t number = 0x51000000u + (uint32_t)w.n_requests;

	c->malformed |= !c->greeted;
	if (w.n_requests < MAX_REQUESTS)
		w.requests[w.n_requests++] = (struct peer_request){ .client = c, .number = number, .type = type };
	return number;
}

static void create(struct input *in, struct peer_client *c)
{
	uint8_t how = take(in);
	bool gateway = how & 1, is_named = how & 2 && named.n < MAX_NAMED;
	int fds[2 + 4 + 3] = { how & 4 ? place.null : fake_policy(gateway), new_log() };
	char id[16], name[16] = "";
	size_t n = 2, secrets = gateway ? how >> 6 : 0;

	snprintf(id, sizeof(id), "s%u", how & 8 ? 0 : (unsigned)w.n_requests);
	if (how & 16)
		fds[1] = place.null;
	if (is_named)
		new_entry(fds + n, name);
	n += is_named ? 4 : 0;
	for (size_t i = 0; i < secrets; i++)
		fds[n + i] = place.null;
	fake_send(c->sock, fds, n + secrets, "uussu", MSG_CREATE, request(c, MSG_CREATE), id, name, (uint32_t)secrets);
	for (size_t i = 2; i < n; i++)
		fd_close(fds[i]);
}

/* The id of a sandbox that the supervisor has or had. */
static const char *sandbox_id(struct input *in)
{
	uint8_t which = take(in);

	return w.n_boxes ? w.boxes[which % w.n_boxes].id : "none";
}

static void start(struct input *in, struct peer_client *c)
{
	static const char *const templates[] = { "", "", "*", "absent" };
	const char *id = sandbox_id(in);
	uint32_t flags = take(in) & _START_CLIENT_FLAGS;
	uint8_t how = take(in);
	char *const argv[] = { (char *)"true", how & 1 ? (char *)"\xc2\x9b\"\\" : NULL, NULL };
	char *const env[] = { how & 2 ? (char *)"A=b" : NULL, NULL };
	const int fds[3] = { place.null, place.null, place.null };
	size_t n = flags & START_TERMINAL ? 0 : flags & START_LOG ? 1 : 3;

	if ((flags & START_TERMINAL) && (flags & START_LOG))
		flags &= ~(uint32_t)START_LOG;
	fake_send(c->sock, fds, n, "uusvvsuuuqss", MSG_START, request(c, MSG_START), c->inside && !(how & 8) ? "" : id, argv,
		  env, "/", flags, 24u, 80u, how & 4 ? (uint64_t)1000000 : (uint64_t)0, "", templates[how >> 6]);
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
		fake_send(c->sock, NULL, 0, "uusu", MSG_SIGNAL, request(c, MSG_SIGNAL), id, how & 2 ? 9u : 15u);
		break;
	case 1:
		fake_send(c->sock, NULL, 0, "uusb", MSG_DESTROY, request(c, MSG_DESTROY), id, how & 1u);
		break;
	case 2:
		fake_send(c->sock, NULL, 0, "uu", MSG_OPEN, request(c, MSG_OPEN));
		break;
	case 3:
		fake_send(c->sock, NULL, 0, "uus", MSG_INSPECT, request(c, MSG_INSPECT), id);
		break;
	case 4:
		fake_send(c->sock, NULL, 0, "uusu", MSG_POOL, request(c, MSG_POOL), id, how % 10u);
		break;
	default:
		fake_send(c->sock, NULL, 0, "uuu", MSG_CANCEL, request(c, MSG_CANCEL), 0x51000000u + how % MAX_STEPS);
	}
}

static void unformed(struct input *in, struct peer_client *c)
{
	uint8_t n_fds = take(in) % 8;
	size_t len = take(in);
	int fds[8];

	for (size_t i = 0; i < n_fds; i++)
		fds[i] = some_fd(take(in));
	const uint8_t *p = take_bytes(in, &len);
	c->malformed = true;
	msg_send(c->sock, p, len, fds, n_fds);
}

static void client_step(struct input *in, uint8_t what)
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
	default:
		fd_close(TAKE_FD(c->sock));
	}
}

/* ---- the others ---- */

static void launcher_step(struct input *in, uint8_t what)
{
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
	else if (what == 3) {
		const uint8_t *p = take_bytes(in, &len);
		msg_send(w.f.launcher, p, len, &place.null, which & 1);
	} else if (what == 4)
		fd_close(TAKE_FD(w.f.launcher));
}

static void guardian_step(struct input *in, uint8_t what)
{
	uint8_t which = take(in), how = take(in);
	struct peer_slot *slot = w.n_slots ? &w.slots[which % w.n_slots] : NULL;
	size_t len = how;

	if (!slot || slot->guardian < 0)
		return;
	/* Now and then also when it cannot be. */
	if (what == 0 && ((slot->exec && !slot->started) || (how & 7) == 7))
		answer_start(&w, slot, how & 1);
	else if (what == 1 && slot->started)
		answer_exit(&w, slot, how & 1);
	else if (what == 2)
		guardian_leaves(slot);
	else if (what == 3) {
		const uint8_t *p = take_bytes(in, &len);
		msg_send(slot->guardian, p, len, &place.null, which & 1);
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

static void gateway_step(struct input *in, uint8_t what)
{
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
		break;
	case 2:
		answer_call_end(&w, i);
		break;
	case 3:
		send_records(in, w.f.gateways[i].sock, &w.gateways[i]);
		break;
	case 4: {
		const uint8_t *p = take_bytes(in, &len);
		msg_send(w.f.gateways[i].sock, p, len, &place.null, which & 1);
		break;
	}
	default:
		fake_gateway_exit(&w.f.gateways[i]);
	}
}

/* Whatever call is at the other end, if any: it may end at any time, and this with it. */
static void connect_inside(const struct peer_box *box)
{
	int fd = box->control_len ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -EBADF;

	if (fd >= 0 && connect(fd, (const struct sockaddr *)&box->control, box->control_len) == 0) {
		new_client(fd, true);
		w.clients[w.n_clients - 1].inside = w.clients[w.n_clients - 1].malformed = true;
	} else {
		fd_close(fd);
	}
}

static void other_step(struct input *in, uint8_t what)
{
	uint8_t which = take(in);

	if (what == 0 && w.n_clients < MAX_PEERS) {
		new_client(fake_client(&w.f), false);
	} else if (what == 1 && named.n && w.n_clients < MAX_PEERS) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		size_t i = which % named.n;
		if (connect(fd, (struct sockaddr *)&named.at[i], named.len[i]) == 0)
			new_client(fd, true);
		else
			fd_close(fd);
	} else if (what == 2) {
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
	default:
		other_step(in, what % 8);
	}
}

static size_t n_descriptors(void)
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	while (dir && readdir(dir))
		n++;
	closedir(dir);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size, 0 };

	make_place();
	closer_start();
	size_t before = n_descriptors();
	memset(&w, 0, offsetof(struct peers, slots));
	memset(w.gateways, 0, sizeof(w.gateways));
	w.n_slots = 0;
	w.overflow = w.no_slots = false;
	fake_open(&w.f, !(take(&in) & 1));
	w.f.s.net_cookie = peers_cookie();
	new_client(fake_client(&w.f), false);
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
	remove_entries();
	/* Those of calls are closed by a thread. */
	for (unsigned tries = 0; n_descriptors() != before && tries < 10000; tries++)
		usleep(1000);
	if (n_descriptors() != before) {
		fprintf(stderr, "a descriptor was left open\n");
		abort();
	}
	return 0;
}
