/* SPDX-License-Identifier: Apache-2.0 */
/* Changes as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "client/changes.h"
#include "overlay/executed.h"
#include "overlay/patch.h"
#include "overlay/scratch.h"
#include "overlay/writers.h"

/* The calls with a layer of their own. */
static int put_own(struct buf *b, const struct layer *l)
{
	_cleanup_free_ uint32_t *numbers = NULL;
	size_t n = 0;

	int r = scratch_list(l, &numbers, &n);
	if (r == 0)
		r = buf_puts(b, ",\"own\":[");
	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(b, "%s\"%s.%u\"", i ? "," : "", l->id, numbers[i]);
	return r < 0 ? r : buf_putc(b, ']');
}

int layer_members(struct buf *b, const struct layer *l)
{
	char *roots[LAYER_ROOTS_MAX + 1] = { NULL };

	for (size_t i = 0; i < l->n_roots; i++)
		roots[i] = l->roots[i].path;
	int r = json_member_string(b, "id", l->id);
	if (r == 0 && l->call) {
		char call[CALL_ID_MAX];
		snprintf(call, sizeof(call), "%s.%u", l->id, l->call);
		r = json_member_string(b, "call", call);
	}
	if (r == 0)
		r = json_member_string(b, "name", l->name);
	if (r == 0)
		r = json_member_string(b, "workdir", l->workdir);
	if (r == 0)
		r = json_member_strv(b, "roots", roots);
	if (r == 0)
		r = json_member_raw(b, "in_use", l->in_use ? "true" : "false");
	if (r == 0)
		r = json_member_raw(b, "auditor", l->auditor ? "true" : "false");
	return r < 0 || l->call ? r : put_own(b, l);
}

static bool is_plain(const char *s)
{
	for (size_t left = strlen(s), n; left > 0; s += n, left -= n) {
		n = json_plain(s, left);
		/* Escapes of ASCII lose nothing. */
		if (n == 0 && (unsigned char)*s >= 0x80)
			return false;
		n = n ? n : 1;
	}
	return true;
}

static int put_path(struct buf *b, const char *key, const char *root, const char *path)
{
	_cleanup_free_ char *whole = NULL;
	char hex_key[24];

	if (asprintf(&whole, "%s/%s", root, path) < 0)
		return -ENOMEM;
	int r = json_member_string(b, key, whole);
	if (r < 0 || is_plain(whole))
		return r;
	snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	r = buf_printf(b, ",\"%s\":\"", hex_key);
	for (const unsigned char *p = (const unsigned char *)whole; *p && r == 0; p++)
		r = buf_printf(b, "%02x", *p);
	return r < 0 ? r : buf_putc(b, '"');
}

static const char *type_name(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : "special";
}

static int put_mode(struct buf *b, const char *key, mode_t mode)
{
	char text[16];

	snprintf(text, sizeof(text), "%04o", mode & 07777);
	return json_member_string(b, key, text);
}

int changes_flags(struct buf *b, unsigned flags)
{
	char *names[16] = { NULL };
	size_t n = 0;

	for (unsigned i = 0; executed_name(i); i++) {
		if (flags & (1u << i))
			names[n++] = (char *)executed_name(i);
	}
	return json_member_strv(b, "flags", names);
}

static int put_lines(struct buf *b, const struct changes *c, const struct change *change)
{
	size_t added, removed;

	if (!patch_count(c, change, &added, &removed))
		return 0;
	int r = json_member_int(b, "lines_added", (int64_t)added);
	return r < 0 ? r : json_member_int(b, "lines_removed", (int64_t)removed);
}

static int put_writers(struct buf *b, const struct changes *c, const struct change *change, const struct writers *w)
{
	char ids[WRITERS_SHOWN][LAYER_ID_MAX + 12], *list[WRITERS_SHOWN + 1] = { NULL };
	uint32_t numbers[WRITERS_SHOWN];
	bool more;

	if (c->layer->call) {
		snprintf(ids[0], sizeof(ids[0]), "%s.%u", c->layer->id, c->layer->call);
		list[0] = ids[0];
		return json_member_strv(b, "calls", list);
	}
	unsigned n = writers_between(w, &change->from, &change->to, numbers, &more);
	for (unsigned i = 0; i < n; i++) {
		snprintf(ids[i], sizeof(ids[i]), "%s.%u", c->layer->id, numbers[n - 1 - i]);
		list[i] = ids[i];
	}
	int r = json_member_strv(b, "calls", list);
	return r < 0 || !more ? r : json_member_raw(b, "more_calls", "true");
}

int changes_members(struct buf *b, const struct changes *c, const struct change *change)
{
	static const char *const kinds[] = { "added", "modified", "deleted", "renamed", "mode", "type" };
	const char *root = c->layer->roots[change->root].path;
	bool gone = change->kind == CHANGE_DELETED;
	const struct stat *st = gone ? &change->was : &change->now;

	int r = put_path(b, "path", root, change->path);
	if (r == 0 && change->kind == CHANGE_RENAMED)
		r = put_path(b, "from", root, c->v[change->other].path);
	if (r == 0)
		r = json_member_string(b, "change", kinds[change->kind]);
	if (r == 0)
		r = json_member_string(b, "type", type_name(st->st_mode));
	if (r == 0)
		r = json_member_int(b, "size", S_ISDIR(st->st_mode) ? 0 : (int64_t)st->st_size);
	if (r == 0)
		r = put_mode(b, "mode", st->st_mode);
	if (r == 0 && change->was.st_mode && !gone)
		r = put_mode(b, "old_mode", change->was.st_mode);
	return r < 0 ? r : changes_flags(b, change->flags);
}

static int put_change(struct buf *b, const struct changes *c, const struct change *change, const struct writers *w,
		      bool lines)
{
	int r = buf_putc(b, '{');
	if (r == 0)
		r = changes_members(b, c, change);
	/* Of a rename both halves count. */
	bool conflict = change->conflict || (change->other != CHANGES_NO_OTHER && c->v[change->other].conflict);
	if (r == 0)
		r = json_member_raw(b, "conflict", conflict ? "true" : "false");
	if (r == 0)
		r = put_writers(b, c, change, w);
	if (r == 0 && lines)
		r = put_lines(b, c, change);
	return r < 0 ? r : buf_putc(b, '}');
}

int changes_json(struct buf *b, const struct changes *c, bool lines, const char *digest)
{
	_cleanup_writers_ struct writers writers = { 0 };
	size_t n = 0;

	int r = writers_read(c->layer, &writers);
	if (r == 0)
		r = buf_putc(b, '{');
	if (r == 0)
		r = layer_members(b, c->layer);
	if (r == 0)
		r = json_member_int(b, "calls", c->layer->call ? 1 : (int64_t)writers.n);
	if (r == 0)
		r = buf_puts(b, ",\"changes\":[");
	for (size_t i = 0; i < c->n && r == 0; i++) {
		if (!c->v[i].selected || c->v[i].implied)
			continue;
		if (n++ > 0)
			r = buf_putc(b, ',');
		if (r == 0)
			r = put_change(b, c, &c->v[i], &writers, lines);
	}
	if (r == 0)
		r = buf_putc(b, ']');
	if (r == 0)
		r = json_member_int(b, "count", (int64_t)n);
	if (r == 0 && *digest)
		r = json_member_string(b, "digest", digest);
	return r < 0 ? r : buf_putc(b, '}');
}
