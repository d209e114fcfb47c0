/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that --learn writes: the lines of the run's policy that were used or that forbid, and behind those of each
 * section what is proposed. What was not used, and what is only named, are comments.
 *
 * Names come from what ran: one that could end a line or hide something in it is never part of a line that counts.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "learn.h"
#include "nsbox.h"

#define LINE_MAX_BYTES 199u /* of a policy file */
#define LEARNED "--learn"

struct writer {
	const struct learn *learn;
	struct buf *out;
	char section[64]; /* of the policy */
	bool opened, secret_unused;
	bool paths, network; /* proposals are written */
	char *workdir;
	struct buf held; /* a comment that belongs to the next line */
};

static bool plain(const char *text)
{
	_cleanup_buf_ struct buf b = { 0 };

	escape_text(&b, text, strlen(text));
	return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

static bool can_stand(const char *key, const char *value)
{
	size_t n = strlen(value);

	return n > 0 && strlen(key) + 3 + n <= LINE_MAX_BYTES && plain(value) && value[0] != ' ' && value[n - 1] != ' ' &&
	       value[0] != ';' && !strstr(value, " ;");
}

static void put_comment(struct buf *out, const char *text)
{
	_cleanup_buf_ struct buf b = { 0 };

	escape_text(&b, text, strlen(text));
	buf_puts(out, "; ");
	buf_append(out, b.data, b.len < LINE_MAX_BYTES - 2 ? b.len : LINE_MAX_BYTES - 2);
	buf_putc(out, '\n');
}

static void open_section(struct writer *w)
{
	if (!w->opened)
		buf_printf(w->out, "%s%s\n", w->out->len ? "\n" : "", w->section);
	w->opened = true;
}

static void put_line(struct writer *w, const char *key, const char *value, const char *reason)
{
	if (strlen(key) + strlen(value) + strlen(reason) + 6 <= LINE_MAX_BYTES) {
		buf_printf(w->out, "%s = %s ; %s\n", key, value, reason);
	} else {
		put_comment(w->out, reason);
		buf_printf(w->out, "%s = %s\n", key, value);
	}
}

static void put_proposals(struct writer *w, const struct proposals *list, const char *what)
{
	_cleanup_buf_ struct buf b = { 0 };

	if (list->n || list->left_out)
		open_section(w);
	for (size_t i = 0; i < list->n; i++) {
		const struct proposal *p = &list->list[i];
		if (p->key && can_stand(p->key, p->value)) {
			put_line(w, p->key, p->value, p->reason);
			continue;
		}
		b.len = 0;
		buf_printf(&b, "%s%s%s", p->value ? p->value : "", p->value ? ": " : "",
			   p->key ? "cannot stand in a policy file" : p->reason);
		if (buf_str(&b))
			put_comment(w->out, buf_str(&b));
	}
	if (list->left_out)
		buf_printf(w->out, "; %zu more %s are left out\n", list->left_out, what);
}

/* Behind the last line of a section. */
static void end_section(struct writer *w)
{
	if (strcmp(w->section, "[filesystem]") == 0 && !w->paths) {
		put_proposals(w, &w->learn->paths, "paths");
		w->paths = true;
	} else if (strcmp(w->section, "[network]") == 0 && !w->network) {
		put_proposals(w, &w->learn->network, "rules");
		w->network = true;
	}
	w->held.len = 0;
	w->opened = false;
	w->secret_unused = false;
}

/* "; REASON/ORIGIN" at the end of a line of the dump, or on the line before it. */
static const char *origin_of(const char *comment)
{
	const char *slash = comment ? strchr(comment, '/') : NULL;

	return slash ? slash + 1 : "";
}

static bool is_used(const struct writer *w, const char *key, const char *value)
{
	_cleanup_buf_ struct buf rule = { 0 };
	bool path = strcmp(w->section, "[filesystem]") == 0;

	buf_printf(&rule, "%s%s%s", path ? key : "", path ? " " : "", value);
	return buf_str(&rule) && json_object_get(w->learn->rules, buf_str(&rule));
}

/* Whether a line gives something, and so stays only when it was used. */
static bool gives(const struct writer *w, const char *key, const char *value)
{
	static const char *const keys[] = { "read", "write", "overlay", "allow", "allow_private", "passthrough" };

	if (strncmp(w->section, "[secret ", 8) == 0 || (w->workdir && strcmp(value, w->workdir) == 0))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (strcmp(key, keys[i]) == 0)
			return true;
	}
	return false;
}

static void keep(struct writer *w, char *line, const char *comment)
{
	char *equals = strstr(line, " = ");
	const char *origin = origin_of(comment);
	bool given = strcmp(origin, "default") != 0 && strcmp(origin, LEARNED) != 0;

	if (w->secret_unused || (!given && strncmp(line, "version ", 8) != 0))
		return;
	/* What cannot be said here and must not be missing: the reader refuses the file. */
	if (!equals) {
		open_section(w);
		buf_printf(w->out, "; %s\n%s\n", comment ? comment : "", line);
		return;
	}
	*equals = '\0';
	const char *key = line, *value = equals + 3;
	/* A profile offers secrets for whatever key is set. */
	if (!w->opened && strncmp(w->section, "[secret ", 8) == 0 && strncmp(origin, "profile ", 8) == 0) {
		_cleanup_free_ char *name = strndup(w->section + 8, strcspn(w->section + 8, "]"));
		_cleanup_buf_ struct buf secret = { 0 };
		buf_printf(&secret, "secret %s", name ? name : "");
		w->secret_unused = !buf_str(&secret) || !json_object_get(w->learn->rules, buf_str(&secret));
		if (w->secret_unused)
			return;
	}
	open_section(w);
	if (gives(w, key, value) && !is_used(w, key, value)) {
		_cleanup_buf_ struct buf b = { 0 };
		buf_printf(&b, "not used: %s = %s", key, value);
		if (buf_str(&b))
			put_comment(w->out, buf_str(&b));
	} else {
		put_line(w, key, value, comment ? comment : "");
	}
}

static void take_line(struct writer *w, char *line)
{
	if (line[0] == '[') {
		end_section(w);
		snprintf(w->section, sizeof(w->section), "%s", line);
	} else if (line[0] == ';') {
		w->held.len = 0;
		buf_puts(&w->held, line + 1 + (line[1] == ' '));
	} else if (line[0]) {
		char *comment = NULL, *at;
		for (at = line; (at = strstr(at, " ; ")); at += 3)
			comment = at;
		if (comment) {
			*comment = '\0';
			comment += 3;
		}
		keep(w, line, comment ? comment : w->held.len ? buf_str(&w->held) : NULL);
		w->held.len = 0;
	}
}

int learn_text(const struct learn *learn, struct buf *out)
{
	_cleanup_buf_ struct buf head = { 0 };
	struct writer w = { .learn = learn, .out = out };
	_cleanup_free_ char *text = strdup(learn->effective);

	w.workdir = realpath(learn->workdir ? learn->workdir : ".", NULL);
	buf_printf(&head, "What %s used and was denied under nsbox run --learn. Read it before you use it; then:",
		   learn->command[0]);
	if (buf_str(&head))
		put_comment(out, buf_str(&head));
	head.len = 0;
	buf_printf(&head, "  nsbox run -f %s -- %s ...", learn->file, learn->command[0]);
	if (buf_str(&head))
		put_comment(out, buf_str(&head));
	for (char *rest = text, *line; rest && (line = strsep(&rest, "\n"));)
		take_line(&w, line);
	end_section(&w);
	free(w.workdir);
	buf_free(&w.held);
	return text && buf_str(out) ? 0 : -ENOMEM;
}
