/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random packets, times and questions against a model that knows what the auditor has said and when it was read: no
 * question is ever allowed, narrowed or parked without its own answer in its own time; each gets exactly one result,
 * cancelled ones none.
 */
#include <stdlib.h>

#include "auditor_fixture.h"

#define QUESTIONS 1500u
#define KEYS 4u

static struct fake f;

struct asked {
	uint64_t deadline;
	bool open, cancelled;
	int key; /* -1: not to be cached */
	/* The first packet with its id that was sent, if it was a good one. */
	bool packet, good;
	enum auditor_decision said;
	uint64_t cache_us;
};

static struct {
	struct asked q[QUESTIONS + 1];
	uint64_t n, open;
	uint64_t allowed_until[KEYS]; /* by an answer that asked to be remembered */
	unsigned allows, cached, others, denials;
} model;

static uint32_t seed;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static void done(void *context, uint64_t ticket, const struct auditor_result *r)
{
	(void)context;
	assert_true(ticket >= 1 && ticket <= model.n);
	struct asked *q = &model.q[ticket];
	assert_true(q->open && !q->cancelled);
	q->open = false;
	model.open--;
	if (r->decision == AUDITOR_DENY) {
		model.denials++;
		return;
	}
	assert_int_equal(r->source, AUDITOR_ANSWER);
	assert_true(q->packet && q->good && q->said == r->decision);
	assert_true(f.now < q->deadline);
	assert_int_equal(auditor_state(f.a), AUDITOR_READY);
	*(r->decision == AUDITOR_ALLOW ? &model.allows : &model.others) += 1;
	if (r->decision == AUDITOR_ALLOW && q->key >= 0 && f.now + q->cache_us > model.allowed_until[q->key])
		model.allowed_until[q->key] = f.now + q->cache_us;
}

static void ask(void)
{
	static const char *const keys[KEYS] = { "a", "b", "c", "d" };
	struct auditor_result r;
	uint64_t ticket, us = rnd(4) ? 0 : 1 + rnd(100000);
	int key = (int)rnd(KEYS * 2) - (int)KEYS;

	struct auditor_question question = {
		.op = rnd(2) ? AUDITOR_CALL_START : AUDITOR_HTTP_REQUEST,
		.members = "\"m\":\"x\"",
		.significant = NULL,
		.deadline_us = us,
		.done = done,
	};
	if (key >= 0) {
		question.significant = keys[key];
		question.op = AUDITOR_CALL_START;
	}
	if (auditor_ask(f.a, &question, f.now, &ticket, &r) == 0) {
		assert_int_equal(ticket, ++model.n);
		/* Its answer may lie in the socket already: of an auditor that guesses numbers. */
		struct asked *q = &model.q[ticket];
		q->deadline = f.now + (us ? us : AUDITOR_DEADLINE_US);
		q->open = true;
		q->key = key;
		model.open++;
	} else if (r.decision != AUDITOR_DENY) {
		assert_int_equal(r.decision, AUDITOR_ALLOW);
		assert_int_equal(r.source, AUDITOR_CACHED);
		assert_true(key >= 0 && f.now < model.allowed_until[key]);
		assert_int_equal(auditor_state(f.a), AUDITOR_READY);
		model.cached++;
	}
}

/* Any id near those in use, now and then far away. */
static uint64_t some_id(void)
{
	if (rnd(60) == 0)
		return model.n + 1 + rnd(5);
	if (model.n == 0)
		return 1;
	uint64_t back = rnd(rnd(8) ? 4 : 40);
	return back < model.n ? model.n - back : model.n;
}

static const char *const decisions[] = { "deny", "allow", "ask", "narrow" };

static void note_packet(const char *packet, size_t len)
{
	json_t *object = json_loadb(packet, len, 0, NULL);
	json_int_t id = json_integer_value(json_object_get(object, "id"));
	const char *decision = json_string_value(json_object_get(object, "decision"));

	if (id > 0 && (uint64_t)id <= QUESTIONS && !model.q[id].packet) {
		struct asked *q = &model.q[id];
		q->packet = true;
		q->cache_us = (uint64_t)json_integer_value(json_object_get(object, "cache_ms")) * 1000;
		for (int i = 0; decision && i < 4; i++) {
			if (strcmp(decision, decisions[i]) == 0) {
				q->good = true;
				q->said = (enum auditor_decision)i;
			}
		}
	}
	json_decref(object);
}

static void say(bool wild)
{
	static const char *const junk[] = { "\"x\":0", "\"decision\":\"yes\"", "\"decision\":null", "\"decision\":\"allow\",\"reason\":{}",
					    "\"decision\":\"narrow\"", "\"decision\":\"allow\",\"cache_ms\":\"1\"" };
	char packet[256];
	uint64_t id = some_id();
	unsigned cache = rnd(3) ? 0 : rnd(300);
	enum auditor_decision decision = (enum auditor_decision)rnd(4);
	bool good = rnd(6) != 0;

	/* A sane auditor answers what is open and unanswered only. */
	if (!wild && (id > model.n || model.q[id].packet))
		return;
	if (good)
		snprintf(packet, sizeof(packet), "{\"id\":%u,\"decision\":\"%s\",\"cache_ms\":%u,\"grant\":{\"uses\":\"1\"}}",
			 (unsigned)id, decisions[decision], cache);
	else
		snprintf(packet, sizeof(packet), "{\"id\":%u,%s}", (unsigned)id, junk[rnd(ARRAY_LEN(junk))]);
	size_t len = strlen(packet);
	/* One byte of it is another; what it says then is what a reader of JSON reads. */
	if (wild && rnd(10) == 0)
		packet[rnd((uint32_t)len)] = (char)rnd(256);
	if (send(f.peer, packet, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
		note_packet(packet, len);
}

static void one_run(bool wild)
{
	char sink[1024];

	memset(&model, 0, sizeof(model));
	if (rnd(4)) {
		fake_start(&f);
	} else {
		fake_open(&f, &(struct auditor_config){ .ops = ALL_OPS });
		fake_send(&f, HELLO);
	}
	for (unsigned step = 0; step < 400 && model.n < QUESTIONS; step++) {
		f.now += rnd(3) ? rnd(200) : rnd(60000);
		switch (rnd(8)) {
		case 0:
		case 1:
		case 2:
			ask();
			break;
		case 3:
		case 4:
			say(wild);
			break;
		case 5:
			auditor_readable(f.a, f.now);
			break;
		case 6:
			auditor_expire(f.a, f.now);
			break;
		default:
			if (model.n && rnd(4) == 0) {
				struct asked *q = &model.q[1 + rnd((uint32_t)model.n)];
				auditor_cancel(f.a, (uint64_t)(q - model.q));
				model.open -= q->open;
				q->open = false;
				q->cancelled = true;
			}
			while (recv(f.peer, sink, sizeof(sink), MSG_DONTWAIT) > 0)
				;
			auditor_writable(f.a, f.now);
		}
	}
	f.now += 1000000;
	auditor_expire(f.a, f.now);
	assert_int_equal(model.open, 0);
	fake_close(&f);
}

static void test_random(void **state)
{
	unsigned allows = 0, cached = 0, others = 0, denials = 0;
	(void)state;

	for (unsigned i = 0; i < 600; i++) {
		seed = i * 7919u + 1;
		one_run(i % 2);
		allows += model.allows;
		cached += model.cached;
		others += model.others;
		denials += model.denials;
	}
	/* All of it was reached. */
	print_message("%u allowed, %u from the cache, %u narrowed or parked, %u denied\n", allows, cached, others, denials);
	assert_true(allows > 500 && cached > 50 && others > 500 && denials > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
