/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the auditor of a sandbox may be: where nothing in the sandbox can put another one in its place. It is connected
 * to, or started, again and again while the sandbox lives, by its name; so each directory and link that this name leads
 * through has to stay what it is.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/auditor_spec.h"
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

/* The files that the command names by an absolute path; of a directory it may be that it is only looked at. */
static int check_command(const struct policy *p, const char *spec, const char *command, struct error *e)
{
	static const char ends[] = " '\"\\();&|<>=`$";
	char word[PATH_MAX], real[PATH_MAX];
	const struct policy_path *entry;
	struct stat st;

	for (const char *s = command; *s; s += strspn(s, ends)) {
		int n = (int)strcspn(s, ends), tilde = s[0] == '~' && s[1] == '/' && p->home;
		const char *at = s;
		s += n;
		if ((at[0] != '/' && !tilde) ||
		    snprintf(word, sizeof(word), "%s%.*s", tilde ? p->home : "", n - tilde, at + tilde) >= (int)sizeof(word) ||
		    stat(word, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		int r = find_change(p, word, real, &entry);
		if (r < 0)
			return unusable(e, r, spec);
		if (entry)
			return fail(e, EPERM, SANDBOX_STAGE_AUDITOR, spec,
				    "the auditor %s is started with %s, which the sandbox can write, or the way to it (%s): a call "
				    "could decide about itself; keep it where the sandbox does not write",
				    spec, word, entry->path);
	}
	return 0;
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
