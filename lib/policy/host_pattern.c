/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts as rules name them: exact, *.suffix, *, address literals and ranges. */
#include <errno.h>
#include <string.h>

#include "policy/rule.h"

#define HOST_FORM "accepted: name.example, *.suffix.example, *, 192.0.2.1, [2001:db8::1]"

int host_explain(const char *s, size_t len, int r, struct error *e)
{
	int shown = len > 80 ? 80 : (int)len;

	if (r == -ELIBACC)
		return fail(e, ELIBACC, SANDBOX_STAGE_POLICY, NULL,
			    "the host '%.*s' is not ASCII and libidn2.so.0 is not installed to convert it: write its xn-- form",
			    shown, s);
	if (len == 0)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "the host is empty; " HOST_FORM);
	if (memchr(s, '*', len))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL,
			    "'%.*s': '*' stands alone or as the first label, as in *.example.com; " HOST_FORM, shown, s);
	if (memchr(s, '/', len))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL,
			    "'%.*s': a path needs a scheme, as in https://HOST/PATH, and a range a port, as in 10.0.0.0/8:5432",
			    shown, s);
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "'%.*s' is not a host; " HOST_FORM, shown, s);
}

static int set_name(struct host_pattern *h, enum host_kind kind, const char *name, struct error *e)
{
	h->kind = kind;
	h->name = strdup(name);
	return h->name ? 0 : fail_errno(e, ENOMEM, SANDBOX_STAGE_POLICY, NULL, "cannot store a host");
}

int host_pattern_parse(const char *s, size_t len, bool idna, struct host_pattern *ret, struct error *e)
{
	char name[256];

	*ret = (struct host_pattern){ 0 };
	if (len == 1 && s[0] == '*') {
		ret->kind = HOST_ANY;
		return 0;
	}
	bool suffix = len > 2 && s[0] == '*' && s[1] == '.';
	size_t skip = suffix ? 2 : 0;
	int r = host_canonical(s + skip, len - skip, idna, name);
	if (r < 0)
		return host_explain(s, len, r, e);
	if (!addr_from_text(name, &ret->addr)) {
		/* A suffix that leaves no room for a label would be an empty set. */
		if (suffix && strlen(name) > 251)
			return host_explain(s, len, -EINVAL, e);
		return set_name(ret, suffix ? HOST_SUFFIX : HOST_NAME, name, e);
	}
	if (suffix)
		return host_explain(s, len, -EINVAL, e);
	ret->kind = HOST_ADDR;
	ret->prefix = 128;
	ret->v4 = IN6_IS_ADDR_V4MAPPED(&ret->addr);
	return 0;
}

static bool has_suffix(const char *host, const char *suffix)
{
	size_t n = strlen(host), m = strlen(suffix);

	return n > m + 1 && host[n - m - 1] == '.' && memcmp(host + n - m, suffix, m) == 0;
}

bool host_pattern_matches(const struct host_pattern *h, const char *host, const struct in6_addr *addr)
{
	struct in6_addr literal;

	/* The name of a rule is no literal. */
	if (h->kind == HOST_NAME)
		return host && strcmp(host, h->name) == 0;
	if (host && addr_from_text(host, &literal)) {
		host = NULL;
		addr = &literal;
	}
	switch (h->kind) {
	case HOST_SUFFIX:
		return host && has_suffix(host, h->name);
	case HOST_ANY:
		return host != NULL;
	case HOST_NAME:
		break;
	case HOST_ADDR:
		return addr && !host && h->v4 == !!IN6_IS_ADDR_V4MAPPED(addr) &&
		       addr_in_prefix(addr, &h->addr, h->prefix);
	}
	return false;
}

bool host_pattern_is_subset(const struct host_pattern *a, const struct host_pattern *b)
{
	if (a->kind == HOST_ADDR || b->kind == HOST_ADDR)
		return a->kind == b->kind && a->v4 == b->v4 && a->prefix >= b->prefix &&
		       addr_in_prefix(&a->addr, &b->addr, b->prefix);
	if (b->kind == HOST_ANY)
		return true;
	if (a->kind == HOST_ANY)
		return false;
	if (b->kind == HOST_NAME)
		return a->kind == HOST_NAME && strcmp(a->name, b->name) == 0;
	return has_suffix(a->name, b->name) || (a->kind == HOST_SUFFIX && strcmp(a->name, b->name) == 0);
}

const struct host_pattern *host_pattern_intersect(const struct host_pattern *a, const struct host_pattern *b)
{
	if (host_pattern_is_subset(a, b))
		return a;
	return host_pattern_is_subset(b, a) ? b : NULL;
}

int host_pattern_copy(const struct host_pattern *from, struct host_pattern *ret)
{
	*ret = *from;
	if (from->name) {
		ret->name = strdup(from->name);
		if (!ret->name)
			return -ENOMEM;
	}
	return 0;
}

int host_pattern_text(const struct host_pattern *h, bool cidr, struct buf *out)
{
	char text[64];

	switch (h->kind) {
	case HOST_NAME:
		return buf_puts(out, h->name);
	case HOST_SUFFIX:
		return buf_printf(out, "*.%s", h->name);
	case HOST_ANY:
		return buf_putc(out, '*');
	case HOST_ADDR:
		break;
	}
	int r = addr_text(&h->addr, text);
	if (r < 0)
		return r;
	r = h->v4 ? buf_puts(out, text) : buf_printf(out, "[%s]", text);
	if (r == 0 && cidr)
		r = buf_printf(out, "/%u", h->v4 ? h->prefix - 96u : h->prefix);
	return r;
}
