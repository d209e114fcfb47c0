/* SPDX-License-Identifier: Apache-2.0 */
/* Default protection (DESIGN 13): what the host would execute later, and the policy itself, in writable places. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/git_config.h"
#include "policy/internal.h"
#include "policy/nested.h"

/*
 * Run by git, editors, agents, shells and task runners when someone enters or opens the directory on the host.
 * .git/config is not here although some of its keys execute: `git config` and `git remote` must work, so it is
 * watched (lib/watch) instead of protected, and so is what of these is not there yet.
 */
static const char *const executed_by_host[] = {
	".nsbox.ini",
	".git/hooks",	 ".husky",	".githooks",	".envrc",	 ".direnv",    ".mise.toml",  "mise.toml",
	".vscode",	 ".idea",	".zed",		".fleet",	 ".exrc",      ".nvim.lua",   ".nvimrc",
	".vimrc",	 ".lvimrc",	".dir-locals.el", ".devcontainer", ".devcontainer.json", ".mcp.json", ".claude",
	".claude.json",	 ".cursor",	".codex",	".gemini",	 ".continue",  ".windsurf",   ".aider.conf.yml",
	".opencode",	 "opencode.json", ".kiro",	".roo",		 ".pre-commit-config.yaml",
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

static int look_failed(const char *path, int err, struct error *e)
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

/* Neither through a link at its end, nor waiting for one that is none. */
static int read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)GIT_CONFIG_MAX)
		r = -ENOENT; /* what watches it says so, or it is no configuration */
	else
		r = buf_reserve(out, (size_t)st.st_size);
	ssize_t n = r == 0 ? read(fd, out->data, (size_t)st.st_size) : 0;
	if (n < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	out->len = n > 0 ? (size_t)n : 0;
	return r;
}

/* What path leads to. */
static int protect_target(struct policy *p, const char *path, struct error *e)
{
	_cleanup_object_ struct object real = { 0 };
	struct stat st;

	int r = resolve_path(path, &real, e);
	/* In /proc, or with a name that no policy holds: then it is in nothing that is granted. */
	if (r < 0)
		return is_unreachable(r) || r == -EXDEV || r == -EINVAL ? 0 : r;
	if (lstat(real.path, &st) < 0)
		return look_failed(real.path, errno, e);
	return S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) ? protect_one(p, real.path, &st, e) : 0;
}

/* A symlink is replaced, not written through: its place is watched, and what it leads to is what is executed. */
static int protect_at(struct policy *p, const char *path, struct error *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return look_failed(path, errno, e);
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
		return protect_one(p, path, &st, e);
	return S_ISLNK(st.st_mode) ? protect_target(p, path, e) : 0;
}

/* What the configuration of the workspace's git has git run or read: as the user, or his tools, set it up. */
static int protect_configured(struct policy *p, const char *dir, const char *config, struct error *e)
{
	_cleanup_git_keys_ struct git_keys keys = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	char git[4096];
	int r = 0, len = snprintf(git, sizeof(git), "%s/.git", dir);

	if (len < 0 || (size_t)len >= sizeof(git))
		return 0;
	r = read_file(config, &text);
	if (r < 0)
		return look_failed(config, -r, e);
	r = git_config_read((const char *)text.data, text.len, &keys);
	if (r < 0)
		return r == -ENOMEM ? out_of_memory(e) : 0;
	for (size_t i = 0; i < keys.n && r == 0; i++) {
		const struct git_key *k = &keys.v[i];
		bool hooks = strcmp(k->name, "core.hookspath") == 0;
		_cleanup_free_ char *path = NULL;
		if (!k->value || !*k->value || (!hooks && strncmp(k->name, "include", 7) != 0))
			continue;
		/* Hooks run at the top of the worktree. */
		if (absolute_path(hooks ? dir : git, k->value, &path) == 0)
			r = protect_target(p, path, e);
	}
	return r;
}

/* What the host would execute when somebody is in that directory. */
static int protect_in(struct policy *p, const char *dir, struct error *e)
{
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
	len = snprintf(path, sizeof(path), "%s/.git/config", dir);
	if (r == 0 && len > 0 && (size_t)len < sizeof(path))
		r = protect_configured(p, dir, path, e);
	return r;
}

struct nested {
	struct policy *p;
	struct error *e;
};

static int protect_nested(void *arg, const char *dir, bool git_dir)
{
	const struct nested *n = arg;
	char path[4096];
	int len = snprintf(path, sizeof(path), "%s/hooks", dir);

	if (!git_dir)
		return protect_in(n->p, dir, n->e);
	return len > 0 && (size_t)len < sizeof(path) ? protect_at(n->p, path, n->e) : 0;
}

int add_default_protection(struct policy *p, struct error *e)
{
	struct nested nested = { p, e };
	struct nested_scan scan = { 0 };
	size_t n = p->n_paths;
	struct stat st;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (p->paths[i].kind == PATH_WRITE && p->paths[i].is_dir)
			r = protect_in(p, p->paths[i].path, e);
	}
	/* Adding to the list may move it. */
	for (size_t i = 0; i < n && r == 0; i++) {
		if (p->paths[i].kind == PATH_WRITE && p->paths[i].is_dir)
			r = nested_each(&scan, p->paths[i].path, protect_nested, &nested);
		/* Mostly it is nsbox in a sandbox. */
		if (scan.failed == ENOSYS)
			return fail(e, ENOSYS, SANDBOX_STAGE_POLICY, p->paths[i].path,
				    "cannot look at %s to protect it: there is no openat2 (Linux 5.6) here. In a sandbox none can be "
				    "made: what runs in one has neither that nor user namespaces", p->paths[i].path);
		if (scan.failed)
			return look_failed(p->paths[i].path, scan.failed, e);
	}
	if (r == -ENOMEM)
		return out_of_memory(e);
	for (size_t i = 0; i < p->n_files && r == 0; i++) {
		if (lstat(p->files[i].path, &st) < 0)
			r = look_failed(p->files[i].path, errno, e);
		else if (st.st_dev == p->files[i].dev && st.st_ino == p->files[i].ino)
			r = protect_one(p, p->files[i].path, &st, e);
	}
	return r;
}
