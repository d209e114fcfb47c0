/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effective policy as a policy file: fixed order, canonical values, and on each line why it is there and where it
 * was written. Loading it again gives the same policy, or less, or is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

#define LINE_BYTES_MAX 199

/* Comment lines of at most 199 bytes; bytes that no policy file may hold become '?'. */
int dump_comment(struct buf *out, const char *text)
{
	int r = 0;

	do {
		size_t n = strnlen(text, LINE_BYTES_MAX - 2);
		r = buf_puts(out, "; ");
		for (size_t i = 0; i < n && r == 0; i++) {
			unsigned char c = (unsigned char)text[i];
			r = buf_putc(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
		}
		if (r == 0)
			r = buf_putc(out, '\n');
		text += n;
	} while (*text && r == 0);
	return r;
}

/* What the reader would not give back: too long, a comment inside, blanks that it strips, control bytes. */
static bool representable(const char *key, const char *value)
{
	size_t n = strlen(value);

	if (strlen(key) + 3 + n > LINE_BYTES_MAX || n == 0 || value[0] == ' ' || value[n - 1] == ' ' || value[0] == ';' ||
	    strstr(value, " ;"))
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return false;
	}
	return true;
}

/* Without this line the policy gives less, and no more; or it comes by itself again. */
static bool may_miss(const char *key, const char *origin)
{
	static const char *const keys[] = { "allow", "allow_private", "passthrough", "set", "pass" };

	if (!origin || !*origin || strcmp(origin, "default") == 0 || strcmp(origin, "credentials") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strcmp(key, keys[i]) == 0)
			return true;
	}
	return false;
}

int dump_line(struct buf *out, const char *key, const char *value, const char *reason, const char *origin)
{
	char comment[ORIGIN_MAX + 64];

	snprintf(comment, sizeof(comment), "%s/%s", reason, origin && *origin ? origin : "default");
	if (!representable(key, value)) {
		_cleanup_free_ char *line = NULL;
		if (asprintf(&line, "cannot stand in a policy file: %s = %s", key, value) < 0) {
			line = NULL;
			return -ENOMEM;
		}
		int r = dump_comment(out, line);
		if (r == 0)
			r = dump_comment(out, comment);
		/* A key alone, which the reader refuses: a policy that lost what takes something away is another one. */
		return r < 0 || may_miss(key, origin) ? r : buf_printf(out, "%s\n", key);
	}
	if (strlen(key) + 3 + strlen(value) + 3 + strlen(comment) <= LINE_BYTES_MAX)
		return buf_printf(out, "%s = %s ; %s\n", key, value, comment);
	int r = dump_comment(out, comment);
	return r < 0 ? r : buf_printf(out, "%s = %s\n", key, value);
}

static int dump_paths(const struct policy *p, struct buf *out)
{
	static const char *const keys[] = { "read", "write", "overlay", "hide", "protect", "tmpfs" };
	static const char *const reasons[] = { "read-only",	"read-write",	"copy-on-write",
					       "not visible",	"not writable", "private and empty" };
	char text[4096 + 40], size[32];
	int r = buf_puts(out, "\n[filesystem]\n");

	for (size_t i = 0; i < p->n_paths && r == 0; i++) {
		const struct policy_path *path = &p->paths[i];
		const char *reason = reasons[path->kind];
		if (path->kind == PATH_WRITE && strcmp(path->path, p->workdir) == 0)
			reason = "workdir";
		else if (path->kind == PATH_PROTECT && strcmp(path->origin, "default") == 0)
			reason = "used by the host";
		snprintf(text, sizeof(text), "%s", path->given);
		/* A ':' in the name would be taken for the size's. */
		if (path->size || (path->kind == PATH_TMPFS && strchr(path->given, ':'))) {
			format_size(path->size, size);
			snprintf(text, sizeof(text), "%s:%s", path->given, size);
		}
		r = dump_line(out, keys[path->kind], text, reason, path->origin);
	}
	return r < 0 ? r : dump_own_places(p, out);
}

static int dump_rules(const struct policy *p, struct buf *out)
{
	static const char *const keys[] = { "allow", "deny", "allow_private", "passthrough" };
	static const char *const reasons[] = { "allowed", "denied", "allowed, also at a private address",
					       "allowed, relayed unopened" };
	int r = 0;

	for (size_t pass = 0; pass < ARRAY_LEN(keys); pass++) {
		const struct net_rules *rules = pass == 1 ? &p->deny : &p->allow;
		for (size_t i = 0; i < rules->n && r == 0; i++) {
			const struct net_rule *rule = &rules->rule[i];
			size_t kind = rule->rule->kind == RULE_DENY ? 1 : rule->rule->kind == RULE_PASSTHROUGH ? 3 :
				      rule->allow_private ? 2 : 0;
			if (kind == pass)
				r = dump_line(out, keys[pass], rule->text, reasons[pass], rule->origin);
		}
	}
	return r;
}

