/* SPDX-License-Identifier: Apache-2.0 */
/* Questions of the gateway to the auditor: the table of those that are open, what is shown, and what a call uses. */
#include <arpa/inet.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addresses.h"
#include "base/json.h"
#include "base/util.h"
#include "base/wire.h"
#include "gateway/authority.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "policy/rule.h"
#include "supervisor/protocol.h"

#include <cmocka.h>

#define ALL (AUDITOR_OP(_AUDITOR_OP_MAX) - 1)

static struct gateway gw;
static int supervisor; /* its end */
static unsigned decided;

static void count(struct question *q)
{
	assert_true(q->answered);
	decided++;
}

static int set_up(void **state)
{
	int pair[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	memset(&gw, 0, sizeof(gw));
	records_init(&gw.records, pair[0]);
	supervisor = pair[1];
	decided = 0;
	return questions_configure(&gw.questions, ALL);
}

static int tear_down(void **state)
{
	(void)state;
	buf_free(&gw.records.batch);
	close(gw.records.fd);
	close(supervisor);
	return 0;
}

/* The next packet's type; u64 behind it in ret, and the rest when rest is given. */
static uint32_t next(uint64_t *ret, struct wire_reader *rest)
{
	static uint8_t packet[WIRE_MAX_PACKET];
	ssize_t len = msg_recv(supervisor, packet, sizeof(packet), NULL, 0, NULL);

	*ret = 0;
	if (len <= 0)
		return 0;
	struct wire_reader in = wire_reader(packet, (size_t)len);
	uint32_t type = wire_get_u32(&in);
	*ret = wire_get_u64(&in);
	if (rest)
		*rest = in;
	return type;
}

static int ask(struct question *q, struct call *call, const char *text)
{
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "path", text);
	q->decided = count;
	return question_ask(&gw, q, call, AUDITOR_HTTP_REQUEST, &members);
}

static struct call *add(uint32_t addr)
{
	char **env = NULL;

	assert_int_equal(calls_add(&gw, addr, &env), 0);
	strv_free(env);
	return calls_by_addr(&gw.calls, addr);
}

static struct grant *grant(const char *key, const char *value)
{
	struct grant *g;

	assert_int_equal(grant_new(&g), 0);
	if (key)
		assert_int_equal(grant_set(g, key, value, "/", "test", NULL), 0);
	assert_int_equal(grant_finish(g, NULL), 0);
	return g;
}

static void test_configuration(void **state)
{
	struct questions qs = { 0 };
	(void)state;

	assert_int_equal(questions_configure(&qs, ALL + 1), -EPROTO);
	assert_int_equal(questions_configure(&qs, UINT32_MAX), -EPROTO);
	assert_int_equal(questions_configure(&qs, AUDITOR_OP(AUDITOR_NET_CONNECT)), 0);
	/* More, never less. */
	assert_int_equal(questions_configure(&qs, AUDITOR_OP(AUDITOR_HTTP_REQUEST)), -EPROTO);
	assert_int_equal(questions_configure(&qs, 0), -EPROTO);
	gw.questions = qs;
	assert_true(questions_wanted(&gw, AUDITOR_NET_CONNECT));
	assert_false(questions_wanted(&gw, AUDITOR_HTTP_REQUEST));
	assert_int_equal(questions_configure(&gw.questions, AUDITOR_OP(AUDITOR_NET_CONNECT) | AUDITOR_OP(AUDITOR_HTTP_REQUEST)), 0);
	assert_true(questions_wanted(&gw, AUDITOR_HTTP_REQUEST));
}

static void test_an_answer_is_used_once(void **state)
{
	struct question q = { 0 };
	struct wire_reader in;
	uint64_t ticket;
	(void)state;

	struct call *call = add(CALL_ADDR_FIRST);
	assert_int_equal(ask(&q, call, "/a"), 0);
	assert_int_equal(next(&ticket, &in), GATEWAY_ASK);
	assert_int_equal(wire_get_u32(&in), AUDITOR_HTTP_REQUEST);
	assert_int_equal(wire_get_u32(&in), CALL_ADDR_FIRST);
	_cleanup_free_ char *members = wire_get_str(&in);
	assert_true(wire_done(&in));
	assert_string_equal(members, "\"path\":\"/a\"");
	assert_false(q.answered || q.allowed);

	assert_int_equal(questions_decided(&gw, ticket + 1, true, false, ""), -EPROTO);
	assert_int_equal(questions_decided(&gw, 0, true, false, ""), -EPROTO);
	assert_false(q.answered);
	assert_int_equal(questions_decided(&gw, ticket, true, false, "good"), 0);
	assert_true(decided == 1 && q.answered && q.allowed);
	assert_string_equal(q.reason, "good");
	assert_int_equal(questions_decided(&gw, ticket, true, false, ""), -EPROTO);
	assert_int_equal(gw.questions.n, 0);
	/* Its end tells nobody; the next question has a new ticket. */
	question_end(&gw, &q);
	assert_false(q.answered || q.allowed || q.reason);
	uint64_t before = ticket;
	assert_int_equal(ask(&q, call, "/a"), 0);
	assert_int_equal(next(&ticket, NULL), GATEWAY_ASK);
	assert_true(ticket > before);
	assert_int_equal(questions_decided(&gw, ticket, false, false, ""), 0);
	assert_true(q.answered && !q.allowed);
	question_end(&gw, &q);
	calls_end(&gw, call);
}

