/* SPDX-License-Identifier: Apache-2.0 */
/* Built-in profiles, registries out of clients' configuration, and the file of a project. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "policy/policy.h"
#include "policy/profile.h"

#include <cmocka.h>

static char home[] = "/tmp/test_profile.XXXXXX", work[64];
static struct error e;

static void write_file(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", home, name);
	for (char *slash = path + strlen(home) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		mkdir(path, 0700);
	}
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct policy *new_policy(void)
{
	struct policy *p;

	assert_int_equal(policy_new(&p), 0);
	assert_int_equal(policy_set_workdir(p, work, false, &e), 0);
	return p;
}

/* The effective policy with this profile, or NULL. */
static char *dump_of(const char *profile, const char *net)
{
	struct policy *p = new_policy();
	struct buf out = { 0 };

	int r = policy_load_profile(p, profile, &e);
	if (r == 0 && net)
		r = policy_set(p, "network", "mode", net, NULL, "--net", &e);
	if (r == 0)
		r = policy_finish(p, &e);
	if (r == 0)
		r = policy_dump(p, &out);
	policy_free(p);
	return r == 0 && buf_str(&out) ? (char *)out.data : NULL;
}

/* Every one can be used, with and without a gateway; but the one that says why there is none. */
static void test_all_apply(void **state)
{
	(void)state;
	for (const struct builtin_profile *b = builtin_profiles; b->name; b++) {
		for (size_t i = 0; i < 3; i++) {
			static const char *const nets[] = { NULL, "none", "host" };
			_cleanup_free_ char *text = dump_of(b->name, nets[i]);
			if (strcmp(b->name, "docker-client") == 0) {
				assert_null(text);
				assert_int_equal(e.err, EOPNOTSUPP);
				assert_non_null(strstr(e.message, "whoever can write to the socket of the daemon is root"));
				assert_non_null(strstr(e.message, "nsbox run"));
			} else if (!text) {
				fail_msg("%s: %s", b->name, e.message);
			} else if (i) {
				assert_null(strstr(text, "allow ="));
			}
		}
	}
}

/* A key is there where its variable is; it never goes further than the profile's own hosts. */
static void test_offered_secrets(void **state)
{
	(void)state;
	_cleanup_free_ char *without = dump_of("claude-code", NULL);
	assert_null(strstr(without, "[secret"));
	assert_non_null(strstr(without, "allow = https://api.anthropic.com ;"));
	setenv("ANTHROPIC_API_KEY", "sk-value-of-the-key", 1);
	_cleanup_free_ char *with = dump_of("claude-code", NULL), *none = dump_of("claude-code", "none");
	unsetenv("ANTHROPIC_API_KEY");
	assert_non_null(strstr(with, "[secret ANTHROPIC_API_KEY]"));
	assert_null(strstr(with, "sk-value"));
	assert_null(strstr(none, "[secret"));
}

/* What the host would run of an agent's configuration cannot be written; the login is not there. */
static void test_agent_paths(void **state)
{
	static const struct {
		const char *path;
		bool read, write;
	} rows[] = {
		{ ".claude/settings.json", true, false },   { ".claude/hooks", true, false },
		{ ".claude/projects/x", false, false },	    { ".claude/.credentials.json", false, false },
		{ ".claude.json", true, false },	    { ".ssh/id_ed25519", false, false },
	};
	struct policy *p = new_policy();
	struct path_verdict v;
	char path[256], own[128];

	(void)state;
	write_file(".claude/settings.json", "{}");
	write_file(".claude/hooks/x", "");
	write_file(".claude/projects/x", "");
	write_file(".claude/.credentials.json", "{}");
	write_file(".claude.json", "{}");
	write_file(".ssh/id_ed25519", "key");
	assert_int_equal(policy_load_profile(p, "claude-code", &e), 0);
	assert_int_equal(policy_finish(p, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(path, sizeof(path), "%s/%s", home, rows[i].path);
		for (int write = 0; write < 2; write++) {
			assert_int_equal(policy_check_path(p, path, write, &v, &e), 0);
			if (v.allowed != (write ? rows[i].write : rows[i].read))
				fail_msg("%s, write %d: %s", path, write, v.reason);
		}
	}
	/* The sessions of this workspace: made on demand, in the order of the others, once. */
	snprintf(own, sizeof(own), "%s", work);
	for (char *c = own; (c = strpbrk(c, "/._"));)
		*c = '-';
	snprintf(path, sizeof(path), "%s/.claude/projects/%s/s", home, own);
	assert_int_equal(policy_check_path(p, path, true, &v, &e), 0);
	assert_string_equal(v.reason, "private");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(policy_make_own_places(p, &e), 0);
		assert_int_equal(policy_check_path(p, path, true, &v, &e), 0);
		assert_non_null(strstr(v.origin, "profile claude-code:"));
	}
	policy_free(p);
}

