/* SPDX-License-Identifier: Apache-2.0 */
/* Opaque relays: tcp:// and CIDR rules and passthrough TLS. Bytes both ways, unread, in bounded memory. */
#include <stdio.h>

#include "base/json.h"
#include "gateway/authority.h"
#include "gateway/gateway.h"
#include "gateway/relay.h"

static void add_record(struct session *s, const char *event, const char *reason, const char *rule)
{
	_cleanup_buf_ struct buf members = { 0 };

	session_members(s, &members);
	json_member_string(&members, "proto", "tcp");
	if (rule)
		json_member_string(&members, "rule", rule);
	if (s->raised)
		json_member_raw(&members, "raised", "true");
	if (s->quota)
		json_member_string(&members, "quota", s->quota);
	question_record(s->question.reason, &members);
	session_upstream_addr(s, &members);
	if (s->state == SESSION_RELAY) {
		json_member_int(&members, "bytes_up", (int64_t)s->relay_up);
		json_member_int(&members, "bytes_down", (int64_t)s->relay_down);
		json_member_int(&members, "ms", (int64_t)((s->gw->loop.now - s->started) / 1000));
	}
	records_add(&s->gw->records, event, s->call, reason, &members);
}

static void deny(struct session *s, const char *reason, const char *rule)
{
	add_record(s, "net.deny", reason, rule);
	session_abort(s);
}

static void over_quota(struct session *s, const struct over_quota *over)
{
	s->quota = over->quota;
	add_record(s, "limit.hit", over->reason, NULL);
	session_abort(s);
}

/* As of requests: only what starts counts. */
static void go_on(struct session *s)
{
	const struct net_verdict *verdict = &s->relay_verdict;
	struct over_quota over = quota_over(&s->payers, 0, s->gw->loop.now);

	if (over.reason) {
		over_quota(s, &over);
		return;
	}
	quota_count_request(&s->payers, s->gw->loop.now);
	s->state = SESSION_RELAY_RECORD;
	add_record(s, "net.allow", s->relay_passthrough ? "passthrough" : verdict->reason, verdict->rule);
	question_end(s->gw, &s->question);
	session_wait_record(s);
}

/* What the auditor is told. */
static int question(const struct session *s, struct buf *members)
{
	char host[INET_ADDRSTRLEN], rule[300];
	int r = 0;

	snprintf(rule, sizeof(rule), "%s%s:%u", s->relay_passthrough ? "" : "tcp://", session_host(s, host), s->port);
	if (s->beyond_grant)
		r = question_grant(members, s->relay_passthrough ? "passthrough" : "allow", rule);
	if (r == 0)
		session_members(s, members);
	return r < 0 ? r : json_member_string(members, "proto", "tcp");
}

static void ask(struct session *s)
{
	_cleanup_buf_ struct buf members = { 0 };
	enum auditor_op op = s->beyond_grant ? AUDITOR_GRANT_RAISE : AUDITOR_NET_CONNECT;

	if (!s->beyond_grant && !questions_wanted(s->gw, op)) {
		go_on(s);
		return;
	}
	s->state = SESSION_RELAY_ASK;
	int r = question(s, &members);
	if (r == 0)
		r = session_ask(s, op, &members);
	if (r < 0) {
		s->state = SESSION_RELAY_RECORD; /* recorded here */
		deny(s, question_failure(r), s->relay_verdict.rule);
	}
}

static struct net_target target_of(const struct session *s, struct in6_addr *raw)
{
	*raw = session_raw_addr(s);
	return (struct net_target){ .proto = s->relay_passthrough ? PROTO_PASSTHROUGH : PROTO_TCP,
				    .host = s->name ? s->name->text : NULL, .addr = s->name ? NULL : raw, .port = s->port };
}

bool relay_review(struct session *s)
{
	struct net_verdict now;
	struct in6_addr raw;

	if (s->state != SESSION_RELAY_ASK && s->state != SESSION_RELAY_RECORD && s->state != SESSION_RELAY_DIAL &&
	    s->state != SESSION_RELAY)
		return true;
	const struct net_target target = target_of(s, &raw);
	authority_decide(s->gw, s->call, &target, &now);
	if (!now.allowed && s->beyond_grant)
		policy_decide(s->gw->policy, &target, &now);
	bool less = !now.allowed || (s->relay_verdict.allow_private && !now.allow_private);
	s->relay_verdict = now;
	return !less;
}

void relay_decide(struct session *s, bool passthrough, bool beyond_grant, const struct net_verdict *verdict)
{
	struct in6_addr raw;

	if (!verdict->allowed) {
		deny(s, verdict->reason, verdict->rule);
		return;
	}
	s->relay_verdict = *verdict;
	s->relay_passthrough = passthrough;
	const struct net_target target = target_of(s, &raw);
	s->payers = authority_payers(s->gw, s->call, &target);
	s->beyond_grant = beyond_grant;
	session_timeout(s, 0);
	ask(s);
}

