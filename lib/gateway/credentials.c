/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets into requests, and placeholders where they may not be. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/control.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/issue.h"
#include "gateway/scrub_answer.h"
#include "gateway/signing.h"
#include "gateway/tunnel.h"

_Static_assert((int)PLACE_HEADER == (int)INJECT_HEADER && (int)PLACE_BASIC == (int)INJECT_BASIC &&
		       (int)PLACE_QUERY == (int)INJECT_QUERY && (int)PLACE_PATH == (int)INJECT_PATH &&
		       (int)PLACE_BODY == (int)INJECT_BODY && (int)PLACE_SIGV4 == (int)INJECT_SIGV4,
	       "the policy's bits are the places");

static const char *place_name(enum inject_place place)
{
	switch (place) {
	case PLACE_HEADER:
		return "header";
	case PLACE_BASIC:
		return "basic";
	case PLACE_QUERY:
		return "query";
	case PLACE_PATH:
		return "path";
	case PLACE_SIGV4:
		return "sigv4";
	case PLACE_BODY:
		break;
	}
	return "body";
}

/* Why this placeholder may not get its value here, or NULL when it may. */
static const char *objection(const struct session *s, const struct placeholder *p, enum inject_place place)
{
	const struct holder *h = p->call;
	const struct policy_secret *rule = s->gw->secrets.v[p->secret].rule;

	if (!h->call)
		return "ended-call";
	if (h->call != s->call)
		return "other-call";
	if (s->gw->secrets.v[p->secret].revoked)
		return "revoked";
	if (!s->x->verdict.allowed || !authority_secret(s->call, rule, &s->x->target))
		return "target";
	if (!s->tls && !rule->insecure)
		return "plain-http";
	if (!(rule->inject & (uint32_t)place))
		return "place";
	return NULL;
}

/* 1: it is new, 0: it is not, -ENOSPC. */
static int note_use(struct secret_use *uses, size_t *n, size_t secret, enum inject_place place)
{
	for (size_t i = 0; i < *n; i++) {
		if (uses[i].secret == secret && uses[i].place == place)
			return 0;
	}
	if (*n == MAX_USES)
		return -ENOSPC;
	uses[(*n)++] = (struct secret_use){ .secret = secret, .place = place };
	return 1;
}

static bool decide(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	struct session *s = data;
	struct exchange *x = s->x;

	if (objection(s, p, place) || credentials_value(s, p->call, ret) < 0)
		return false;
	/* Each use is one record; no request needs more of them. */
	return note_use(x->uses, &x->n_uses, p->secret, place) >= 0;
}

static void record(struct session *s, const char *event, size_t secret, enum inject_place place, const char *reason)
{
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "name", s->gw->secrets.v[secret].rule->name);
	session_members(s, &members);
	json_member_string(&members, "where", s->x->tunnel && place == PLACE_BODY ? "message" : place_name(place));
	records_add(&s->gw->records, event, s->call, reason, &members);
}

static int misused(struct session *s, const struct placeholder *p, enum inject_place place)
{
	const char *reason = objection(s, p, place);

	/* Right in its place, if only there were a value. */
	if (!reason && (s->x->awaits || s->x->lacks))
		return s->x->awaits ? -EINPROGRESS : -ENOKEY;
	s->x->misuse = reason ? reason : "place";
	record(s, "secret.misuse", p->secret, place, s->x->misuse);
	/* What this request did not get is settled; a failure shows as the supervisor's end. */
	if (s->gw->secrets.v[p->secret].rule->on_misuse == MISUSE_KILL)
		control_kill_call(s->gw, s->call);
	return -EACCES;
}

static bool passes(void *data, const struct placeholder *p, enum inject_place place)
{
	struct session *s = data;

	if (s->gw->secrets.v[p->secret].rule->on_misuse != MISUSE_PASS || s->x->awaits || s->x->lacks)
		return false;
	int r = note_use(s->x->passed, &s->x->n_passed, p->secret, place);
	if (r > 0)
		record(s, "secret.misuse", p->secret, place, "passed");
	return r >= 0;
}

static int value(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	const struct http1_field *f = &h->fields[i];
	return inject_header(data, http1_text(h, f->name), f->name.len, http1_text(h, f->value), f->value.len, out);
}