static int dump_network(const struct policy *p, struct buf *out)
{
	static const char *const modes[] = { "gateway", "none", "host" };
	static const char *const reasons[] = { "only what a rule allows", "loopback only", "the host's own network" };
	char text[1024];
	int r = buf_puts(out, "\n[network]\n");

	if (r == 0)
		r = dump_line(out, "mode", modes[p->mode], reasons[p->mode], p->mode_origin);
	if (r == 0)
		r = dump_rules(p, out);
	for (size_t i = 0; i < p->n_connect_tos && r == 0; i++) {
		const struct policy_connect_to *c = &p->connect_tos[i];
		bool h6 = strchr(c->host, ':'), a6 = strchr(c->addr, ':');
		snprintf(text, sizeof(text), "%s%s%s:%u:%s%s%s:%u", h6 ? "[" : "", c->host, h6 ? "]" : "", c->port,
			 a6 ? "[" : "", c->addr, a6 ? "]" : "", c->addr_port);
		r = dump_line(out, "connect_to", text, "dialled instead", c->origin);
	}
	for (size_t i = 0; i < p->n_cas && r == 0; i++) {
		const struct policy_upstream_ca *ca = &p->cas[i];
		_cleanup_buf_ struct buf b = { 0 };
		r = buf_printf(&b, "%s%s%s", ca->path, ca->host ? " " : "", ca->host ? ca->host : "");
		if (r == 0)
			r = buf_str(&b) ? dump_line(out, "upstream_ca", buf_str(&b), "trusted upstream", ca->origin) : -ENOMEM;
	}
	if (r == 0)
		r = dump_client_certs(p, out);
	return r < 0 ? r : dump_upstream_proxy(p, out);
}

static int dump_secret(const struct policy_secret *s, struct buf *out)
{
	static const char *const kinds[] = { "env:", "file:", "exec:" };
	char inject[64];
	int r = buf_printf(out, "\n[secret %s]\n", s->name);

	_cleanup_buf_ struct buf source = { 0 };
	if (r == 0 && s->source == SOURCE_VALUE)
		r = dump_comment(out, "the value is given by the program");
	else if (r == 0 && (r = buf_printf(&source, "%s%s", kinds[s->source], s->source_arg)) == 0)
		r = buf_str(&source) ? dump_line(out, "source", buf_str(&source), "where the value is read", s->origin) : -ENOMEM;
	if (r == 0 && s->revoke)
		r = dump_line(out, "revoke", s->revoke, "what ends it", s->origin);
	for (size_t i = 0; i < s->n_allow && r == 0; i++) {
		_cleanup_buf_ struct buf text = { 0 };
		r = rule_text(s->allow[i], &text);
		if (r == 0)
			r = buf_str(&text) ? dump_line(out, "allow", buf_str(&text), "where it may go", s->origin) : -ENOMEM;
	}
	snprintf(inject, sizeof(inject), "%s%s%s%s%s%s", s->inject & INJECT_HEADER ? ", header" : "",
		 s->inject & INJECT_BASIC ? ", basic" : "", s->inject & INJECT_QUERY ? ", query" : "",
		 s->inject & INJECT_PATH ? ", path" : "", s->inject & INJECT_BODY ? ", body" : "",
		 s->inject & INJECT_SIGV4 ? ", sigv4" : "");
	if (r == 0)
		r = dump_line(out, "inject", inject + 2, "where it is replaced", s->origin);
	if (r == 0 && s->key_id)
		r = dump_line(out, "key_id", s->key_id, "the secret that is its id", s->origin);
	if (r == 0 && s->placeholder)
		r = dump_line(out, "placeholder", s->placeholder, "shape inside", s->origin);
	if (r == 0 && s->insecure)
		r = dump_line(out, "insecure", "yes", "also without TLS", s->origin);
	if (r == 0 && !s->scrub)
		r = dump_line(out, "scrub", "no", "responses are left as they are", s->origin);
	if (r == 0 && s->on_misuse)
		r = dump_line(out, "on_misuse", s->on_misuse == MISUSE_KILL ? "kill" : "pass",
			      s->on_misuse == MISUSE_KILL ? "the call ends" : "the placeholder goes on as text", s->origin);
	return r;
}