/* What is left out, with a warning, is exactly what shows a key. */
static void test_keys_in_configuration(void **state)
{
	static const struct {
		const char *text;
		bool key;
	} rows[] = {
		{ "{\"primaryApiKey\": \"sk-x\"}", true },
		{ "{\"primaryApiKey\": \"\", \"maxTokens\": 5, \"hasKey\": true, \"token\": null, \"key\": \"ctrl+a\"}", false },
		{ "{\"env\":{\"GITHUB_TOKEN\" :\n \"abc\"}}", true },
		{ "{\"env\":{\"GITHUB_TOKEN\":\"${GITHUB_TOKEN}\", \"a_token\":\"$A_TOKEN\", \"apiKey\":\"{env:A}\"}}", false },
		{ "{\"env\":{\"GITHUB_TOKEN\":\"${GITHUB_TOKEN:-abc}\"}}", true },
		{ "{\"env\":{\"GITHUB_TOKEN\":\"$lower-case\"}}", true },
		{ "{\"password\":\"$up3rS3cret\"}", true },
		{ "{\"password\":\"$9000000000\"}", true },
		{ "[imap]\n\tpass = abc\n", true },
		{ "{\"bypass\": \"abc\", \"passes\": \"abc\"}", false },
		{ "{\"headers\":{\"Authorization\":\"Bearer abc\"}}", true },
		{ "{\"headers\":{\"Authorization\":\"Bearer ${A}\"}}", false },
		{ "{\"args\":[\"--api-key\", \"abc\"]}", true },
		{ "{\"args\":[\"--api-key=abc\"]}", true },
		{ "{\"args\":[\"mcp\", \"--token\", \"${A}\"], \"credentials\": {}}", false },
		{ "{\"args\":[\"ghp_0123456789abcdef0123\"]}", true },
		{ "{\"url\":\"https://u:pw@h.example/x\"}", true },
		{ "{\"url\":\"https://h.example/a:b@c\", \"z\":\"ssh://git@h.example/x\"}", false },
		{ "[url \"https://abc@git.example/\"]\n\tinsteadOf = https://git.example/\n", true },
		{ "[http]\n\textraHeader = X-A: abc\n", true },
		{ "[user]\n\tsigningkey = ABC\n[credential]\n\thelper = store\n[alias]\n\tx = !a\n", false },
		{ "[mcp_servers.a.env]\nTOKEN = 'abc'\n", true },
		{ "[model_providers.a]\nenv_key = \"OPENAI_API_KEY\"\n", false },
		{ "openai-api-key: abc\n", true },
		{ "api-key:\n  - openai=abc\n", true },
		{ "api-key:\nmodel: x\npassword: ~\nsecret: # none\ntoken: 5", false },
		{ "", false },
		{ "token", false },
		{ "token=", false },
		{ "token=\"", false },
		{ "a://", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct path_verdict v;
		char path[256];
		write_file(".claude.json", rows[i].text);
		snprintf(path, sizeof(path), "%s/.claude.json", home);
		for (int named = 0; named < 2; named++) {
			struct policy *p = new_policy();
			assert_int_equal(policy_load_profile(p, "claude-code", &e), 0);
			if (named)
				assert_int_equal(policy_set(p, "filesystem", "read", path, NULL, "--read", &e), 0);
			assert_int_equal(policy_finish(p, &e), 0);
			assert_int_equal(policy_check_path(p, path, false, &v, &e), 0);
			bool warned = strstr(policy_warnings(p), "/.claude.json is left out") != NULL;
			if (v.allowed != (named || !rows[i].key) || warned != rows[i].key)
				fail_msg("%s, named %d: %s, %s", rows[i].text, named, v.reason, policy_warnings(p));
			policy_free(p);
		}
	}
	write_file(".claude.json", "{}");
}

/* Under npm run this variable is what the project's .npmrc says. */
static void test_registry_of_npm_run(void **state)
{
	static const char *const marks[] = { "npm_lifecycle_event", "INIT_CWD" };

	(void)state;
	setenv("npm_config_registry", "https://env.corp.example/", 1);
	_cleanup_free_ char *by_user = dump_of("node", NULL);
	assert_non_null(strstr(by_user, "env.corp.example"));
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		setenv(marks[i], "x", 1);
		_cleanup_free_ char *by_npm = dump_of("node", NULL);
		assert_null(strstr(by_npm, "env.corp.example"));
		unsetenv(marks[i]);
	}
	unsetenv("npm_config_registry");
}