/* The answer shall come in a coding that can be undone, to be searched. */
static int value_and_coding(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	struct http1_slice name = h->fields[i].name;

	int r = value(data, h, i, out);
	if (r == 0 && (http1_slice_is_nocase(h, name, "Grpc-Accept-Encoding") ||
		       http1_slice_is_nocase(h, name, "Connect-Accept-Encoding") || http1_slice_is_nocase(h, name, "A-IM"))) {
		r = buf_puts(out, "identity");
		return r < 0 ? r : 1;
	}
	if (r || !http1_slice_is_nocase(h, name, "Accept-Encoding"))
		return r;
	/* A part of something compressed has no beginning to start from. */
	r = buf_puts(out, ((struct session *)((struct inject *)data)->data)->x->range.form ? "identity" : "gzip");
	return r < 0 ? r : 1;
}

static bool any_placeholder(const struct session *s)
{
	return s->gw->secrets.table.n > 0;
}

static int check_method(struct inject *in, const struct http1_head *h)
{
	return h->method.len >= PLACEHOLDER_MIN ? inject_nothing(in, PLACE_PATH, http1_text(h, h->method), h->method.len) : 0;
}

/* out->path is the text to send when it is not the raw one: then what is not sent takes no value. */
static int write_path(struct inject *in, const struct http1_head *h, struct http1_request_out *out, struct buf *path)
{
	const char *text = out->path ? out->path : http1_text(h, h->path);
	size_t len = out->path ? out->path_len : h->path.len;

	int r = out->path ? inject_nothing(in, PLACE_PATH, http1_text(h, h->path), h->path.len) : 0;
	if (r == 0)
		r = inject_path(in, text, len, path);
	if (r <= 0)
		return r;
	out->path = (const char *)path->data;
	out->path_len = path->len;
	return 0;
}

static int write_query(struct inject *in, const struct http1_head *h, struct http1_request_out *out, struct buf *query)
{
	int r = h->has_query ? inject_query(in, http1_text(h, h->query), h->query.len, query) : 0;

	if (r <= 0)
		return r;
	out->query = (const char *)query->data;
	out->query_len = query->len;
	return 0;
}

static bool has_type(const struct http1_head *h, const char *type)
{
	size_t i = http1_find(h, "Content-Type", 0);
	struct http1_slice v = i < h->n_fields ? h->fields[i].value : (struct http1_slice){ 0 };
	size_t n = strlen(type);

	/* "+json" of application/problem+json, too. */
	const char *text = http1_text(h, v), *end = memchr(text, ';', v.len);
	size_t len = end ? (size_t)(end - text) : v.len;
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	return len >= n && strncasecmp(text + len - n, type, n) == 0;
}

static enum body_form body_form(const struct http1_head *h)
{
	if (has_type(h, "application/x-www-form-urlencoded"))
		return BODY_FORM;
	return has_type(h, "/json") || has_type(h, "+json") ? BODY_JSON : BODY_PLAIN;
}

/* Any secret that may stand in the body, and would change its length? */
static bool body_may_change_length(const struct session *s)
{
	bool changes = false;

	for (struct holder *h = s->call->holders; h && !changes; h = h->next) {
		const struct secret *secret = &s->gw->secrets.v[h->placeholder->secret];
		struct secret_value v = { .data = secret->value, .len = secret->len };
		struct placeholder_hit hit = { .form = PLACEHOLDER_RAW };
		struct buf text = { 0 };
		if (!(secret->rule->inject & INJECT_BODY) || secret->revoked || !secret_reaches(secret->rule, &s->x->target))
			continue;
		if (secret->issuer && issue_value(s->gw, h, &v) < 0)
			return true;
		changes = inject_body_value(body_form(&s->x->request), &hit, &v, &text) < 0 || text.len != h->placeholder->len;
		buf_wipe(&text);
	}
	return changes;
}

/* The head with the framing that the body will have; its text stays the original's. */
static struct http1_head framed(struct session *s)
{
	struct exchange *x = s->x;
	struct http1_head h = x->request;

