/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials in configuration files: a name like that of a key with a value behind it, a login in a URL, or the form of
 * a well-known token. JSON, TOML, YAML and the files of git are alike enough for one look at their words: names end
 * alike, a value follows '=' or ':'. What refers to a variable of the environment (${NAME}) is none.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "policy/key_scan.h"

#define SCAN_BYTES_MAX (4u << 20) /* tens of milliseconds */
#define NAME_TAIL 32u		  /* of a name its end counts */
#define TOKEN_LEN_MIN 20u

struct text {
	const char *at, *end;
};

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), len = strlen(end);

	return n >= len && strcmp(text + n - len, end) == 0;
}

bool is_configuration(const char *path)
{
	static const char *const ends[] = { ".json", ".jsonc", ".toml", ".yml", ".yaml", "/.gitconfig", "/config" };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		if (ends_in(path, ends[i]))
			return true;
	}
	return false;
}

/* apiKey, API_KEY and --api-key alike. */
static bool is_key_name(const char *name, size_t len)
{
	static const char *const ends[] = { "token", "key", "secret", "password", "passwd", "passphrase", "smtppass",
					    "authorization", "cookie", "credential", "credentials", "extraheader" };
	/* A key on the keyboard, a public one, the name of a variable. */
	static const char *const others[] = { "signingkey", "publickey", "envkey", "hotkey", "shortcutkey" };
	char tail[NAME_TAIL + 1];
	size_t at = NAME_TAIL;

	tail[at] = '\0';
	while (len && at) {
		char c = name[--len];
		if (c != '_' && c != '-')
			tail[--at] = (char)tolower((unsigned char)c);
	}
	if (strcmp(tail + at, "key") == 0)
		return false;
	if (strcmp(tail + at, "pass") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (ends_in(tail + at, others[i]))
			return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		if (ends_in(tail + at, ends[i]))
			return true;
	}
	return false;
}

/* Without braces only the usual form counts: a password may begin with '$' as well. */
static bool is_variable_char(char c, bool braces, bool first)
{
	bool plain = c == '_' || isupper((unsigned char)c) || (!first && isdigit((unsigned char)c));

	return braces ? is_name_char(c) || c == ':' || c == '.' : plain;
}

/* ${NAME}, $NAME or {env:NAME} and nothing else, also behind the word for the kind of login. */
static bool is_reference(const char *value, size_t len)
{
	static const char *const kinds[] = { "Bearer ", "Basic ", "token " };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i]);
		if (len > n && strncasecmp(value, kinds[i], n) == 0) {
			value += n;
			len -= n;
			break;
		}
	}
	bool dollar = len && value[0] == '$', brace = len > dollar && value[dollar] == '{';
	size_t begin = (size_t)dollar + brace, at = begin;
	if (!dollar && !(len > 5 && strncmp(value, "{env:", 5) == 0))
		return false;
	while (at < len && is_variable_char(value[at], brace, at == begin))
		at++;
	return brace ? at + 1 == len && value[at] == '}' : at == len && at > begin;
}

static void skip(struct text *t, const char *chars)
{
	while (t->at < t->end && *t->at && strchr(chars, *t->at))
		t->at++;
}

static bool is_plain(const char *value, size_t len)
{
	static const char *const words[] = { "true", "false", "null", "none", "~" };
	size_t digits = 0;

	while (digits < len && (isdigit((unsigned char)value[digits]) || value[digits] == '.'))
		digits++;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strlen(words[i]) == len && strncasecmp(value, words[i], len) == 0)
			return true;
	}
	return digits == len;
}

/* Whether a value follows a name, from behind it. That of an option may follow as the next word. */
static bool has_value(struct text t, bool option)
{
	const char *name_end = t.at;

	skip(&t, "\"'");
	skip(&t, " \t");
	bool sign = t.at < t.end && (*t.at == '=' || *t.at == ':' || (option && *t.at == ','));
	if (!sign && !(option && t.at > name_end))
		return false;
	t.at += sign;
	skip(&t, " \t");
	/* A list, also one that begins on the next line, or a string there. */
	struct text next = t;
	skip(&next, " \t\r\n[");
	if (next.at < next.end && next.at > t.at && strchr("\"'-", *next.at))
		t = next;
	if (t.at + 1 < t.end && t.at[0] == '-' && t.at[1] == ' ')
		t.at += 2;
	bool quoted = t.at < t.end && (*t.at == '"' || *t.at == '\'');
	const char *value = t.at + quoted;
	while (++t.at < t.end && *t.at != '\n' && (quoted ? *t.at != value[-1] : !strchr("\r,#;\"'}]", *t.at)))
		;
	size_t len = t.at > value && value < t.end ? (size_t)(t.at - value) : 0;
	while (len && !quoted && isspace((unsigned char)value[len - 1]))
		len--;
	if (!len || is_reference(value, len))
		return false;
	return quoted || !(strchr("{[}],\r\n#;", *value) || is_plain(value, len));
}

/* From behind "://": a password, or in HTTP a token in its place. */
static bool has_login(struct text t, bool http)
{
	const char *colon = NULL, *begin = t.at;

	for (; t.at < t.end && !strchr("/ \t\r\n\"'<>", *t.at); t.at++) {
		if (*t.at == '@') {
			const char *login = colon ? colon + 1 : begin;
			return t.at > login && (colon || http) && !is_reference(login, (size_t)(t.at - login));
		}
		if (*t.at == ':' && !colon)
			colon = t.at;
	}
	return false;
}

static bool is_token(const char *word, size_t len)
{
	static const char *const forms[] = { "sk-ant-", "sk-proj-", "sk-or-", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-",
					     "xoxb-", "xoxp-", "npm_", "AKIA", "AIza", "hf_" };

	for (size_t i = 0; i < ARRAY_LEN(forms) && len >= TOKEN_LEN_MIN; i++) {
		if (strncmp(word, forms[i], strlen(forms[i])) == 0)
			return true;
	}
	return false;
}

bool text_shows_key(const char *text, size_t len)
{
	struct text t = { text, text + len };

	while (t.at < t.end) {
		const char *word = t.at;
		while (t.at < t.end && (*t.at == '-' || is_name_char(*t.at)))
			t.at++;
		size_t n = (size_t)(t.at - word);
		if (n == 0) {
			t.at++;
			continue;
		}
		if (is_token(word, n) || (is_key_name(word, n) && has_value(t, word[0] == '-')))
			return true;
		if (t.end - t.at > 3 && memcmp(t.at, "://", 3) == 0 &&
		    has_login((struct text){ t.at + 3, t.end }, n >= 4 && strncasecmp(word, "http", 4) == 0))
			return true;
	}
	return false;
}

bool file_shows_key(int fd)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len = 0;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)SCAN_BYTES_MAX)
		return true;
	text = malloc(SCAN_BYTES_MAX);
	if (!text)
		return true;
	for (ssize_t n; len < SCAN_BYTES_MAX; len += (size_t)n) {
		n = pread(fd, text + len, SCAN_BYTES_MAX - len, (off_t)len);
		if (n < 0)
			return true;
		if (n == 0)
			return text_shows_key(text, len);
	}
	return true;
}
