/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials are: such paths are never proposed, whatever asked for them. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "learn.h"

/* Below the home directory: keys, tokens, keyrings, histories, what browsers keep, logins of agents. */
static const char *const places[] = {
	".ssh", ".gnupg", ".pki", ".cert", ".aws", ".azure", ".azd", ".kube", ".docker", ".oci", ".config/gcloud",
	".config/doctl", ".config/flyctl", ".config/heroku", ".config/containers/auth.json", ".config/rclone", ".config/sops",
	".config/age", ".terraform.d", ".terraformrc", ".vault-token", ".s3cfg", ".boto", ".databrickscfg", ".snowflake",
	".netrc", ".authinfo", ".authinfo.gpg", ".git-credentials", ".config/git/credentials", ".config/gh", ".config/hub",
	".config/glab-cli", ".config/github-copilot", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pypirc", ".config/pip", ".pip",
	".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".bundle/config", ".m2/settings.xml",
	".m2/settings-security.xml", ".gradle/gradle.properties", ".composer/auth.json", ".config/composer/auth.json",
	".nuget/NuGet", ".pgpass", ".my.cnf", ".mylogin.cnf", ".password-store", ".config/op", ".op", ".config/1Password",
	".config/Bitwarden", ".config/Bitwarden CLI", ".config/keepassxc", ".local/share/keyrings", ".local/share/kwalletd",
	".mozilla", ".librewolf", ".thunderbird", ".config/google-chrome", ".config/google-chrome-beta", ".config/chromium",
	".config/BraveSoftware", ".config/microsoft-edge", ".config/vivaldi", ".config/opera", ".cache/mozilla",
	".cache/google-chrome", ".cache/chromium", "snap/firefox", "snap/chromium", ".var/app", ".bash_history",
	".zsh_history", ".histfile", ".python_history", ".node_repl_history", ".psql_history", ".mysql_history",
	".local/share/fish", ".viminfo", ".lesshst", ".Xauthority", ".ICEauthority", ".claude/.credentials.json",
	".codex/auth.json", ".gemini/oauth_creds.json", ".gemini/google_accounts.json", ".qwen/oauth_creds.json",
	".copilot/config.json", ".config/cursor/auth.json", ".config/goose/secrets.yaml", ".local/share/amp/secrets.json",
	".local/share/opencode/auth.json", ".aider/oauth-keys.env", ".local/state/nsbox",
};

/* By name, wherever. */
static const char *const names[] = {
	".ssh", ".gnupg", ".aws", ".kube", ".docker", ".netrc", ".git-credentials", ".password-store", ".env", ".env.*",
	"*.env", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_*_sk", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks",
	"*.keystore", "*.kdbx", "*.gpg", "*.asc", "credentials", "credentials.*", ".credentials*", "*.credentials",
	"secrets", "secrets.*", "*_secret", "*_token", "*.token", "token", "auth.json", "oauth_creds.json", "shadow",
	"gshadow", "sudoers", "sudoers.d", "docker.sock", "podman.sock", "containerd.sock", "keyrings", "keyring",
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
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (below(path + n + 1, places[i]))
			return true;
	}
	return false;
}

bool learn_holds_secrets(const char *directory, const char *home)
{
	char path[8192];

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", home, places[i]);
		if (n < 0 || (size_t)n >= sizeof(path) || (below(path, directory) && access(path, F_OK) == 0))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int n = snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		if (n < 0 || (size_t)n >= sizeof(path) || (!strchr(names[i], '*') && access(path, F_OK) == 0))
			return true;
	}
	return false;
}
