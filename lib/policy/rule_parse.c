/* SPDX-License-Identifier: Apache-2.0 */
/* RULE = [METHOD[,METHOD] ] TARGET to a struct rule. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "policy/rule.h"

#define RULE_FORM                                                                                             \
	"accepted: [METHOD[,METHOD] ]TARGET with TARGET = HOST[:PORT], http(s)://HOST[:PORT][/PATH], " \
	"tcp://HOST:PORT or CIDR:PORT"

static int bad(struct error *e, const char *what)
{
	return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "%s; " RULE_FORM, what);
}

static int parse_methods(const char *s, size_t len, uint32_t *ret, struct error *e)
{
	*ret = 0;
	for (size_t i = 0; i <= len;) {
		size_t n = 0;
		while (i + n < len && s[i + n] != ',')
			n++;
		char name[24] = "";
		if (n > 0 && n < sizeof(name))
			memcpy(name, s + i, n);
		uint32_t bit = rule_method_bit(name, false);
		if (bit == 1u << 31)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL,
				    "unknown method '%.*s'%s; " RULE_FORM, n > 40 ? 40 : (int)n, s + i,
				    rule_method_bit(name, true) != 1u << 31 ? " (methods are upper case)" : "");
		*ret |= bit;
		i += n + 1;
	}
	return 0;
}

int parse_number(const char *s, size_t len, unsigned max, unsigned *ret)
{
	unsigned v = 0;

	if (len == 0 || len > 5)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	*ret = v;
	return v <= max ? 0 : -EINVAL;
}

struct target {
	const char *scheme; /* "http", "https", "tcp", or NULL */
	const char *host, *port, *path;
	size_t host_len, port_len, path_len;
	int prefix; /* of a CIDR, or -1 */
};

/* HOST[:PORT] of n bytes. [IPv6] keeps its brackets, [IPv6]/N and [IPv6/N] are ranges. */
static int split_authority(struct target *t, const char *s, size_t n, struct error *e)
{
	const char *end = s + n, *host_end;

	t->host = s;
	if (n && s[0] == '[') {
		host_end = memchr(s, ']', n);
		if (!host_end)
			return bad(e, "'[' without ']'");
		host_end++;
	} else {
		host_end = memchr(s, ':', n);
		if (!host_end)
			host_end = end;
		else if (memchr(host_end + 1, ':', (size_t)(end - host_end - 1)))
			return bad(e, "an IPv6 address is written in brackets, as in [2001:db8::1]:443");
	}
	if (s[0] == '[' && host_end < end && *host_end == '/') {
		const char *colon = memchr(host_end, ':', (size_t)(end - host_end));
		host_end = colon ? colon : end;
	}
	t->host_len = (size_t)(host_end - s);
	if (host_end < end) {
		if (*host_end != ':')
			return bad(e, "only ':PORT' may follow the host");
		t->port = host_end + 1;
		t->port_len = (size_t)(end - t->port);
	}
	return 0;
}

static int split_target(struct target *t, const char *s, struct error *e)
{
	static const char *const schemes[] = { "http", "https", "tcp" };

	*t = (struct target){ .prefix = -1 };
	const char *sep = strstr(s, "://");
	if (!sep)
		return split_authority(t, s, strlen(s), e);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if ((size_t)(sep - s) == strlen(schemes[i]) && memcmp(s, schemes[i], (size_t)(sep - s)) == 0)
			t->scheme = schemes[i];
	}
	if (!t->scheme)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "unknown scheme '%.*s'; " RULE_FORM,
			    sep - s > 40 ? 40 : (int)(sep - s), s);
	s = sep + 3;
	size_t n = strcspn(s, "/?#");
	if (s[n]) {
		t->path = s + n;
		t->path_len = strlen(t->path);
	}
	return split_authority(t, s, n, e);
}

/* "/N" behind an address, in or behind the brackets. */
static int take_prefix(struct target *t, struct host_pattern *host, struct error *e)
{
	char text[80];
	unsigned n;

	const char *slash = memchr(t->host, '/', t->host_len);
	if (!slash || t->host_len >= sizeof(text))
		return 0;
	size_t len = 0, digits = 0;
	char number[8] = "";
	for (size_t i = 0; i < t->host_len; i++) {
		char c = t->host[i];
		if (&t->host[i] <= slash || c == ']') {
			if (c != '/')
				text[len++] = c;
		} else if (digits < sizeof(number) - 1) {
			number[digits++] = c;
		}
	}
	struct error ignored;
	if (host_pattern_parse(text, len, false, host, &ignored) < 0 || host->kind != HOST_ADDR) {
		free(host->name);
		*host = (struct host_pattern){ 0 };
		return host_explain(t->host, t->host_len, -EINVAL, e);
	}
	if (parse_number(number, digits, host->v4 ? 32 : 128, &n) < 0)
		return bad(e, "a range is ADDRESS/N with N up to 32 (IPv4) or 128 (IPv6)");
	host->prefix = (uint8_t)(host->v4 ? 96 + n : n);
	struct in6_addr masked = host->addr;
	addr_mask(&masked, host->prefix);
	if (memcmp(&masked, &host->addr, sizeof(masked)) != 0) {
		addr_text(&masked, text);
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "the range has bits beyond /%u: write %s/%u", n, text, n);
	}
	/* Half of this one is the mapped addresses, which belong to IPv4: one set, one form. */
	if (!host->v4 && host->prefix == 95 && masked.s6_addr[11] == 0xfe && masked.s6_addr[10] == 0xff) {
		static const uint8_t zero[10];
		if (memcmp(&masked, zero, sizeof(zero)) == 0)
			host->prefix = 96;
	}
	t->prefix = (int)n;
	return 0;
}

