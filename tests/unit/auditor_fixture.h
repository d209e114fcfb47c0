/* SPDX-License-Identifier: Apache-2.0 */
/* A fake auditor at the other end of a socket pair, a clock in the hand of the test, and notes of what was called. */
#ifndef NSBOX_TESTS_AUDITOR_FIXTURE_H
#define NSBOX_TESTS_AUDITOR_FIXTURE_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "audit/auditor.h"
#include "base/util.h"

#include <cmocka.h>

#define NOTES 2048u
#define MS 1000u
#define ALL_OPS \
	(AUDITOR_OP(AUDITOR_CALL_START) | AUDITOR_OP(AUDITOR_HTTP_REQUEST) | AUDITOR_OP(AUDITOR_NET_CONNECT) | \
	 AUDITOR_OP(AUDITOR_GRANT_RAISE))
#define HELLO "{\"hello\":\"fake\",\"version\":1,\"ops\":[\"call.start\",\"http.request\",\"net.connect\",\"grant.raise\"]}"

struct note {
	uint64_t ticket;
	enum auditor_decision decision;
	enum auditor_source source;
	char reason[AUDITOR_MAX_REASON + 1], grant[256];
	bool has_grant;
	uint64_t us;
};

struct fake {
	struct auditor *a;
	int peer;
	uint64_t now;
	struct note notes[NOTES];
	size_t n_notes;
	char errors[64][64], details[64][256];
	size_t n_errors; /* all of them; the last 64 are kept */
};

static inline void fake_error(void *context, const char *reason, const char *members)
{
	struct fake *f = context;

	size_t i = f->n_errors % ARRAY_LEN(f->errors);
	snprintf(f->errors[i], sizeof(f->errors[0]), "%s", reason);
	snprintf(f->details[i], sizeof(f->details[0]), "%s", members);
	f->n_errors++;
	/* They go into a record as they are. */
	char text[512];
	snprintf(text, sizeof(text), "{%s}", members);
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_object(object));
	assert_true(json_is_string(json_object_get(object, "detail")));
	json_decref(object);
}

static inline void fake_done(void *context, uint64_t ticket, const struct auditor_result *r)
{
	struct fake *f = context;

	assert_true(f->n_notes < NOTES);
	struct note *n = &f->notes[f->n_notes++];
	*n = (struct note){ .ticket = ticket, .decision = r->decision, .source = r->source, .us = r->us };
	snprintf(n->reason, sizeof(n->reason), "%s", r->reason);
	n->has_grant = r->grant != NULL;
	snprintf(n->grant, sizeof(n->grant), "%s", r->grant ? r->grant : "");
	assert_true(n->has_grant == (r->decision == AUDITOR_NARROW));
}

static inline void fake_send(struct fake *f, const char *packet)
{
	assert_int_equal(send(f->peer, packet, strlen(packet), MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)strlen(packet));
}

/* The next packet that the auditor gets, or NULL. */
static inline json_t *fake_receive(struct fake *f)
{
	static char packet[AUDITOR_MAX_PACKET + 1];
	ssize_t n = recv(f->peer, packet, sizeof(packet), MSG_DONTWAIT);

	if (n <= 0)
		return NULL;
	assert_true((size_t)n <= AUDITOR_MAX_PACKET);
	json_t *object = json_loadb(packet, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	assert_true(json_is_object(object));
	return object;
}

/* The id of the next question that came, 0: none. */
static inline uint64_t fake_id(struct fake *f)
{
	json_t *object = fake_receive(f);
	uint64_t id = object ? (uint64_t)json_integer_value(json_object_get(object, "id")) : 0;

	json_decref(object);
	return id;
}

static inline void fake_open(struct fake *f, const struct auditor_config *config)
{
	int fds[2];
	struct auditor_config c = *config;

	*f = (struct fake){ .now = 1000000 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	c.error = fake_error;
	c.context = f;
	assert_int_equal(auditor_new(fds[0], &c, f->now, &f->a), 0);
	f->peer = fds[1];
	assert_int_equal(auditor_fd(f->a), fds[0]);
	assert_int_equal(auditor_state(f->a), AUDITOR_STARTING);
}

/* With both hellos done. */
static inline void fake_start(struct fake *f)
{
	fake_open(f, &(struct auditor_config){ .ops = ALL_OPS });
	fake_send(f, HELLO);
	auditor_readable(f->a, f->now);
	assert_int_equal(auditor_state(f->a), AUDITOR_READY);
	json_decref(fake_receive(f));
	assert_int_equal(f->n_errors, 0);
}

static inline void fake_close(struct fake *f)
{
	auditor_free(f->a);
	fd_close(f->peer);
}

/* 0: the ticket comes back in *ret; else the result at once. */
static inline int fake_ask(struct fake *f, enum auditor_op op, const char *significant, uint64_t *ret,
			   struct auditor_result *result)
{
	struct auditor_question q = { .op = op, .members = "\"x\":1", .significant = significant, .done = fake_done,
				      .context = f };
	return auditor_ask(f->a, &q, f->now, ret, result);
}

/* One that has to go out. */
static inline uint64_t fake_ask_open(struct fake *f, enum auditor_op op)
{
	struct auditor_result result;
	uint64_t ticket;

	assert_int_equal(fake_ask(f, op, NULL, &ticket, &result), 0);
	assert_true(ticket > 0);
	return ticket;
}

/* Answer with these further members. */
static inline void fake_answer(struct fake *f, uint64_t id, const char *members)
{
	char packet[8192];

	snprintf(packet, sizeof(packet), "{\"id\":%llu,%s}", (unsigned long long)id, members);
	fake_send(f, packet);
}

/* Ask, answer with the members, and return the note. */
static inline const struct note *fake_round(struct fake *f, enum auditor_op op, const char *members)
{
	uint64_t ticket = fake_ask_open(f, op);
	size_t before = f->n_notes;

	assert_int_equal(fake_id(f), ticket);
	fake_answer(f, ticket, members);
	auditor_readable(f->a, f->now);
	assert_int_equal(f->n_notes, before + 1);
	assert_int_equal(f->notes[before].ticket, ticket);
	return &f->notes[before];
}

static inline void expect_error(const struct fake *f, size_t n, const char *reason)
{
	assert_int_equal(f->n_errors, n);
	assert_string_equal(f->errors[(n - 1) % ARRAY_LEN(f->errors)], reason);
}

static inline void expect_denied(const struct note *n, const char *reason)
{
	assert_int_equal(n->decision, AUDITOR_DENY);
	assert_int_equal(n->source, AUDITOR_ERROR);
	assert_string_equal(n->reason, reason);
}

#endif
