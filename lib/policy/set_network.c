/* SPDX-License-Identifier: Apache-2.0 */
/* [network]: mode, rules, and what the gateway dials and trusts instead. */
#include <errno.h>
#include <string.h>

#include "policy/internal.h"

int add_net_rule(struct net_rules *to, struct rule *rule, bool allow_private, const char *origin, struct error *e)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct net_rule *net;

	if (rule_text(rule, &text) < 0 || !buf_str(&text)) {
		rule_free(rule);
		return out_of_memory(e);
	}
	net = grow(&to->rule, &to->n, sizeof(*net), RULES_MAX, "rules", origin, e);
	if (!net) {
		rule_free(rule);
		return -e->err;
	}
	*net = (struct net_rule){ rule, strdup(buf_str(&text)), strdup(origin), allow_private };
	return net->text && net->origin ? 0 : out_of_memory(e);
}

static int set_rule(struct policy *p, const struct setting *s, struct error *e)
{
	bool deny = strcmp(s->key, "deny") == 0;
	enum rule_kind kind = deny ? RULE_DENY : strcmp(s->key, "passthrough") == 0 ? RULE_PASSTHROUGH : RULE_ALLOW;
	struct rule *rule;
	struct error why;

	int r = rule_parse(s->value, kind, true, &rule, &why);
	if (r < 0)
		return bad_setting_why(s, e, -r, &why);
	if (kind == RULE_ALLOW && rule->host.kind == HOST_ANY)
		warn(p, "%s: %s allows every public host", s->origin, s->value);
	else if (kind == RULE_PASSTHROUGH && rule->host.kind == HOST_ANY)
		warn(p, "%s: %s passes every TLS connection on unopened", s->origin, s->value);
	else if (!deny && rule->host.kind == HOST_SUFFIX && !strchr(rule->host.name, '.'))
		warn(p, "%s: %s allows every name of a top-level domain", s->origin, s->value);
	else if (!deny && rule->host.kind == HOST_NAME && !strchr(rule->host.name, '.'))
		warn(p, "%s: %s can never match: names of one label are not resolved inside", s->origin, s->value);
	struct net_rules *to = deny ? &p->deny : &p->allow;
	r = add_net_rule(to, rule, strcmp(s->key, "allow_private") == 0, s->origin, e);
	if (r == 0)
		to->rule[to->n - 1].optional = s->from == FROM_BUILTIN;
	return r;
}

static int parse_port(const char *s, size_t len, uint16_t *ret)
{
	unsigned v;

	int r = parse_number(s, len, 65535, &v);
	if (r < 0 || v == 0)
		return -EINVAL;
	*ret = (uint16_t)v;
	return 0;
}

ssize_t host_and_port(const char *s, size_t len, char host[256], uint16_t *port)
{
	const char *close = len && s[0] == '[' ? memchr(s, ']', len) : s;
	if (!close)
		return -EINVAL;
	const char *colon = memchr(close, ':', len - (size_t)(close - s));
	if (!colon)
		return -EINVAL;
	const char *end = memchr(colon + 1, ':', len - (size_t)(colon + 1 - s));
	if (!end)
		end = s + len;
	int r = host_canonical(s, (size_t)(colon - s), true, host);
	if (r < 0)
		return r;
	r = parse_port(colon + 1, (size_t)(end - colon - 1), port);
	return r < 0 ? r : end - s;
}

static int set_connect_to(struct policy *p, const struct setting *s, struct error *e)
{
	char host[256], addr[256];
	uint16_t port, addr_port;
	size_t len = strlen(s->value);

	ssize_t n = host_and_port(s->value, len, host, &port);
	ssize_t m = -EINVAL;
	if (n > 0 && s->value[n] == ':')
		m = host_and_port(s->value + n + 1, len - (size_t)n - 1, addr, &addr_port);
	if (m < 0 || (size_t)n + 1 + (size_t)m != len)
		return bad_setting(s, e, EINVAL,
				   "accepted: HOST:PORT:ADDR:PORT, an IPv6 address in brackets, ports from 1 to 65535");
	struct policy_connect_to *c = NULL;
	for (size_t i = 0; i < p->n_connect_tos && !c; i++) {
		if (p->connect_tos[i].port == port && strcmp(p->connect_tos[i].host, host) == 0)
			c = &p->connect_tos[i];
	}
	if (!c)
		c = grow(&p->connect_tos, &p->n_connect_tos, sizeof(*c), ENTRIES_MAX, "connect_to", s->origin, e);
	if (!c)
		return -e->err;
	/* The last one given counts. */
	c->port = port;
	c->addr_port = addr_port;
	int r = replace(&c->host, host, e);
	if (r == 0)
		r = replace(&c->addr, addr, e);
	return r < 0 ? r : replace(&c->origin, s->origin, e);
}

/* FILE HOST (policy file) or FILE@HOST (flag); HOST optional. */
static int set_upstream_ca(struct policy *p, const struct setting *s, struct error *e)
{
	_cleanup_free_ char *file = strdup(s->value), *path = NULL;
	char host[256] = "";

	if (!file)
		return out_of_memory(e);
	char *sep = strrchr(file, ' ');
	char *at = strrchr(file, '@');
	if (!sep || (at && at > sep))
		sep = at;
	if (sep && !strchr(sep, '/')) {
		int r = host_canonical(sep + 1, strlen(sep + 1), true, host);
		if (r < 0)
			return bad_setting(s, e, EINVAL, "accepted: FILE, or FILE HOST with one exact host");
		while (sep > file && sep[-1] == ' ')
			sep--;
		*sep = '\0';
	}
	if (file[0] == '\0' || absolute_path(s->file_base, file, &path) < 0)
		return bad_setting(s, e, EINVAL, "accepted: FILE, or FILE HOST with one exact host");
	struct policy_upstream_ca *ca = grow(&p->cas, &p->n_cas, sizeof(*ca), ENTRIES_MAX, "upstream_ca", s->origin, e);
	if (!ca)
		return -e->err;
	*ca = (struct policy_upstream_ca){ TAKE_PTR(path), host[0] ? strdup(host) : NULL, strdup(s->origin) };
	return ca->origin && (ca->host || !host[0]) ? 0 : out_of_memory(e);
}

int set_network(struct policy *p, const struct setting *s, struct error *e)
{
	static const char *const modes[] = { "gateway", "none", "host" };

	if (strcmp(s->key, "connect_to") == 0)
		return set_connect_to(p, s, e);
	if (strcmp(s->key, "upstream_ca") == 0)
		return set_upstream_ca(p, s, e);
	if (strcmp(s->key, "client_cert") == 0)
		return set_client_cert(p, s, e);
	if (strcmp(s->key, "upstream_proxy") == 0)
		return set_upstream_proxy(p, s, e);
	if (strcmp(s->key, "registries") == 0)
		return each_in_list(s, e, add_registry, p);
	if (strcmp(s->key, "mode") != 0)
		return set_rule(p, s, e);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (strcmp(s->value, modes[i]) == 0) {
			p->mode = (enum net_mode)i;
			return replace(&p->mode_origin, s->origin, e);
		}
	}
	return bad_setting(s, e, EINVAL, "accepted: gateway, none, host");
}
