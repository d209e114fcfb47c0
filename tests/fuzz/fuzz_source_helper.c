/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsbox-source with a gateway that says anything, and commands that print anything at any time. The input is a list of
 * steps. Each question has one answer and each end one, nothing is said behind the end of the gateway; commands get what
 * the client has said and the call, and nothing else in its place; of each value that was given the end comes, with what
 * was printed for it; and then nothing is left.
 */
#include <poll.h>
#include <stdio.h>

#include "base/util.h"
#include "base/wire.h"
#include "source/answer.h"
#include "source/command.h"
#include "source/protocol.h"

/* The program itself, with our socket: its state is one for the process, and is begun anew for each input. */
static ssize_t next_packet(void *data, size_t cap);
static int heard(const void *data, size_t len);
int source_main(int argc, char **argv);
#define msg_recv(sock, data, cap, fds, max, n) next_packet(data, cap)
#define msg_send(sock, data, len, fds, n) heard(data, len)
#define main source_main
#include "../../lib/source/main.c"
#undef main

#include "fuzz.h"

#define MAX_STEPS 200u
#define MAX_NUMBERS 256u
#define MAX_VALUES 256u
#define ASK_COMMAND "ask it"
#define REVOKE_COMMAND "revoke it"
#define GRANT "{\"sandbox\":\"s1\",\"secret\":\"KEY\",\"allow\":[\"https://a.example\"]}\n"

static struct {
	const uint8_t *p, *end; /* the input */
	struct buf packet;	/* what the gateway says next; empty: its end */
	struct {
		uint32_t number;
		bool asked, ends; /* an answer to that is still to come */
	} numbers[MAX_NUMBERS];
	size_t n_numbers;
	struct {
		struct buf value; /* that a command gave */
		bool live;	  /* no revocation of it has ended since */
	} values[MAX_VALUES];
	size_t n_values, running;
	int64_t now, last_start;
	bool left;
} w;

static uint8_t take(void)
{
	return w.p < w.end ? *w.p++ : 0;
}

/* ---- what the helper says ---- */

static size_t number_at(uint32_t number)
{
	size_t i = 0;

	while (i < w.n_numbers && w.numbers[i].number != number)
		i++;
	if (i == w.n_numbers) {
		CHECK(i < MAX_NUMBERS);
		w.numbers[w.n_numbers++].number = number;
		w.numbers[i].asked = w.numbers[i].ends = false;
	}
	return i;
}

static int heard(const void *data, size_t len)
{
	struct wire_reader in = wire_reader(data, len);
	uint32_t type = wire_get_u32(&in), number = wire_get_u32(&in);
	size_t i = number_at(number), value_len = 0;

	CHECK(!w.left && len <= WIRE_MAX_PACKET);
	if (type == SOURCE_VALUE_IS) {
		wire_get_u64(&in);
		CHECK(wire_get_bytes(&in, &value_len) && value_len > 0);
	} else {
		_cleanup_free_ char *why = wire_get_str(&in);
		CHECK(why && (type == SOURCE_ENDED || (type == SOURCE_FAILED && *why)));
	}
	CHECK(wire_done(&in));
	bool *open = type == SOURCE_ENDED ? &w.numbers[i].ends : &w.numbers[i].asked;
	CHECK(*open);
	*open = false;
	return 0;
}

/* ---- what the gateway says ---- */

static bool is_call(const char *text)
{
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	bool good = json_is_object(object) && strlen(text) <= SOURCE_CALL_MAX;

	json_decref(object);
	return good;
}

/* As the protocol has it: may it say this now? */
static bool permitted(void)
{
	if (!w.packet.len)
		return false;
	struct wire_reader in = wire_reader(w.packet.data, w.packet.len);
	uint32_t type = wire_get_u32(&in), number = wire_get_u32(&in);
	_cleanup_free_ char *call = type == SOURCE_ASK ? wire_get_str(&in) : NULL;

	if (!wire_done(&in) || (type != SOURCE_ASK && type != SOURCE_END))
		return false;
	size_t i = number_at(number);
	if (type == SOURCE_END) {
		w.numbers[i].ends = true;
		w.numbers[i].asked = false;
		return true;
	}
	if (number == 0 || w.numbers[i].asked || w.numbers[i].ends || (*call && !is_call(call)))
		return false;
	w.numbers[i].asked = true;
	return true;
}

