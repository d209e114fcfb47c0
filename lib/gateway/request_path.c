/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a request, between the form that rules are compared with and the one that is sent; and headers that
 * servers believe more than the request line. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "gateway/authority.h"
#include "gateway/exchange.h"
#include "gateway/gateway.h"

bool request_path_is_plain(const char *raw, size_t len, const char *canonical)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++, at++) {
		unsigned c = (unsigned char)raw[i];
		if (c == '%' && i + 2 < len) {
			char hex[3] = { raw[i + 1], raw[i + 2], '\0' };
			c = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		}
		if ((unsigned char)canonical[at] != c)
			return false;
	}
	return canonical[at] == '\0';
}

int request_encode_path(const char *path, bool in_rule, struct buf *out)
{
	/* What has a meaning in a rule comes last. */
	static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()+=:@/*,;";
	const size_t n_safe = strlen(all) - (in_rule ? 3 : 0);
	int r = 0;

	for (const char *p = path; *p && r == 0; p++)
		r = memchr(all, *p, n_safe) ? buf_putc(out, *p) : buf_printf(out, "%%%02X", (unsigned char)*p);
	return r;
}

/* Frameworks that send what a form or an old proxy cannot (Rails, ASP.NET, Google's interfaces), and IIS, Symfony and Zend
 * behind a proxy that rewrites (CVE-2018-14773). */
static const char *const METHOD_FIELDS[] = { "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override" };
static const char *const PATH_FIELDS[] = { "X-Original-URL", "X-Rewrite-URL" };

static bool is_one_of(const struct http1_head *h, struct http1_slice name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (http1_names_variable(h, name, list[i]))
			return true;
	}
	return false;
}

static bool other_method(const struct session *s, struct http1_slice value)
{
	const struct http1_head *h = &s->x->request;
	struct net_target t = s->x->target;
	struct net_verdict verdict;
	char method[HTTP1_METHOD_MAX + 1];

	if (value.len > HTTP1_METHOD_MAX)
		return true;
	memcpy(method, http1_text(h, value), value.len);
	method[value.len] = '\0';
	if (strcmp(method, t.method) == 0)
		return false;
	t.method = method;
	authority_decide(s->gw, s->call, &t, &verdict);
	return !verdict.allowed;
}

static bool other_path(const struct session *s, struct http1_slice value)
{
	const char *text = http1_text(&s->x->request, value), *query = memchr(text, '?', value.len);
	size_t len = query ? (size_t)(query - text) : value.len;
	_cleanup_free_ char *path = malloc(len + 1);

	/* The decided one is opaque where no rule names a path, and is compared as it came. */
	return !path || (path_canonical(text, len, path) < 0 && path_opaque(text, len, path) < 0) ||
	       strcmp(path, s->x->path) != 0;
}

bool request_is_overridden(const struct session *s)
{
	const struct http1_head *h = &s->x->request;

	for (size_t i = 0; i < h->n_fields; i++) {
		const struct http1_field *f = &h->fields[i];
		if (is_one_of(h, f->name, METHOD_FIELDS, ARRAY_LEN(METHOD_FIELDS)) && other_method(s, f->value))
			return true;
		if (is_one_of(h, f->name, PATH_FIELDS, ARRAY_LEN(PATH_FIELDS)) && other_path(s, f->value))
			return true;
	}
	return false;
}
