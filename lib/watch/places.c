/* SPDX-License-Identifier: Apache-2.0 */
/* The places of a watch: the writable directories of a policy with their .git and the like, repositories below them with their
 * linked worktrees, and protected files that have other names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/tree.h"
#include "watch/internal.h"

static const struct {
	const char *name;
	enum watch_rule rule;
} in_git[] = {
	{ "hooks", RULE_HOOKS },	 { "config", RULE_CONFIG }, { "config.worktree", RULE_CONFIG },
	{ "commondir", RULE_OBJECT }, { "gitdir", RULE_OBJECT },
	{ "worktrees", RULE_WORKTREES }, { "lazygit.yml", RULE_OBJECT }, { "rebase-merge/git-rebase-todo", RULE_TODO },
	{ "rebase-merge/strategy", RULE_STRATEGY }, { "sequencer/opts", RULE_CONFIG },
	{ "rebase-apply/apply-opt", RULE_OPTIONS },
	{ "index", RULE_INDEX },	 { "modules", RULE_MODULES },
};

/* Of what has to stay writable; else NULL. */
static git_reader reader_of(enum watch_rule rule)
{
	return rule == RULE_CONFIG   ? git_config_read :
	       rule == RULE_TODO     ? git_todo_read :
	       rule == RULE_STRATEGY ? git_strategy_read :
	       rule == RULE_OPTIONS  ? git_apply_options_read :
				       NULL;
}

static int add_entry(const struct policy *policy, struct place *p, int dir, const char *name, enum watch_rule rule)
{
	_cleanup_free_ char *path = NULL;
	bool mounted;

	if (asprintf(&path, "%s/%s", p->path, name) < 0)
		return -ENOMEM;
	if (!policy_watches(policy, path, &mounted))
		return 0;
	struct entry *more = reallocarray(p->entries, p->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	p->entries = more;
	struct entry *entry = &p->entries[p->n++];
	git_reader read = reader_of(rule);
	*entry = (struct entry){ .name = strdup(name), .rule = rule, .always = read || rule == RULE_INDEX || rule == RULE_WORKTREES ||
						rule == RULE_CHECKOUT,
				 .config = { .read = read, .readable = true, .mode = 0644 } };
	if (!entry->name)
		return -ENOMEM;
	if (read) {
		int k = dir < 0 ? 0 : config_begin(&entry->config, dir, name);
		/* Then any other bytes are a change. */
		k = k == -EFBIG && (mounted || rule != RULE_CONFIG) ? 0 : k;
		if (!p->tells)
			object_distrust(&entry->config.seen);
		return k == 0 && rule == RULE_CONFIG && entry->config.seen.kind == OBJECT_MISSING ? config_new(&entry->config, NULL) : k;
	}
	int r = dir < 0 ? 0 : object_look(dir, name, &entry->was);
	entry->fresh = entry->was.kind == OBJECT_MISSING;
	entry->always |= rule == RULE_MODULES && entry->was.kind == OBJECT_DIRECTORY;
	if (r == 0 && rule != RULE_INDEX && entry->was.kind == OBJECT_FILE && (entry->was.nlink > 1 || rule == RULE_CHECKOUT)) {
		entry->always = true;
		r = digest_of(dir, name, entry->digest);
	}
	if (!p->tells)
		object_distrust(&entry->was);
	return r;
}

static void remove_entries(struct place *p)
{
	while (p->n) {
		struct entry *entry = &p->entries[--p->n];
		free(entry->name);
		config_done(&entry->config);
	}
}

void place_done(struct place *p)
{
	remove_entries(p);
	free(p->entries);
	free(p->git_dir);
	free(p->path);
	fd_close(p->dir);
}

static struct place *add_place(struct watch *w, const char *path, int dir)
{
	struct place *more = reallocarray(w->places, w->n + 1, sizeof(*more));

	if (!more)
		return NULL;
	w->places = more;
	w->places[w->n] = (struct place){ .path = strdup(path), .dir = dir };
	return w->places[w->n].path ? &w->places[w->n++] : NULL;
}

/* Opened anew each time, since a call may put another one there. */
static struct place *add_place_in(struct watch *w, size_t parent, const char *path)
{
	struct place *p = add_place(w, path, -EBADF);

	if (p) {
		p->parent = parent;
		p->local = w->places[parent].local;
		p->tells = w->places[parent].tells;
	}
	return p;
}

static bool has_entry(const struct watch *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		size_t len = strlen(w->places[i].path);
		for (size_t k = 0; k < w->places[i].n && strncmp(path, w->places[i].path, len) == 0 && path[len] == '/'; k++) {
			if (strcmp(path + len + 1, w->places[i].entries[k].name) == 0)
				return true;
		}
	}
	return false;
}

