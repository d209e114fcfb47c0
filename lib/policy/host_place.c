/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where that may be which is used on the host, for a sandbox and by its name, again and again while the sandbox lives:
 * its auditor, and commands and files of its secrets. Nothing in the sandbox may put another one in its place; so each
 * directory and link that the name leads through has to stay what it is.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/auditor_spec.h"
#include "base/util.h"
#include "policy/internal.h"

#define LINKS_MAX 40u /* as the kernel */

/* Also what is overlaid, which a commit changes, and what is hidden in it: its mount goes with the file below it. */
static const struct policy_path *changed_by(const struct policy *p, const char *path)
{
	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *entry = &p->paths[i];
		if ((entry->kind == PATH_WRITE || entry->kind == PATH_OVERLAY) && path_below(path, entry->path))
			return entry;
	}
	return NULL;
}

/* The next name of *rest onto the end of real (PATH_MAX bytes), which has no links: 0 or a negative errno. */
static int enter(char *real, const char **rest)
{
	size_t len = strlen(real), n = strcspn(*rest, "/");
	const char *name = *rest;

	*rest += n + strspn(*rest + n, "/");
	if (n == 2 && memcmp(name, "..", 2) == 0) {
		char *last = strrchr(real, '/');
		*(last ? last : real) = '\0';
		return 0;
	}
	if (n == 0 || (n == 1 && name[0] == '.'))
		return 0;
	return snprintf(real + len, PATH_MAX - len, "/%.*s", (int)n, name) < (int)(PATH_MAX - len) ? 0 : -ENAMETOOLONG;
}

/* The first entry of the policy by which the sandbox can change where an absolute path leads to, or what is there; NULL:
 * none, and real (PATH_MAX bytes) is where. 0 or a negative errno. */
static int find_change(const struct policy *p, const char *path, char *real, const struct policy_path **ret)
{
	char todo[PATH_MAX], next[PATH_MAX], target[PATH_MAX];
	const char *rest = todo;
	unsigned links = 0;

	*ret = NULL;
	real[0] = '\0';
	if (snprintf(todo, sizeof(todo), "%s", path) >= (int)sizeof(todo))
		return -ENAMETOOLONG;
	while (*rest) {
		int r = enter(real, &rest);
		if (r < 0 || (*ret = changed_by(p, real)))
			return r;
		ssize_t n = real[0] ? readlink(real, target, sizeof(target) - 1) : -1;
		if (n < 0)
			continue; /* no link; or not there, which who connects to it sees */
		target[n] = '\0';
		if (++links > LINKS_MAX)
			return -ELOOP;
		if (snprintf(next, sizeof(next), "%s/%s", target, rest) >= (int)sizeof(next))
			return -ENAMETOOLONG;
		*(target[0] == '/' ? real : strrchr(real, '/')) = '\0';
		memcpy(todo, next, sizeof(todo));
		rest = todo;
	}
	return 0;
}

bool policy_keeps(const struct policy *p, const char *path)
{
	const struct policy_path *entry;
	char real[PATH_MAX];

	return find_change(p, path, real, &entry) == 0 && !entry;
}

static int unusable(const struct host_use *use, int r, struct error *e)
{
	return fail_errno(e, -r, use->stage, use->name, "cannot follow a path of %s %s", use->what, use->name);
}

int place_check_file(const struct policy *p, const struct host_use *use, const char *path, char *real, struct error *e)
{
	const struct policy_path *entry;

	int r = find_change(p, path, real, &entry);
	if (r < 0)
		return unusable(use, r, e);
	if (!entry)
		return 0;
	return fail(e, EPERM, use->stage, use->name,
		    "%s %s uses %s, which the sandbox can write, or the way to it (%s): a call could put its own in that "
		    "place; keep it where the sandbox does not write",
		    use->what, use->name, path, entry->path);
}

static int check_socket(const struct policy *p, const struct host_use *use, const char *path, struct error *e)
{
	static const char *const way_out = "name a socket in a directory that the sandbox neither writes nor sees, such as "
					   "$XDG_RUNTIME_DIR";
	const char *spec = use->name;
	const struct policy_path *entry;
	struct path_verdict verdict;
	char real[PATH_MAX];

	int r = find_change(p, path, real, &entry);
	if (r < 0)
		return unusable(use, r, e);
	if (entry)
		return fail(e, EPERM, SANDBOX_STAGE_AUDITOR, spec,
			    "the auditor %s is reached through %s, which the sandbox can write: a call could put its own in that "
			    "place; %s",
			    spec, entry->path, way_out);
	r = policy_check_path(p, real, false, &verdict, e);
	if (r < 0 || !path_verdict_shows(&verdict))
		return r;
	return fail(e, EPERM, SANDBOX_STAGE_AUDITOR, spec, "the auditor %s lies where the sandbox can see it (%s); %s", spec,
		    verdict.rule[0] ? verdict.rule : verdict.reason, way_out);
}

