/* SPDX-License-Identifier: Apache-2.0 */
/* Names by which hosts execute files. Compared without regard to case: file systems may do so too. */
#include "overlay/executed.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "overlay/changes.h"
#include "overlay/content.h"
#include "overlay/tree.h"
#include "policy/git_index.h"
#include "policy/policy.h"

/* Patterns of fnmatch(3) for the last components; with '/' at the end for any in a row, since in such a
 * directory everything counts. */
static const char *const git[] = {
	".git/config", ".git/config.worktree", ".gitmodules", ".gitconfig", ".git/commondir",
	"rebase-merge/git-rebase-todo", "rebase-merge/strategy", "sequencer/opts", "rebase-apply/apply-opt",
};
static const char *const ci[] = {
	".github/workflows/", ".github/actions/", ".gitlab-ci.yml", ".gitlab-ci.yaml", ".gitlab/", ".circleci/",
	".travis.yml", "azure-pipelines*.yml", "jenkinsfile*", ".drone.yml", ".woodpecker*/",
	"bitbucket-pipelines.yml", "appveyor.yml", ".appveyor.yml", ".buildkite/", ".cirrus.yml", ".teamcity/",
	"cloudbuild.y*ml", ".semaphore/", ".forgejo/", ".gitea/", "renovate.json*", "dependabot.yml", "codefresh.yml",
	".ci/", ".gitpod.y*ml", ".gitpod.dockerfile", ".replit", ".goreleaser.y*ml", ".releaserc*",
};
static const char *const build[] = {
	"makefile*", "gnumakefile", "*.mk", "*.mak", "cmakelists.txt", "*.cmake", "configure", "configure.ac",
	"configure.in", "*.m4", "meson.build", "meson_options.txt", "meson.options", "sconstruct", "sconscript",
	"wscript", "build.ninja", "*.bzl", "build.bazel", "build", "workspace", "workspace.bazel", "module.bazel",
	".bazelrc", "buck", ".buckconfig", "*.gradle", "*.gradle.kts", "gradlew", "gradlew.bat", "gradle-wrapper.*",
	"gradle.properties", "pom.xml", "mvnw", "mvnw.cmd", ".mvn/", "build.xml", "build.sbt", "package.json",
	".npmrc", ".yarnrc", ".yarnrc.yml", ".yarn/", ".pnpmfile.cjs", ".pnp.*", "pnpm-workspace.yaml", "bunfig.toml",
	"deno.json*", "gulpfile*", "gruntfile*", "*.config.js", "*.config.cjs", "*.config.mjs", "*.config.ts",
	".babelrc*", ".eslintrc*", ".prettierrc*", "lerna.json", "nx.json", "setup.py", "setup.cfg", "pyproject.toml",
	"conftest.py", "pytest.ini", "tox.ini", "noxfile.py", "tasks.py", "fabfile.py", "sitecustomize.py",
	"usercustomize.py", "*.pth", "pipfile", "build.rs", ".cargo/", "cargo.toml", "rust-toolchain*", "rakefile", "*.rake",
	"gemfile", "*.gemspec", ".bundle/", "composer.json", "artisan", "mix.exs", "rebar.config*", ".erlang", ".*.exs", "stack.yaml",
	"*.cabal", "cabal.project", ".ghci", "hie.yaml", "setup.hs", "dune-project", ".ocamlinit", ".merlin", "shard.yml", "project.clj", "deps.edn", "package.swift", "*.csproj",
	"*.fsproj", "*.vbproj", "*.vcxproj", "*.sln", "directory.build.*", "nuget.config", "justfile", ".justfile",
	"taskfile.y*ml", "dockerfile*", "containerfile*", "*.dockerfile", "docker-compose*.y*ml", "compose*.y*ml",
	"vagrantfile", "flake.nix", "default.nix", "shell.nix", "procfile*", "earthfile", "tiltfile", "skaffold.yaml",
	"snapcraft.yaml", "pkgbuild", "*.spec", "debian/rules", "lefthook.y*ml", ".lefthook/", ".lintstagedrc*",
	".overcommit.yml",
	/* Settings of linters and test runners that name programs, or are programs. */
	".pylintrc", "pylintrc", "mypy.ini", ".mypy.ini", ".flake8", ".coveragerc", "dodo.py", "conanfile.*", ".mocharc*",
	".stylelintrc*", ".postcssrc*", ".commitlintrc*", ".puppeteerrc*", "*.conf.js", "*.conf.ts", "webpack.*", "angular.json",
	"project.json", "turbo.json", "brewfile", "guardfile", "capfile", "dangerfile", "fastfile", "podfile", "appraisals",
	"thorfile", "berksfile", "puppetfile", ".rspec", ".rubocop.yml", ".solargraph.yml", "phpunit.xml*", "phpstan.neon*",
	".php-cs-fixer*.php", "rector.php", "build.pl", "dist.ini", ".perlcriticrc", ".proverc", ".luacheckrc", ".busted",
	"*.sbt", ".sbtopts", ".jvmopts", "build.boot", "bb.edn", "shadow-cljs.edn", "profiles.clj", "*.nimble", "*.nims", "nim.cfg",
	"build.zig*", "dub.json", "dub.sdl", "analysis_options.yaml", ".golangci.y*ml", ".air.toml", "*.tf", "terragrunt.hcl",
	"ansible.cfg", "cdk.json", "samconfig.toml", "serverless.y*ml", "wrangler.toml", "netlify.toml", "devbox.json", "devenv.nix",
	"pixi.toml",
};
static const char *const shell[] = {
	".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv",
	".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".logout", "config.fish",
	"conf.d/*.fish", ".inputrc", ".xinitrc", ".xprofile", ".xsession", ".pam_environment", ".tmux.conf",
	".screenrc", ".gdbinit", ".lldbinit", ".ssh/", ".pythonrc", ".irbrc", ".pryrc", ".rprofile", ".julia/",
	"systemd/user/", "autostart/",
};
/* Some are read as orders by agents. */
static const char *const tool[] = {
	"agents.md", "claude.md", "claude.local.md", "gemini.md", "copilot-instructions.md", ".github/instructions/",
	".github/prompts/", ".cursorrules", ".windsurfrules", ".clinerules/", ".rules", ".aider*/", ".goosehints",
	".junie/", ".augment*/", ".github/agents/", ".agents/", "*.sublime-project",
	"*.code-workspace", ".nvim/", ".emacs*/", ".editorconfig", ".tool-versions", ".asdfrc",
	".pre-commit-hooks.yaml", "rust-analyzer.toml", ".rust-analyzer.toml", ".ycm_extra_conf.py", ".lazy.lua", "*.desktop",
};