/* An answer that crosses the cancellation is no error; one that cannot have is. */
static void test_given_up(void **state)
{
	struct question q = { 0 }, p = { 0 };
	uint64_t first, second, cancelled, written;
	(void)state;

	struct call *call = add(CALL_ADDR_FIRST);
	assert_int_equal(ask(&q, call, "/a"), 0);
	assert_int_equal(ask(&p, call, "/b"), 0);
	assert_int_equal(next(&first, NULL), GATEWAY_ASK);
	assert_int_equal(next(&second, NULL), GATEWAY_ASK);
	question_end(&gw, &q);
	question_end(&gw, &q);
	assert_int_equal(next(&cancelled, NULL), GATEWAY_ASK_CANCEL);
	assert_int_equal(cancelled, first);
	assert_int_equal(questions_decided(&gw, first, true, true, ""), 0);
	assert_int_equal(decided, 0);
	assert_int_equal(call->n_remembered, 0);
	assert_int_equal(questions_decided(&gw, first, true, false, ""), -EPROTO);

	assert_int_equal(records_round(&gw.records, 1), 0);
	assert_int_equal(next(&written, NULL), GATEWAY_RECORDS);
	records_written(&gw.records, written, false);
	question_end(&gw, &p);
	assert_int_equal(records_round(&gw.records, 1), 0);
	assert_int_equal(next(&cancelled, NULL), GATEWAY_ASK_CANCEL);
	assert_int_equal(next(&written, NULL), GATEWAY_RECORDS);
	assert_int_equal(gw.questions.n, 1);
	records_written(&gw.records, written, false);
	assert_int_equal(gw.questions.n, 0);
	assert_int_equal(questions_decided(&gw, second, true, false, ""), -EPROTO);
	calls_end(&gw, call);
}

static void test_limits(void **state)
{
	static struct question q[QUESTIONS_MAX + 1];
	struct buf large = { 0 };
	uint64_t ticket;
	(void)state;

	memset(q, 0, sizeof(q));
	struct call *call = add(CALL_ADDR_FIRST);
	for (size_t i = 0; i < QUESTIONS_MAX; i++) {
		assert_int_equal(ask(&q[i], call, "/a"), 0);
		records_writable(&gw.records);
		assert_int_equal(next(&ticket, NULL), GATEWAY_ASK);
	}
	assert_int_equal(ask(&q[QUESTIONS_MAX], call, "/a"), -EBUSY);
	assert_int_equal(next(&ticket, NULL), 0);
	/* Given up is not gone: an attacker that asks and leaves takes no memory without end. */
	question_end(&gw, &q[0]);
	assert_int_equal(ask(&q[QUESTIONS_MAX], call, "/a"), -EBUSY);
	assert_string_equal(question_failure(-EBUSY), AUDITOR_OVERLOADED);
	records_round(&gw.records, 1);
	records_written(&gw.records, UINT64_MAX, false);
	assert_int_equal(ask(&q[QUESTIONS_MAX], call, "/a"), 0);
	for (size_t i = 1; i <= QUESTIONS_MAX; i++)
		question_end(&gw, &q[i]);
	records_written(&gw.records, UINT64_MAX, false);
	assert_int_equal(gw.questions.n, 0);

	while (large.len <= QUESTION_BYTES_MAX)
		buf_putc(&large, 'x');
	assert_int_equal(question_ask(&gw, &q[0], call, AUDITOR_HTTP_REQUEST, &large), -EMSGSIZE);
	buf_free(&large);
	gw.records.failed = true;
	assert_int_equal(ask(&q[0], call, "/a"), -EIO);
	assert_int_equal(gw.questions.n, 0);
	calls_end(&gw, call);
}