static void test_registries(void **state)
{
	(void)state;
	write_file(".npmrc", "; registry=https://commented.example\n"
			     "registry = https://user:sekret@npm.corp.example:8443/repo/ # https://inline.example\n"
			     "@acme:registry=https://scoped.corp.example/\n"
			     "//npm.corp.example/:_authToken=sekret\n"
			     "proxy=http://proxy.corp.example:3128\n"
			     "registry=https://${WHERE}/x\n"
			     "registry=https://*.corp.example\n");
	_cleanup_free_ char *npm = dump_of("node", NULL);
	assert_non_null(npm);
	assert_non_null(strstr(npm, "allow = GET,HEAD https://npm.corp.example:8443 ; allowed/"));
	assert_non_null(strstr(npm, "/.npmrc:2 (registries = npm)"));
	assert_non_null(strstr(npm, "allow = GET,HEAD https://scoped.corp.example"));
	assert_non_null(strstr(npm, "set = NPM_CONFIG_REGISTRY=https://npm.corp.example:8443/repo/"));
	assert_null(strstr(npm, "sekret"));
	assert_null(strstr(npm, "commented"));
	assert_null(strstr(npm, "inline"));
	assert_null(strstr(npm, "proxy.corp"));
	assert_null(strstr(npm, "*.corp"));
	_cleanup_free_ char *none = dump_of("node", "none");
	assert_null(strstr(none, "corp.example"));

	write_file(".config/pip/pip.conf", "[global]\nindex-url = https://pypi.corp.example/simple\nextra-index-url =\n"
					   "    https://one.corp.example/simple?a=b\n    https://two.corp.example/simple\n"
					   "trusted-host = https://trusted.corp.example\n");
	setenv("PIP_INDEX_URL", "https://env.corp.example/simple", 1);
	_cleanup_free_ char *pip = dump_of("python", NULL);
	unsetenv("PIP_INDEX_URL");
	assert_non_null(strstr(pip, "set = PIP_INDEX_URL=https://env.corp.example/simple "));
	assert_non_null(strstr(pip, "set = PIP_EXTRA_INDEX_URL=https://one.corp.example/simple https://two.corp.example/simple"));
	assert_non_null(strstr(pip, "allow = GET,HEAD https://pypi.corp.example "));
	assert_non_null(strstr(pip, "allow = GET,HEAD https://env.corp.example "));
	assert_null(strstr(pip, "trusted.corp"));

	write_file(".cargo/config.toml", "[source.corp]\nregistry = \"sparse+https://crates.corp.example/index/\"\n"
					 "[http]\nproxy = \"http://proxy.corp.example\"\n");
	_cleanup_free_ char *cargo = dump_of("rust", NULL);
	assert_non_null(strstr(cargo, "allow = GET,HEAD https://crates.corp.example "));
	assert_null(strstr(cargo, "proxy.corp"));
	assert_null(strstr(cargo, "/.cargo/config.toml ; read-only"));

	write_file(".config/go/env", "GOPROXY=https://go.corp.example,https://go2.corp.example|direct\n");
	_cleanup_free_ char *go = dump_of("go", NULL);
	assert_non_null(strstr(go, "set = GOPROXY=https://go.corp.example,https://go2.corp.example "));
}