static bool asking(struct session *s)
{
	struct stream *c = &s->client;

	if (s->question.answered) {
		s->state = SESSION_RELAY_RECORD;
		s->raised = s->beyond_grant && s->question.allowed;
		if (s->question.allowed)
			go_on(s);
		else
			deny(s, s->beyond_grant ? "grant" : "auditor", s->beyond_grant ? "" : s->relay_verdict.rule);
		return true;
	}
	/* As in http.c: nobody waits any more. */
	if (!stream_gone(c) && !c->hup && !c->eof)
		return false;
	session_abort(s);
	return true;
}

static void dial(struct session *s)
{
	/* A raw address was named by its rule, so it is meant even when it is a private one. */
	struct destination to = { .host = s->name ? s->name->text : NULL, .addr = session_raw_addr(s), .port = s->port,
				  .proto = s->relay_passthrough ? PROTO_PASSTHROUGH : PROTO_TCP,
				  .allow_private = s->relay_verdict.allow_private || !s->name };

	s->state = SESSION_RELAY_DIAL;
	s->up = upstream_get(s->gw, s->call, s, &to, true);
	if (!s->up)
		session_abort(s);
}

/* Move what the buffers allow; true when something moved. by: whose quotas the bytes count against, before any of them
 * leaves; NULL: nobody's. */
static bool pump(const struct payers *by, struct stream *from, struct stream *to, uint64_t *count, bool *over)
{
	bool moved = false;

	for (;;) {
		if (iobuf_len(&to->out) < STREAM_CHUNK)
			stream_fill(from, STREAM_CHUNK);
		size_t n = iobuf_len(&from->in);
		if (!n || iobuf_len(&to->out) >= STREAM_CHUNK)
			break;
		if (by && quota_count_upload(by, n).reason) {
			*over = true;
			return true;
		}
		/* Whole buffers change hands; bytes are copied only when some still wait. */
		if (!iobuf_len(&to->out)) {
			iobuf_free(&to->out);
			to->out = from->in;
			from->in = (struct iobuf){ 0 };
		} else {
			if (iobuf_append(&to->out, iobuf_head(&from->in), n) < 0) {
				to->broken = true;
				break;
			}
			iobuf_consume(&from->in, n);
		}
		*count += n;
		moved = true;
		stream_flush(to);
	}
	moved |= stream_flush(to);
	return moved;
}

enum relay_result relay_ends(struct session *s, bool moved)
{
	struct stream *c = &s->client, *u = &s->up->stream;

	if (stream_gone(c) || stream_gone(u))
		return RELAY_GONE;
	if (c->eof && !iobuf_len(&c->in) && !iobuf_len(&u->out) && !s->relay_up_ended) {
		s->relay_up_ended = true;
		stream_shutdown(u);
	}
	if (u->eof && !iobuf_len(&u->in) && !iobuf_len(&c->out) && !s->relay_down_ended) {
		s->relay_down_ended = true;
		stream_shutdown(c);
	}
	if (s->relay_up_ended && s->relay_down_ended)
		return RELAY_ENDED;
	return moved ? RELAY_MOVED : RELAY_NOTHING;
}

enum relay_result relay_bytes(struct session *s)
{
	struct stream *c = &s->client, *u = &s->up->stream;
	bool over = false;
	bool moved = pump(&s->payers, c, u, &s->relay_up, &over);

	if (over)
		return RELAY_QUOTA;
	moved |= pump(NULL, u, c, &s->relay_down, &over);
	return relay_ends(s, moved);
}

static bool relay(struct session *s)
{
	struct over_quota over;

	switch (relay_bytes(s)) {
	case RELAY_QUOTA:
		over = quota_count_upload(&s->payers, 0);
		over_quota(s, &over);
		return true;
	case RELAY_GONE:
		session_abort(s);
		return true;
	case RELAY_ENDED:
		session_close(s);
		return true;
	case RELAY_MOVED:
		session_timeout(s, RELAY_IDLE_US);
		return false;
	case RELAY_NOTHING:
		break;
	}
	return false;
}

bool relay_run(struct session *s)
{
	if (s->state == SESSION_RELAY_ASK)
		return asking(s);
	if (s->state == SESSION_RELAY_RECORD) {
		if (!s->acked)
			return false;
		if (s->refused)
			session_abort(s);
		else
			dial(s);
		return true;
	}
	if (s->state == SESSION_RELAY_DIAL) {
		if (s->up->state == UPSTREAM_FAILED) {
			add_record(s, "net.deny", s->up->failure, NULL);
			session_abort(s);
			return true;
		}
		if (s->up->state != UPSTREAM_READY)
			return false;
		s->state = SESSION_RELAY;
		session_timeout(s, RELAY_IDLE_US);
		return true;
	}
	return relay(s);
}

void relay_drop(struct session *s)
{
	if (s->state == SESSION_RELAY)
		add_record(s, "net.allow", "ended", NULL);
	else if (s->state == SESSION_RELAY_ASK)
		add_record(s, "net.deny", stream_gone(&s->client) || s->client.hup ? "client-closed" : "cut",
			   s->relay_verdict.rule);
}
