/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the gateway that need no network: names, timers, byte queues, problem answers, batches of records. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/json.h"
#include "base/wire.h"
#include "gateway/gateway.h"
#include "gateway/problem.h"
#include "gateway/stream.h"
#include "supervisor/protocol.h"

#include <cmocka.h>

static void test_names_keep_their_addresses(void **state)
{
	(void)state;
	struct names n = { 0 };
	uint32_t first = name_addr(names_assign(&n, "one.test"));

	assert_int_equal(first, SYNTHETIC_FIRST);
	for (int i = 0; i < 1000; i++) {
		char text[32];
		snprintf(text, sizeof(text), "n%d.test", i);
		assert_int_not_equal(name_addr(names_assign(&n, text)), first);
	}
	assert_int_equal(name_addr(names_assign(&n, "one.test")), first);
	assert_string_equal(names_by_addr(&n, first)->text, "one.test");
	assert_null(names_by_addr(&n, SYNTHETIC_FIRST + 1001));
	assert_null(names_by_addr(&n, SYNTHETIC_FIRST - 1));
	assert_null(names_by_addr(&n, 0));
	assert_null(names_find(&n, "never.test"));
	for (size_t i = 0; i < n.n; i++)
		free(n.by_index[i]);
	free(n.by_index);
}

static void test_names_run_out(void **state)
{
	(void)state;
	static struct names n;

	n.n = SYNTHETIC_LAST - SYNTHETIC_FIRST + 1;
	assert_null(names_assign(&n, "one.too.many"));
}

static unsigned fired;
static struct timer other;
static struct loop l;

static void count(struct timer *t)
{
	(void)t;
	fired++;
}

static void count_and_stop_other(struct timer *t)
{
	(void)t;
	fired++;
	timer_stop(&l, &other);
}

static void test_timers(void **state)
{
	(void)state;
	struct timer now = { .fired = count_and_stop_other }, later = { .fired = count };

	assert_int_equal(loop_init(&l), 0);
	other.fired = count;
	/* The same slot, newest first: the one that fires first stops the other. */
	timer_start(&l, &other, 1000);
	timer_start(&l, &now, 1000);
	timer_start(&l, &later, (uint64_t)LOOP_SLOTS * LOOP_TICK_US * 3); /* three turns of the wheel */
	assert_int_equal(l.n_timers, 3);
	for (int i = 0; i < 4 && !fired; i++)
		assert_int_equal(loop_round(&l, -1), 0);
	assert_int_equal(fired, 1);
	assert_int_equal(l.n_timers, 1);
	timer_stop(&l, &later);
	timer_stop(&l, &later);
	assert_int_equal(l.n_timers, 0);
	close(l.epoll);
}

static void test_iobuf(void **state)
{
	(void)state;
	struct iobuf b = { 0 };
	uint8_t next = 0, want = 0;

	for (int round = 0; round < 2000; round++) {
		uint8_t piece[97];
		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = next++;
		assert_int_equal(iobuf_append(&b, piece, sizeof(piece)), 0);
		size_t n = round % 3 ? 97 : 80;
		for (size_t i = 0; i < n; i++)
			assert_int_equal(iobuf_head(&b)[i], want++);
		iobuf_consume(&b, n);
	}
	assert_true(b.cap <= 64 * 1024);
	iobuf_free(&b);
}

static unsigned woken;

static void count_wake(struct stream *s)
{
	(void)s;
	woken++;
}

/* How much is read, or written, while the other end always has more, or room. */
static size_t moved_in_a_turn(struct stream *s, int peer, bool in)
{
	static uint8_t bytes[STREAM_CHUNK / 2];
	size_t n = 1, total = 0;

	for (int i = 0; i < 1000 && n; i++) {
		if (in) {
			assert_int_equal(write(peer, bytes, sizeof(bytes)), sizeof(bytes));
			s->can_read = true; /* as the loop would say, which wakes it for that */
			stream_fill(s, STREAM_CHUNK);
			n = iobuf_len(&s->in);
			iobuf_consume(&s->in, n);
		} else {
			assert_int_equal(iobuf_append(&s->out, bytes, sizeof(bytes)), 0);
			stream_flush(s);
			n = 0;
			for (ssize_t got; (got = read(peer, bytes, sizeof(bytes))) > 0;)
				n += (size_t)got;
		}
		total += n;
	}
	return total;
}

