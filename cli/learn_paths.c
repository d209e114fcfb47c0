/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the paths that a command named to lines for its policy.
 *
 * What the policy allowed marks the line that allowed it as used. What was there on the host and not inside becomes a
 * line when it was looked for, and what could not be written when it was written. What went well in a place that is
 * private stays as it is: a line for it would change what works. Nothing is proposed that is too wide or a secret.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "learn.h"
#include "nsbox.h"
#include "watch.h"

/* More than this many files that were looked for in one directory are proposed as the directory. */
#define SIBLINGS 8u
#define PRIVATE_MAX 32u /* private places that are named */

enum {
	WANTS_READ = 1,
	WANTS_WRITE = 2,
	WROTE_PRIVATE = 4,
	REFUSED = 8,
	WANTS_PLACE = 16, /* to be written in a private place, where its directory was not there */
};

struct wish {
	char *path;
	unsigned what;
	bool is_dir;
	const char *why; /* of REFUSED */
};

struct wishes {
	struct learn *learn;
	sandbox_policy *policy;
	char *home, *workdir; /* without links */
	struct wish *list;
	size_t n;
};

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

/* Directories of everything: a grant of one of them would be one of what nobody looked for. */
static bool is_wide(const struct wishes *w, const char *path)
{
	static const char *const roots[] = { "/home", "/root", "/var", "/var/lib", "/srv", "/mnt", "/media", "/tmp",
					     "/var/tmp", "/run", "/data", "/export", "/snap" };
	static const char *const homes[] = { "/.config", "/.local", "/.local/share", "/.local/state", "/.local/bin",
					     "/.cache" };

	if (below(w->home, path) || below(w->workdir, path))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		if (strcmp(path, roots[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(homes) && below(path, w->home); i++) {
		if (strcmp(path + strlen(w->home), homes[i]) == 0)
			return true;
	}
	return false;
}

static void wish(struct wishes *w, const char *path, unsigned what, bool is_dir, const char *why)
{
	struct wish *list = reallocarray(w->list, w->n + 1, sizeof(*list));
	char *copy = list ? strdup(path) : NULL;

	if (list)
		w->list = list;
	if (copy)
		w->list[w->n++] = (struct wish){ copy, what, is_dir, why };
}

/* The path, or the nearest directory on the way to it, that is on the host. */
static void wish_write(struct wishes *w, const char *path)
{
	_cleanup_free_ char *at = strdup(path);
	struct stat st;

	while (at && at[0] == '/' && at[1] && lstat(at, &st) < 0) {
		char *slash = strrchr(at, '/');
		slash[slash == at] = '\0';
	}
	if (at)
		wish(w, at, WANTS_WRITE, lstat(at, &st) == 0 && S_ISDIR(st.st_mode), NULL);
}

/* What the policy says of a path, and the line that says it is marked as used. */
static bool ask(struct wishes *w, const char *path, bool write, char reason[32])
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	const char *rule = "", *why = "";
	int allowed = 0;

	reason[0] = '\0';
	if (sandbox_policy_check_path(w->policy, path, write, &allowed, &text, &error) < 0) {
		sandbox_error_free(error);
		snprintf(reason, 32, "form");
		return false;
	}
	json_t *answer = json_loads(text, 0, NULL);
	if (answer && json_unpack(answer, "{s:s, s:s}", "rule", &rule, "reason", &why) == 0) {
		snprintf(reason, 32, "%s", why);
		if (*rule)
			json_object_set_new(w->learn->rules, rule, json_true());
	}
	json_decref(answer);
	return allowed;
}

static void take(struct wishes *w, enum watch_use use, char state, const char *path)
{
	bool write = use == WATCH_WRITE;
	char reason[32];
	struct stat st;

	if (below(path, w->workdir))
		return;
	bool allowed = ask(w, path, write, reason), private = strcmp(reason, "private") == 0;
	bool exists = lstat(path, &st) == 0;
	if (write && private) {
		wish(w, path, state == WATCH_NOWHERE ? WANTS_PLACE : WROTE_PRIVATE, false, NULL);
	} else if (allowed) {
		return;
	} else if (strcmp(reason, "form") == 0) {
		if (state != WATCH_THERE && exists)
			wish(w, path, REFUSED, false, "cannot stand in a policy file");
	} else if (write && (strcmp(reason, "not-granted") == 0 || strcmp(reason, "read-only") == 0)) {
		wish_write(w, path);
	} else if (write) {
		wish(w, path, REFUSED, false, strcmp(reason, "protect") == 0 ? "protected" : "of the system");
	} else if (strcmp(reason, "hide") == 0 || strcmp(reason, "absent") == 0) {
		if (exists)
			wish(w, path, REFUSED, false, "hidden");
	} else if (state != WATCH_THERE && exists) {
		wish(w, path, WANTS_READ, S_ISDIR(st.st_mode), NULL);
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct wish *)a)->path, ((const struct wish *)b)->path);
}

