/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials are: one list for what a grant of a directory above does not show, and for what is never learned. */
#ifndef NSBOX_POLICY_CREDENTIAL_PLACES_H
#define NSBOX_POLICY_CREDENTIAL_PLACES_H

/* Below the home directory: keys, tokens, keyrings, histories, what browsers keep, logins of agents, settings that
 * often have a key in them. */
static const char *const credential_places[] = {
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
	".local/share/opencode/auth.json", ".local/share/opencode/mcp-auth.json", ".gemini/mcp-oauth-tokens.json",
	".qwen/mcp-oauth-tokens.json", ".aider/oauth-keys.env", ".local/state/nsbox", ".claude.json",
	".codex/config.toml", ".cargo/config", ".cargo/config.toml", ".cursor/mcp.json", ".copilot/mcp-config.json",
	".aider.conf.yml",
};

#endif
