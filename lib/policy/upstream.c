/* SPDX-License-Identifier: Apache-2.0 */
/* [network] client_cert and upstream_proxy: what the gateway shows of itself, and which way it takes to servers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/wire.h"
#include "policy/encode.h"
#include "policy/internal.h"

#define CERT_FORM "accepted: CERT KEY HOST, two files in PEM form without blanks in their names and one exact host"
#define PROXY_SCHEME "http://"
#define PROXY_FORM                                                                                                \
	"it is not shown, it may hold a password; accepted: http://HOST:PORT, or http://HOST:PORT SOURCE with "   \
	"SOURCE = env:VARIABLE, file:PATH or exec:COMMAND that gives USER:PASSWORD"

void client_certs_free(struct policy *p)
{
	for (size_t i = 0; i < p->n_client_certs; i++) {
		free(p->client_certs[i].cert);
		free(p->client_certs[i].key);
		free(p->client_certs[i].host);
		free(p->client_certs[i].origin);
	}
	free(p->client_certs);
}

const struct policy_client_cert *policy_client_certs(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_client_certs;
	return p->client_certs;
}

/* The last one given for a host counts. */
static struct policy_client_cert *cert_for(struct policy *p, const char *host, const char *origin, struct error *e)
{
	for (size_t i = 0; i < p->n_client_certs; i++) {
		if (strcmp(p->client_certs[i].host, host) == 0)
			return &p->client_certs[i];
	}
	return grow(&p->client_certs, &p->n_client_certs, sizeof(*p->client_certs), CLIENT_CERTS_MAX, "client_cert", origin,
		    e);
}

int set_client_cert(struct policy *p, const struct setting *s, struct error *e)
{
	_cleanup_free_ char *copy = strdup(s->value), *cert = NULL, *key = NULL;
	char *state = NULL, *words[4], host[256];

	if (!copy)
		return out_of_memory(e);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		words[i] = strtok_r(i ? NULL : copy, " \t", &state);
	if (!words[0] || !words[1] || !words[2] || words[3] ||
	    host_canonical(words[2], strlen(words[2]), true, host) < 0 || absolute_path(s->file_base, words[0], &cert) < 0 ||
	    absolute_path(s->file_base, words[1], &key) < 0)
		return bad_setting(s, e, EINVAL, CERT_FORM);
	struct policy_client_cert *c = cert_for(p, host, s->origin, e);
	if (!c)
		return -ENOMEM;
	int r = replace(&c->host, host, e);
	if (r == 0)
		r = replace(&c->cert, cert, e);
	if (r == 0)
		r = replace(&c->key, key, e);
	return r < 0 ? r : replace(&c->origin, s->origin, e);
}

static int check_file(const char *file, const char *what, const struct policy_client_cert *c, struct error *e)
{
	_cleanup_object_ struct object at = { 0 };
	struct error why;

	int r = resolve_path(file, &at, &why);
	if (r == 0 && !at.is_dir)
		return 0;
	return fail(e, r < 0 ? -r : EISDIR, SANDBOX_STAGE_POLICY, file, "%s: client_cert: %s: accepted: an existing file with "
		    "the %s in PEM form%s%s", c->origin, file, what, r < 0 ? ": " : "", r < 0 ? why.message : "");
}

int check_client_certs(const struct policy *p, struct error *e)
{
	int r = 0;

	for (size_t i = 0; i < p->n_client_certs && r == 0; i++) {
		r = check_file(p->client_certs[i].cert, "certificate", &p->client_certs[i], e);
		if (r == 0)
			r = check_file(p->client_certs[i].key, "private key", &p->client_certs[i], e);
	}
	return r;
}

int dump_client_certs(const struct policy *p, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < p->n_client_certs && r == 0; i++) {
		const struct policy_client_cert *c = &p->client_certs[i];
		_cleanup_buf_ struct buf b = { 0 };
		r = buf_printf(&b, "%s %s %s", c->cert, c->key, c->host);
		if (r == 0)
			r = buf_str(&b) ? dump_line(out, "client_cert", buf_str(&b), "shown to this server", c->origin) : -ENOMEM;
	}
	return r;
}

int put_client_certs(struct buf *out, const struct policy *p)
{
	int r = wire_put_u32(out, (uint32_t)p->n_client_certs);

	for (size_t i = 0; i < p->n_client_certs; i++) {
		PUT(r, wire_put_str(out, p->client_certs[i].cert));
		PUT(r, wire_put_str(out, p->client_certs[i].key));
		PUT(r, wire_put_str(out, p->client_certs[i].host));
		PUT(r, wire_put_str(out, p->client_certs[i].origin));
	}
	return r;
}

void get_client_certs(struct wire_reader *r, struct policy *p)
{
	uint32_t n = checked_count(r, CLIENT_CERTS_MAX, 16);

	p->client_certs = calloc(n ? n : 1, sizeof(*p->client_certs));
	r->bad = r->bad || !p->client_certs;
	for (uint32_t i = 0; i < n && !r->bad; i++) {
		struct policy_client_cert *c = &p->client_certs[p->n_client_certs++];
		c->cert = checked_path(r);
		c->key = checked_path(r);
		c->host = checked_host(r, false);
		c->origin = checked_text(r, ORIGIN_MAX);
		for (uint32_t k = 0; k < i && !r->bad; k++)
			r->bad = strcmp(p->client_certs[k].host, c->host) == 0;
	}
}