	if (x->small_body.len)
		h.content_length = x->small_body.len;
	else if (!x->body_seen && h.framing == HTTP1_BODY_LENGTH && h.content_length && body_may_change_length(s))
		h.framing = HTTP1_BODY_CHUNKED;
	x->send_framing = h.framing;
	return h;
}

/* Parts of an answer that is searched are asked for with what may belong to a value at their ends. The field that does, or
 * NULL: there is none, or two that disagree. The clients of Azure have one of their own. */
static const char *wants_part(struct session *s)
{
	static const char *const names[] = { "Range", "x-ms-range" };
	struct exchange *x = s->x;
	const struct http1_head *h = &x->request;
	const char *name = NULL;
	unsigned n = 0;

	x->range = (struct range){ 0 };
	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		for (size_t i = http1_find(h, names[k], 0); i < h->n_fields; i = http1_find(h, names[k], i + 1)) {
			n++;
			if (range_parse(http1_text(h, h->fields[i].value), h->fields[i].value.len, &x->range))
				name = names[k];
		}
	}
	if (n != 1 || !name || !http1_slice_is(h, h->method, "GET")) {
		x->range.form = RANGE_NONE;
		return NULL;
	}
	x->range.margin = answer_margin(s);
	return name;
}

static int write_head(struct session *s, const struct http1_request_out *how)
{
	struct exchange *x = s->x;
	struct http1_request_out out = *how;
	struct inject in = { .table = &s->gw->secrets.table, .decide = decide, .passes = passes, .data = s };
	struct buf path = { 0 }, query = { 0 };
	char range[RANGE_TEXT_MAX];

	int r = check_method(&in, &x->request);
	if (r == 0)
		r = write_path(&in, &x->request, &out, &path);
	if (r == 0)
		r = write_query(&in, &x->request, &out, &query);
	/* Whole, too: of a value across the border of two parts neither could be found. */
	out.whole = answer_needs_scrub(s);
	out.range_name = out.whole ? wants_part(s) : NULL;
	if (out.range_name) {
		range_widened(&x->range, range);
		out.range = range;
	}
	out.value = out.whole ? value_and_coding : value;
	out.data = &in;
	if (r == 0) {
		const struct http1_head head = framed(s);
		r = http1_write_request(&x->head, &head, &out);
	}
	buf_wipe(&path);
	buf_wipe(&query);
	return r == -EACCES ? misused(s, in.misuse.placeholder, in.misuse_place) : r;
}

/* Before anything is sent for it, the signature is taken for a use of the key. */
static int sign_again(struct session *s, const struct http1_request_out *how)
{
	struct exchange *x = s->x;
	struct signing *signing;
	size_t key;

	int r = signing_begin(s, &signing, &key);
	if (r == -EACCES) {
		x->misuse = s->gw->secrets.v[key].revoked ? "revoked" : "target";
		record(s, "secret.misuse", key, PLACE_SIGV4, x->misuse);
		if (s->gw->secrets.v[key].rule->on_misuse == MISUSE_KILL)
			control_kill_call(s->gw, s->call);
	}
	if (r < 0)
		return r;
	r = write_head(s, how);
	if (r == 0 && signing)
		r = note_use(x->uses, &x->n_uses, key, PLACE_SIGV4) < 0 ? -ENOMEM : signing_end(s, signing);
	signing_free(signing);
	return r;
}

int credentials_write(struct session *s, const struct http1_request_out *how)
{
	struct exchange *x = s->x;

	x->send_framing = x->request.framing;
	tunnel_offer(s);
	int r = credentials_fetch(s);
	if (r < 0)
		return r;
	return any_placeholder(s) ? sign_again(s, how) : http1_write_request(&x->head, &x->request, how);
}

void credentials_record(struct session *s)
{
	for (size_t i = 0; i < s->x->n_uses; i++)
		record(s, "secret.use", s->x->uses[i].secret, s->x->uses[i].place, "rule");
}

static bool refuse_all(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	(void)data;
	(void)p;
	(void)place;
	(void)ret;
	return false;
}

