/* SPDX-License-Identifier: Apache-2.0 */
/* Policy flags: each is one line of a policy file, given to the library under the name of the flag. */
#include "policy_args.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"

enum {
	SETTING = 0,
	PROFILE,
	POLICY_FILE,
	WORKDIR,
	WORKDIR_FORCE,
	SECRET,
	AUDIT_LOG,
	FORK,
	UPSTREAM_CA,
	ENV,
	ENV_FILE,
	LATER,
};

/* In the place of a profile: nothing that was not asked for. */
#define NO_PROFILE "none"

#define SET(section_, key_) .id = OPTION_POLICY, .section = section_, .key = key_
#define LAYER(layer_) .id = OPTION_POLICY, .layer = layer_

const struct option policy_options[] = {
	{ LAYER(PROFILE), .letter = 'p', .name = "profile", .value = "NAME",
	  .help = "apply a built-in profile; repeatable; none: neither one by the command's name nor .nsbox.ini" },
	{ LAYER(POLICY_FILE), .letter = 'f', .name = "policy", .value = "FILE",
	  .help = "apply a policy file; repeatable, in order with --profile; flags come last" },
	{ LAYER(WORKDIR), .letter = 'C', .name = "workdir", .value = "DIR",
	  .help = "the workspace, read-write at its own path (default: the current directory)" },
	{ LAYER(WORKDIR_FORCE), .name = "workdir-force",
	  .help = "also accept /, the home directory or one above it as the workspace" },
	{ SET("filesystem", "read"), .name = "read", .value = "PATH", .help = "make PATH readable" },
	{ SET("filesystem", "write"), .name = "write", .value = "PATH", .help = "make PATH readable and writable" },
	{ SET("filesystem", "overlay"), .name = "overlay", .value = "DIR",
	  .help = "make DIR writable in a layer of its own; what changed is reviewed with nsbox diff, commit and discard" },
	{ LAYER(FORK), .name = "fork", .value = "ID",
	  .help = "begin with a copy of the changes of a sandbox, or of a snapshot, in the overlaid directories" },
	{ SET("filesystem", "hide"), .name = "hide", .value = "PATH", .help = "hide PATH, or what matches a pattern as in '**/.env*'" },
	{ SET("filesystem", "protect"), .name = "protect", .value = "PATH",
	  .help = "keep PATH read-only inside a writable tree" },
	{ SET("filesystem", "tmpfs"), .name = "tmpfs", .value = "PATH[:SIZE]", .help = "an empty private directory in memory" },
	{ SET("network", "allow"), .name = "allow", .value = "RULE",
	  .help = "allow [METHOD,...] HOST[:PORT], a URL, tcp://HOST:PORT or CIDR:PORT" },
	{ SET("network", "deny"), .name = "deny", .value = "RULE", .help = "deny it; beats every --allow" },
	{ SET("network", "allow_private"), .name = "allow-private", .value = "RULE",
	  .help = "allow it also where the name leads to a private address" },
	{ SET("network", "passthrough"), .name = "passthrough", .value = "HOST[:PORT]",
	  .help = "allow TLS to HOST without looking inside" },
	{ SET("network", "mode"), .name = "net", .value = "gateway|none|host",
	  .help = "gateway (default): only what rules allow; none: only loopback; host: the host's network" },
	{ SET("quota", "spec"), .name = "quota", .value = "LIMIT=VALUE[,...][@RULE]",
	  .help = "max_requests=N, max_up=SIZE, rate=N/s (or /m, /h), for what RULE matches (default: everything)" },
	{ LAYER(SECRET), .name = "secret", .value = "NAME[=SOURCE]@TARGET[,TARGET]",
	  .help = "a placeholder in NAME inside, the secret towards TARGET; SOURCE env:VAR, file:PATH or exec:COMMAND" },
	{ SET("network", "connect_to"), .name = "connect-to", .value = "HOST:PORT:ADDR:PORT", .help = "dial ADDR:PORT for HOST:PORT" },
	{ LAYER(UPSTREAM_CA), .name = "upstream-ca", .value = "FILE[@HOST]",
	  .help = "trust this CA for HOST (without HOST: for the hosts of --connect-to)" },
	{ LAYER(ENV), .name = "env", .value = "NAME[=VALUE]", .help = "set a variable inside, or pass on the caller's" },
	{ LAYER(ENV_FILE), .name = "env-file", .value = "FILE", .help = "the same for every line of FILE; # starts a comment" },
	{ SET("limits", "memory"), .name = "memory", .value = "SIZE", .help = "limit memory, for example 2G" },
	{ SET("limits", "cpus"), .name = "cpus", .value = "N", .help = "limit processor time, for example 1.5" },
	{ SET("limits", "pids"), .name = "pids", .value = "N", .help = "limit processes (default 4096)" },
	{ SET("limits", "timeout"), .name = "timeout", .value = "TIME",
	  .help = "TERM after TIME (for example 10m), KILL 5 s later; exit status 124" },
	{ SET("limits", "disk"), .name = "disk", .value = "SIZE", .help = "limit each private tmpfs" },
	{ SET("limits", "open_files"), .name = "open-files", .value = "N", .help = "limit open files of a process" },
	{ SET("audit", "auditor"), .name = "auditor", .value = "unix:PATH|exec:COMMAND",
	  .help = "ask this program before a call starts, a request leaves, a connection is made" },
	{ LAYER(AUDIT_LOG), .name = "audit-log", .value = "FILE", .help = "write the audit log to this new file" },
	{ SET("sandbox", "allow_degraded"), .name = "allow-degraded", .value = "CONTROL",
	  .help = "run although CONTROL cannot be applied here" },
	{ 0 },
};