void upstream_proxy_done(struct policy_upstream_proxy *proxy)
{
	free(proxy->host);
	free(proxy->source_arg);
	free(proxy->origin);
}

const struct policy_upstream_proxy *policy_upstream_proxy(const struct policy *p)
{
	return p->proxy.host ? &p->proxy : NULL;
}

/* env:VARIABLE, file:PATH or exec:COMMAND with USER:PASSWORD. */
static int parse_source(const struct setting *s, const char *text, struct policy_upstream_proxy *to)
{
	if (strncmp(text, "env:", 4) == 0 && variable_name_valid(text + 4, strlen(text + 4))) {
		to->source = SOURCE_ENV;
		to->source_arg = strdup(text + 4);
		return to->source_arg ? 0 : -ENOMEM;
	}
	if (strncmp(text, "exec:", 5) == 0 && text[5]) {
		to->source = SOURCE_EXEC;
		to->source_arg = strdup(text + 5);
		return to->source_arg ? 0 : -ENOMEM;
	}
	to->source = SOURCE_FILE;
	return strncmp(text, "file:", 5) == 0 && text[5] ? absolute_path(s->file_base, text + 5, &to->source_arg) : -EINVAL;
}

/* The last one given counts, with its source or without one. */
int set_upstream_proxy(struct policy *p, const struct setting *s, struct error *e)
{
	struct policy_upstream_proxy proxy = { .origin = strdup(s->origin) };
	const char *at = s->value + strlen(PROXY_SCHEME), *end;
	char host[256];

	if (!proxy.origin)
		return out_of_memory(e);
	ssize_t n = -EINVAL;
	if (strncmp(s->value, PROXY_SCHEME, strlen(PROXY_SCHEME)) == 0)
		n = host_and_port(at, strcspn(at, " \t/@"), host, &proxy.port);
	end = n > 0 ? at + n : "";
	if (*end == '/')
		end++;
	const char *source = end + strspn(end, " \t");
	int r = n > 0 && (*source == '\0' || source > end) ? 0 : -EINVAL;
	if (r == 0 && *source)
		r = parse_source(s, source, &proxy);
	if (r == 0 && !(proxy.host = strdup(host)))
		r = -ENOMEM;
	if (r < 0) {
		upstream_proxy_done(&proxy);
		return r == -ENOMEM ? out_of_memory(e) : bad_setting(s, e, EINVAL, PROXY_FORM);
	}
	upstream_proxy_done(&p->proxy);
	p->proxy = proxy;
	return 0;
}

int check_upstream_proxy(const struct policy *p, struct error *e)
{
	const struct policy_upstream_proxy *x = &p->proxy;

	for (size_t i = 0; i < p->n_envs && x->source_arg && x->source == SOURCE_ENV; i++) {
		if (!p->envs[i].value && strcmp(p->envs[i].name, x->source_arg) == 0)
			return fail(e, EINVAL, SANDBOX_STAGE_POLICY, p->envs[i].name,
				    "%s: the variable %s belongs to upstream_proxy (%s): its value must not enter the sandbox",
				    p->envs[i].origin, p->envs[i].name, x->origin);
	}
	return 0;
}

int dump_upstream_proxy(const struct policy *p, struct buf *out)
{
	static const char *const kinds[] = { [SOURCE_ENV] = "env", [SOURCE_FILE] = "file", [SOURCE_EXEC] = "exec" };
	const struct policy_upstream_proxy *x = &p->proxy;
	_cleanup_buf_ struct buf b = { 0 };
	bool v6 = x->host && strchr(x->host, ':');

	if (!x->host)
		return 0;
	int r = buf_printf(&b, PROXY_SCHEME "%s%s%s:%u", v6 ? "[" : "", x->host, v6 ? "]" : "", x->port);
	if (r == 0 && x->source_arg)
		r = buf_printf(&b, " %s:%s", kinds[x->source], x->source_arg);
	if (r < 0 || !buf_str(&b))
		return -ENOMEM;
	return dump_line(out, "upstream_proxy", buf_str(&b), "the way to all servers", x->origin);
}

int put_upstream_proxy(struct buf *out, const struct policy *p)
{
	const struct policy_upstream_proxy *x = &p->proxy;
	int r = wire_put_str(out, x->host ? x->host : "");

	if (!x->host)
		return r;
	PUT(r, wire_put_u32(out, x->port));
	PUT(r, wire_put_u8(out, (uint8_t)x->source));
	PUT(r, wire_put_str(out, x->source_arg ? x->source_arg : ""));
	PUT(r, wire_put_str(out, x->origin));
	return r;
}

void get_upstream_proxy(struct wire_reader *r, struct policy *p)
{
	struct policy_upstream_proxy *x = &p->proxy;

	x->host = checked_host(r, true);
	if (!x->host)
		return;
	x->port = checked_port(r);
	uint8_t source = wire_get_u8(r);
	x->source = (enum secret_source)source;
	x->source_arg = checked_optional(r, VALUE_MAX);
	x->origin = checked_text(r, ORIGIN_MAX);
	r->bad = r->bad || (source != SOURCE_ENV && source != SOURCE_FILE && source != SOURCE_EXEC);
}
