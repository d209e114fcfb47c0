/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of git's configuration files: the same grammar as git's own, so that both see the same keys. */
#include "policy/git_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Names, `*` for any bytes at all, since a subsection may hold dots. From git-config(1) and the pages that it names, and
 * git-lfs-config(5). */
static const char *const executing[] = {
	/* More keys from somewhere else, or another working tree to write into. */
	"include.path", "includeif.*.path", "core.worktree", "extensions.worktreeconfig", "extensions.objectformat",
	"core.hookspath", "core.fsmonitor", "core.sshcommand", "core.gitproxy", "core.editor", "core.pager", "core.askpass",
	"core.alternaterefscommand", "core.virtualfilesystem", "alias.*", "pager.*", "filter.*", "hook.*",
	"diff.external", "diff.*.command", "diff.*.textconv", "difftool.*",
	"merge.*.driver", "mergetool.*", "guitool.*", "browser.*", "man.*", "web.browser", "instaweb.*", "sequence.editor",
	"interactive.difffilter", "gpg.program", "gpg.*", "trailer.*.command", "trailer.*.cmd", "tar.*.command",
	"sendemail.*", "imap.*", "gc.recentobjectshook", "uploadpack.packobjectshook", "receive.procreceiverefs",
	"remote.*.uploadpack", "remote.*.receivepack", "remote.*.vcs", "protocol.*", "init.templatedir", "svn.*",
	"git-p4.*", "lfs.customtransfer.*", "lfs.extension.*", "lfs.standalonetransferagent", "lfs.*.standalonetransferagent",
	/* Of programs that keep their own settings there: git-annex(1), its options being those of ssh and rsync; git-flow, StGit,
	 * tig, delta. */
	"annex.*command", "annex.*hook", "annex.*options", "remote.*.annex-*", "gitflow.path.hooks", "stgit.*", "tig.*",
	"delta.pager", "delta.*.pager",
	/* To whom it gives credentials or what is pushed, and whether it makes sure that it is that one. */
	"credential.*", "http.*", "url.*.insteadof", "url.*.pushinsteadof", "remote.*.proxy", "remote.*.proxyauthmethod",
	"lfs.url", "lfs.pushurl", "remote.*.lfsurl", "remote.*.lfspushurl",
};

/* Of at most one `*`, but for one at the end besides. */
static bool matches(const char *pattern, const char *name, size_t len)
{
	/* Begins otherwise, as nearly all: a call chooses how many keys there are. */
	if (*pattern != *name)
		return false;
	const char *star = strchr(pattern, '*'), *more = star ? strchr(star + 1, '*') : NULL;

	if (!star)
		return strcmp(pattern, name) == 0;
	size_t before = (size_t)(star - pattern), behind = strlen(star + 1);
	if (more)
		return strncmp(pattern, name, before) == 0 && memmem(name + before, len - before, star + 1, behind - 1);
	return len >= before + behind && strncmp(pattern, name, before) == 0 && strcmp(name + len - behind, star + 1) == 0;
}

bool git_key_executes(const char *name, const char *value)
{
	const size_t len = strlen(name);

	/* `!command` is one, all others are words that `git submodule` itself writes. */
	if (matches("submodule.*.update", name, len))
		return value && value[0] == '!';
	/* Of a cherry-pick that is under way: git runs git-merge-VALUE, with a slash a file of the worktree. */
	if (strcmp(name, "options.strategy") == 0)
		return value && strchr(value, '/');
	for (size_t i = 0; i < ARRAY_LEN(executing); i++) {
		if (matches(executing[i], name, len))
			return true;
	}
	return false;
}

struct reader {
	const char *text;
	size_t len, at;
	struct buf name;    /* begins with "section." or "section.subsection." */
	size_t section;	    /* the length of that; 0: before the first one */
	struct buf value;
};

#define END (-1)

/* As git: CR LF is LF, and the end of the file ends a line. */
static int peek(const struct reader *r)
{
	if (r->at >= r->len)
		return END;
	if (r->text[r->at] == '\r' && r->at + 1 < r->len && r->text[r->at + 1] == '\n')
		return '\n';
	return (unsigned char)r->text[r->at];
}

static int take(struct reader *r)
{
	int c = peek(r);

	if (c != END)
		r->at += c == '\n' && r->text[r->at] == '\r' ? 2 : 1;
	return c;
}

/* What git takes for it. */
static bool is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name(int c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '-';
}

