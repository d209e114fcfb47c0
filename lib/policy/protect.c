/* SPDX-License-Identifier: Apache-2.0 */
/* Default protection (DESIGN 13): what the host would execute later, and the policy itself, in writable places. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/internal.h"

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
static bool is_unreachable(int r)
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
	_cleanup_free_ char *real = NULL;
	bool is_dir;
	dev_t dev;
	ino_t ino;
	int r = resolve_path(path, &real, &dev, &ino, &is_dir, e);
	if (r < 0 || strcmp(real, path) != 0)
		return is_unreachable(r) ? 0 : r;
	struct policy_path *out = grow(&p->paths, &p->n_paths, sizeof(*out), ENTRIES_MAX + 1024, "paths", "default", e);
	if (!out)
		return -ENOMEM;
	*out = (struct policy_path){
		.kind = PATH_PROTECT,
		.path = strdup(path),
		.given = strdup(path),
		.dev = st->st_dev,
		.ino = st->st_ino,
		.is_dir = S_ISDIR(st->st_mode),
		.origin = strdup("default"),
	};
	return out->path && out->given && out->origin ? 0 : out_of_memory(e);
}

/* A symlink is replaced, not written through: its place is watched, and what it leads to is what is executed. */
static int protect_at(struct policy *p, const char *path, struct error *e)
{
	_cleanup_free_ char *real = NULL;
	struct stat st;
	bool is_dir;
	dev_t dev;
	ino_t ino;

	if (lstat(path, &st) < 0)
		return look_failed(path, errno, e);
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
		return protect_one(p, path, &st, e);
	if (!S_ISLNK(st.st_mode))
		return 0;
	struct error ignored;
	int r = resolve_path(path, &real, &dev, &ino, &is_dir, &ignored);
	if (r < 0 || stat(real, &st) < 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)))
		return r == -ENOMEM ? out_of_memory(e) : 0;
	return protect_one(p, real, &st, e);
}

int add_default_protection(struct policy *p, struct error *e)
{
	size_t n = p->n_paths;
	char path[4096];
	struct stat st;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		if (p->paths[i].kind != PATH_WRITE || !p->paths[i].is_dir)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(executed_by_host) && r == 0; k++) {
			int len = snprintf(path, sizeof(path), "%s/%s", p->paths[i].path, executed_by_host[k]);
			if (len < 0 || (size_t)len >= sizeof(path))
				continue;
			r = protect_at(p, path, e);
		}
		/* A file that names git's directory: another in its place would lead the host's git to other hooks. */
		int len = snprintf(path, sizeof(path), "%s/.git", p->paths[i].path);
		if (r == 0 && len > 0 && (size_t)len < sizeof(path) && lstat(path, &st) == 0 && S_ISREG(st.st_mode))
			r = protect_one(p, path, &st, e);
	}
	for (size_t i = 0; i < p->n_files && r == 0; i++) {
		if (lstat(p->files[i].path, &st) < 0)
			r = look_failed(p->files[i].path, errno, e);
		else if (st.st_dev == p->files[i].dev && st.st_ino == p->files[i].ino)
			r = protect_one(p, p->files[i].path, &st, e);
	}
	return r;
}