static ssize_t next_packet(void *data, size_t cap)
{
	size_t n = w.packet.len < cap ? w.packet.len : cap;

	if (n)
		memcpy(data, w.packet.data, n);
	return (ssize_t)n;
}

static void says(void)
{
	if (source.left)
		return;
	bool good = permitted();
	w.left = !good;
	take_message();
	CHECK(source.left == !good);
	w.packet.len = 0;
}

static void put_call(struct buf *out)
{
	static const char *const calls[] = { "", "{\"id\":\"s1.1\"}", "{}", "{},\"secret\":\"OTHER\"", "{\"a\":1,\"a\":2}", "[1]",
					     "{\"id\":\"\\u0000\"}", "null" };
	uint8_t how = take();
	char text[40] = "";
	size_t n = how & 31;

	if (how < 0x80) {
		CHECK(wire_put_str(out, calls[how & 7]) == 0);
		return;
	}
	for (size_t i = 0; i < n; i++)
		text[i] = (char)take();
	CHECK(wire_put_bytes(out, text, n) == 0);
}

static void gateway_step(uint8_t what)
{
	const uint32_t number = what >> 3 & 7;

	w.packet.len = 0;
	if (what & 4) {
		for (size_t n = take() & 31; n; n--)
			buf_putc(&w.packet, (char)take());
	} else {
		CHECK(wire_put_u32(&w.packet, what & 1 ? SOURCE_END : SOURCE_ASK) == 0 && wire_put_u32(&w.packet, number) == 0);
		if (!(what & 1))
			put_call(&w.packet);
		if (what & 2)
			CHECK(buf_putc(&w.packet, 'x') == 0);
	}
	says();
}

/* ---- the commands: lib/source/command.c is not linked ---- */

int64_t command_now(void)
{
	return w.now;
}

