/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-source: asks the command of a secret (source = exec:COMMAND) for values when the gateway wants one for a call,
 * and runs the one that ends it (revoke = COMMAND) when that call has ended, or the gateway, however that came.
 *
 * Theory of operation. The client library starts one for each such secret, with its own environment but for what other
 * secrets of the policy are read from, and gives the other end of the socket to the gateway. So a command runs as the
 * user who made the sandbox, also when that client has long gone, and what it prints passes nobody but this process.
 * From the gateway it takes numbers (source/protocol.h), and what is told of a call: a JSON object, which becomes the
 * member "call" of what the client has said, and can be nothing else. One loop moves a few commands at once; the
 * others wait. When the gateway is gone what has no end yet is revoked, and then it leaves.
 *
 * usage: nsbox-source COMMAND REVOKE GRANT, with the socket as descriptor 3; REVOKE may be empty. GRANT is what COMMAND
 * gets on its standard input, with the call; REVOKE gets there what COMMAND printed last.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/util.h"
#include "base/wire.h"
#include "source/answer.h"
#include "source/command.h"
#include "source/protocol.h"

#define SOCKET 3
#define NO_NUMBER 0u /* of what the gateway does not know of */
#define PACE_MS 50 /* between two starts: whoever has the gateway shall not make a load of them */

enum state {
	WAITS_TO_ASK,
	ASKS,
	HELD, /* nothing is to be done for it */
	WAITS_TO_REVOKE,
	REVOKES,
};

struct value {
	struct value *next;
	uint32_t number;
	enum state state;
	bool ended; /* nobody wants it any more */
	char *input; /* of its command */
	char *last; /* what is revoked, NULL: nothing */
	size_t last_len;
	struct buf text; /* the value in it */
	struct command command;
};

static struct {
	const char *ask, *revoke, *grant;
	struct value *values; /* in the order in which they came */
	size_t n, running;
	int64_t next_start;
	bool left; /* the gateway has */
	bool quiet; /* standard error is nobody's any more */
} source;

static void send_packet(struct buf *m, int r)
{
	/* Whoever does not take it is gone, and shows as that. */
	if (r == 0 && !source.left)
		msg_send(SOCKET, m->data, m->len, NULL, 0);
	buf_wipe(m);
}

static void say(enum source_message type, uint32_t number, const char *text)
{
	struct buf m = { 0 };

	int r = wire_put_u32(&m, type);
	if (r == 0)
		r = wire_put_u32(&m, number);
	if (r == 0)
		r = wire_put_str(&m, text);
	send_packet(&m, r);
}

static void say_value(uint32_t number, uint64_t seconds, const struct buf *value)
{
	struct buf m = { 0 };

	int r = wire_put_u32(&m, SOURCE_VALUE_IS);
	if (r == 0)
		r = wire_put_u32(&m, number);
	if (r == 0)
		r = wire_put_u64(&m, seconds);
	if (r == 0)
		r = wire_put_bytes(&m, value->data, value->len);
	send_packet(&m, r);
}

static struct value *find(uint32_t number)
{
	struct value *v = source.values;

	while (v && v->number != number)
		v = v->next;
	return v;
}

static void forget(struct value *v)
{
	struct value **at = &source.values;

	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	source.n--;
	command_forget(v->last, v->last_len);
	buf_wipe(&v->text);
	free(v->input);
	free(v);
}