static char lower(int c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static int put_name(struct reader *r, int c)
{
	return r->name.len == GIT_NAME_MAX ? -EBADMSG : buf_putc(&r->name, (char)c);
}

/* Behind the blanks: "subsection"] */
static int read_subsection(struct reader *r)
{
	int c;

	while ((c = take(r)) != END && c != '\n' && is_space(c))
		;
	int k = c == '"' ? put_name(r, '.') : -EBADMSG;
	while (k == 0 && (c = take(r)) != '"') {
		if (c == '\\')
			c = take(r);
		k = c == '\n' || c == END ? -EBADMSG : put_name(r, c);
	}
	return k < 0 ? k : take(r) == ']' ? 0 : -EBADMSG;
}

/* Behind the '['. In the old form [section.subsection] both are in lower case. */
static int read_section(struct reader *r)
{
	int c, k = 0;

	r->name.len = 0;
	while (k == 0 && (c = take(r)) != ']') {
		if (c != END && c != '\n' && is_space(c)) {
			k = read_subsection(r);
			break;
		}
		k = is_name(c) || c == '.' ? put_name(r, lower(c)) : -EBADMSG;
	}
	if (k == 0)
		k = r->name.len ? put_name(r, '.') : -EBADMSG;
	r->section = r->name.len;
	return k;
}

static void skip_comment(struct reader *r)
{
	while (peek(r) != END && peek(r) != '\n')
		take(r);
}

static int unescape(int c)
{
	switch (c) {
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'n':
		return '\n';
	case '\\':
	case '"':
		return c;
	default:
		return END;
	}
}

/* Behind the '='; up to the end of the line, which is left. */
static int read_value(struct reader *r)
{
	bool quoted = false;
	size_t trimmed = 0; /* what blanks at the end are cut to */

	r->value.len = 0;
	for (;;) {
		int c = peek(r);
		if (c == '\n' || c == END) {
			r->value.len = trimmed;
			return quoted ? -EBADMSG : 0;
		}
		if (!quoted && (c == '#' || c == ';')) {
			skip_comment(r);
			continue;
		}
		take(r);
		if (!quoted && is_space(c)) {
			/* Leading blanks do not count at all. */
			if (r->value.len && buf_putc(&r->value, (char)c) < 0)
				return -ENOMEM;
			continue;
		}
		if (c == '"') {
			quoted = !quoted;
			trimmed = r->value.len;
			continue;
		}
		if (c == '\\') {
			c = take(r);
			if (c == '\n')
				continue;
			c = unescape(c);
			if (c == END)
				return -EBADMSG;
		}
		if (buf_putc(&r->value, (char)c) < 0)
			return -ENOMEM;
		trimmed = r->value.len;
	}
}

/* A key, its value, and nothing more than the end of the line behind. *ret_value: NULL when there is no '='. */
static int read_key(struct reader *r, const char **ret_name, const char **ret_value)
{
	r->name.len = r->section;
	while (is_name(peek(r))) {
		int k = put_name(r, lower(take(r)));
		if (k < 0)
			return k;
	}
	while (peek(r) == ' ' || peek(r) == '\t')
		take(r);
	*ret_value = NULL;
	if (peek(r) == '=') {
		take(r);
		int k = read_value(r);
		if (k < 0)
			return k;
		*ret_value = buf_str(&r->value);
		if (!*ret_value)
			return -ENOMEM;
	} else if (peek(r) != '\n' && peek(r) != END) {
		return -EBADMSG;
	}
	*ret_name = buf_str(&r->name);
	return *ret_name ? 0 : -ENOMEM;
}

static int add_key(struct git_keys *keys, const char *name, const char *value, size_t begin, size_t end)
{
	struct git_key *more = keys->n < GIT_KEYS_MAX ? reallocarray(keys->v, keys->n + 1, sizeof(*more)) : NULL;

	if (!more)
		return keys->n < GIT_KEYS_MAX ? -ENOMEM : -EBADMSG;
	keys->v = more;
	struct git_key *key = &keys->v[keys->n++];
	*key = (struct git_key){ .name = strdup(name), .value = value ? strdup(value) : NULL, .begin = begin, .end = end };
	return key->name && (key->value || !value) ? 0 : -ENOMEM;
}

void git_keys_free(struct git_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		free(keys->v[i].name);
		free(keys->v[i].value);
	}
	free(keys->v);
	*keys = (struct git_keys){ 0 };
}

static int read_all(struct reader *r, struct git_keys *keys)
{
	const char *name, *value;

	if (r->len >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0)
		r->at = 3;
	for (;;) {
		int c = peek(r);
		size_t begin = r->at;
		int k = 0;
		if (c == END)
			return 0;
		if (c == '#' || c == ';') {
			skip_comment(r);
		} else if (is_space(c)) {
			take(r);
		} else if (c == '[') {
			take(r);
			k = read_section(r);
		} else if (is_alpha(c) && r->section) {
			k = read_key(r, &name, &value);
			if (k == 0 && git_key_executes(name, value))
				k = add_key(keys, name, value, begin, r->at);
		} else {
			k = -EBADMSG;
		}
		if (k < 0)
			return k;
	}
}