/* That directory in a place, there or not. ret_dir: -ENOENT when it is not, or what is in it counts as new (fresh). */
static int add_below(struct watch *w, size_t parent, const char *name, size_t len, bool fresh, size_t *ret, int *ret_dir)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%.*s", w->places[parent].path, (int)len, name) < 0)
		return -ENOMEM;
	for (*ret = 0; *ret < w->n && strcmp(w->places[*ret].path, path) != 0; ++*ret)
		;
	if (*ret == w->n && !add_place_in(w, parent, path))
		return -ENOMEM;
	*ret_dir = fresh ? -ENOENT : place_open(w, *ret);
	return *ret_dir < 0 && *ret_dir != -ENOENT ? *ret_dir : 0;
}

/* name: of a file in directories of the place at, each of which is a place too. */
static int add_name(const struct policy *policy, struct watch *w, size_t at, int dir, const char *name, enum watch_rule rule)
{
	_cleanup_free_ char *first = NULL, *path = NULL;
	const char *slash = strchr(name, '/');
	_cleanup_close_ int below = -EBADF;
	size_t len = slash ? (size_t)(slash - name) : strlen(name);
	int r = 0;

	first = strndup(name, len);
	if (!first || asprintf(&path, "%s/%s", w->places[at].path, first) < 0)
		return -ENOMEM;
	if (!slash || !has_entry(w, path))
		r = add_entry(policy, &w->places[at], dir, first, slash ? RULE_DIRECTORY : rule);
	if (r < 0 || !slash)
		return r;
	r = add_below(w, at, name, len, dir < 0, &at, &below);
	return r < 0 ? r : add_name(policy, w, at, below, slash + 1, rule);
}

static int add_git_entries(const struct policy *policy, struct watch *w, size_t at, int dir)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(in_git) && r == 0; i++)
		r = add_name(policy, w, at, dir, in_git[i].name, in_git[i].rule);
	return r;
}

static int add_git(const struct policy *policy, struct watch *w, size_t parent, bool fresh)
{
	_cleanup_close_ int git = -EBADF;
	size_t at;

	int r = add_below(w, parent, ".git", 4, fresh, &at, &git);
	return r < 0 ? r : add_git_entries(policy, w, at, git);
}

/* Where a file .git leads to, as git would follow it; nothing when there is none. */
static int read_git_dir(struct place *p, int dir)
{
	_cleanup_buf_ struct buf text = { 0 };
	char link[40], target[PATH_MAX];

	if (object_read(dir, ".git", PATH_MAX, &text) < 0)
		return 0;
	while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	const char *line = buf_str(&text);
	if (!line || strncmp(line, "gitdir: ", 8) != 0)
		return line ? 0 : -ENOMEM;
	_cleanup_close_ int at = openat(dir, line + 8, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
	ssize_t n = at < 0 ? -1 : readlink(link, target, sizeof(target));
	if (n <= 0 || (size_t)n == sizeof(target))
		return 0;
	p->git_dir = strndup(target, (size_t)n);
	return p->git_dir ? 0 : -ENOMEM;
}

static int add_dir(const struct policy *policy, struct watch *w, size_t at, int fd)
{
	struct place *p = &w->places[at];
	struct object head;

	int r = add_entry(policy, p, fd, ".git", RULE_DIRECTORY);
	if (r == 0)
		r = read_git_dir(p, fd);
	/* A directory of git itself: a bare one, or that of linked worktrees. */
	if (r == 0)
		r = object_look(fd, "HEAD", &head);
	if (r == 0)
		r = head.kind == OBJECT_MISSING ? add_entry(policy, p, fd, "HEAD", RULE_HEAD) : add_git_entries(policy, w, at, fd);
	if (r == 0)
		r = add_git(policy, w, at, false);
	/* What of them is in .git has its rule. */
	for (size_t i = 0; policy_protected_name(i) && r == 0; i++) {
		if (strncmp(policy_protected_name(i), ".git/", 5) != 0)
			r = add_name(policy, w, at, fd, policy_protected_name(i), RULE_OBJECT);
	}
	return r;
}

static int add_writable(const struct policy *policy, struct watch *w, const struct policy_path *path)
{
	struct stat st;
	_cleanup_close_ int dir = open(path->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0 || fstat(dir, &st) < 0)
		return -errno;
	/* Whoever mounts it finds the same, and says so better. */
	if (st.st_dev != path->dev || st.st_ino != path->ino)
		return -ESTALE;
	struct place *p = add_place(w, path->path, dir);
	if (!p)
		return -ENOMEM;
	int fd = TAKE_FD(dir), r = object_times(fd, &p->local, &p->tells);
	return r < 0 ? r : add_dir(policy, w, w->n - 1, fd);
}

struct nested {
	const struct policy *policy;
	struct watch *w;
};

bool has_place(const struct watch *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++) {
		if (!w->places[i].for_file && strcmp(w->places[i].path, path) == 0)
			return true;
	}
	return false;
}