/* The next word of a command, as sh reads it and without its quotes, into word (as long as the command). *expands: sh
 * makes something else of it. -EINVAL: it does not end. */
static int read_word(const char **command, char *word, bool *expands)
{
	const char *s = *command;
	char quote = '\0';

	*expands = false;
	for (; *s && (quote || !strchr(" ();&|<>", *s)); s++) {
		const char *special = quote == '\'' ? "" : quote ? "$`" : "$`*?[{";
		if (*s == quote) {
			quote = '\0';
		} else if (!quote && (*s == '\'' || *s == '"')) {
			quote = *s;
		} else if (*s == '\\' && quote != '\'' && (!quote || strchr("$`\"\\", s[1]))) {
			if (!*++s)
				return -EINVAL;
			*word++ = *s;
		} else {
			*expands |= strchr(special, *s) != NULL;
			*word++ = *s;
		}
	}
	*word = '\0';
	*command = s;
	return quote ? -EINVAL : 0;
}

/* A word, or n bytes of it, that may be the path of a file. Of a directory it may be that it is only looked at. named:
 * it can be nothing else, so that what is not there now can come to be there. */
static int check_path(const struct policy *p, const struct host_use *use, const char *path, size_t n, bool named,
		      struct error *e)
{
	char file[PATH_MAX], real[PATH_MAX];
	bool tilde = path[0] == '~' && path[1] == '/' && p->home;
	const char *base = tilde ? p->home : path[0] == '/' ? "" : use->dir;
	struct stat st;

	if (snprintf(file, sizeof(file), "%s%s%.*s", base, path[0] == '/' || tilde ? "" : "/", (int)(n - tilde),
		     path + tilde) >= (int)sizeof(file))
		return 0;
	bool there = stat(file, &st) == 0;
	if (there ? !S_ISREG(st.st_mode) : !named)
		return 0;
	return place_check_file(p, use, file, real, e);
}

/* What cannot be but a path, behind --option= too. */
static bool begins_as_path(const char *s)
{
	return s[strspn(s, "~.")] == '/';
}

/* Also what a word has in it: --rules=PATH, or a command for another shell. */
static int check_word(const struct policy *p, const struct host_use *use, const char *word, bool first, struct error *e)
{
	static const char ends[] = " '\"\\();&|<>=`$";
	int r = 0;

	for (const char *s = word; *s && r == 0;) {
		size_t n = strcspn(s, ends);
		bool named = begins_as_path(s) || (first && s == word && memchr(s, '/', n));
		r = check_path(p, use, s, strlen(s), named && !s[n], e);
		if (r == 0 && s[n])
			r = check_path(p, use, s, n, named, e);
		s += n;
		s += strspn(s, ends);
	}
	return r;
}

/* Whether it is a path that only sh would know: ~USER too. Of other variables an argument may begin with the address of a
 * server. */
static bool is_unknown_path(const char *word, bool expands, bool first)
{
	static const char *const directories[] = { "$HOME/", "${HOME}/", "$PWD/", "${PWD}/", "$OLDPWD/", "${OLDPWD}/" };
	bool of_user = word[0] == '~' && word[1] != '/' && strchr(word, '/');
	bool of_directory = first && strchr(word, '/');

	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		of_directory |= strncmp(word, directories[i], strlen(directories[i])) == 0;
	return of_user || (expands && (word[0] == '~' || begins_as_path(word) || of_directory));
}

int place_check_command(const struct policy *p, const struct host_use *use, const char *command, struct error *e)
{
	_cleanup_free_ char *word = malloc(strlen(command) + 1);
	bool expands, first = true;
	int r = 0;

	if (!word)
		return unusable(use, -ENOMEM, e);
	for (const char *s = command; *s && r == 0;) {
		if (read_word(&s, word, &expands) < 0)
			return fail(e, EINVAL, use->stage, use->name,
				    "%s %s has a quote or a backslash with nothing behind it; end it", use->what, use->name);
		/* Of a secret the value may be in it. */
		if (is_unknown_path(word, expands, first))
			return fail(e, EINVAL, use->stage, use->name,
				    "%s %s names %s, and which file that is, only a shell knows, so that nobody can tell "
				    "whether the sandbox writes there; give an absolute path without $, `, *, ?, [, { and ~USER, "
				    "or quote it",
				    use->what, use->name, use->hides_words ? "a path" : word);
		r = check_word(p, use, word, first, e);
		size_t n = strspn(s, " ();&|<>");
		first = *word ? strcspn(s, "();&|") < n : first;
		s += n;
	}
	return r;
}

int policy_check_auditor(const struct policy *p, const char *spec, struct error *e)
{
	const struct host_use use = { "the auditor", spec, SANDBOX_STAGE_AUDITOR, "", false };
	struct auditor_spec parsed;

	int r = auditor_spec_parse(spec, &parsed, e);
	if (r < 0)
		return r;
	return parsed.kind == AUDITOR_UNIX ? check_socket(p, &use, parsed.value, e) :
					     place_check_command(p, &use, parsed.value, e);
}