static bool same_text(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Another one that is used is the same: a command may have but one to give. */
static bool used_elsewhere(const struct value *v)
{
	for (const struct value *o = source.values; o; o = o->next) {
		if (o != v && o->last && same_text(&o->text, &v->text))
			return true;
	}
	return false;
}

static void revoke_or_forget(struct value *v)
{
	v->ended = true;
	v->state = WAITS_TO_REVOKE;
	if (*source.revoke && v->last && !used_elsewhere(v))
		return;
	if (v->number != NO_NUMBER)
		say(SOURCE_ENDED, v->number, "");
	forget(v);
}

/* What the first run had to say, somebody may have read; who waits for the end of that shall not wait for ours. */
static void drop_stderr(void)
{
	_cleanup_close_ int null = source.quiet ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		dup2(null, 2);
	source.quiet = true;
}

static struct value *add(uint32_t number)
{
	struct value *v = calloc(1, sizeof(*v)), **end = &source.values;

	if (!v)
		return NULL;
	v->number = number;
	v->command = (struct command){ .to = -1, .from = -1, .pidfd = -1 };
	while (*end)
		end = &(*end)->next;
	*end = v;
	source.n++;
	return v;
}

/* v has got another value: the one before is nobody's. */
static const char *replace(struct value *v, struct buf *text)
{
	char *last = malloc(v->command.output_len);
	bool differs = v->last && !same_text(&v->text, text);
	struct value *before = last && differs ? add(NO_NUMBER) : NULL;

	if (!last || (differs && !before)) {
		free(last);
		return "no memory is left";
	}
	if (before) {
		before->last = TAKE_PTR(v->last);
		before->last_len = v->last_len;
		before->text = v->text;
		v->text = (struct buf){ 0 };
	}
	memcpy(last, v->command.output, v->command.output_len);
	command_forget(v->last, v->last_len);
	v->last = last;
	v->last_len = v->command.output_len;
	buf_wipe(&v->text);
	v->text = *text;
	*text = (struct buf){ 0 };
	if (before)
		revoke_or_forget(before);
	return NULL;
}

static void asked(struct value *v, const char *why)
{
	struct buf text = { 0 };
	uint64_t seconds = 0;

	if (!why)
		why = answer_parse(v->command.output, v->command.output_len, time(NULL), &text, &seconds);
	if (!why)
		why = replace(v, &text);
	command_stop(&v->command);
	v->state = HELD;
	if (v->ended)
		revoke_or_forget(v);
	else if (why)
		say(SOURCE_FAILED, v->number, why);
	else
		say_value(v->number, seconds, &v->text);
	buf_wipe(&text);
	drop_stderr();
}

static void over(struct value *v, const char *why)
{
	source.running--;
	if (v->state == ASKS) {
		asked(v, why);
		return;
	}
	command_stop(&v->command);
	if (v->number != NO_NUMBER)
		say(SOURCE_ENDED, v->number, why ? why : "");
	forget(v);
}

/* The oldest that waits, when there is room and it is time. */
static void start_next(void)
{
	struct value *v = source.values;

	while (v && v->state != WAITS_TO_ASK && v->state != WAITS_TO_REVOKE)
		v = v->next;
	if (!v || source.running == SOURCE_AT_ONCE || command_now() < source.next_start)
		return;
	bool asks = v->state == WAITS_TO_ASK;
	source.next_start = command_now() + PACE_MS;
	source.running++;
	v->state = asks ? ASKS : REVOKES;
	const char *why = command_start(&v->command, asks ? source.ask : source.revoke, asks ? v->input : v->last,
					asks ? strlen(v->input) : v->last_len);
	if (why)
		over(v, why);
}

/* Only as what it says it is: it could end the object of GRANT and begin another one. */
static bool is_object(const char *call)
{
	json_t *object = json_loads(call, JSON_REJECT_DUPLICATES, NULL);
	bool good = json_is_object(object) && strlen(call) <= SOURCE_CALL_MAX && strlen(source.grant) > 2;

	json_decref(object);
	return good;
}

/* GRANT with this call in it: {"sandbox":...}\n becomes {"sandbox":...,"call":{...}}\n. NULL: no memory. */
static char *describe(const char *call)
{
	_cleanup_buf_ struct buf text = { 0 };

	if (!*call)
		return strdup(source.grant);
	if (buf_append(&text, source.grant, strlen(source.grant) - 2) < 0 || buf_puts(&text, ",\"call\":") < 0 ||
	    buf_puts(&text, call) < 0 || buf_puts(&text, "}\n") < 0 || !buf_str(&text))
		return NULL;
	return (char *)TAKE_PTR(text.data);
}

static int on_ask(uint32_t number, const char *call)
{
	struct value *v = find(number);

	if (number == NO_NUMBER || (*call && !is_object(call)) || (v && (v->state != HELD || v->ended)))
		return -EPROTO;
	/* The place of a value that is replaced is free when it is revoked. */
	bool full = source.n >= (v ? 2 : 1) * SOURCE_VALUES;
	char *input = full ? NULL : describe(call);
	if (input && !v)
		v = add(number);
	if (!input || !v) {
		free(input);
		say(SOURCE_FAILED, number, full ? "too many values are not revoked yet" : "no memory is left");
		return 0;
	}
	free(v->input);
	v->input = input;
	v->state = WAITS_TO_ASK;
	return 0;
}

static void on_end(uint32_t number)
{
	struct value *v = number == NO_NUMBER ? NULL : find(number);

	if (!v)
		say(SOURCE_ENDED, number, "");
	else if (v->state == ASKS)
		v->ended = true; /* whatever it gives is revoked */
	else if (!v->ended)
		revoke_or_forget(v);
}

static void gateway_left(void)
{
	source.left = true;
	drop_stderr();
	for (struct value *v = source.values, *next; v; v = next) {
		next = v->next;
		if (v->state == ASKS && *source.revoke) {
			v->ended = true; /* what it has made already has to be revoked, and only it can say what that is */
		} else if (v->state == ASKS) {
			v->ended = true;
			over(v, "nobody waits for it any more");
		} else if (!v->ended) {
			revoke_or_forget(v);
		}
	}
}

static void take_message(void)
{
	static uint8_t packet[SOURCE_CALL_MAX + 64];
	_cleanup_free_ char *call = NULL;

	ssize_t n = msg_recv(SOCKET, packet, sizeof(packet), NULL, 0, NULL);
	struct wire_reader in = wire_reader(packet, n > 0 ? (size_t)n : 0);
	uint32_t type = wire_get_u32(&in), number = wire_get_u32(&in);
	if (type == SOURCE_ASK)
		call = wire_get_str(&in);
	if (n > 0 && wire_done(&in) && type == SOURCE_ASK && on_ask(number, call) == 0)
		return;
	if (n > 0 && wire_done(&in) && type == SOURCE_END)
		on_end(number);
	else
		gateway_left();
}

/* Until something can be done: for the socket, for a command, or because it is time. */
static void wait_for_work(bool *ret_message)
{
	struct pollfd p[1 + 2 * SOURCE_AT_ONCE] = { { .fd = source.left ? -1 : SOCKET, .events = POLLIN } };
	int64_t now = command_now(), until = INT64_MAX;
	size_t n = 1;

	for (const struct value *v = source.values; v; v = v->next) {
		bool waits = v->state == WAITS_TO_ASK || v->state == WAITS_TO_REVOKE;
		int64_t at = waits && source.running < SOURCE_AT_ONCE ? source.next_start : INT64_MAX;
		if (v->state == ASKS || v->state == REVOKES) {
			command_events(&v->command, p + n);
			n += 2;
			at = v->command.end;
		}
		until = at < until ? at : until;
	}
	poll(p, n, until == INT64_MAX ? -1 : until > now ? (int)(until - now) : 0);
	*ret_message = p[0].revents;
}

static void serve(void)
{
	const char *why;
	bool message;

	while (!source.left || source.values) {
		start_next();
		wait_for_work(&message);
		for (struct value *v = source.values, *next; v; v = next) {
			next = v->next;
			if ((v->state == ASKS || v->state == REVOKES) && command_step(&v->command, &why))
				over(v, why);
		}
		if (message)
			take_message();
	}
}

int main(int argc, char **argv)
{
	struct rlimit none = { 0, 0 };

	if (argc != 4 || prctl(PR_SET_DUMPABLE, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    fcntl(SOCKET, F_SETFD, FD_CLOEXEC) < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	source.ask = argv[1];
	source.revoke = argv[2];
	source.grant = argv[3];
	serve();
	return 0;
}