size_t held_above(const struct watch *w, const char *path)
{
	size_t best = w->n, longest = 0;

	for (size_t i = 0; i < w->n; i++) {
		size_t len = strlen(w->places[i].path);
		if (w->places[i].dir >= 0 && len > longest && strncmp(path, w->places[i].path, len) == 0 && path[len] == '/') {
			best = i;
			longest = len;
		}
	}
	return best;
}

/* An earlier call could have made one that cannot be looked at, so that is no reason to refuse the start. */
static int add_nested(void *arg, const char *path, enum nested_kind kind)
{
	const struct nested *n = arg;
	const size_t at = n->w->n, parent = held_above(n->w, path);

	/* The closed ones are read-only. */
	if (kind == NESTED_CLOSED || parent == at || has_place(n->w, path))
		return 0;
	if (!add_place_in(n->w, parent, path))
		return -ENOMEM;
	_cleanup_close_ int dir = place_open(n->w, at);
	int r = dir < 0		       ? dir :
		kind == NESTED_GIT_DIR ? add_git_entries(n->policy, n->w, at, dir) :
					 add_dir(n->policy, n->w, at, dir);
	if (r < 0 && !levels_is_own_failure(-r)) {
		while (n->w->n > at)
			place_done(&n->w->places[--n->w->n]);
		n->w->skipped = true;
		return 0;
	}
	return r;
}

static bool has_worktrees(const struct place *p)
{
	for (size_t k = 0; k < p->n; k++) {
		if (p->entries[k].rule == RULE_WORKTREES)
			return true;
	}
	return false;
}

/* Behind the writable directories, which have their places then. */
static int add_all_nested(const struct policy *policy, struct watch *w, struct error *e)
{
	struct nested nested = { policy, w };
	size_t n;
	const struct policy_path *paths = policy_paths(policy, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (paths[i].kind == PATH_WRITE && paths[i].is_dir)
			r = nested_each(&w->nested, paths[i].path, add_nested, &nested);
	}
	/* The strings stay where they are. */
	for (size_t i = 0, have = w->n; i < have && r == 0; i++) {
		if (has_worktrees(&w->places[i]))
			r = worktrees_each(&w->nested, w->places[i].path, add_nested, &nested);
	}
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "watch", "cannot look for repositories below the workspace") : 0;
}