bool credentials_leak(struct session *s)
{
	struct http1_head *h = &s->x->request;
	struct inject in = { .table = &s->gw->secrets.table, .decide = refuse_all };
	struct buf none = { 0 };

	if (!any_placeholder(s))
		return false;
	int r = check_method(&in, h);
	if (r == 0)
		r = inject_path(&in, http1_text(h, h->path), h->path.len, &none);
	if (r == 0 && h->has_query)
		r = inject_query(&in, http1_text(h, h->query), h->query.len, &none);
	for (size_t i = 0; i < h->n_fields && r == 0; i++)
		r = value(&in, h, i, &none);
	buf_free(&none);
	if (r != -EACCES)
		return false;
	misused(s, in.misuse.placeholder, in.misuse_place);
	return true;
}

int credentials_check(struct session *s, const uint8_t *data, size_t len)
{
	struct inject in = { .table = &s->gw->secrets.table, .passes = passes, .data = s };

	if (!any_placeholder(s))
		return 0;
	int r = inject_nothing(&in, PLACE_BODY, data, len);
	return r == -EACCES ? misused(s, in.misuse.placeholder, PLACE_BODY) : r;
}

/* Of base64 nobody knows what else its group holds. */
static int body_wanted(void *data, const struct placeholder_hit *hit)
{
	if (hit->form != PLACEHOLDER_BASE64 && !objection(data, hit->placeholder, PLACE_BODY))
		return 1;
	return passes(data, hit->placeholder, PLACE_BODY) ? 0 : misused(data, hit->placeholder, PLACE_BODY);
}

static int body_replace(void *data, const struct placeholder_hit *hit, struct buf *out)
{
	struct session *s = data;
	struct exchange *x = s->x;
	enum body_form form = x->tunnel ? x->message_form : body_form(&x->request);
	struct secret_value value;
	size_t uses = x->n_uses, before = out->len;

	if (!decide(s, hit->placeholder, PLACE_BODY, &value))
		return misused(s, hit->placeholder, PLACE_BODY);
	int r = inject_body_value(form, hit, &value, out);
	/* The length that was promised holds for the placeholder as it is, not for one with escapes. */
	if (r == 0 && !x->body_seen && x->send_framing == HTTP1_BODY_LENGTH && out->len - before != hit->end - hit->start)
		return misused(s, hit->placeholder, PLACE_BODY);
	if (r == 0 && (x->state == EXCHANGE_FORWARD || x->tunnel) && x->n_uses > uses)
		record(s, "secret.use", hit->placeholder->secret, PLACE_BODY, "rule");
	return r;
}

/* As rewrite_take(). */
static int take_body(struct session *s, const uint8_t *data, size_t len, bool last, struct buf *out)
{
	struct rewrite *body = &s->x->body;

	body->table = &s->gw->secrets.table;
	body->wanted = body_wanted;
	body->replace = body_replace;
	body->data = s;
	return rewrite_take(body, data, len, last, out);
}

static int rewrite_body(struct session *s, const uint8_t *data, size_t len, bool last, struct buf *out)
{
	int r = take_body(s, data, len, last, out);

	return r > 0 ? buf_append(out, data, len) : r;
}

int credentials_message(struct session *s, const uint8_t *data, size_t len, bool last, struct buf *out)
{
	int r = rewrite_body(s, data, len, last, out);

	if (last)
		rewrite_reset(&s->x->body);
	return r;
}

int credentials_small_body(struct session *s, const uint8_t *data, size_t len)
{
	int r = any_placeholder(s) ? take_body(s, data, len, true, &s->x->small_body) : 0;

	return r < 0 ? r : 0;
}

int credentials_stream_body(struct session *s, const uint8_t *data, size_t len, bool last, size_t *ret_clean)
{
	struct exchange *x = s->x;
	struct buf text = { 0 };
	int r;

	if (x->small_body.len) {
		x->held.secret = true;
		r = last ? iobuf_append(&x->held, x->small_body.data, x->small_body.len) : 0;
	} else if (!x->body_seen && any_placeholder(s)) {
		r = take_body(s, data, len, last, &text);
		x->held.secret |= x->n_uses > 0;
		if (r >= 0)
			r = r ? iobuf_append(&x->held, data, len) : iobuf_append(&x->held, text.data, text.len);
		buf_wipe(&text);
	} else {
		r = iobuf_append(&x->held, data, len);
	}
	*ret_clean = iobuf_len(&x->held);
	return r;
}
