/* SPDX-License-Identifier: Apache-2.0 */
/* Default protection (DESIGN 13): what the host would execute later, and the policy itself, in writable places. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/internal.h"
#include "policy/nested.h"

/*
 * Run by git, editors, agents, shells and task runners when someone enters or opens the directory on the host.
 * .git/config is not here although some of its keys execute: `git config` and `git remote` must work, so it is
 * watched (lib/watch) instead of protected, and so is what of these is not there yet.
 */
static const char *const executed_by_host[] = {
	".nsbox.ini",	 ".git/lazygit.yml",
	".git/hooks",	 ".husky",	".githooks",	".envrc",	 ".direnv",    ".mise.toml",  "mise.toml",
	".helix",	 ".vscode",	 ".idea",	".zed",		".fleet",	 ".exrc",      ".nvim.lua",   ".nvimrc",
	".vimrc",	 ".lvimrc",	".dir-locals.el", ".devcontainer", ".devcontainer.json", ".mcp.json", ".claude",
	".claude.json",	 ".cursor",	".codex",	".gemini",	 ".continue",  ".windsurf",   ".aider.conf.yml",
	".opencode",	 "opencode.json", ".kiro",	".roo",		 ".pre-commit-config.yaml",
	".qwen",	 ".amp",	".crush",	".crush.json",	 "crush.json", "opencode.jsonc", ".github/hooks",
	".dir-locals-2.el", ".mise",	".mise.local.toml", "mise.local.toml", ".npmrc", ".yarnrc.yml", ".pdbrc",
	".hg/hgrc",	 ".jj/repo/config.toml", "lefthook.yml", ".lefthook.yml", "lefthook-local.yml", ".lefthook-local.yml",
	"lefthook.yaml", ".lefthook.yaml", "lefthook-local.yaml", ".lefthook-local.yaml", ".lazygit.yml",
	/* Not executed: where what is pushed goes to. */
	".lfsconfig",
};

const char *policy_protected_name(size_t n)
{
	return n < ARRAY_LEN(executed_by_host) ? executed_by_host[n] : NULL;
}

bool path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1)
		return true;
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

const struct policy_path *effective_path(const struct policy *p, const char *path)
{
	const struct policy_path *best = NULL;

	for (size_t i = 0; i < p->n_paths; i++) {
		const struct policy_path *c = &p->paths[i];
		if (!path_below(path, c->path))
			continue;
		if (c->kind == PATH_HIDE)
			return c;
		if (!best || c->kind == PATH_PROTECT ||
		    (best->kind != PATH_PROTECT && strlen(c->path) >= strlen(best->path)))
			best = c;
	}
	return best;
}

bool policy_watches(const struct policy *p, const char *path, bool *ret_mounted)
{
	const struct policy_path *now = effective_path(p, path);
	bool itself = now && strcmp(now->path, path) == 0;

	*ret_mounted = now && now->kind == PATH_PROTECT;
	/* Named itself as writable: the user decided. Below what is protected nothing can be written. */
	return now && ((now->kind == PATH_WRITE && !itself) || (now->kind == PATH_PROTECT && itself));
}

/* Not there, or not to be reached, neither by us nor by what runs inside. Any other failure leaves it unprotected. */
bool is_unreachable(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -EACCES || r == -ELOOP || r == -ENAMETOOLONG;
}

int protect_look_failed(const char *path, int err, struct error *e)
{
	return is_unreachable(-err) ? 0 : fail_errno(e, err, SANDBOX_STAGE_POLICY, path, "cannot look at %s to protect it", path);
}

static int protect_one(struct policy *p, const char *path, const struct stat *st, struct error *e)
{
	/* Named itself as writable: the user decided. Not writable anyway: nothing to do. */
	const struct policy_path *now = effective_path(p, path);
	if (!now || now->kind != PATH_WRITE || strcmp(now->path, path) == 0)
		return 0;
	/* A symlink on the way (.git of some tools): what it leads to is elsewhere. */
	_cleanup_object_ struct object at = { 0 };
	int r = resolve_path(path, &at, e);
	if (r < 0 || strcmp(at.path, path) != 0)
		return is_unreachable(r) ? 0 : r;
	at.dev = st->st_dev;
	at.ino = st->st_ino;
	at.is_dir = S_ISDIR(st->st_mode);
	return add_object(p, PATH_PROTECT, &at, path, "default", e);
}

int protect_target(struct policy *p, const char *path, bool file_only, struct error *e)
{
	_cleanup_object_ struct object real = { 0 };
	struct stat st;

	int r = resolve_path(path, &real, e);
	/* In /proc, or with a name that no policy holds: then it is in nothing that is granted. */
	if (r < 0)
		return is_unreachable(r) || r == -EXDEV || r == -EINVAL ? 0 : r;
	if (lstat(real.path, &st) < 0)
		return protect_look_failed(real.path, errno, e);
	return (S_ISDIR(st.st_mode) && !file_only) || S_ISREG(st.st_mode) ? protect_one(p, real.path, &st, e) : 0;
}

/* What keeps us from it, or it itself: read-only it stays closed to what runs inside too. */
static int protect_closed(struct policy *p, const char *path, struct error *e)
{
	_cleanup_free_ char *below = NULL;
	_cleanup_object_ struct object at = { 0 };
	struct stat st;

	if (asprintf(&below, "%s/x", path) < 0) {
		below = NULL;
		return out_of_memory(e);
	}
	int r = closed_on_way(below, &at, e);
	if (r <= 0 || lstat(at.path, &st) < 0)
		return r < 0 ? r : 0;
	const struct policy_path *now = effective_path(p, at.path);
	if (now && now->kind == PATH_WRITE && strcmp(now->path, at.path) != 0)
		warn(p, "%s is closed to its owner, so that it is read-only inside: chmod u+rx opens it", at.path);
	return protect_one(p, at.path, &st, e);
}

