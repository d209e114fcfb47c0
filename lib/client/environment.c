/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of a call, built from a list: nothing is inherited that is not named here, in the policy or by the
 * caller. Later entries replace earlier ones of the same name; placeholders come last, added by the supervisor.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "client/client.h"

#define CA_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* Clients that do not read the system bundle by themselves (measured: research notes of the gateway, table 4.1). */
static const char *const ca_variables[] = {
	"SSL_CERT_FILE",    "CURL_CA_BUNDLE",	  "REQUESTS_CA_BUNDLE",
	"PIP_CERT",	    "GIT_SSL_CAINFO",	  "NODE_EXTRA_CA_CERTS",
	"npm_config_cafile", "AWS_CA_BUNDLE",	  "CARGO_HTTP_CAINFO",
	"DENO_CERT",	    "NIX_SSL_CERT_FILE",  "PERL_LWP_SSL_CA_FILE",
	"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
};

static const char *const passed_on[] = { "TERM", "COLORTERM", "LANG", "TZ", "NO_COLOR" };

struct env {
	char **v;
	size_t n, cap;
};

static int env_set(struct env *env, const char *name, const char *value)
{
	size_t len = strlen(name);
	char *text;

	if (asprintf(&text, "%s=%s", name, value) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], name, len) == 0 && env->v[i][len] == '=') {
			free(env->v[i]);
			env->v[i] = text;
			return 0;
		}
	}
	if (env->n + 1 >= env->cap) {
		size_t cap = env->cap ? env->cap * 2 : 64;
		char **v = reallocarray(env->v, cap, sizeof(*v));
		if (!v) {
			free(text);
			return -ENOMEM;
		}
		env->v = v;
		env->cap = cap;
	}
	env->v[env->n++] = text;
	env->v[env->n] = NULL;
	return 0;
}

static int set_identity(struct env *env, const struct policy *p, const char *user)
{
	const char *name = user ? user : getenv("USER");

	int r = env_set(env, "HOME", policy_home(p));
	if (r == 0 && name)
		r = env_set(env, "USER", name);
	if (r == 0 && name)
		r = env_set(env, "LOGNAME", name);
	return r;
}

static int set_defaults(struct env *env, const struct policy *p, const char *user)
{
	int r = env_set(env, "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/run/nsbox/bin");
	if (r == 0)
		r = set_identity(env, p, user);
	if (r == 0)
		r = env_set(env, "SHELL", "/bin/sh");
	if (r == 0)
		r = env_set(env, "TMPDIR", "/tmp");
	if (r == 0)
		r = env_set(env, "NSBOX", "1");
	for (size_t i = 0; i < ARRAY_LEN(passed_on) && r == 0; i++) {
		const char *value = getenv(passed_on[i]);
		if (value)
			r = env_set(env, passed_on[i], value);
	}
	for (char **v = environ; v && *v && r == 0; v++) {
		char *equals = strchr(*v, '=');
		if (equals && strncmp(*v, "LC_", 3) == 0) {
			_cleanup_free_ char *name = strndup(*v, (size_t)(equals - *v));
			r = name ? env_set(env, name, equals + 1) : -ENOMEM;
		}
	}
	return r;
}

static int set_ca(struct env *env)
{
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(ca_variables) && r == 0; i++)
		r = env_set(env, ca_variables[i], CA_BUNDLE);
	return r < 0 ? r : env_set(env, "DENO_TLS_CA_STORE", "system");
}

static int set_policy(struct env *env, const struct policy *p)
{
	size_t n;
	const struct policy_env *entries = policy_envs(p, &n);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const char *value = entries[i].value ? entries[i].value : getenv(entries[i].name);
		if (value)
			r = env_set(env, entries[i].name, value);
	}
	return r;
}

static int set_all(struct env *env, char *const *entries)
{
	int r = 0;

	for (; *entries && r == 0; entries++) {
		char *equals = strchr(*entries, '=');
		if (!equals) /* an environment that a program made by hand */
			continue;
		_cleanup_free_ char *name = strndup(*entries, (size_t)(equals - *entries));
		r = name ? env_set(env, name, equals + 1) : -ENOMEM;
	}
	return r;
}

/* The gateway adds NAME=placeholder; a second NAME with another value would make it unclear which one a program sees. */
static int check_secrets(const struct env *env, const struct policy *p, struct error *e)
{
	size_t n;
	const struct policy_secret *secrets = p ? policy_secrets(p, &n) : NULL;

	if (!p)
		return 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(secrets[i].name);
		for (size_t k = 0; k < env->n; k++) {
			if (strncmp(env->v[k], secrets[i].name, len) == 0 && env->v[k][len] == '=')
				return fail(e, EINVAL, SANDBOX_STAGE_SECRET, secrets[i].name,
					    "%s is both a secret and an environment variable of the sandbox; remove one of them",
					    secrets[i].name);
		}
	}
	return 0;
}

/* Takes the entries over. */
static int finish(struct env *env, int r, const struct policy *p, char ***ret_env, struct error *e)
{
	if (r < 0)
		fail(e, -r, SANDBOX_STAGE_INTERNAL, "environment", "out of memory");
	else
		r = check_secrets(env, p, e);
	if (r < 0) {
		strv_free(env->v);
		return r;
	}
	*ret_env = env->v;
	return 0;
}

int environment_build(const struct policy *p, const char *user, char ***ret_env, struct error *e)
{
	struct env env = { 0 };

	int r = set_defaults(&env, p, user);
	if (r == 0 && policy_net_mode(p) == NET_GATEWAY)
		r = set_ca(&env);
	if (r == 0)
		r = set_policy(&env, p);
	return finish(&env, r, p, ret_env, e);
}

int environment_add(const struct policy *p, char *const *base, char *const *extra, char ***ret_env, struct error *e)
{
	struct env env = { 0 };

	int r = set_all(&env, base);
	if (r == 0)
		r = set_all(&env, extra);
	return finish(&env, r, p, ret_env, e);
}

int environment_inherit(char ***ret_env, struct error *e)
{
	struct env env = { 0 };

	int r = environ ? set_all(&env, environ) : 0;
	if (r == 0 && !env.v && !(env.v = calloc(1, sizeof(*env.v))))
		r = -ENOMEM;
	return finish(&env, r, NULL, ret_env, e);
}