static void test_streams_take_turns(void **state)
{
	(void)state;
	struct stream s;
	int pair[2];

	for (int in = 0; in < 2; in++) {
		assert_int_equal(loop_init(&l), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		assert_int_equal(stream_open(&s, &l, pair[0], count_wake), 0);
		assert_int_equal(write(pair[1], "", 1), 1);
		assert_int_equal(loop_round(&l, -1), 0);
		woken = 0;
		assert_in_range(moved_in_a_turn(&s, pair[1], in), STREAM_TURN, STREAM_TURN + STREAM_CHUNK);
		assert_int_equal(woken, 0);
		assert_false(stream_round());
		assert_int_equal(woken, 1);
		assert_in_range(moved_in_a_turn(&s, pair[1], in), STREAM_TURN, STREAM_TURN + STREAM_CHUNK);
		/* It may end while it waits for another turn. */
		stream_close(&s, false);
		assert_false(stream_round());
		assert_int_equal(woken, 1);
		close(pair[1]);
		close(l.epoll);
	}
}

static void test_problem(void **state)
{
	(void)state;
	struct iobuf out = { 0 };
	struct problem p = { .status = 403, .reason = "no-rule", .detail = "No.", .what = "GET https://a/\"\r\nx",
			     .flag = "--allow a", .close = true };

	assert_int_equal(problem_write(&p, &out), 0);
	assert_int_equal(iobuf_append(&out, "", 1), 0);
	char *text = (char *)iobuf_head(&out), *body = strstr(text, "\r\n\r\n");
	assert_non_null(strstr(text, "HTTP/1.1 403 Forbidden\r\n"));
	assert_non_null(strstr(text, "\r\nX-Nsbox-Denied: no-rule\r\n"));
	assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
	json_t *json = json_loads(body + 4, 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "denied")), p.what);
	assert_string_equal(json_string_value(json_object_get(json, "allow_with")), "--allow a");
	assert_int_equal(strtoul(strstr(text, "Content-Length: ") + 16, NULL, 10), strlen(body + 4));
	json_decref(json);
	iobuf_free(&out);
}

static int written, refused;

static void done(struct waiter *w, bool ok)
{
	(void)w;
	*(ok ? &written : &refused) += 1;
}

static uint64_t read_batch(int fd, uint32_t *ret_n)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	ssize_t len = msg_recv(fd, packet, sizeof(packet), NULL, 0, NULL);
	assert_true(len > 0);
	struct wire_reader in = wire_reader(packet, (size_t)len);
	assert_int_equal(wire_get_u32(&in), GATEWAY_RECORDS);
	uint64_t ticket = wire_get_u64(&in);
	*ret_n = wire_get_u32(&in);
	for (uint32_t i = 0; i < 4 * *ret_n; i++)
		free(wire_get_str(&in));
	assert_true(wire_done(&in));
	return ticket;
}

static void test_records(void **state)
{
	(void)state;
	struct records r;
	struct buf members = { 0 };
	struct waiter w = { .done = done }, v = { .done = done }, u = { .done = done };
	int pair[2];
	uint32_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	records_init(&r, pair[0]);
	json_member_string(&members, "host", "a.test");
	assert_int_equal(records_flush(&r), 0); /* nothing to send */
	records_add(&r, "dns.query", NULL, "", &members);
	assert_int_equal(records_flush(&r), 0);
	assert_int_equal(read_batch(pair[1], &n), 0); /* nobody waits: no answer wanted */
	assert_int_equal(n, 1);

	for (int i = 0; i < 3; i++)
		records_add(&r, "net.allow", NULL, "rule", &members);
	records_wait(&r, &w);
	assert_int_equal(records_flush(&r), 0);
	uint64_t first = read_batch(pair[1], &n);
	assert_int_equal(n, 3);
	records_wait(&r, &v);
	assert_int_equal(records_flush(&r), 0);
	uint64_t second = read_batch(pair[1], &n);
	assert_true(second > first && first > 0);
	records_written(&r, first, false);
	assert_int_equal(written, 1);
	records_written(&r, second, true);
	assert_int_equal(refused, 1);
	/* From then on everything is refused, without asking. */
	records_wait(&r, &u);
	assert_int_equal(records_flush(&r), 0);
	assert_int_equal(refused, 2);
	buf_free(&members);
	buf_free(&r.batch);
	close(pair[0]);
	close(pair[1]);
}

static void test_batches_fit_the_supervisor(void **state)
{
	(void)state;
	struct records r;
	struct buf members = { 0 };
	int pair[2];
	uint32_t n, total = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	records_init(&r, pair[0]);
	for (int i = 0; i < 50000; i++)
		records_add(&r, "x", NULL, "", &members);
	assert_int_equal(records_flush(&r), 0);
	assert_true(r.queued_bytes > 0); /* the socket took only some: the rest waits, nothing is lost */
	while (total < 50000) {
		read_batch(pair[1], &n);
		assert_in_range(n, 1, 1024);
		total += n;
		assert_int_equal(records_writable(&r), 0);
	}
	assert_int_equal(r.queued_bytes, 0);
	buf_free(&r.batch);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_keep_their_addresses), cmocka_unit_test(test_names_run_out),
		cmocka_unit_test(test_timers),			   cmocka_unit_test(test_iobuf),
		cmocka_unit_test(test_streams_take_turns),
		cmocka_unit_test(test_problem),			   cmocka_unit_test(test_records),
		cmocka_unit_test(test_batches_fit_the_supervisor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
