/* SPDX-License-Identifier: Apache-2.0 */
/* A grant as a section of a policy file. What is inherited stands in comments, so loading it gives the same grant. */
#include <stdio.h>
#include <string.h>

#include "policy/grant_internal.h"

static const char *origin_or(const struct grant *g, const char *origin)
{
	return origin && *origin ? origin : grant_origin(g);
}

static int dump_rules(const struct grant *g, struct buf *out)
{
	int r = 0;

	if (!g->allow_set)
		r = dump_comment(out, "allow: what the policy allows");
	else if (g->allow.n == 0)
		r = dump_line(out, "allow", "none", "no network", grant_origin(g));
	for (size_t i = 0; i < g->allow.n && r == 0; i++) {
		const struct net_rule *rule = &g->allow.rule[i];
		bool relayed = rule->rule->kind == RULE_PASSTHROUGH;
		/* Cut down to several paths at once: the language has no word for it. */
		if (rule->rule->n_paths > 1) {
			_cleanup_buf_ struct buf text = { 0 };
			r = buf_printf(&text, "cannot stand in a policy file: allow = %s", rule->text);
			if (r == 0)
				r = buf_str(&text) ? dump_comment(out, buf_str(&text)) : -ENOMEM;
		} else {
			r = dump_line(out, relayed ? "passthrough" : "allow", rule->text,
				      relayed ? "allowed, relayed unopened" : "allowed", rule->origin);
		}
	}
	for (size_t i = 0; i < g->deny.n && r == 0; i++)
		r = dump_line(out, "deny", g->deny.rule[i].text, "denied", g->deny.rule[i].origin);
	return r;
}

static int dump_secrets(const struct grant *g, struct buf *out)
{
	int r = 0;

	if (!g->secrets_set)
		r = dump_comment(out, "secret: all that the policy has");
	else if (g->n_secrets == 0)
		r = dump_line(out, "secret", "none", "no secret", grant_origin(g));
	for (size_t i = 0; i < g->n_secrets && r == 0; i++)
		r = dump_line(out, "secret", g->secrets[i].name, "given as a placeholder", g->secrets[i].origin);
	return r;
}

static int dump_files(const struct grant *g, struct buf *out)
{
	bool read = false, write = false;
	int r = 0;

	for (size_t i = 0; i < g->files.n; i++) {
		read = read || g->files.path[i].level == GRANT_READ;
		write = write || g->files.path[i].level == GRANT_WRITE;
	}
	if (g->base == GRANT_WRITE)
		r = dump_comment(out, "read, write: as the policy has it");
	else if (g->base == GRANT_READ)
		r = write ? dump_comment(out, "read: as the policy has it") :
			    dump_line(out, "read_only", "yes", "nothing is writable", origin_or(g, g->read_only));
	else if (!read)
		r = dump_line(out, "read", "none", "nothing but what is named here", grant_origin(g));
	for (size_t i = 0; i < g->files.n && r == 0; i++) {
		const struct grant_path *path = &g->files.path[i];
		bool writable = path->level == GRANT_WRITE;
		r = dump_line(out, writable ? "write" : "read", path->path, writable ? "read-write" : "read-only", path->origin);
	}
	for (size_t i = 0; i < g->hides.n && r == 0; i++)
		r = dump_line(out, "hide", g->hides.path[i].path, "not visible", g->hides.path[i].origin);
	return r;
}

static int dump_execs(const struct grant *g, struct buf *out)
{
	int r = 0;

	if (!g->exec_set)
		r = dump_comment(out, "exec: whatever is visible and executable");
	else if (g->execs.n == 0)
		r = dump_line(out, "exec", "none", "nothing", grant_origin(g));
	for (size_t i = 0; i < g->execs.n && r == 0; i++)
		r = dump_line(out, "exec", g->execs.path[i].path, "executable at or below", g->execs.path[i].origin);
	return r;
}

static int dump_values(const struct grant *g, struct buf *out)
{
	int r = 0;

	for (int i = 0; i < VALUE_COUNT && r == 0; i++) {
		uint64_t v = grant_value_of(g, (enum grant_value)i);
		char text[32];
		if (v == 0)
			continue;
		value_text((enum grant_value)i, v, text);
		r = dump_line(out, value_kinds[i].key, text, value_kinds[i].reason, g->value[i].origin);
	}
	return r;
}

int grant_dump_section(const struct grant *g, const char *name, struct buf *out)
{
	int r = buf_printf(out, "\n[grant %s]\n", name);

	for (size_t i = 0; i < g->n_argv && r == 0; i++)
		r = dump_line(out, "argv", g->argv[i].text, "bound to this command", g->argv[i].origin);
	if (r == 0)
		r = dump_rules(g, out);
	if (r == 0)
		r = dump_secrets(g, out);
	if (r == 0)
		r = dump_files(g, out);
	if (r == 0)
		r = dump_execs(g, out);
	return r < 0 ? r : dump_values(g, out);
}

int grant_dump(const struct grant *g, struct buf *out)
{
	_cleanup_buf_ struct buf text = { 0 };

	if (!g->finished)
		return -EINVAL;
	int r = grant_dump_section(g, g->name ? g->name : "call", &text);
	/* The section alone, without the blank line before it. */
	return r < 0 ? r : buf_append(out, text.data + 1, text.len - 1);
}
