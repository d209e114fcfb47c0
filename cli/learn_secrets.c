/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials are: such paths are never proposed, whatever asked for them. */
#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "learn.h"
#include "policy/credential_places.h"

/* By name, wherever. */
static const char *const names[] = {
	".ssh", ".gnupg", ".aws", ".kube", ".docker", ".netrc", ".git-credentials", ".password-store", ".env", ".env.*",
	"*.env", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_*_sk", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks",
	"*.keystore", "*.kdbx", "*.gpg", "*.asc", "credentials", "credentials.*", ".credentials*", "*.credentials",
	"secrets", "secrets.*", "*_secret", "*_token", "*.token", "token", "auth.json", "oauth_creds.json", "shadow",
	"gshadow", "sudoers", "sudoers.d", "machine-id", "docker.sock", "podman.sock", "containerd.sock", "keyrings", "keyring",
};

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool has_name(const char *path)
{
	while (*path) {
		size_t n = strcspn(path, "/");
		_cleanup_free_ char *part = strndup(path, n);
		/* Without memory for the question the answer is the careful one. */
		if (!part)
			return true;
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (fnmatch(names[i], part, FNM_CASEFOLD) == 0)
				return true;
		}
		path += n + (path[n] == '/');
	}
	return false;
}

bool learn_is_secret(const char *path, const char *home)
{
	size_t n = strlen(home);

	if (has_name(path))
		return true;
	if (!below(path, home) || path[n] == '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(credential_places); i++) {
		if (below(path + n + 1, credential_places[i]))
			return true;
	}
	return false;
}

/* Entries that are looked at below one directory, and how deep. */
#define ENTRIES_MAX 10000u
#define DEPTH_MAX 4u

static bool scan(int fd, unsigned depth, unsigned *left)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool found = false;

	if (!dir)
		fd_close(fd);
	while (dir && !found && *left && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		(*left)--;
		found = has_name(entry->d_name);
		if (!found && depth && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
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
