/* SPDX-License-Identifier: Apache-2.0 */
/* Whether one request is in the set of one rule, and a rule's canonical text. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "policy/rule.h"

/* CONNECT and TRACE are never forwarded, so no rule can name them. Order = order in canonical text. */
static const char *const methods[] = {
	"GET",	    "HEAD",  "POST", "PUT",  "PATCH", "DELETE", "OPTIONS", "QUERY",  "PROPFIND", "PROPPATCH",
	"MKCOL",    "COPY",  "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH",  "MKCALENDAR", "ACL", "CHECKOUT",
	"MKACTIVITY", "MERGE", "PURGE", "BIND", "UNBIND", "REBIND",
};

uint32_t rule_method_bit(const char *method, bool fold)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (fold ? strcasecmp(method, methods[i]) == 0 : strcmp(method, methods[i]) == 0)
			return 1u << i;
	}
	return 1u << 31;
}

void rule_free(struct rule *r)
{
	if (!r)
		return;
	free(r->host.name);
	for (size_t i = 0; i < r->n_paths; i++)
		free(r->paths[i]);
	free(r->paths);
	free(r);
}

void rule_freep(struct rule **r)
{
	rule_free(*r);
}

bool rule_is_unrestricted(const struct rule *r)
{
	return r->methods == RULE_METHODS_ANY && r->n_paths == 0;
}

bool rule_matches_endpoint(const struct rule *r, const struct net_target *t)
{
	const struct port_range *p = &r->ports[t->proto];

	return p->lo && t->port >= p->lo && t->port <= p->hi && host_pattern_matches(&r->host, t->host, t->addr);
}

bool rule_matches(const struct rule *r, const struct net_target *t)
{
	/* A denial is read widely, because a server behind may be lax where we are exact. */
	bool deny = r->kind == RULE_DENY;

	if (!rule_matches_endpoint(r, t))
		return false;
	if (t->proto != PROTO_HTTP && t->proto != PROTO_HTTPS)
		return true;
	if (r->methods != RULE_METHODS_ANY &&
	    (t->method ? !(r->methods & rule_method_bit(t->method, deny)) : !deny))
		return false;
	for (size_t i = 0; i < r->n_paths; i++) {
		if (t->path ? !path_pattern_matches(r->paths[i], t->path, deny) : !deny)
			return false;
	}
	return true;
}

static int methods_text(uint32_t bits, struct buf *out)
{
	int r = 0;
	const char *sep = "";

	for (size_t i = 0; i < ARRAY_LEN(methods) && r == 0; i++) {
		if (bits >> i & 1) {
			r = buf_printf(out, "%s%s", sep, methods[i]);
			sep = ",";
		}
	}
	return r < 0 ? r : buf_putc(out, ' ');
}

static bool one_port(const struct port_range *p, uint16_t port)
{
	return p->lo == port && p->hi == port;
}

static int target_text(const struct rule *r, struct buf *out)
{
	const struct port_range *p = r->ports;
	const char *scheme = "";
	uint16_t port = 0, usual = 0;
	bool cidr = r->host.kind == HOST_ADDR && r->host.prefix != 128;

	if (r->kind == RULE_PASSTHROUGH) {
		port = p[PROTO_PASSTHROUGH].lo;
		usual = 443;
	} else if (p[PROTO_HTTP].lo && p[PROTO_HTTPS].lo) {
		/* Both: HOST or HOST:PORT. */
		port = p[PROTO_HTTP].lo == p[PROTO_HTTPS].lo && p[PROTO_HTTP].lo == p[PROTO_HTTP].hi ? p[PROTO_HTTP].lo : 0;
	} else if (p[PROTO_HTTP].lo) {
		scheme = "http://";
		port = p[PROTO_HTTP].lo;
		usual = 80;
	} else if (p[PROTO_HTTPS].lo) {
		scheme = "https://";
		port = p[PROTO_HTTPS].lo;
		usual = 443;
	} else {
		scheme = cidr ? "" : "tcp://";
		port = one_port(&p[PROTO_TCP], p[PROTO_TCP].lo) ? p[PROTO_TCP].lo : 0;
	}
	int ret = buf_puts(out, scheme);
	if (ret == 0)
		ret = host_pattern_text(&r->host, cidr, out);
	if (ret == 0 && port && port != usual)
		ret = buf_printf(out, ":%u", port);
	return ret;
}

int rule_text(const struct rule *r, struct buf *out)
{
	int ret = r->methods == RULE_METHODS_ANY ? 0 : methods_text(r->methods, out);

	if (ret == 0)
		ret = target_text(r, out);
	for (size_t i = 0; i < r->n_paths && ret == 0; i++) {
		ret = i ? buf_puts(out, " & ") : 0;
		if (ret == 0)
			ret = path_pattern_text(r->paths[i], out);
	}
	return ret;
}