int git_config_read(const char *text, size_t len, struct git_keys *ret)
{
	struct reader r = { .text = text, .len = len };
	_cleanup_git_keys_ struct git_keys keys = { 0 };

	if (len > GIT_CONFIG_MAX || (len && memchr(text, '\0', len)))
		return -EBADMSG;
	int k = read_all(&r, &keys);
	buf_free(&r.name);
	buf_free(&r.value);
	if (k < 0)
		return k;
	*ret = keys;
	keys = (struct git_keys){ 0 };
	return 0;
}

/* As git's sequencer: blanks, a word or its letter, a blank behind it or nothing. */
static bool is_exec(const char *line, size_t len)
{
	size_t n = len >= 4 && memcmp(line, "exec", 4) == 0 ? 4 : len >= 1 && line[0] == 'x' ? 1 : 0;

	return n && (len == n || is_space(line[n]));
}

int git_todo_read(const char *text, size_t len, struct git_keys *ret)
{
	_cleanup_git_keys_ struct git_keys keys = { 0 };

	if (len > GIT_CONFIG_MAX || (len && memchr(text, '\0', len)))
		return -EBADMSG;
	for (size_t at = 0, end; at < len; at = end + 1) {
		const char *newline = memchr(text + at, '\n', len - at);
		end = newline ? (size_t)(newline - text) : len;
		size_t begin = at;
		while (begin < end && is_space(text[begin]))
			begin++;
		if (!is_exec(text + begin, end - begin))
			continue;
		_cleanup_free_ char *line = strndup(text + begin, end - begin);
		int k = line ? add_key(&keys, line, NULL, begin, end) : -ENOMEM;
		if (k < 0)
			return k;
	}
	*ret = keys;
	keys = (struct git_keys){ 0 };
	return 0;
}

/* All of a short file is one key, if anything in it is. */
static int read_whole(const char *text, size_t len, bool executes, struct git_keys *ret)
{
	_cleanup_git_keys_ struct git_keys keys = { 0 };

	if (len > GIT_CONFIG_MAX || (len && memchr(text, '\0', len)))
		return -EBADMSG;
	_cleanup_free_ char *name = executes ? strndup(text, len) : NULL;
	int k = name ? add_key(&keys, name, NULL, 0, len) : executes ? -ENOMEM : 0;
	if (k < 0)
		return k;
	*ret = keys;
	keys = (struct git_keys){ 0 };
	return 0;
}

int git_strategy_read(const char *text, size_t len, struct git_keys *ret)
{
	return read_whole(text, len, len && memchr(text, '/', len), ret);
}

int git_apply_options_read(const char *text, size_t len, struct git_keys *ret)
{
	static const char *const names[] = { "--bu", "--uns" }; /* build-fake-ancestor=FILE, unsafe-paths, as far as git asks */
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		found |= len && memmem(text, len, names[i], strlen(names[i]));
	return read_whole(text, len, found, ret);
}

static bool same_key(const struct git_key *a, const struct git_key *b)
{
	return strcmp(a->name, b->name) == 0 && !a->value == !b->value && (!a->value || strcmp(a->value, b->value) == 0);
}

/* The place behind key in before, from `from` on; 0: it is not there. */
static size_t find_key(const struct git_keys *before, size_t from, const struct git_key *key)
{
	for (size_t i = from; i < before->n; i++) {
		if (same_key(&before->v[i], key))
			return i + 1;
	}
	return 0;
}

static bool is_part_of(const struct git_keys *keys, const struct git_keys *before)
{
	size_t at = 0;

	for (size_t i = 0; i < keys->n; i++) {
		at = find_key(before, at, &keys->v[i]);
		if (!at)
			return false;
	}
	return true;
}

/* A name can be as long as the file, and reports are not to be. */
static char *told_name(char *name)
{
	if (name && strlen(name) > GIT_KEY_TOLD)
		strcpy(name + GIT_KEY_TOLD - 3, "...");
	return name;
}

int git_config_filter(git_reader read, const char *text, size_t len, const struct git_keys *before, struct buf *out,
		      size_t *ret_removed, char **removed, size_t max)
{
	_cleanup_git_keys_ struct git_keys now = { 0 }, left = { 0 };
	size_t at = 0, copied = 0, n = 0;

	int r = read(text, len, &now);
	for (size_t i = 0; i < now.n && r == 0; i++) {
		size_t found = find_key(before, at, &now.v[i]);
		if (found) {
			at = found;
			continue;
		}
		r = buf_append(out, text + copied, now.v[i].begin - copied);
		copied = now.v[i].end;
		if (removed && n < max)
			removed[n] = told_name(TAKE_PTR(now.v[i].name));
		n++;
	}
	if (r == 0 && len > copied)
		r = buf_append(out, text + copied, len - copied);
	/* The cut is checked by reading what is left, so that a mistake in it cannot let anything through. */
	if (r == 0)
		r = read((const char *)out->data, out->len, &left);
	if (r == 0 && !is_part_of(&left, before))
		r = -EBADMSG;
	*ret_removed = n;
	return r;
}
