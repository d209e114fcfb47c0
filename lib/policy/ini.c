/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading policy files. inih's packaged build cuts lines at 200 bytes, joins indented lines to the value above, takes
 * ':' for '=' and passes over sections that it was not asked about, all without an error. So every line is checked
 * here first, and what inih then reports is compared with what the check expected.
 */
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

#define LINE_BYTES_MAX 199
#define NAME_BYTES_MAX 49
#define LINES_MAX 20000

struct reader {
	const char *at, *end;
	const char *name;
	unsigned line;
	bool expect_key; /* the line just given to inih holds a key */
	struct ini_file *file;
	char section[NAME_BYTES_MAX + 1];
	char **opened;
	size_t n_opened;
	struct error *e;
	int failed;
};

#define BAD(r, ...) ((r)->failed = bad_line(r, __VA_ARGS__))

__attribute__((format(printf, 2, 3))) static int bad_line(struct reader *r, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return fail(r->e, EINVAL, SANDBOX_STAGE_POLICY, r->name, "%s:%u: %s", r->name, r->line, what);
}

static int add_entry(struct reader *r, const char *section, const char *key, const char *value)
{
	struct ini_entry *entry = grow(&r->file->entry, &r->file->n, sizeof(*entry), LINES_MAX, "lines", r->name, r->e);

	if (!entry)
		return r->failed = -ENOMEM;
	*entry = (struct ini_entry){ strdup(section), strdup(key), strdup(value), r->line };
	if (!entry->section || !entry->key || !entry->value)
		return r->failed = out_of_memory(r->e);
	return 0;
}

static int open_section(struct reader *r, const char *s, size_t len)
{
	const char *close = memchr(s, ']', len), *name;

	if (!close)
		return BAD(r, "'[' without ']'; accepted: [SECTION]");
	size_t n = (size_t)(close - s) - 1;
	const char *rest = close + 1;
	while (rest < s + len && *rest == ' ')
		rest++;
	if (rest < s + len && (*rest != ';' || rest == close + 1))
		return BAD(r, "only a comment may follow the section's name: ' ; comment'");
	if (n > NAME_BYTES_MAX)
		return BAD(r, "the section's name is over %d bytes", NAME_BYTES_MAX);
	memcpy(r->section, s + 1, n);
	r->section[n] = '\0';
	if (!section_known(r->section, &name))
		return BAD(r, "unknown section [%s]; accepted: %s", r->section, section_list());
	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")])
		return BAD(r, "a name in [%s] is letters, digits, '_' and '-'", r->section);
	for (size_t i = 0; i < r->n_opened; i++) {
		if (strcmp(r->opened[i], r->section) == 0)
			return BAD(r, "[%s] is opened a second time: put its lines in one place", r->section);
	}
	char **slot = grow(&r->opened, &r->n_opened, sizeof(*slot), LINES_MAX, "sections", r->name, r->e);
	if (!slot || !(*slot = strdup(r->section)))
		return r->failed = out_of_memory(r->e);
	/* Found here, because inih says nothing about a section without keys. */
	return strncmp(r->section, "grant ", 6) == 0 ? add_entry(r, r->section, "", "") : 0;
}

static int check_key_line(struct reader *r, const char *s, size_t len)
{
	const char *eq = memchr(s, '=', len), *colon = memchr(s, ':', len), *comment = memmem(s, len, " ;", 2);

	if (!eq || (comment && comment < eq))
		return BAD(r, "'%.40s': no '='; accepted: KEY = VALUE, [SECTION], or a line that begins with ';'", s);
	if (colon && colon < eq)
		return BAD(r, "':' before '='; accepted: KEY = VALUE");
	size_t n = (size_t)(eq - s);
	while (n && s[n - 1] == ' ')
		n--;
	if (n == 0)
		return BAD(r, "no key before '='");
	if (n > NAME_BYTES_MAX)
		return BAD(r, "the key is over %d bytes", NAME_BYTES_MAX);
	if (!r->section[0])
		return BAD(r, "'%.*s' stands before the first [SECTION]", (int)n, s);
	r->expect_key = true;
	return 0;
}

static int check_line(struct reader *r, const char *s, size_t len)
{
	if (len > LINE_BYTES_MAX)
		return BAD(r, "the line has %zu bytes; at most %d", len, LINE_BYTES_MAX);
	if (r->line == 1 && len >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
		return BAD(r, "the file begins with a byte order mark; save it as UTF-8 without one");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c < 0x20 || c == 0x7f)
			return BAD(r, "control byte 0x%02x%s at column %zu", c,
				   c == '\t' ? " (a tab; use blanks)" : c == '\r' ? " (use Unix line ends)" : "", i + 1);
	}
	if (len == 0 || s[0] == ';' || s[0] == '#')
		return 0;
	if (s[0] == ' ')
		return BAD(r, "white space at the beginning of the line");
	return s[0] == '[' ? open_section(r, s, len) : check_key_line(r, s, len);
}

/* inih's source of lines: one checked line per call, so that the line's number is known when inih reports its key. */
static char *next_line(char *str, int num, void *stream)
{
	struct reader *r = stream;

	if (r->failed || r->at == r->end)
		return NULL;
	if (r->expect_key) {
		BAD(r, "the line before cannot be read");
		return NULL;
	}
	const char *nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
	size_t len = (size_t)((nl ? nl : r->end) - r->at);
	const char *s = r->at;
	r->at = nl ? nl + 1 : r->end;
	if (++r->line > LINES_MAX) {
		BAD(r, "more than %d lines", LINES_MAX);
		return NULL;
	}
	/* A NUL or a long line must be refused before anything takes it for a string. */
	_cleanup_free_ char *copy = strndup(s, len);
	if (!copy) {
		r->failed = out_of_memory(r->e);
		return NULL;
	}
	if (strlen(copy) != len) {
		BAD(r, "control byte 0x00 at column %zu", strlen(copy) + 1);
		return NULL;
	}
	if (check_line(r, copy, len) < 0)
		return NULL;
	if (len >= (size_t)num) {
		BAD(r, "the line has %zu bytes; at most %d", len, num - 1);
		return NULL;
	}
	memcpy(str, copy, len + 1);
	return str;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;

	if (r->failed)
		return 0;
	if (!r->expect_key || strcmp(section, r->section) != 0) {
		BAD(r, "the line cannot be read");
		return 0;
	}
	r->expect_key = false;
	add_entry(r, section, name, value ? value : "");
	return 1;
}

void ini_done(struct ini_file *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->entry[i].section);
		free(f->entry[i].key);
		free(f->entry[i].value);
	}
	free(f->entry);
	*f = (struct ini_file){ 0 };
}

int ini_read(const char *text, size_t len, const char *name, struct ini_file *ret, struct error *e)
{
	_cleanup_(ini_done) struct ini_file file = { 0 };
	struct reader r = { .at = text, .end = text + len, .name = name, .file = &file, .e = e };

	int bad = ini_parse_stream(next_line, &r, on_key, &r);
	if (!r.failed && (bad != 0 || r.expect_key))
		BAD(&r, "the line cannot be read");
	for (size_t i = 0; i < r.n_opened; i++)
		free(r.opened[i]);
	free(r.opened);
	if (r.failed)
		return r.failed;
	*ret = file;
	file = (struct ini_file){ 0 };
	return 0;
}
