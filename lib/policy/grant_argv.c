/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of commands: words with blanks between them, stored with single ones. `*` in a word is any run of
 * characters; a word that is `*` is one argument, and as the last one any number of them. The first word is compared
 * with the last part of argv[0], unless it has a '/' itself.
 */
#include <errno.h>
#include <string.h>

#include "policy/grant_internal.h"

/* Iterative, so that no pattern is slow: on a mismatch only the last `*` takes one character more. */
static bool word_matches(const char *word, size_t len, const char *s)
{
	const char *end = word + len, *star = NULL, *from = NULL;

	while (*s) {
		if (word < end && *word == '*') {
			star = ++word;
			from = s;
		} else if (word < end && *word == *s) {
			word++;
			s++;
		} else if (star) {
			word = star;
			s = ++from;
		} else {
			return false;
		}
	}
	while (word < end && *word == '*')
		word++;
	return word == end;
}

bool argv_matches(const char *pattern, const char *const *argv)
{
	bool first = true;

	for (;; first = false, argv++) {
		size_t n = strcspn(pattern, " ");
		bool last = !pattern[n], star = n == 1 && pattern[0] == '*';
		const char *arg = *argv;
		/* The rest, also none; the command itself must be there. */
		if (last && star)
			return !first || arg;
		if (!arg)
			return false;
		if (first && !memchr(pattern, '/', n) && strrchr(arg, '/'))
			arg = strrchr(arg, '/') + 1;
		if (!word_matches(pattern, n, arg))
			return false;
		if (last)
			return !argv[1];
		pattern += n + 1;
	}
}

bool argv_text_valid(const char *text)
{
	size_t words = 1;

	if (!*text || text[0] == ' ' || text[strlen(text) - 1] == ' ' || strstr(text, "  "))
		return false;
	for (const char *c = text; *c; c++)
		words += *c == ' ';
	return words <= GRANT_WORDS_MAX;
}

int argv_parse(struct grant *g, const struct setting *s, struct error *e)
{
	_cleanup_free_ char *text = calloc(1, strlen(s->value) + 1);
	size_t n = 0;

	if (!text)
		return out_of_memory(e);
	for (const char *c = s->value; *c; c++) {
		if (*c != ' ' || (n && text[n - 1] != ' '))
			text[n++] = *c;
	}
	if (n && text[n - 1] == ' ')
		text[--n] = '\0';
	/* Quotes are not part of the language: whoever writes them means something else. */
	if (strpbrk(text, "\"'\\"))
		return bad_setting(s, e, EINVAL, "accepted: words with blanks between them, '*' for anything in a word, a last "
				   "word '*' for further arguments; there are no quotes: write '*' for a blank");
	if (!argv_text_valid(text))
		return bad_setting(s, e, E2BIG, "accepted: 1 to %d words", GRANT_WORDS_MAX);
	if (g->n_argv == GRANT_ARGV_MAX)
		return bad_setting(s, e, E2BIG, "more than %d argv patterns in one grant", GRANT_ARGV_MAX);
	struct argv_pattern *pattern = grow(&g->argv, &g->n_argv, sizeof(*pattern), GRANT_ARGV_MAX, "argv patterns", s->origin,
					    e);
	if (!pattern)
		return -ENOMEM;
	*pattern = (struct argv_pattern){ TAKE_PTR(text), strdup(s->origin) };
	return pattern->origin ? 0 : out_of_memory(e);
}

/*
 * Whether everything that pattern b matches, a does: b is taken for a command, in which `*` is a character that only a
 * `*` matches. Not every such pair is found, but none that is not one.
 */
static bool takes_all_of(const char *a, const char *b)
{
	char *words[GRANT_WORDS_MAX + 1];
	_cleanup_free_ char *copy = strdup(b);
	size_t n = 0, a_len = strlen(a);

	if (!copy)
		return false;
	/* A word without '/' stands for a command anywhere, with it for one place: only like is compared with like. */
	if (!!memchr(a, '/', strcspn(a, " ")) != !!memchr(b, '/', strcspn(b, " ")))
		return false;
	for (char *rest = copy, *word; n < GRANT_WORDS_MAX && (word = strsep(&rest, " ")) != NULL;)
		words[n++] = word;
	words[n] = NULL;
	bool open = n > 0 && strcmp(words[n - 1], "*") == 0, a_open = strcmp(a, "*") == 0;
	a_open = a_open || (a_len > 1 && strcmp(a + a_len - 2, " *") == 0);
	/* The last `*` of b may stand for no argument. */
	if (open && n > 1) {
		char *star = words[n - 1];
		words[n - 1] = NULL;
		if (!a_open || !argv_matches(a, (const char *const *)words))
			return false;
		words[n - 1] = star;
	}
	return (!open || a_open) && argv_matches(a, (const char *const *)words);
}

static void warn_if_taken(struct policy *p, const struct grant *later, const struct argv_pattern *pattern,
			  const struct grant *first)
{
	for (size_t i = 0; i < first->n_argv; i++) {
		if (takes_all_of(first->argv[i].text, pattern->text))
			warn(p, "%s: [%s] argv = %s never binds: [%s] argv = %s (%s) stands before it", pattern->origin,
			     later->section, pattern->text, first->section, first->argv[i].text, first->argv[i].origin);
	}
}

void argv_warn(struct policy *p)
{
	for (size_t i = 0; i < p->n_grants; i++) {
		const struct grant *later = p->grants[i];
		for (size_t k = 0; k < later->n_argv; k++) {
			for (size_t j = 0; j < i; j++)
				warn_if_taken(p, later, &later->argv[k], p->grants[j]);
		}
	}
}