int policy_args_take(struct policy_args *args, const struct option_reader *r)
{
	switch (r->option->layer) {
	case LATER:
		return refuse("--%s is not available in this version; leave it out", r->option->name);
	case WORKDIR:
		args->workdir = r->value;
		return 0;
	case WORKDIR_FORCE:
		args->workdir_force = 1;
		return 0;
	default:
		break;
	}
	struct policy_arg *list = reallocarray(args->list, args->n + 1, sizeof(*list));
	if (!list)
		return refuse("out of memory");
	args->list = list;
	args->list[args->n++] = (struct policy_arg){ r->option, r->value };
	return 0;
}

bool policy_args_gateway(const struct policy_args *args)
{
	bool gateway = true;

	for (size_t i = 0; i < args->n; i++) {
		if (strcmp(args->list[i].option->name, "net") == 0)
			gateway = strcmp(args->list[i].value, "gateway") == 0;
	}
	return gateway;
}

void policy_args_free(struct policy_args *args)
{
	free(args->list);
	*args = (struct policy_args){ 0 };
}

static int set(sandbox_policy *p, const char *section, const char *key, const char *value, const char *origin)
{
	sandbox_error *error = NULL;
	return sandbox_policy_set(p, section, key, value, origin, &error) < 0 ? refuse_error(error) : 0;
}

/* No message here may show the argument: a forgotten "env:" leaves the secret itself in it. */
static int set_secret(sandbox_policy *p, const char *value)
{
	static const char form[] =
		"--secret needs NAME[=SOURCE]@TARGET[,TARGET], for example API_KEY@api.example.com or "
		"API_KEY=file:/path@api.example.com; SOURCE is env:VAR, file:PATH or exec:COMMAND";
	static const char *const prefixes[] = { "env:", "file:", "exec:" };
	const char *at = strchr(value, '@');
	size_t name_len = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (!at || !at[1] || name_len == 0 || name_len > 40 || (value[0] >= '0' && value[0] <= '9') ||
	    (value[name_len] != '=' && value[name_len] != '@'))
		return refuse("%s", form);
	_cleanup_free_ char *section = NULL, *source = NULL, *targets = strdup(at + 1);
	if (asprintf(&section, "secret %.*s", (int)name_len, value) < 0 || !targets)
		return refuse("out of memory");
	if (value[name_len] == '=') {
		source = strndup(value + name_len + 1, (size_t)(at - value) - name_len - 1);
		bool known = false;
		for (size_t i = 0; source && i < ARRAY_LEN(prefixes); i++)
			known |= strncmp(source, prefixes[i], strlen(prefixes[i])) == 0;
		if (!source || !known)
			return refuse("%s", form);
		int r = set(p, section, "source", source, "--secret");
		if (r)
			return r;
	}
	char *rest = targets, *target;
	while ((target = strsep(&rest, ","))) {
		int r = set(p, section, "allow", target, "--secret");
		if (r)
			return r;
	}
	return 0;
}

static int set_audit_log(sandbox_policy *p, const char *path)
{
	sandbox_error *error = NULL;
	return sandbox_policy_set_audit_log(p, path, &error) < 0 ? refuse_error(error) : 0;
}

/* FILE[@HOST]; the file may hold an '@' itself, a host name cannot. */
static int set_upstream_ca(sandbox_policy *p, const char *value)
{
	const char *at = strrchr(value, '@');
	_cleanup_free_ char *line = NULL;

	if (strpbrk(value, " \t"))
		return refuse("--upstream-ca %s: the file name must have no space; link it under another name", value);
	if (at && (at == value || !at[1]))
		return refuse("--upstream-ca needs FILE[@HOST]; write ./%s for a file whose name ends in '@'", value);
	if (!at)
		return set(p, "network", "upstream_ca", value, "--upstream-ca");
	if (asprintf(&line, "%.*s %s", (int)(at - value), value, at + 1) < 0)
		return refuse("out of memory");
	return set(p, "network", "upstream_ca", line, "--upstream-ca");
}

