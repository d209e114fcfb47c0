/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the auditor of a sandbox may be: where nothing in the sandbox can put another one in its place. It is connected
 * to, or started, again and again while the sandbox lives, by its name; so each directory and link that this name leads
 * through has to stay what it is.
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

static int unusable(struct error *e, int r, const char *spec)
{
	return fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, spec, "cannot follow the path of the auditor %s", spec);
}

static int check_socket(const struct policy *p, const char *spec, const char *path, struct error *e)
{
	static const char *const way_out = "name a socket in a directory that the sandbox neither writes nor sees, such as "
					   "$XDG_RUNTIME_DIR";
	const struct policy_path *entry;
	struct path_verdict verdict;
	char real[PATH_MAX];

	int r = find_change(p, path, real, &entry);
	if (r < 0)
		return unusable(e, r, spec);
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

/* A file that the command names by an absolute path of n bytes; of a directory it may be that it is only looked at. */
static int check_file(const struct policy *p, const char *spec, const char *path, size_t n, struct error *e)
{
	char file[PATH_MAX], real[PATH_MAX];
	size_t tilde = path[0] == '~' && path[1] == '/' && p->home;
	const struct policy_path *entry;
	struct stat st;

	if ((path[0] != '/' && !tilde) ||
	    snprintf(file, sizeof(file), "%s%.*s", tilde ? p->home : "", (int)(n - tilde), path + tilde) >= (int)sizeof(file) ||
	    stat(file, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	int r = find_change(p, file, real, &entry);
	if (r < 0)
		return unusable(e, r, spec);
	if (!entry)
		return 0;
	return fail(e, EPERM, SANDBOX_STAGE_AUDITOR, spec,
		    "the auditor %s is started with %s, which the sandbox can write, or the way to it (%s): a call could decide "
		    "about itself; keep it where the sandbox does not write",
		    spec, file, entry->path);
}

/* Also what a word has in it: --rules=PATH, or a command for another shell. */
static int check_word(const struct policy *p, const char *spec, const char *word, struct error *e)
{
	static const char ends[] = " '\"\\();&|<>=`$";
	int r = 0;

	for (const char *s = word; *s && r == 0;) {
		size_t n = strcspn(s, ends);
		r = check_file(p, spec, s, strlen(s), e);
		if (r == 0 && s[n])
			r = check_file(p, spec, s, n, e);
		s += n;
		s += strspn(s, ends);
	}
	return r;
}

/* Whether it is a path that only sh would know: ~USER too. */
static bool is_unknown_path(const char *word, bool expands)
{
	bool of_user = word[0] == '~' && word[1] != '/' && strchr(word, '/');

	return of_user || (expands && (word[0] == '/' || word[0] == '~'));
}

static int check_command(const struct policy *p, const char *spec, const char *command, struct error *e)
{
	_cleanup_free_ char *word = malloc(strlen(command) + 1);
	bool expands;
	int r = 0;

	if (!word)
		return unusable(e, -ENOMEM, spec);
	for (const char *s = command; *s && r == 0; s += strspn(s, " ();&|<>")) {
		if (read_word(&s, word, &expands) < 0)
			return fail(e, EINVAL, SANDBOX_STAGE_AUDITOR, spec,
				    "the auditor %s has a quote or a backslash with nothing behind it; end it", spec);
		if (is_unknown_path(word, expands))
			return fail(e, EINVAL, SANDBOX_STAGE_AUDITOR, spec,
				    "the auditor %s names %s, and which file that is, only a shell knows, so that nobody can tell "
				    "whether the sandbox writes there; give an absolute path without $, `, *, ?, [, { and ~USER, "
				    "or quote it",
				    spec, word);
		r = check_word(p, spec, word, e);
	}
	return r;
}

int policy_check_auditor(const struct policy *p, const char *spec, struct error *e)
{
	struct auditor_spec parsed;

	int r = auditor_spec_parse(spec, &parsed, e);
	if (r < 0)
		return r;
	return parsed.kind == AUDITOR_UNIX ? check_socket(p, spec, parsed.value, e) :
					     check_command(p, spec, parsed.value, e);
}