static bool matches(const char *component, size_t len, const char *pattern)
{
	char name[256];

	if (len >= sizeof(name))
		return false;
	memcpy(name, component, len);
	name[len] = '\0';
	return fnmatch(pattern, name, FNM_CASEFOLD) == 0;
}

static bool begins_with(const char *path, const char *pattern, bool last)
{
	char want[64];

	do {
		size_t len = strcspn(path, "/"), n = strcspn(pattern, "/");
		snprintf(want, sizeof(want), "%.*s", (int)n, pattern);
		if (!len || !matches(path, len, want))
			return false;
		path += len + (path[len] == '/');
		pattern += n + (pattern[n] == '/');
	} while (*pattern);
	return !last || !*path;
}

/* pattern: components with '/' between them, anywhere in the path; last: at its end. */
static bool has_components(const char *path, const char *pattern, bool last)
{
	for (const char *p = path; *p;) {
		if (begins_with(p, pattern, last))
			return true;
		p += strcspn(p, "/");
		p += *p == '/';
	}
	return false;
}

static bool any(const char *path, const char *const *patterns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool directory = patterns[i][strlen(patterns[i]) - 1] == '/';
		if (has_components(path, patterns[i], !directory))
			return true;
	}
	return false;
}

static bool protected_by_policy(const char *path)
{
	for (size_t i = 0; policy_protected_name(i); i++) {
		if (has_components(path, policy_protected_name(i), false))
			return true;
	}
	return false;
}

static bool is_policy_file(const struct executed *x)
{
	const char *root = x->layer->roots[x->root].path;
	size_t n = strlen(root);

	for (size_t i = 0; x->layer->protect && x->layer->protect[i]; i++) {
		const char *file = x->layer->protect[i];
		if (strncmp(file, root, n) != 0 || file[n] != '/')
			continue;
		/* Or a directory above it, which something else than a directory has replaced. */
		size_t len = strlen(x->path);
		if (strncmp(file + n + 1, x->path, len) == 0 && (file[n + 1 + len] == '\0' || file[n + 1 + len] == '/'))
			return true;
	}
	return false;
}

/*
 * Out of the root, judged by the text alone. ".." counts only in front: behind a name it would lead back from wherever
 * that name is a link to.
 */
