/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a request: the name, path and method that count, the policy's word, and the records of both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"

/* Paths in records are cut here; the log stays readable and a record small. */
#define RECORD_PATH_MAX 1024u
#define SECRET_US (90u * 1000000u) /* longer than a command may take, and wait for others */

static void add_target(struct session *s, struct buf *members)
{
	struct exchange *x = s->x;

	session_members(s, members);
	json_member_string(members, "proto", s->tls ? "https" : "http");
	if (x->request.complete)
		json_member_bytes(members, "method", http1_text(&x->request, x->request.method), x->request.method.len);
	if (x->path) {
		size_t len = strlen(x->path);
		json_member_bytes(members, "path", x->path, len < RECORD_PATH_MAX ? len : RECORD_PATH_MAX);
	}
	if (x->verdict.rule && *x->verdict.rule)
		json_member_string(members, "rule", x->verdict.rule);
	if (x->raised)
		json_member_raw(members, "raised", "true");
	if (s->quota)
		json_member_string(members, "quota", s->quota);
}

void request_record(struct session *s, const char *event, const char *reason, bool finished)
{
	static struct buf members; /* one at a time: no allocation for each request */
	struct exchange *x = s->x;

	members.len = 0;
	add_target(s, &members);
	if (finished) {
		session_upstream_addr(s, &members);
		json_member_int(&members, "status", x->answer_final ? x->answer.status : x->problem.status);
		json_member_int(&members, "bytes_up", (int64_t)x->upload.payload);
		json_member_int(&members, "bytes_down", (int64_t)x->download.payload);
		json_member_int(&members, "ms", (int64_t)((s->gw->loop.now - x->started) / 1000));
	} else {
		question_record(x->auditor, &members);
	}
	records_add(&s->gw->records, event, s->call, reason, &members);
}

/* Texts that go into a suggested command line must not need quoting by whoever pastes it. */
static bool plain(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@%+,=") == strlen(text);
}