/* Those of one path become one. */
static void unite(struct wishes *w)
{
	size_t n = 0;

	if (w->n)
		qsort(w->list, w->n, sizeof(*w->list), compare);
	for (size_t i = 0; i < w->n; i++) {
		if (n && strcmp(w->list[n - 1].path, w->list[i].path) == 0) {
			w->list[n - 1].what |= w->list[i].what;
			if (!w->list[n - 1].why)
				w->list[n - 1].why = w->list[i].why;
			free(w->list[i].path);
		} else {
			w->list[n++] = w->list[i];
		}
	}
	w->n = n;
}

/* What could not be made at first may have been made later, with its directories. */
static void settle_places(struct wishes *w)
{
	size_t n = w->n;

	/* mkdir -p makes every directory on the way, those too that everybody has. */
	for (size_t i = 0; i < n; i++) {
		if (w->list[i].what != WANTS_PLACE)
			continue;
		const char *path = w->list[i].path;
		bool made = false;
		for (size_t k = 0; k < n && !made; k++)
			made = w->list[k].what & WROTE_PRIVATE && below(path, w->list[k].path) && !is_wide(w, w->list[k].path);
		w->list[i].what = made ? WROTE_PRIVATE : 0;
		if (!made)
			wish_write(w, path);
	}
	unite(w);
}

static bool is_secret(const struct wishes *w, const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);

	return learn_is_secret(path, w->home) || (real && learn_is_secret(real, w->home));
}

/* Whether more files than SIBLINGS were looked for in it, and it may be proposed as a whole. From the first of them. */
static bool is_gathered(const struct wishes *w, size_t first, const char *dir)
{
	size_t n = 0;

	for (size_t i = first; i < w->n && n <= SIBLINGS && below(w->list[i].path, dir); i++)
		n += w->list[i].what == WANTS_READ && !is_secret(w, w->list[i].path);
	return n > SIBLINGS && !is_wide(w, dir) && !is_secret(w, dir) && !learn_holds_secrets(dir, w->home);
}

/* Many files of one directory are that directory, unless it is wide or has secrets. Each is looked at once. */
static void gather(struct wishes *w)
{
	json_t *looked = json_object();

	for (size_t i = 0; i < w->n && looked; i++) {
		const char *slash = strrchr(w->list[i].path, '/');
		size_t len = (size_t)(slash - w->list[i].path);
		if (w->list[i].what != WANTS_READ || len == 0)
			continue;
		_cleanup_free_ char *dir = strndup(w->list[i].path, len);
		/* A name may be any bytes. */
		if (!dir || json_object_get(looked, dir) || json_object_set_new_nocheck(looked, dir, json_true()) < 0 ||
		    !is_gathered(w, i, dir))
			continue;
		free(w->list[i].path);
		w->list[i].path = TAKE_PTR(dir);
		w->list[i].is_dir = true;
	}
	json_decref(looked);
	unite(w);
}

static bool written_below(const struct wishes *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->list[i].what & (WROTE_PRIVATE | WANTS_WRITE) && below(w->list[i].path, path))
			return true;
	}
	return false;
}

static char *shown(const struct wishes *w, const char *path)
{
	char *text;
	size_t n = strlen(w->home);
	bool in_home = below(path, w->home) && path[n] == '/';

	return asprintf(&text, "%s%s", in_home ? "~" : "", in_home ? path + n : path) < 0 ? NULL : text;
}