static bool leads_out(const struct executed *x)
{
	const char *root = x->layer->roots[x->root].path, *t = x->target;
	size_t n = strlen(root), depth = 0;

	if (t[0] == '/')
		return strncmp(t, root, n) != 0 || (t[n] != '/' && t[n] != '\0') || strstr(t, "/../") ||
		       (strlen(t) >= 3 && strcmp(t + strlen(t) - 3, "/..") == 0);
	for (const char *p = x->path; (p = strchr(p, '/')); p++)
		depth++;
	while (strncmp(t, "../", 3) == 0 || strcmp(t, "..") == 0 || strncmp(t, "./", 2) == 0) {
		if (t[1] == '.' && depth-- == 0)
			return true;
		t += strcspn(t, "/");
		t += strspn(t, "/");
	}
	return strstr(t, "/../") || strncmp(t, "../", 3) == 0 || (strlen(t) >= 3 && strcmp(t + strlen(t) - 3, "/..") == 0);
}

static bool is_git(const struct executed *x)
{
	const char *slash = strrchr(x->path, '/'), *name = slash ? slash + 1 : x->path;

	/* A .git that is no directory says where the repository is. Bare repositories, and those below .git/modules and
	 * .git/worktrees, have other names. */
	if (strcasecmp(name, ".git") == 0 || any(x->path, git, ARRAY_LEN(git)) || has_components(x->path, ".git/hooks", false))
		return true;
	if (has_components(x->path, ".git", false) &&
	    (has_components(x->path, "hooks", false) || strcasecmp(name, "config") == 0 || strcasecmp(name, "config.worktree") == 0 ||
	     strcasecmp(name, "gitdir") == 0 || strcasecmp(name, "commondir") == 0))
		return true;
	if (!x->in_git)
		return false;
	/* What makes it one may come after what is executed in it. */
	return strcasecmp(name, "config") == 0 || strcasecmp(name, "commondir") == 0 || strcasecmp(name, "hooks") == 0 ||
	       (strcasecmp(name, "head") == 0 && !has_components(x->path, ".git", false));
}

unsigned executed_flags(const struct executed *x)
{
	unsigned flags = 0;

	if (!S_ISREG(x->mode) && !S_ISLNK(x->mode) && !S_ISDIR(x->mode))
		return CHANGE_SPECIAL;
	if (strncmp(x->path, STAGING_PREFIX, sizeof(STAGING_PREFIX) - 1) == 0 || strstr(x->path, "/" STAGING_PREFIX))
		flags |= CHANGE_SPECIAL;
	if (protected_by_policy(x->path) || any(x->path, tool, ARRAY_LEN(tool)))
		flags |= EXECUTED_TOOL;
	if (is_git(x))
		flags |= EXECUTED_GIT;
	if (any(x->path, ci, ARRAY_LEN(ci)))
		flags |= EXECUTED_CI;
	if (any(x->path, build, ARRAY_LEN(build)))
		flags |= EXECUTED_BUILD;
	if (any(x->path, shell, ARRAY_LEN(shell)))
		flags |= EXECUTED_SHELL;
	if (S_ISREG(x->mode) && (x->mode & 0111))
		flags |= EXECUTED_PROGRAM;
	if (!S_ISDIR(x->mode) && !S_ISLNK(x->mode) && (x->mode & (S_ISUID | S_ISGID)))
		flags |= EXECUTED_SETUID;
	if (S_ISLNK(x->mode) && leads_out(x))
		flags |= EXECUTED_LINK;
	if (is_policy_file(x))
		flags |= EXECUTED_POLICY;
	return flags;
}

/* Of a hash of its own a repository says in its configuration, which is marked when it is changed. */
static bool leads_elsewhere(int fd, bool whole)
{
	_cleanup_buf_ struct buf bytes = { 0 };
	char shared[GIT_SHARED_NAME];

	return content_read(fd, GIT_INDEX_MAX, &bytes) < 0 ||
	       git_index_check(bytes.data, bytes.len, GIT_SHA1, whole ? shared : NULL, NULL) < 0 ||
	       git_index_check(bytes.data, bytes.len, GIT_SHA256, whole ? shared : NULL, NULL) == -EPERM;
}

unsigned executed_content(const struct executed *x, int dir, const char *name)
{
	bool whole = strcasecmp(name, "index") == 0;

	if (!S_ISREG(x->mode) || (!whole && strncasecmp(name, "sharedindex.", 12) != 0) ||
	    (!x->in_git && !has_components(x->path, ".git", false)))
		return 0;
	_cleanup_close_ int fd = tree_open(dir, name, O_RDONLY);
	return fd < 0 || leads_elsewhere(fd, whole) ? EXECUTED_GIT : 0;
}

const char *executed_name(unsigned n)
{
	static const char *const names[] = { "tool", "git", "ci", "build", "shell", "program", "setuid", "link", "policy",
					     "special", "hidden" };

	return n < ARRAY_LEN(names) ? names[n] : NULL;
}