static void describe(struct session *s)
{
	struct exchange *x = s->x;
	char text[INET_ADDRSTRLEN], port[8] = "";
	const char *host = session_host(s, text);
	const struct http1_head *h = &x->request;

	if (s->port != (s->tls ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", s->port);
	if (h->complete)
		buf_printf(&x->what, "%.*s ", (int)h->method.len, http1_text(h, h->method));
	buf_printf(&x->what, "%s://%s%s%s", s->tls ? "https" : "http", host, port, x->path ? x->path : "/");
	x->problem.what = buf_str(&x->what);
}

/* The option that would allow this very request, when one would. */
static void suggest(struct session *s)
{
	struct exchange *x = s->x;
	char text[INET_ADDRSTRLEN], port[8] = "";
	const char *reason = x->problem.reason, *host = session_host(s, text);
	_cleanup_buf_ struct buf path = { 0 };

	if (s->port != (s->tls ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", s->port);
	const char *scheme = s->tls ? "https" : "http";
	/* The path was decoded: what has a meaning in a rule is written so that it has none. */
	const char *in_rule = x->path && request_encode_path(x->path, true, &path) == 0 ? buf_str(&path) : NULL;
	if (strcmp(reason, "private-address") == 0)
		buf_printf(&x->flag, "--allow-private %s://%s%s", scheme, host, port);
	else if (strcmp(reason, "method") == 0 && x->target.method && plain(x->target.method))
		buf_printf(&x->flag, "--allow '%s %s://%s%s'", x->target.method, scheme, host, port);
	else if (strcmp(reason, "path") == 0 && in_rule && plain(in_rule))
		buf_printf(&x->flag, "--allow %s://%s%s%s", scheme, host, port, in_rule);
	else if (strcmp(reason, "no-rule") == 0)
		buf_printf(&x->flag, "--allow %s%s", host, port);
	if (x->flag.len)
		x->problem.flag = buf_str(&x->flag);
}

void request_refuse(struct session *s, const char *event, int status, const char *reason, const char *detail)
{
	struct exchange *x = s->x;

	x->problem = (struct problem){ .status = status, .reason = reason, .detail = detail,
				       .head = x->request.complete && http1_slice_is(&x->request, x->request.method, "HEAD") };
	describe(s);
	suggest(s);
	if (event)
		request_record(s, event, reason, false);
	x->state = EXCHANGE_REFUSED;
	session_timeout(s, 0);
	session_wait_record(s);
}

void request_over_quota(struct session *s, const struct over_quota *over)
{
	s->quota = over->quota;
	request_refuse(s, "limit.hit", 429, over->reason, quota_detail(over));
	s->x->problem.retry_after = over->retry_after;
}

/* The request has to be for the very name whose address was dialled, and whose rule is asked. */
static bool host_agrees(struct session *s)
{
	const struct http1_head *h = &s->x->request;
	char name[256], text[INET_ADDRSTRLEN];

	if (s->misdirected || host_canonical(http1_text(h, h->host), h->host.len, false, name) < 0)
		return false;
	return strcmp(name, session_host(s, text)) == 0 && (h->port == 0 || h->port == s->port);
}

static int write_request(struct session *s)
{
	struct exchange *x = s->x;
	const struct http1_head *h = &x->request;
	char text[INET_ADDRSTRLEN];
	_cleanup_buf_ struct buf path = { 0 };
	struct http1_request_out out = { .host = session_host(s, text),
					 .port = s->port == (s->tls ? 443 : 80) ? 0 : s->port };
	int r = 0;

	if (x->target.path && !request_path_is_plain(http1_text(h, h->path), h->path.len, x->path)) {
		/* The raw one held dot segments: the server shall see what was decided about whether or not it removes
		 * them itself. */
		r = request_encode_path(x->path, false, &path);
		out.path = (const char *)path.data;
		out.path_len = path.len;
	}
	return r < 0 ? r : credentials_write(s, &out);
}

static bool over_quota(struct session *s)
{
	struct exchange *x = s->x;
	uint64_t length = x->request.framing == HTTP1_BODY_LENGTH ? x->request.content_length : 0;
	struct over_quota over = quota_over(&s->payers, length, s->gw->loop.now);

	if (over.reason)
		request_over_quota(s, &over);
	return over.reason;
}

/* Only here a request counts: one that was denied spends nothing, and of many that wait for the auditor at once no more
 * get past this than the quota has left. */
static void go_on(struct session *s)
{
	struct exchange *x = s->x;

	if (over_quota(s))
		return;
	quota_count_request(&s->payers, s->gw->loop.now);
	credentials_record(s);
	request_record(s, "net.allow", x->verdict.reason, false);
	x->state = EXCHANGE_RECORD;
	session_timeout(s, 0);
	session_wait_record(s);
}

static void refuse_unasked(struct session *s, int error)
{
	static const struct {
		int error, status;
		const char *detail;
	} table[] = {
		{ -EMSGSIZE, 431, "The request has more names than the auditor can be shown." },
		{ -EILSEQ, 403, "The path or a name in the query is no text that the auditor can be shown." },
		{ -EBUSY, 503, "Too many questions to the auditor wait already." },
		{ -EIO, 503, "The audit log cannot be written, so nothing is allowed." },
	};
	int status = 503;
	const char *detail = "The gateway is out of memory.";

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].error == error) {
			status = table[i].status;
			detail = table[i].detail;
		}
	}
	request_refuse(s, "http.deny", status, question_failure(error), detail);
}

/* Nothing is left to decide but by the auditor: the head is written, and nothing can change it any more. */
static void ask(struct session *s)
{
	_cleanup_buf_ struct buf members = { 0 };
	struct exchange *x = s->x;
	enum auditor_op op = x->beyond_grant ? AUDITOR_GRANT_RAISE : AUDITOR_HTTP_REQUEST;

	if (!x->beyond_grant && !questions_wanted(s->gw, op)) {
		go_on(s);
		return;
	}
	x->state = EXCHANGE_ASK;
	session_timeout(s, 0);
	int r = request_question(s, &members);
	if (r == 0)
		r = session_ask(s, op, &members);
	if (r < 0)
		refuse_unasked(s, r);
}

/* The signature of AWS that it has cannot be made anew. */
static void refuse_unsigned(struct session *s)
{
	static const struct {
		const char *reason, *detail;
		int status;
	} table[] = {
		{ "sigv4-streaming", "The body is signed chunk by chunk, which only its sender could do: have the client sign it "
				     "as a whole, or not at all (UNSIGNED-PAYLOAD).", 403 },
		{ "sigv4-body", "The hash of the body has to be signed, and the body is longer than 8 MiB, of unknown length, or "
				"waits to be asked for: have the client tell the hash in X-Amz-Content-Sha256.", 403 },
		{ "sigv4-busy", "The hash of the body has to be signed, and other bodies are held for that already: try again, or "
				"have the client tell the hash in X-Amz-Content-Sha256.", 503 },
		{ "sigv4-signature", "The signature is not that of this request with the placeholder of the key.", 403 },
		{ "sigv4-expires", "The presigned request would be good for more than 300 seconds, for whoever sees it: have the "
				   "client sign it for less (X-Amz-Expires).", 403 },
		{ "sigv4-form", "The signature is not well-formed, or does not fit what would be sent; in a query '+' has to be "
				"written as %20 or %2B.", 403 },
	};
	size_t i = 0;

	while (i < ARRAY_LEN(table) - 1 && strcmp(table[i].reason, s->x->unsignable) != 0)
		i++;
	request_refuse(s, "http.deny", table[i].status, s->x->unsignable, table[i].detail);
}

static void allow(struct session *s)
{
	struct exchange *x = s->x;
	struct iobuf *in = &s->client.in;

	if (over_quota(s))
		return;
	if (authority_placeholders_only(s->call) && credentials_foreign(s)) {
		credentials_leak(s); /* perhaps that of another call: then it is recorded as that too */
		request_refuse(s, "http.deny", 403, "foreign-credential",
			       "The request carries a credential that was not issued to this call.");
		return;
	}
	/* First, for the length that the head will tell. */
	int r = x->body_seen ? credentials_small_body(s, iobuf_head(in), (size_t)x->request.content_length) : 0;

	if (r == 0)
		r = write_request(s);
	if (r == -EACCES) {
		request_refuse(s, NULL, 403, "secret-misuse",
				      "The request carries the placeholder of a secret to where that secret may not go.");
		return;
	}
	if (r == -EINPROGRESS) {
		x->state = EXCHANGE_SECRET;
		session_timeout(s, SECRET_US);
		return;
	}
	if (r == -ENOKEY) {
		request_without_secret(s);
		return;
	}
	if (r == -ENOTSUP) {
		refuse_unsigned(s);
		return;
	}
	if (r == -EINVAL) {
		request_refuse(s, "http.deny", 403, "secret-value", "The value of the secret cannot stand in this place.");
		return;
	}
	if (r < 0) {
		request_refuse(s, "http.deny", 503, "no-memory", "The gateway is out of memory.");
		return;
	}
	ask(s);
}

/* Once more from the beginning: nothing of it has gone out. */
bool request_issued(struct session *s)
{
	struct exchange *x = s->x;

	if (issue_asked(x->awaits))
		return false;
	x->awaits = x->lacks = NULL;
	x->n_uses = 0;
	buf_wipe(&x->head);
	buf_wipe(&x->small_body);
	rewrite_reset(&x->body);
	session_timeout(s, 0);
	allow(s);
	return true;
}

static void deny(struct session *s)
{
	struct exchange *x = s->x;
	const char *reason = x->verdict.reason;

	if (credentials_leak(s)) {
		request_refuse(s, "http.deny", 403, reason,
				      "No rule allows this request, and it carries the placeholder of a secret.");
		return;
	}
	if (!s->name) {
		request_refuse(s, "http.deny", 403, "raw-address",
				      "This address was dialled without a name, and no rule names the address.");
		return;
	}
	if (strcmp(reason, "deny-rule") == 0) {
		request_refuse(s, "http.deny", 403, reason, "A deny rule of the policy forbids this request.");
		return;
	}
	if (strcmp(reason, "method") == 0) {
		request_refuse(s, "http.deny", 403, reason, "No rule allows this method here.");
		return;
	}
	if (strcmp(reason, "path") == 0) {
		request_refuse(s, "http.deny", 403, reason, "No rule allows this path.");
		return;
	}
	if (strcmp(reason, "grant") == 0 || strcmp(reason, "grant-deny") == 0) {
		request_refuse(s, "http.deny", 403, reason,
			       "The policy allows this request, but the grant of this call does not.");
		return;
	}
	request_refuse(s, "http.deny", 403, reason, "No rule allows this host.");
}

bool request_asked(struct session *s)
{
	struct exchange *x = s->x;

	if (!s->question.answered)
		return false;
	x->auditor = TAKE_PTR(s->question.reason);
	x->raised = x->beyond_grant && s->question.allowed;
	if (s->question.allowed) {
		go_on(s);
	} else if (x->beyond_grant) {
		authority_decide(s->gw, s->call, &x->target, &x->verdict);
		deny(s);
	} else {
		request_refuse(s, "http.deny", 403, "auditor", "The auditor denied this request.");
	}
	question_end(s->gw, &s->question);
	return true;
}

bool request_review(struct session *s)
{
	struct exchange *x = s->x;
	struct net_verdict now;

	/* Not decided about yet, or refused: only the texts of the verdict may be gone. */
	if (!x->target.method || x->state == EXCHANGE_HEAD || x->state == EXCHANGE_BODY)
		return true;
	if (x->state == EXCHANGE_REFUSED) {
		x->verdict.rule = x->verdict.origin = "";
		return true;
	}
	authority_decide(s->gw, s->call, &x->target, &now);
	if (!now.allowed && x->beyond_grant)
		policy_decide(s->gw->policy, &x->target, &now);
	bool less = !now.allowed || (x->verdict.allow_private && !now.allow_private);
	x->verdict = now;
	return !less;
}

static void refuse_path(struct session *s)
{
	credentials_leak(s);
	request_refuse(s, "http.deny", 403, "path-form",
		       "The path has an encoded slash, a backslash or a control byte, which servers read in different ways. "
		       "Encoded slashes pass where no rule for this host names a path.");
}

static void refuse_override(struct session *s)
{
	credentials_leak(s);
	request_refuse(s, "http.deny", 403, "override",
		       "A header (X-HTTP-Method-Override, X-Original-URL or one like them) names another method, which no rule "
		       "allows here, or another path.");
}

void request_decide(struct session *s)
{
	struct exchange *x = s->x;
	const struct http1_head *h = &x->request;

	if (!host_agrees(s)) {
		credentials_leak(s);
		request_refuse(s, "http.deny", 421, "misdirected",
				      "Host and server name have to be the name whose address was dialled.");
		return;
	}
	if (h->upgrade && !h->websocket) {
		request_refuse(s, "http.deny", 501, "upgrade", "Changing to another protocol than WebSocket is not supported.");
		return;
	}
	if (h->form == HTTP1_ASTERISK) {
		request_refuse(s, "http.deny", 400, "asterisk-form", "A request needs a path.");
		return;
	}
	x->path = malloc(h->path.len + 1);
	bool good = x->path && path_canonical(http1_text(h, h->path), h->path.len, x->path) == 0;
	bool opaque = x->path && !good && path_opaque(http1_text(h, h->path), h->path.len, x->path) == 0;
	if (!good && !opaque) {
		free(TAKE_PTR(x->path));
		refuse_path(s);
		return;
	}
	x->method = strndup(http1_text(h, h->method), h->method.len);
	if (!x->method) {
		session_abort(s);
		return;
	}
	x->raw = session_raw_addr(s);
	x->target = (struct net_target){ .proto = s->tls ? PROTO_HTTPS : PROTO_HTTP,
					 .host = s->name ? s->name->text : NULL, .addr = s->name ? NULL : &x->raw,
					 .port = s->port, .method = x->method, .path = opaque ? NULL : x->path };
	authority_decide(s->gw, s->call, &x->target, &x->verdict);
	s->payers = authority_payers(s->gw, s->call, &x->target);
	x->beyond_grant = authority_raise(s->gw, &x->target, &x->verdict);
	if (opaque && (!x->verdict.allowed || x->beyond_grant))
		refuse_path(s);
	else if (x->verdict.allowed && request_is_overridden(s))
		refuse_override(s);
	else if (x->verdict.allowed)
		allow(s);
	else
		deny(s);
}
