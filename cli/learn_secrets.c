/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials are, and what the host executes by itself: neither is ever proposed, whatever asked for it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "learn.h"
#include "policy/credential_places.h"
#include "policy/key_scan.h"

/* By name, wherever. */
static const char *const executed[] = {
	".bash*", ".profile", ".zsh*", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".logout",
	".inputrc", ".xinitrc", ".xprofile", ".xsession*", ".pam_environment", ".tmux.conf", ".gdbinit", ".lldbinit",
	".pythonrc*", "*.pth", "sitecustomize.py", "usercustomize.py", ".npmrc", ".yarnrc*", ".gitconfig", ".git", ".vim*",
	".exrc", ".emacs*", ".vscode*", ".idea", ".envrc", "crontab", "crontabs", "cron.d", ".claude*", ".codex", ".cursor",
	".gemini", ".opencode", ".qwen", ".aider*", ".mcp.json",
};
static const char *const names[] = {
	".ssh", ".gnupg", ".aws", ".kube", ".docker", ".netrc", ".git-credentials", ".password-store", ".env", ".env.*",
	"*.env", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_*_sk", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks",
	"*.keystore", "*.kdbx", "*.gpg", "*.asc", "credentials", "credentials.*", ".credentials*", "*.credentials",
	"secrets", "secrets.*", "*_secret", "*_token", "*.token", "token", "auth.json", "oauth_creds.json", "shadow",
	"gshadow", "sudoers", "sudoers.d", "machine-id", "docker.sock", "podman.sock", "containerd.sock", "keyrings",
	"keyring",
};

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool has_name(const char *path, const char *const *patterns, size_t count)
{
	while (*path) {
		size_t n = strcspn(path, "/");
		_cleanup_free_ char *part = strndup(path, n);
		/* Without memory for the question the answer is the careful one. */
		if (!part)
			return true;
		for (size_t i = 0; i < count; i++) {
			if (fnmatch(patterns[i], part, FNM_CASEFOLD) == 0)
				return true;
		}
		path += n + (path[n] == '/');
	}
	return false;
}

/* In one of these places of the home directory. */
static bool is_in(const char *path, const char *home, const char *const *places, size_t count)
{
	size_t n = strlen(home);

	if (!below(path, home) || path[n] == '\0')
		return false;
	for (size_t i = 0; i < count; i++) {
		if (below(path + n + 1, places[i]))
			return true;
	}
	return false;
}

/* A configuration with a key in it. */
static bool has_key(const char *path)
{
	struct stat st;

	if (!is_configuration(path) || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 && file_shows_key(fd);
}

bool learn_is_secret(const char *path, const char *home)
{
	return has_name(path, names, ARRAY_LEN(names)) ||
	       is_in(path, home, credential_places, ARRAY_LEN(credential_places)) || has_key(path);
}

bool learn_is_executed(const char *path, const char *home)
{
	static const char *const places[] = {
		"bin", ".local/bin", ".cargo/bin", "go/bin", ".config/autostart", ".config/systemd", ".local/share/systemd",
		".config/environment.d", ".config/git", ".config/fish", ".config/nvim", ".config/emacs", ".config/direnv",
		".config/mise", ".config/Code",
	};

	if (has_name(path, executed, ARRAY_LEN(executed)))
		return true;
	return is_in(path, home, places, ARRAY_LEN(places));
}

/* Entries that are looked at below one directory, and how deep. */
#define ENTRIES_MAX 20000u
#define DEPTH_MAX 16u

/* What nobody can look into holds nothing for whom runs inside either. */
static bool scan(int fd, unsigned depth, unsigned *left)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool found = !dir && errno != EACCES && errno != ENOENT && errno != ENOTDIR && errno != ELOOP;

	if (!dir)
		fd_close(fd);
	while (dir && !found && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		bool maybe_dir = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
		/* Of what is not looked through nothing good is known. */
		found = !*left || has_name(entry->d_name, names, ARRAY_LEN(names)) || (!depth && maybe_dir);
		*left -= *left > 0;
		if (!found && maybe_dir)
			found = scan(openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), depth - 1,
				     left);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool learn_holds_secrets(const char *directory, const char *home)
{
	unsigned left = ENTRIES_MAX;
	char path[8192];

	for (size_t i = 0; i < ARRAY_LEN(credential_places); i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", home, credential_places[i]);
		if (n < 0 || (size_t)n >= sizeof(path) || (below(path, directory) && access(path, F_OK) == 0))
			return true;
	}
	return scan(open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), DEPTH_MAX, &left);
}