static int dump_quota(const struct policy_quota *q, struct buf *out)
{
	static const char *const reasons[QUOTA_LIMITS] = { "requests in all", "bytes sent in all", "requests, evenly" };
	int r = buf_printf(out, "\n[quota %s]\n", q->name);

	if (r == 0 && q->n_match == 0)
		r = dump_comment(out, "match: everything");
	for (size_t i = 0; i < q->n_match && r == 0; i++) {
		_cleanup_buf_ struct buf text = { 0 };
		r = rule_text(q->match[i], &text);
		if (r == 0)
			r = buf_str(&text) ? dump_line(out, "match", buf_str(&text), "what counts", q->origin) : -ENOMEM;
	}
	for (unsigned i = 0; i < QUOTA_LIMITS && r == 0; i++) {
		char text[32];
		if (!q->limits[i])
			continue;
		quota_limit_text((enum quota_limit)i, q->limits[i], text);
		r = dump_line(out, quota_keys[i], text, reasons[i], q->limit_origins[i]);
	}
	return r;
}

static int dump_env(const struct policy *p, struct buf *out)
{
	int r = p->n_envs ? buf_puts(out, "\n[env]\n") : 0;

	for (size_t i = 0; i < p->n_envs && r == 0; i++) {
		const struct policy_env *env = &p->envs[i];
		_cleanup_buf_ struct buf text = { 0 };
		r = buf_printf(&text, "%s%s%s", env->name, env->value ? "=" : "", env->value ? env->value : "");
		if (r == 0)
			r = buf_str(&text) ? dump_line(out, env->value ? "set" : "pass", buf_str(&text),
						      env->value ? "set" : "passed on", env->origin) : -ENOMEM;
	}
	return r;
}

static int dump_limits(const struct policy *p, struct buf *out)
{
	const struct policy_limits *l = &p->limits;
	char text[32];
	int r = buf_puts(out, "\n[limits]\n");

	if (r == 0 && l->memory) {
		format_size(l->memory, text);
		r = dump_line(out, "memory", text, "limit", p->limit_origins[LIMIT_MEMORY]);
	}
	if (r == 0 && l->cpus_milli) {
		snprintf(text, sizeof(text), "%llu.%03llu", (unsigned long long)l->cpus_milli / 1000,
			 (unsigned long long)l->cpus_milli % 1000);
		r = dump_line(out, "cpus", text, "limit", p->limit_origins[LIMIT_CPUS]);
	}
	snprintf(text, sizeof(text), "%u", l->pids ? l->pids : 4096);
	if (r == 0)
		r = dump_line(out, "pids", text, "limit", p->limit_origins[LIMIT_PIDS]);
	if (r == 0 && l->timeout_us) {
		format_duration(l->timeout_us, text);
		r = dump_line(out, "timeout", text, "limit", p->limit_origins[LIMIT_TIMEOUT]);
	}
	if (r == 0 && l->disk) {
		format_size(l->disk, text);
		r = dump_line(out, "disk", text, "limit", p->limit_origins[LIMIT_DISK]);
	}
	snprintf(text, sizeof(text), "%u", l->open_files ? l->open_files : 1024);
	if (r == 0)
		r = dump_line(out, "open_files", text, "limit", p->limit_origins[LIMIT_OPEN_FILES]);
	return r;
}

static int dump_auditor(const struct policy_auditor *a, struct buf *out)
{
	char text[32];
	int r = a->spec || a->deadline_us ? buf_puts(out, "\n[audit]\n") : 0;

	if (r == 0 && a->spec)
		r = dump_line(out, "auditor", a->spec, "decides before something happens", a->origin);
	if (r == 0 && a->deadline_us) {
		snprintf(text, sizeof(text), "%llums", (unsigned long long)a->deadline_us / 1000);
		r = dump_line(out, "deadline", text, "of an answer, else it is no", a->deadline_origin);
	}
	return r;
}

int policy_dump(struct policy *p, struct buf *out)
{
	if (!p->finished)
		return -EINVAL;
	int r = buf_puts(out, "[sandbox]\nversion = 1 ; format of this file/default\n");
	for (size_t i = 0; i < p->n_degraded && r == 0; i++)
		r = dump_line(out, "allow_degraded", p->degraded[i], "may be missing", "given");
	if (r == 0)
		r = dump_paths(p, out);
	if (r == 0)
		r = dump_network(p, out);
	for (size_t i = 0; i < p->n_secrets && r == 0; i++)
		r = dump_secret(&p->secrets[i], out);
	for (size_t i = 0; i < p->n_quotas && r == 0; i++)
		r = dump_quota(&p->quotas[i], out);
	if (r == 0)
		r = dump_env(p, out);
	if (r == 0)
		r = dump_limits(p, out);
	if (r == 0)
		r = dump_auditor(&p->auditor, out);
	for (size_t i = 0; i < p->n_grants && r == 0; i++)
		r = grant_dump_section(p->grants[i], p->grants[i]->name, out);
	return r;
}