static void test_equal_questions(void **state)
{
	struct question q = { 0 };
	_cleanup_buf_ struct buf members = { 0 };
	uint64_t ticket;
	(void)state;

	struct call *call = add(CALL_ADDR_FIRST), *other = add(CALL_ADDR_FIRST + 1);
	assert_int_equal(ask(&q, call, "/a"), 0);
	assert_int_equal(questions_decided(&gw, gw.questions.last_ticket, true, true, "always"), 0);
	question_end(&gw, &q);
	assert_int_equal(ask(&q, call, "/b"), 0);
	assert_int_equal(questions_decided(&gw, gw.questions.last_ticket, false, true, "never"), 0);
	question_end(&gw, &q);
	ticket = gw.questions.last_ticket;
	assert_int_equal(ask(&q, call, "/a"), 0);
	assert_true(q.answered && q.allowed);
	assert_string_equal(q.reason, "always");
	assert_int_equal(ask(&q, call, "/b"), 0);
	assert_true(q.answered && !q.allowed);
	assert_string_equal(q.reason, "never");
	assert_int_equal(ticket, gw.questions.last_ticket);
	/* Another kind of question with the same members, another text, another call. */
	json_member_string(&members, "path", "/a");
	assert_int_equal(question_ask(&gw, &q, call, AUDITOR_GRANT_RAISE, &members), 0);
	assert_false(q.answered);
	assert_int_equal(ask(&q, call, "/aa"), 0);
	assert_false(q.answered);
	assert_int_equal(ask(&q, other, "/a"), 0);
	assert_false(q.answered);
	question_end(&gw, &q);
	calls_end(&gw, call);
	calls_end(&gw, other);
}

static struct payers by(struct call *call)
{
	return (struct payers){ .quotas = &gw.quotas, .call = call->usage };
}

static void test_usage_of_ancestors(void **state)
{
	(void)state;
	struct call *top = add(CALL_ADDR_FIRST), *middle = add(CALL_ADDR_FIRST + 1), *leaf = add(CALL_ADDR_FIRST + 2);

	assert_int_equal(calls_bind(&gw, top, NULL, grant("uses", "3"), NULL), 0);
	assert_int_equal(calls_bind(&gw, middle, top, grant("bytes_up", "100"), NULL), 0);
	assert_int_equal(calls_bind(&gw, leaf, middle, NULL, NULL), 0);
	assert_int_equal(calls_bind(&gw, leaf, top, NULL, NULL), -EINVAL);
	assert_int_equal(calls_bind(&gw, top, leaf, NULL, NULL), -EINVAL);
	struct payers of_leaf = by(leaf), of_top = by(top);
	assert_null(quota_over(&of_leaf, 100, 1).reason);
	assert_string_equal(quota_over(&of_leaf, 101, 1).reason, "bytes-up");
	assert_null(quota_over(&of_top, 101, 1).reason);
	quota_count_request(&of_leaf, 1);
	quota_count_request(&of_top, 1);
	calls_end(&gw, middle);
	quota_count_request(&of_leaf, 1);
	assert_string_equal(quota_over(&of_leaf, 0, 1).reason, "uses");
	assert_string_equal(quota_over(&of_top, 0, 1).reason, "uses");
	calls_end(&gw, top);
	assert_string_equal(quota_over(&of_leaf, 0, 1).reason, "uses");
	assert_null(quota_count_upload(&of_leaf, 100).reason);
	assert_string_equal(quota_count_upload(&of_leaf, 1).reason, "bytes-up");
	calls_end(&gw, leaf);
}

static void test_no_circle(void **state)
{
	(void)state;
	struct call *a = add(CALL_ADDR_FIRST), *b = add(CALL_ADDR_FIRST + 1);

	assert_int_equal(calls_bind(&gw, a, a, NULL, NULL), -EINVAL);
	assert_int_equal(calls_bind(&gw, a, b, NULL, NULL), 0);
	assert_int_equal(calls_bind(&gw, b, a, NULL, NULL), -EINVAL);
	calls_end(&gw, b);
	calls_end(&gw, a);
}

/* A request from one call, as far as request_question() looks at it. */
struct request {
	struct session session;
	struct exchange exchange;
	char path[16384];
};

static void feed(struct request *r, const char *head)
{
	struct exchange *x = &r->exchange;
	const struct http1_head *h = &x->request;

	*r = (struct request){ .session = { .gw = &gw, .dst = 0xc0000207, .port = 443, .tls = true, .x = x } };
	x->request.kind = HTTP1_REQUEST;
	assert_int_equal(http1_head_feed(&x->request, head, strlen(head)), (ssize_t)strlen(head));
	assert_true(h->complete);
	assert_int_equal(path_canonical(http1_text(h, h->path), h->path.len, r->path), 0);
	x->path = r->path;
	x->method = strndup(http1_text(h, h->method), h->method.len);
}