/* What the project, or an earlier run in a workspace, wrote is nobody's configuration. */
static void test_registries_not_from_project(void **state)
{
	struct policy *p = new_policy();
	char path[256];

	(void)state;
	write_file("work/.npmrc", "registry=https://evil.example/\n");
	write_file(".npmrc", "");
	assert_int_equal(policy_load_profile(p, "node", &e), 0);
	assert_int_equal(policy_finish(p, &e), 0);
	_cleanup_buf_ struct buf out = { 0 };
	assert_int_equal(policy_dump(p, &out), 0);
	assert_null(strstr(buf_str(&out), "evil"));
	assert_non_null(strstr(policy_warnings(p), "the configuration of npm names no registry"));
	policy_free(p);

	/* A link to a file that the sandbox can write, as well: one that is not protected by its name. */
	write_file("work/npm", "registry=https://evil.example/\n");
	snprintf(path, sizeof(path), "%s/.npmrc", home);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("work/npm", path), 0);
	p = new_policy();
	assert_int_equal(policy_load_profile(p, "node", &e), 0);
	assert_int_equal(policy_finish(p, &e), 0);
	_cleanup_buf_ struct buf linked = { 0 };
	assert_int_equal(policy_dump(p, &linked), 0);
	assert_null(strstr(buf_str(&linked), "evil"));
	assert_non_null(strstr(policy_warnings(p), "the sandbox can write it"));
	policy_free(p);
	assert_int_equal(unlink(path), 0);
}

static void test_registry_refused(void **state)
{
	struct policy *p = new_policy();

	(void)state;
	assert_int_equal(policy_set(p, "network", "registries", "gem", NULL, "x.ini:4", &e), -EINVAL);
	assert_string_equal(e.message, "x.ini:4: [network] registries = gem: accepted: npm, pip, cargo, go, apt");
	policy_free(p);
}

static int load_project(const char *text)
{
	struct policy *p = new_policy();
	_cleanup_buf_ struct buf b = { 0 };

	write_file("work/.nsbox.ini", text);
	int r = project_read(work, &b, &e);
	if (r == 0)
		r = policy_load_project(p, &b, &e);
	policy_free(p);
	return r;
}

static void test_project(void **state)
{
	char path[256];

	(void)state;
	assert_int_equal(load_project("[sandbox]\nversion = 1\nextends = git\n[filesystem]\nhide = x\n"), 0);
	assert_true(load_project("[sandbox]\nversion = 1\nextends = ./more.ini\n") < 0);
	assert_non_null(strstr(e.message, ".nsbox.ini:3: [sandbox] extends = ./more.ini: a project's file extends only built-in"));
	assert_int_equal(load_project("[sandbox]\nversion = 1\n[secret K]\nsource = exec:./x\n"), -EPERM);
	assert_non_null(strstr(e.message, "a project's file starts no command on the host"));
	assert_int_equal(load_project("[sandbox]\nversion = 1\n[secret K]\nrevoke = ./x\n"), -EPERM);
	assert_int_equal(load_project("[sandbox]\nversion = 1\n[audit]\nauditor = exec:./x\n"), -EPERM);
	assert_int_equal(load_project("[sandbox]\nversion = 1\n[network]\nupstream_proxy = http://p.org:1 exec:./x\n"), -EPERM);

	snprintf(path, sizeof(path), "%s/.nsbox.ini", work);
	_cleanup_buf_ struct buf b = { 0 };
	unlink(path);
	assert_int_equal(project_read(work, &b, &e), -ENOENT);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(project_read(work, &b, &e), -ELOOP);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(project_read(work, &b, &e), -EINVAL);
	unlink(path);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	snprintf(work, sizeof(work), "%s/work", home);
	setenv("HOME", home, 1);
	return mkdir(work, 0700);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", home);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_apply),      cmocka_unit_test(test_offered_secrets),
		cmocka_unit_test(test_agent_paths),    cmocka_unit_test(test_registry_of_npm_run),
		cmocka_unit_test(test_registries),
		cmocka_unit_test(test_registries_not_from_project), cmocka_unit_test(test_registry_refused),
		cmocka_unit_test(test_project), cmocka_unit_test(test_keys_in_configuration),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