/* A symlink is replaced, not written through: its place is watched, and what it leads to is what is executed. */
static int protect_at(struct policy *p, const char *path, struct error *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == EACCES ? protect_closed(p, path, e) : protect_look_failed(path, errno, e);
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
		return protect_one(p, path, &st, e);
	return S_ISLNK(st.st_mode) ? protect_target(p, path, false, e) : 0;
}

struct nested {
	struct policy *p;
	struct error *e;
	struct nested_scan scan;
};

static int protect_git_dir(void *arg, const char *dir, enum nested_kind kind)
{
	static const char *const names[] = { "hooks", "commondir", "gitdir", "lazygit.yml" };
	const struct nested *n = arg;
	char path[4096];
	int r = 0;

	if (kind == NESTED_CLOSED)
		return protect_closed(n->p, dir, n->e);
	for (size_t i = 0; i < ARRAY_LEN(names) && r == 0; i++) {
		int len = snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (len > 0 && (size_t)len < sizeof(path))
			r = protect_at(n->p, path, n->e);
	}
	return r;
}

/* What the host would execute when somebody is in that directory, or in a worktree of its repository elsewhere. */
static int protect_in(struct nested *n, const char *dir)
{
	struct policy *p = n->p;
	struct error *e = n->e;
	char path[4096];
	struct stat st;
	int r = 0;

	for (size_t k = 0; k < ARRAY_LEN(executed_by_host) && r == 0; k++) {
		int len = snprintf(path, sizeof(path), "%s/%s", dir, executed_by_host[k]);
		if (len < 0 || (size_t)len >= sizeof(path))
			continue;
		r = protect_at(p, path, e);
	}
	/* A file that names git's directory: another in its place would lead the host's git to other hooks. */
	int len = snprintf(path, sizeof(path), "%s/.git", dir);
	if (r == 0 && len > 0 && (size_t)len < sizeof(path) && lstat(path, &st) == 0 && S_ISREG(st.st_mode))
		r = protect_one(p, path, &st, e);
	if (r == 0)
		r = protect_configured(p, dir, e);
	len = snprintf(path, sizeof(path), "%s/.git", dir);
	if (r == 0 && len > 0 && (size_t)len < sizeof(path))
		r = worktrees_each(&n->scan, path, protect_git_dir, n);
	return r;
}

static int protect_nested(void *arg, const char *dir, enum nested_kind kind)
{
	struct nested *n = arg;

	if (kind == NESTED_CHECKOUT)
		return protect_in(n, dir);
	int r = protect_git_dir(n, dir, kind);
	if (kind == NESTED_CLOSED)
		return r;
	return r == 0 ? worktrees_each(&n->scan, dir, protect_git_dir, n) : r;
}

static bool is_writable_dir(const struct policy_path *path)
{
	return path->kind == PATH_WRITE && path->is_dir;
}

/* It may be a directory of git itself, a bare one. */
static int protect_writable(struct nested *n, size_t i)
{
	/* Adding to the list may move it, not its strings. */
	const char *dir = n->p->paths[i].path;
	char head[4096];

	int r = is_writable_dir(&n->p->paths[i]) ? protect_in(n, dir) : 0;
	int len = snprintf(head, sizeof(head), "%s/HEAD", dir);
	if (r < 0 || !is_writable_dir(&n->p->paths[i]) || len < 0 || (size_t)len >= sizeof(head) || access(head, F_OK) < 0)
		return r;
	return worktrees_each(&n->scan, dir, protect_git_dir, n);
}

static int search_writable(struct nested *n, size_t i)
{
	return is_writable_dir(&n->p->paths[i]) ? nested_each(&n->scan, n->p->paths[i].path, protect_nested, n) : 0;
}

int add_default_protection(struct policy *p, struct error *e)
{
	struct nested nested = { .p = p, .e = e };
	size_t n = p->n_paths;
	struct stat st;
	int r = 0;

	/* All of these before what is searched for, which bounds may cut. */
	for (size_t i = 0; i < 2 * n && r == 0; i++) {
		const char *path = p->paths[i % n].path;
		r = i < n ? protect_writable(&nested, i) : search_writable(&nested, i - n);
		/* Mostly it is nsbox in a sandbox. */
		if (nested.scan.levels.failed == ENOSYS)
			return fail(e, ENOSYS, SANDBOX_STAGE_POLICY, path,
				    "cannot look at %s to protect it: there is no openat2 (Linux 5.6) here. In a sandbox none can be "
				    "made: what runs in one has neither that nor user namespaces", path);
		if (nested.scan.levels.failed)
			return protect_look_failed(path, nested.scan.levels.failed, e);
	}
	if (r == -ENOMEM)
		return out_of_memory(e);
	for (size_t i = 0; i < p->n_files && r == 0; i++) {
		if (lstat(p->files[i].path, &st) < 0)
			r = protect_look_failed(p->files[i].path, errno, e);
		else if (st.st_dev == p->files[i].dev && st.st_ino == p->files[i].ino)
			r = protect_one(p, p->files[i].path, &st, e);
	}
	return r;
}