static void set_ports(struct rule *r, enum net_proto proto, unsigned lo, unsigned hi)
{
	r->ports[proto] = (struct port_range){ (uint16_t)lo, (uint16_t)hi };
}

static int set_endpoints(struct rule *r, const struct target *t, unsigned port, struct error *e)
{
	bool deny = r->kind == RULE_DENY, restricted = !rule_is_unrestricted(r);
	unsigned lo = port ? port : 1, hi = port ? port : 65535;

	if (r->kind == RULE_PASSTHROUGH) {
		if (t->scheme || restricted || t->prefix >= 0 || r->host.kind == HOST_ADDR)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL,
				    "accepted: HOST[:PORT], a name, without scheme, method and path");
		set_ports(r, PROTO_PASSTHROUGH, port ? port : 443, port ? port : 443);
	} else if (t->prefix >= 0 || (t->scheme && strcmp(t->scheme, "tcp") == 0)) {
		if (restricted || t->path)
			return bad(e, "methods and paths are for HTTP only");
		if (r->kind == RULE_SECRET)
			return bad(e, "a secret goes only to http(s) targets");
		if (!port && !(deny && t->prefix >= 0))
			return bad(e, t->prefix >= 0 ? "a range needs a port, as in 10.0.0.0/8:5432" : "tcp:// needs a port");
		for (int p = 0; deny && !t->scheme && p < PROTO_COUNT; p++)
			set_ports(r, (enum net_proto)p, lo, hi);
		set_ports(r, PROTO_TCP, lo, hi);
	} else if (t->scheme && strcmp(t->scheme, "http") == 0) {
		set_ports(r, PROTO_HTTP, port ? port : 80, port ? port : 80);
	} else if (t->scheme) {
		set_ports(r, PROTO_HTTPS, port ? port : 443, port ? port : 443);
		if (deny && !restricted)
			r->ports[PROTO_PASSTHROUGH] = r->ports[PROTO_HTTPS];
	} else if (deny) {
		for (int p = 0; p < PROTO_COUNT; p++) {
			if (!restricted || p == PROTO_HTTP || p == PROTO_HTTPS)
				set_ports(r, (enum net_proto)p, lo, hi);
		}
	} else {
		set_ports(r, PROTO_HTTP, port ? port : 80, port ? port : 80);
		set_ports(r, PROTO_HTTPS, port ? port : 443, port ? port : 443);
	}
	return 0;
}

static int parse_path(struct rule *r, const struct target *t, struct error *e)
{
	if (!t->path)
		return 0;
	r->paths = calloc(1, sizeof(*r->paths));
	if (!r->paths)
		return fail_errno(e, ENOMEM, SANDBOX_STAGE_POLICY, NULL, "cannot store a rule");
	int ret = path_pattern_parse(t->path, t->path_len, &r->paths[0], e);
	if (ret < 0)
		return ret;
	if (r->kind == RULE_DENY)
		path_pattern_fold(r->paths[0]);
	r->n_paths = 1;
	/* "/" and "**" below it is every path: the same set as none. */
	if (r->paths[0]->n == 2 && r->paths[0]->token[0] == TOKEN_DEEP) {
		free(r->paths[0]);
		r->n_paths = 0;
	}
	return 0;
}

int rule_parse(const char *text, enum rule_kind kind, bool idna, struct rule **ret, struct error *e)
{
	_cleanup_(rule_freep) struct rule *r = calloc(1, sizeof(*r));
	struct target t;
	unsigned port = 0;
	int err;

	if (!r)
		return fail_errno(e, ENOMEM, SANDBOX_STAGE_POLICY, NULL, "cannot store a rule");
	if (strlen(text) > RULE_TEXT_MAX)
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "the rule is over %d bytes", RULE_TEXT_MAX);
	r->kind = kind;
	r->methods = RULE_METHODS_ANY;
	const char *space = strchr(text, ' ');
	if (space) {
		if (kind == RULE_SECRET || kind == RULE_PASSTHROUGH)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "methods are not accepted here, only a target");
		err = parse_methods(text, (size_t)(space - text), &r->methods, e);
		if (err < 0)
			return err;
		text = space + strspn(space, " ");
	}
	if (strchr(text, ' '))
		return bad(e, "only one space, between methods and target");

	err = split_target(&t, text, e);
	if (err == 0 && !t.scheme)
		err = take_prefix(&t, &r->host, e);
	if (err == 0 && t.prefix < 0)
		err = host_pattern_parse(t.host, t.host_len, idna, &r->host, e);
	if (err < 0)
		return err;
	if (t.port && (parse_number(t.port, t.port_len, 65535, &port) < 0 || port == 0))
		return fail(e, EINVAL, SANDBOX_STAGE_POLICY, NULL, "port '%.*s' is not a number from 1 to 65535; " RULE_FORM,
			    t.port_len > 40 ? 40 : (int)t.port_len, t.port);
	if (kind == RULE_SECRET && r->host.kind == HOST_ANY)
		return bad(e, "a secret needs named hosts, not '*'");
	if (!t.scheme || strcmp(t.scheme, "tcp") != 0)
		err = parse_path(r, &t, e);
	if (err == 0)
		err = set_endpoints(r, &t, port, e);
	if (err < 0)
		return err;
	*ret = TAKE_PTR(r);
	return 0;
}