static int set_env(sandbox_policy *p, const char *value, const char *origin)
{
	return set(p, "env", strchr(value, '=') ? "set" : "pass", value, origin);
}

static int set_env_line(void *p, const char *line, const char *origin)
{
	return set_env(p, line, origin);
}

static int apply_layer(sandbox_policy *p, const struct policy_arg *a)
{
	sandbox_error *error = NULL;
	int r = 0;

	if (a->option->layer == PROFILE && strcmp(a->value, NO_PROFILE) != 0)
		r = sandbox_policy_load_profile(p, a->value, &error);
	else if (a->option->layer == POLICY_FILE)
		r = sandbox_policy_load_file(p, a->value, &error);
	return r < 0 ? refuse_error(error) : 0;
}

static int apply_setting(sandbox_policy *p, const struct policy_arg *a)
{
	sandbox_error *error = NULL;
	char origin[32];

	snprintf(origin, sizeof(origin), "--%s", a->option->name);
	switch (a->option->layer) {
	case PROFILE:
	case POLICY_FILE:
		return 0;
	case SECRET:
		return set_secret(p, a->value);
	case AUDIT_LOG:
		return set_audit_log(p, a->value);
	case FORK:
		return sandbox_policy_set_fork(p, a->value, &error) < 0 ? refuse_error(error) : 0;
	case UPSTREAM_CA:
		return set_upstream_ca(p, a->value);
	case ENV:
		return set_env(p, a->value, origin);
	case ENV_FILE:
		return env_file_each(a->value, set_env_line, p);
	default:
		return set(p, a->option->section, a->option->key, a->value, origin);
	}
}

/* The profiles that go with the command, said because nobody asked for them. */
static int apply_choice(sandbox_policy *p, const struct policy_args *args)
{
	_cleanup_free_ char *text = NULL;
	sandbox_error *error = NULL;
	const char *name, *by;
	int r = 0;
	size_t i;

	if (sandbox_profile_choose(args->command, args->workdir, &text, &error) < 0)
		return refuse_error(error);
	json_t *all = json_loads(text, 0, NULL), *one;
	json_array_foreach(all, i, one) {
		if (r || json_unpack(one, "{s:s, s:s}", "profile", &name, "by", &by) < 0)
			continue;
		if (!args->again)
			say("profile %s, since the command is %s (--profile none: without)", name, by);
		r = sandbox_policy_load_profile(p, name, &error) < 0 ? refuse_error(error) : 0;
	}
	json_decref(all);
	return r;
}

static int apply_project(sandbox_policy *p, bool again)
{
	sandbox_error *error = NULL;
	int state;

	if (sandbox_policy_load_project(p, &state, &error) < 0)
		return refuse_error(error);
	if (state == SANDBOX_PROJECT_UNKNOWN && !again)
		say(".nsbox.ini is not used: it is not trusted yet (nsbox profile trust shows it)");
	return 0;
}

/* What applies without being asked for. */
static int apply_automatic(sandbox_policy *p, const struct policy_args *args)
{
	bool profile = false, none = false;

	for (size_t i = 0; i < args->n; i++) {
		bool is_profile = args->list[i].option->layer == PROFILE;
		profile = profile || is_profile;
		none = none || (is_profile && strcmp(args->list[i].value, NO_PROFILE) == 0);
	}
	int r = !profile && args->command && args->command[0] ? apply_choice(p, args) : 0;
	return r || none ? r : apply_project(p, args->again);
}

static void say_warnings(const sandbox_policy *p)
{
	const char *text = sandbox_policy_warnings(p);

	while (text && *text) {
		size_t len = strcspn(text, "\n");
		say("warning: %.*s", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

int policy_args_apply(const struct policy_args *args, sandbox_policy **ret_policy)
{
	sandbox_error *error = NULL;
	sandbox_policy *p = NULL;
	int r = 0;

	if (sandbox_policy_new(&p, &error) < 0)
		return refuse_error(error);
	if (sandbox_policy_set_workdir(p, args->workdir, args->workdir_force, &error) < 0)
		r = refuse_error(error);
	if (r == 0)
		r = apply_automatic(p, args);
	for (size_t i = 0; i < args->n && r == 0; i++)
		r = apply_layer(p, &args->list[i]);
	for (size_t i = 0; i < args->n && r == 0; i++)
		r = apply_setting(p, &args->list[i]);
	if (r == 0 && args->last)
		r = args->last(p, args->last_arg);
	if (r == 0 && sandbox_policy_check(p, &error) < 0)
		r = refuse_error(error);
	if (r) {
		sandbox_policy_free(p);
		return r;
	}
	if (!args->again)
		say_warnings(p);
	*ret_policy = p;
	return 0;
}
