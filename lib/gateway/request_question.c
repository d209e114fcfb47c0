/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the auditor is told about a request: names, never values (nsbox-auditor(7)). It is read from the head that is
 * parsed and written anew already, so what was shown is what is sent. Text that cannot be shown as it is, because it is
 * not UTF-8, is refused: two requests that look the same would get the same answer.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"

struct list {
	struct buf json;
	size_t n;
};

/* UTF-8 without NUL, which many readers of JSON refuse. */
static bool can_be_shown(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = json_plain(s + i, len - i);
		/* Not plain, but escaped one by one: ASCII controls, quotes, and the controls U+0080 to U+009F. */
		if (n == 0 && s[i] && (unsigned char)s[i] < 0x80)
			n = 1;
		else if (n == 0 && s[i] == '\xc2' && len - i > 1 && ((unsigned char)s[i + 1] & 0xe0) == 0x80)
			n = 2;
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

static int add_name(struct list *l, const char *name, size_t len)
{
	if (!can_be_shown(name, len))
		return -EILSEQ;
	if (l->n++ == QUESTION_NAMES_MAX)
		return -EMSGSIZE;
	int r = l->json.len > 1 ? buf_putc(&l->json, ',') : 0;
	return r < 0 ? r : json_text(&l->json, name, len);
}

/* Ends the list and adds it. */
static int add_list(struct buf *members, const char *key, struct list *l)
{
	int r = buf_putc(&l->json, ']');
	const char *text = r < 0 ? NULL : buf_str(&l->json);
	return text ? json_member_raw(members, key, text) : -ENOMEM;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1;
}

/* Percent-decoded, so that a name cannot hide behind another spelling. */
static int add_query_key(struct list *l, const char *raw, size_t len)
{
	char name[HTTP1_LINE_MAX];
	size_t n = 0;

	if (len > sizeof(name))
		return -EMSGSIZE;
	for (size_t i = 0; i < len; i++) {
		int high = i + 2 < len && raw[i] == '%' ? hex(raw[i + 1]) : -1;
		int low = high >= 0 ? hex(raw[i + 2]) : -1;
		name[n++] = low >= 0 ? (char)(high << 4 | low) : raw[i];
		i += low >= 0 ? 2 : 0;
	}
	return add_name(l, name, n);
}

/* Pieces end at '&'; some servers end them at ';' too, so a name behind one is shown as well. */
static int add_query_keys(struct buf *members, const char *query, size_t len)
{
	struct list l = { 0 };
	int r = buf_putc(&l.json, '[');

	for (size_t at = 0, end; at < len && r == 0; at = end + 1) {
		end = at;
		while (end < len && query[end] != '&' && query[end] != ';')
			end++;
		const char *equals = memchr(query + at, '=', end - at);
		bool rest_of_value = !equals && at > 0 && query[at - 1] == ';';
		if (end > at && !rest_of_value)
			r = add_query_key(&l, query + at, equals ? (size_t)(equals - query) - at : end - at);
	}
	if (r == 0)
		r = add_list(members, "query_keys", &l);
	buf_free(&l.json);
	return r;
}

/* Those that go on, in lower case; Host and the ones of the framing are written anew and told by other members. */
static int add_header_names(struct buf *members, const struct http1_head *h)
{
	struct list l = { 0 };
	int r = buf_putc(&l.json, '[');

	for (size_t i = 0; i < h->n_fields && r == 0; i++) {
		struct http1_slice name = h->fields[i].name;
		char text[1024];
		if (!http1_forwarded(h, i))
			continue;
		if (name.len > sizeof(text))
			r = -EMSGSIZE;
		for (size_t c = 0; r == 0 && c < name.len; c++)
			text[c] = (char)tolower((unsigned char)http1_text(h, name)[c]);
		if (r == 0)
			r = add_name(&l, text, name.len);
	}
	if (r == 0)
		r = add_list(members, "header_names", &l);
	buf_free(&l.json);
	return r;
}

static int add_secrets(struct buf *members, const struct session *s)
{
	const struct exchange *x = s->x;
	char *names[MAX_USES + 1] = { NULL };
	size_t n = 0;

	for (size_t i = 0; i < x->n_uses; i++) {
		size_t before = 0;
		while (before < i && x->uses[before].secret != x->uses[i].secret)
			before++;
		if (before == i)
			names[n++] = s->gw->secrets.v[x->uses[i].secret].rule->name;
	}
	return json_member_strv(members, "secrets", names);
}

/* The rule that would allow this very request. */
static int add_grant(struct buf *members, const struct session *s)
{
	const struct exchange *x = s->x;
	char host[INET_ADDRSTRLEN];
	_cleanup_buf_ struct buf rule = { 0 };

	int r = buf_printf(&rule, "%s %s://%s:%u", x->method, s->tls ? "https" : "http", session_host(s, host),
			   s->port);
	if (r == 0)
		r = request_encode_path(x->path, true, &rule);
	const char *text = r < 0 ? NULL : buf_str(&rule);
	return text ? question_grant(members, "allow", text) : -ENOMEM;
}

int request_question(const struct session *s, struct buf *members)
{
	const struct exchange *x = s->x;
	const struct http1_head *h = &x->request;
	int64_t length = h->framing == HTTP1_BODY_CHUNKED ? -1 :
			 h->framing == HTTP1_BODY_LENGTH  ? (int64_t)h->content_length : 0;

	if (!can_be_shown(x->path, strlen(x->path)))
		return -EILSEQ;
	int r = x->beyond_grant ? add_grant(members, s) : 0;
	if (r == 0)
		r = json_member_string(members, "method", x->method);
	if (r == 0)
		session_members(s, members);
	if (r == 0)
		r = json_member_string(members, "path", x->path);
	if (r == 0)
		r = add_query_keys(members, http1_text(h, h->query), h->has_query ? h->query.len : 0);
	if (r == 0)
		r = add_header_names(members, h);
	if (r == 0)
		r = json_member_int(members, "length", length);
	return r < 0 ? r : add_secrets(members, s);
}