/* Why it is only named, or NULL. */
static const char *not_proposed(const struct wishes *w, const struct wish *x)
{
	_cleanup_free_ char *real = realpath(x->path, NULL);

	if (is_secret(w, x->path))
		return "credentials are likely there: never proposed";
	if (x->what & REFUSED)
		return x->why;
	if (!real)
		return "leads nowhere";
	if (x->what & WANTS_WRITE && (learn_is_executed(x->path, w->home) || learn_is_executed(real, w->home)))
		return "the host may execute what is written there: never proposed";
	if (is_wide(w, x->path) || is_wide(w, real))
		return "too much is below it: name what of it is needed";
	if (x->is_dir && learn_holds_secrets(real, w->home))
		return "credentials are below it, or more than is looked through: name what of it is needed";
	if (!(x->what & WANTS_WRITE) && written_below(w, x->path))
		return "was written too, and a private one was made: write = keeps it on the host";
	return NULL;
}

static void propose_all(struct wishes *w)
{
	const char *covered[2] = { NULL, NULL }; /* by the last line for reading, and for writing */

	for (size_t i = 0; i < w->n; i++) {
		const struct wish *x = &w->list[i];
		bool write = x->what & WANTS_WRITE;
		if (!x->what || x->what == WROTE_PRIVATE || (covered[1] && below(x->path, covered[1])) ||
		    (!write && covered[0] && below(x->path, covered[0])))
			continue;
		const char *why = not_proposed(w, x), *key = write ? "write" : "read";
		char *value = shown(w, x->path);
		if (!why && (!value || !learn_is_line(w->learn, "filesystem", key, value)))
			why = "cannot stand in a policy file";
		propose(&w->learn->paths, why ? NULL : key, value, why ? why : write ? "was to be written, and could not be" :
			"was looked for, and is not there inside");
		if (!why && x->is_dir)
			covered[write] = x->path;
	}
}

/* Of each place the topmost path, as far as its beginning says whose it is. */
static void tell_private(struct wishes *w)
{
	_cleanup_free_ char *last = NULL;
	size_t home = strlen(w->home), told = 0;

	for (size_t i = 0; i < w->n; i++) {
		const char *path = w->list[i].path;
		if (!(w->list[i].what & WROTE_PRIVATE) || !below(path, w->home) || is_wide(w, path) || is_secret(w, path) ||
		    (last && below(path, last)))
			continue;
		size_t len = home, parts = 0;
		do {
			len += 1 + strcspn(path + len + 1, "/");
			free(last);
			last = strndup(path, len);
		} while (path[len] && last && (++parts < 2 || is_wide(w, last)));
		if (last && told++ < PRIVATE_MAX)
			propose(&w->learn->paths, NULL, shown(w, last), "was written, private, and is gone afterwards");
	}
}

void learn_paths(struct learn *learn, sandbox_policy *policy, const char *records, size_t len)
{
	struct wishes w = { .learn = learn, .policy = policy };
	const char *home = getenv("HOME"), *end = records + len;

	w.home = home && home[0] == '/' ? realpath(home, NULL) : strdup("/nonexistent");
	w.workdir = realpath(learn->workdir ? learn->workdir : ".", NULL);
	/* Of a forged one no more than of a true one. */
	for (size_t count = 0; w.home && w.workdir && records < end && count <= WATCH_MAX_RECORDS; count++) {
		size_t n = strnlen(records, (size_t)(end - records));
		/* A record that is cut off, or that the command wrote itself, is as good as none. */
		if (records[0] == WATCH_FULL)
			propose(&learn->paths, NULL, NULL, "more paths were named than are kept");
		else if (n > 2 && records[2] == '/' && records + n < end)
			take(&w, (enum watch_use)records[0], records[1], records + 2);
		records += n + 1;
	}
	if (w.home && w.workdir) {
		unite(&w);
		settle_places(&w);
		gather(&w);
		propose_all(&w);
		tell_private(&w);
	}
	for (size_t i = 0; i < w.n; i++)
		free(w.list[i].path);
	free(w.list);
	free(w.home);
	free(w.workdir);
}