void command_forget(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

/* Of what a command printed: the value in it, and where that is or would be; false: there is none. */
static bool value_in(const char *printed, size_t len, struct buf *ret, size_t *ret_at)
{
	uint64_t seconds;

	if (answer_parse(printed, len, time(NULL), ret, &seconds))
		return false;
	for (*ret_at = 0; *ret_at < w.n_values; ++*ret_at) {
		if (same_text(&w.values[*ret_at].value, ret))
			break;
	}
	return true;
}

static void check_told(const char *input, size_t len)
{
	json_t *object = json_loadb(input, len, JSON_REJECT_DUPLICATES, NULL), *grant = json_loads(GRANT, 0, NULL);

	const json_t *call = json_object_get(object, "call");
	CHECK(json_is_object(object) && (!call || json_is_object(call)) && input[len - 1] == '\n');
	json_object_del(object, "call");
	CHECK(json_equal(object, grant));
	json_decref(object);
	json_decref(grant);
}

const char *command_start(struct command *c, const char *line, const char *input, size_t len)
{
	bool asks = strcmp(line, ASK_COMMAND) == 0;

	CHECK(asks || strcmp(line, REVOKE_COMMAND) == 0);
	CHECK(w.running < SOURCE_AT_ONCE && w.now >= w.last_start + PACE_MS);
	_cleanup_buf_ struct buf value = { 0 };
	size_t i = 0;
	if (asks)
		check_told(input, len);
	else
		CHECK(value_in(input, len, &value, &i) && i < w.n_values);
	w.last_start = w.now;
	if (take() == 255) {
		/* Its end is told, with the reason why it is none. */
		w.values[i].live &= asks;
		return "no pipe could be made";
	}
	*c = (struct command){ .pid = 1, .to = -1, .from = -1, .pidfd = -1, .end = w.now + 30000 };
	c->input = memcpy(malloc(len + 1), input, len);
	c->input_len = len;
	w.running++;
	return NULL;
}

void command_events(const struct command *c, struct pollfd p[2])
{
	(void)c;
	p[0] = p[1] = (struct pollfd){ .fd = -1 };
}

bool command_step(struct command *c, const char **ret_why)
{
	(void)c;
	*ret_why = NULL;
	return false;
}

void command_stop(struct command *c)
{
	w.running -= c->pid != 0;
	command_forget(c->input, c->input_len);
	command_forget(c->output, c->output_len);
	*c = (struct command){ .to = -1, .from = -1, .pidfd = -1 };
}

/* What it printed is a value: the end of it has to come. */
static void given(const struct command *c)
{
	_cleanup_buf_ struct buf value = { 0 };
	size_t i;

	if (!value_in(c->output, c->output_len, &value, &i))
		return;
	CHECK(i < MAX_VALUES);
	if (i == w.n_values) {
		w.values[w.n_values++].value = value;
		value = (struct buf){ 0 };
	}
	/* Where no command ends it, nothing is to be done. */
	w.values[i].live = *source.revoke != '\0';
}

static void print(struct command *c, uint8_t how)
{
	static const char *const outputs[] = { "a", "b\n", "{\"value\":\"a\",\"expires_at\":null}", "{\"value\":\"c\"}", "{", "" };
	char text[40] = "";
	size_t n = how >= 0x80 ? how & 31 : strlen(outputs[how % ARRAY_LEN(outputs)]);

	if (how < 0x80)
		memcpy(text, outputs[how % ARRAY_LEN(outputs)], n);
	for (size_t i = 0; i < n && how >= 0x80; i++)
		text[i] = (char)take();
	c->output = memcpy(malloc(SOURCE_OUTPUT_MAX + 1), text, n);
	c->output_len = n;
}

/* The nth that runs is over. */
static void command_over(uint8_t which, uint8_t how)
{
	struct value *v = source.values;

	for (size_t n = w.running ? which % w.running : 0; v; v = v->next) {
		if ((v->state == ASKS || v->state == REVOKES) && n-- == 0)
			break;
	}
	if (!v)
		return;
	const char *why = how & 64 ? "it failed" : NULL;
	if (v->state == ASKS && !why) {
		print(&v->command, how);
		given(&v->command);
	} else if (v->state == REVOKES) {
		_cleanup_buf_ struct buf value = { 0 };
		size_t i;
		CHECK(value_in(v->command.input, v->command.input_len, &value, &i));
		w.values[i].live = false;
	}
	over(v, why);
}

/* ---- all of it ---- */

static void begin(bool revokes)
{
	memset(&source, 0, sizeof(source));
	source.ask = ASK_COMMAND;
	source.revoke = revokes ? REVOKE_COMMAND : "";
	source.grant = GRANT;
	source.quiet = true; /* standard error is the fuzzer's */
	memset(&w, 0, sizeof(w));
	w.last_start = -PACE_MS;
}

static void finish(void)
{
	says(); /* the end of the gateway */
	for (unsigned i = 0; source.values; i++) {
		CHECK(i < 10000);
		w.now += PACE_MS;
		start_next();
		command_over(0, 0);
	}
	CHECK(source.n == 0 && source.running == 0 && w.running == 0);
	for (size_t i = 0; i < w.n_values; i++) {
		CHECK(!w.values[i].live);
		buf_free(&w.values[i].value);
	}
	buf_free(&w.packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin(!size || !(data[0] & 1));
	w.p = data + (size > 0);
	w.end = data + size;
	for (size_t i = 0; i < MAX_STEPS && w.p < w.end; i++) {
		uint8_t what = take();
		if (what < 0x40)
			gateway_step(what);
		else if (what < 0xc0)
			command_over(what & 7, take());
		else
			w.now += (what & 15) * 25;
		start_next();
	}
	finish();
	return 0;
}