static int shown(struct request *r, const char *head, bool beyond_grant, json_t **ret)
{
	_cleanup_buf_ struct buf members = { 0 };
	struct buf object = { 0 };

	feed(r, head);
	r->exchange.beyond_grant = beyond_grant;
	int e = request_question(&r->session, &members);
	if (e == 0 && ret) {
		assert_int_equal(buf_printf(&object, "{%s}", buf_str(&members)), 0);
		*ret = json_loadb((const char *)object.data, object.len, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(*ret);
		buf_free(&object);
	}
	http1_head_reset(&r->exchange.request);
	free(TAKE_PTR(r->exchange.method));
	return e;
}

static void test_what_is_shown(void **state)
{
	static struct request r;
	json_t *q, *want;
	(void)state;

	assert_int_equal(shown(&r, "PUT /x/%2e%2e/y?a=1;b=2;c&&%61d=&=v HTTP/1.1\r\nHost: h\r\nX-A: secret\r\n"
				   "TE: trailers\r\nContent-Length: 7\r\n\r\n", false, &q), 0);
	want = json_pack("{s:s, s:s, s:i, s:s, s:[s,s,s,s], s:[s], s:i, s:[]}", "method", "PUT", "addr", "192.0.2.7",
			 "port", 443, "path", "/y", "query_keys", "a", "b", "ad", "", "header_names", "x-a", "length", 7,
			 "secrets");
	assert_true(json_equal(q, want));
	json_decref(q);
	json_decref(want);
	assert_int_equal(shown(&r, "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", false, NULL), -EILSEQ);
	assert_int_equal(shown(&r, "GET /?%c2=%c2 HTTP/1.1\r\nHost: h\r\n\r\n", false, NULL), -EILSEQ);
	assert_int_equal(shown(&r, "GET /?%ed%a0%80 HTTP/1.1\r\nHost: h\r\n\r\n", false, NULL), -EILSEQ);
	assert_int_equal(shown(&r, "GET /?%00=1 HTTP/1.1\r\nHost: h\r\n\r\n", false, NULL), -EILSEQ);
	assert_int_equal(shown(&r, "GET /?x=%ff&%01%7f%c2%80%22%5c HTTP/1.1\r\nHost: h\r\n\r\n", false, &q), 0);
	json_decref(q);
}

/* Nothing that fits into a request makes a question of more than its bound, and an honest one always fits. */
static void test_size(void **state)
{
	static struct request r;
	_cleanup_buf_ struct buf head = { 0 };
	(void)state;

	buf_puts(&head, "GET /");
	while (head.len < HTTP1_LINE_MAX - 20)
		buf_puts(&head, "%22");
	buf_puts(&head, " HTTP/1.1\r\nHost: h\r\n");
	size_t line = head.len;
	for (int i = 0; i < 120; i++)
		buf_printf(&head, "X-%d-%0300d: 1\r\n", i, 0);
	buf_puts(&head, "\r\n");
	assert_int_equal(shown(&r, buf_str(&head), true, NULL), 0);
	head.len = line;
	buf_printf(&head, "X-%01100d: 1\r\n\r\n", 0);
	assert_int_equal(shown(&r, buf_str(&head), true, NULL), -EMSGSIZE);
}

/* The rule in a question about a raise is one that allows this path and nothing beside it. */
static void test_rule_of_a_raise(void **state)
{
	static const char *const paths[] = { "/", "/a*b", "/**", "/a/*", "/a,b;c", "/a%20b", "/%25", "/\xc3\xa9",
					     "/a?b#c" };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		_cleanup_buf_ struct buf text = { 0 };
		struct rule *rule;
		struct net_target t = { .proto = PROTO_HTTPS, .host = "h.test", .port = 443, .method = "GET",
					.path = paths[i] };
		assert_int_equal(buf_puts(&text, "GET https://h.test:443"), 0);
		assert_int_equal(request_encode_path(paths[i], true, &text), 0);
		if (rule_parse(buf_str(&text), RULE_ALLOW, false, &rule, NULL) < 0)
			fail_msg("no rule: %s", buf_str(&text));
		assert_true(rule_matches(rule, &t));
		t.path = "/a/xb";
		assert_false(rule_matches(rule, &t));
		t.path = "/axb";
		assert_false(rule_matches(rule, &t));
		rule_free(rule);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_configuration),	TEST(test_an_answer_is_used_once), TEST(test_given_up),
		TEST(test_limits),		TEST(test_equal_questions),	   TEST(test_usage_of_ancestors),
		TEST(test_no_circle),		TEST(test_what_is_shown),	   TEST(test_size),
		TEST(test_rule_of_a_raise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
