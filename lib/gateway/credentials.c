/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets into requests, and placeholders where they may not be. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/scrub_answer.h"

_Static_assert((int)PLACE_HEADER == (int)INJECT_HEADER && (int)PLACE_BASIC == (int)INJECT_BASIC &&
		       (int)PLACE_QUERY == (int)INJECT_QUERY,
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
	if (!s->x->verdict.allowed || !authority_secret(s->call, rule, &s->x->target))
		return "target";
	if (!s->tls && !rule->insecure)
		return "plain-http";
	if (!(rule->inject & (uint32_t)place))
		return "place";
	return NULL;
}

static bool decide(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	struct session *s = data;
	struct exchange *x = s->x;
	const struct secret *secret = &s->gw->secrets.v[p->secret];

	if (objection(s, p, place))
		return false;
	size_t i = 0;
	while (i < x->n_uses && (x->uses[i].secret != p->secret || x->uses[i].place != place))
		i++;
	if (i == x->n_uses) {
		/* Each use is one record; no request needs more of them. */
		if (i == MAX_USES)
			return false;
		x->uses[x->n_uses++] = (struct secret_use){ .secret = p->secret, .place = place };
	}
	*ret = (struct secret_value){ .data = secret->value, .len = secret->len };
	return true;
}

static void record(struct session *s, const char *event, size_t secret, enum inject_place place, const char *reason)
{
	_cleanup_buf_ struct buf members = { 0 };

	json_member_string(&members, "name", s->gw->secrets.v[secret].rule->name);
	session_members(s, &members);
	json_member_string(&members, "where", place_name(place));
	records_add(&s->gw->records, event, s->call, reason, &members);
}

static int misused(struct session *s, const struct placeholder *p, enum inject_place place)
{
	const char *reason = objection(s, p, place);

	s->x->misuse = reason ? reason : "place";
	record(s, "secret.misuse", p->secret, place, s->x->misuse);
	return -EACCES;
}

static int value(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	const struct http1_field *f = &h->fields[i];
	return inject_header(data, http1_text(h, f->name), f->name.len, http1_text(h, f->value), f->value.len, out);
}

/*
 * The answer shall come in a coding that can be undone, to be searched; of a part of a compressed body nothing could be
 * said at all.
 */
static int value_and_coding(void *data, const struct http1_head *h, size_t i, struct buf *out)
{
	int r = value(data, h, i, out);

	if (r || !http1_slice_is_nocase(h, h->fields[i].name, "Accept-Encoding"))
		return r;
	r = buf_puts(out, http1_find(h, "Range", 0) < h->n_fields ? "identity" : "gzip");
	return r < 0 ? r : 1;
}

static bool any_placeholder(const struct session *s)
{
	return s->gw->secrets.table.n > 0;
}

/* Path and method take no values. */
static int check_line(struct inject *in, const struct http1_head *h)
{
	int r = inject_nothing(in, PLACE_PATH, http1_text(h, h->path), h->path.len);
	if (r == 0 && h->method.len >= PLACEHOLDER_MIN)
		r = inject_nothing(in, PLACE_PATH, http1_text(h, h->method), h->method.len);
	return r;
}

int credentials_write(struct session *s, const struct http1_request_out *how)
{
	struct exchange *x = s->x;
	struct http1_request_out out = *how;
	struct inject in = { .table = &s->gw->secrets.table, .decide = decide, .data = s };
	struct buf query = { 0 };

	if (!any_placeholder(s))
		return http1_write_request(&x->head, &x->request, &out);
	int r = check_line(&in, &x->request);
	if (r == 0 && x->request.has_query) {
		r = inject_query(&in, http1_text(&x->request, x->request.query), x->request.query.len, &query);
		if (r > 0) {
			out.query = (const char *)query.data;
			out.query_len = query.len;
			r = 0;
		}
	}
	out.value = answer_needs_scrub(s) ? value_and_coding : value;
	out.data = &in;
	if (r == 0)
		r = http1_write_request(&x->head, &x->request, &out);
	buf_wipe(&query);
	return r == -EACCES ? misused(s, in.misuse.placeholder, in.misuse_place) : r;
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
	int r = check_line(&in, h);
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

struct own_search {
	const struct session *session;
	bool found;
};

static bool note_own(void *data, const struct placeholder *p, enum inject_place place, struct secret_value *ret)
{
	struct own_search *search = data;

	(void)place;
	(void)ret;
	const struct holder *h = p->call;
	search->found |= h->call == search->session->call;
	return false;
}

/* Headers whose whole purpose is to say who asks. */
static bool is_credential(const char *name, size_t len)
{
	static const char *const names[] = { "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key",
					     "apikey", "x-auth-token", "x-access-token", "private-token", "job-token",
					     "x-goog-api-key", "x-amz-security-token", "x-csrf-token", "x-session-token",
					     "x-vault-token", "x-github-token", "x-gitlab-token" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strlen(names[i]) == len && strncasecmp(name, names[i], len) == 0)
			return true;
	}
	return false;
}

bool credentials_foreign(struct session *s)
{
	const struct http1_head *h = &s->x->request;
	struct buf none = { 0 };
	bool foreign = false;

	for (size_t i = 0; i < h->n_fields && !foreign; i++) {
		const struct http1_field *f = &h->fields[i];
		struct own_search search = { .session = s };
		struct inject in = { .table = &s->gw->secrets.table, .decide = note_own, .data = &search };
		if (!is_credential(http1_text(h, f->name), f->name.len))
			continue;
		if (any_placeholder(s))
			value(&in, h, i, &none);
		foreign = !search.found;
	}
	buf_free(&none);
	return foreign;
}

int credentials_check_body(struct session *s, const uint8_t *data, size_t len)
{
	struct placeholder_hit hit;

	if (!any_placeholder(s))
		return 0;
	int r = placeholder_find(&s->gw->secrets.table, data, len, &hit);
	return r > 0 ? misused(s, hit.placeholder, PLACE_BODY) : r;
}

static int found(void *data, const struct placeholder_hit *hit)
{
	return misused(data, hit->placeholder, PLACE_BODY);
}

int credentials_stream_body(struct session *s, const uint8_t *data, size_t len, bool last, size_t *ret_clean)
{
	struct exchange *x = s->x;

	if (!x->body_seen && any_placeholder(s)) {
		int r = placeholder_scan_feed(&x->scan, &s->gw->secrets.table, data, len, found, s);
		if (r < 0)
			return r;
		uint64_t held = last ? 0 : placeholder_scan_held(&x->scan);
		r = iobuf_append(&x->held, data, len);
		*ret_clean = iobuf_len(&x->held) > held ? iobuf_len(&x->held) - (size_t)held : 0;
		return r;
	}
	int r = iobuf_append(&x->held, data, len);
	*ret_clean = iobuf_len(&x->held);
	return r;
}