/* A mount keeps one name of a file from being written, not its others. */
static int add_linked(const struct policy *policy, struct watch *w, const struct policy_path *path)
{
	struct object now;
	const char *name = strrchr(path->path, '/') + 1;
	_cleanup_free_ char *parent = strndup(path->path, (size_t)(name - 1 - path->path));
	_cleanup_close_ int dir = parent ? open(*parent ? parent : "/", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -EBADF;

	if (!parent || dir < 0)
		return parent ? -errno : -ENOMEM;
	int r = object_look(dir, name, &now);
	if (r < 0 || now.kind != OBJECT_FILE || now.nlink < 2 || has_entry(w, path->path))
		return r;
	struct place *p = add_place(w, parent, dir);
	if (!p)
		return -ENOMEM;
	p->for_file = true;
	int fd = TAKE_FD(dir);
	r = object_times(fd, &p->local, &p->tells);
	return r < 0 ? r : add_entry(policy, p, fd, name, RULE_OBJECT);
}

static int look_failed(const struct policy_path *path, int r, struct error *e)
{
	if (r == -EFBIG)
		return fail(e, EFBIG, SANDBOX_STAGE_POLICY, path->path,
			    "in %s a configuration of git is over %u KiB, or a protected file of several names is over %u MiB: "
			    "keep it from being written with --protect FILE, or give the file one name",
			    path->path, GIT_CONFIG_MAX >> 10, LINKED_MAX >> 20);
	return fail_errno(e, -r, SANDBOX_STAGE_POLICY, path->path, "cannot look at what the host would execute in %s",
			  path->path);
}

static int add_all(const struct policy *p, struct watch *w, struct error *e)
{
	size_t n, n_dirs = 0;
	const struct policy_path *paths = policy_paths(p, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (paths[i].kind == PATH_WRITE && paths[i].is_dir && ++n_dirs > WATCH_DIRS_MAX)
			return fail(e, E2BIG, SANDBOX_STAGE_POLICY, paths[i].path,
				    "more than %u writable directories cannot be watched for what the host would execute: "
				    "name one above them, or fewer", WATCH_DIRS_MAX);
		if (paths[i].kind == PATH_WRITE && paths[i].is_dir)
			r = add_writable(p, w, &paths[i]);
		/* These come behind the directories. */
		else if (paths[i].kind == PATH_PROTECT && !paths[i].is_dir && n_dirs)
			r = add_linked(p, w, &paths[i]);
		if (r < 0)
			return look_failed(&paths[i], r, e);
	}
	return 0;
}

/* ---- submodules ---- */

static int add_submodule(struct watch *w, size_t at, int dir, bool git_dir)
{
	if (git_dir)
		return add_git_entries(w->policy, w, at, dir);
	int r = add_entry(w->policy, &w->places[at], dir, ".git", RULE_CHECKOUT);
	if (r == 0 && dir >= 0)
		r = read_git_dir(&w->places[at], dir);
	return r < 0 ? r : add_git(w->policy, w, at, dir < 0);
}

/* As it is at the start. What nobody can look into the user's git does not use either, and a call could open it. What is
 * too large is left alone. */
static int begin_submodule(struct watch *w, size_t at, bool git_dir)
{
	_cleanup_close_ int dir = place_open(w, at);

	int r = dir < 0 && dir != -ENOENT ? dir : add_submodule(w, at, dir, git_dir);
	if (r == 0 || levels_is_own_failure(-r))
		return r;
	for (size_t i = at; i < w->n; i++)
		remove_entries(&w->places[i]);
	w->skipped = true;
	return r == -EACCES ? add_submodule(w, at, -EBADF, git_dir) : 0;
}

static int may_name_worktree(struct watch *w, const char *path, const char *worktree)
{
	size_t i = 0;

	while (i < w->n && strcmp(w->places[i].path, path) != 0)
		i++;
	for (size_t k = 0; i < w->n && k < w->places[i].n; k++) {
		struct entry *entry = &w->places[i].entries[k];
		/* Where there was one before, that says it. */
		if (entry->rule == RULE_CONFIG && strcmp(entry->name, "config") == 0 && !entry->config.text.len)
			return config_new(&entry->config, worktree);
	}
	return 0;
}

int places_more(struct watch *w, const struct more *more, bool fresh)
{
	const size_t at = w->n, parent = held_above(w, more->path);
	int r = 0;

	if (parent == w->n)
		return 0;
	if (!has_place(w, more->path)) {
		struct place *p = add_place_in(w, parent, more->path);
		if (!p)
			return -ENOMEM;
		w->n_submodules++;
		p->repository = more->repository;
		r = fresh ? add_submodule(w, at, -EBADF, more->git_dir) : begin_submodule(w, at, more->git_dir);
	}
	return r == 0 && more->worktree ? may_name_worktree(w, more->path, more->worktree) : r;
}

int places_git(struct watch *w, size_t at)
{
	w->places[at].now_git = false;
	w->places[at].was_git = true;
	w->places[at].seen = (struct object){ 0 };
	return add_git_entries(w->policy, w, at, -EBADF);
}

int places_add(struct watch *w, struct error *e)
{
	int r = add_all(w->policy, w, e);

	if (r == 0)
		r = add_all_nested(w->policy, w, e);
	if (r < 0)
		return r;
	r = submodules_begin(w);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_INTERNAL, "watch", "cannot look for submodules of the workspace") : 0;
}
