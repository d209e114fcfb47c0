/* SPDX-License-Identifier: Apache-2.0 */
/* The fake libsandbox: policies are notes of what was asked of them; profiles, projects and grants. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nsbox.h"
#include "test_cli_fake.h"
#include "test_cli_fake_private.h"

static struct buf notes;

struct sandbox_policy {
	int unused;
};

int sandbox_policy_new(sandbox_policy **ret, sandbox_error **error)
{
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	return 0;
}

void sandbox_policy_free(sandbox_policy *p) { free(p); }

int sandbox_policy_set_workdir(sandbox_policy *p, const char *dir, int force, sandbox_error **error)
{
	(void)p;
	(void)error;
	if (dir || force)
		buf_printf(&notes, "workdir %s %d\n", dir ? dir : "-", force);
	return 0;
}

int sandbox_policy_load_profile(sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)p;
	if (strcmp(name, "missing") == 0)
		return fake_failed(error, ENOENT, SANDBOX_STAGE_POLICY, "there is no profile missing\x1b[31m");
	buf_printf(&notes, "profile %s\n", name);
	return 0;
}

/* Only git goes with a profile, and there is no project. */
int sandbox_profile_choose(const char *const *argv, const char *workdir, char **ret, sandbox_error **error)
{
	(void)workdir;
	(void)error;
	*ret = strdup(strcmp(argv[0], "git") == 0 ? "[{\"profile\":\"git\",\"by\":\"git\"}]" : "[]");
	return 0;
}

int sandbox_policy_load_project(sandbox_policy *p, int *ret_state, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret_state = SANDBOX_PROJECT_NONE;
	return 0;
}

int sandbox_profile_list(char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup("[{\"name\":\"git\",\"summary\":\"git\",\"commands\":\"git\"}]");
	return 0;
}

int sandbox_profile_text(const char *name, char **ret, sandbox_error **error)
{
	if (strcmp(name, "missing") == 0)
		return fake_failed(error, ENOENT, SANDBOX_STAGE_POLICY, "there is no profile missing");
	*ret = strdup("[sandbox]\nversion = 1\n");
	return 0;
}

static const char *const project_old = "[a]\none\ntwo\n", *const project_new = "[a]\none\n2\x1b\ntwo\n";

int sandbox_project_state(const char *dir, int *ret_state, char **ret_text, char **ret_trusted, sandbox_error **error)
{
	(void)error;
	*ret_state = strcmp(dir, "changed") == 0 ? SANDBOX_PROJECT_CHANGED :
		     strcmp(dir, "new") == 0	 ? SANDBOX_PROJECT_UNKNOWN :
						   SANDBOX_PROJECT_NONE;
	*ret_text = *ret_state ? strdup(project_new) : NULL;
	*ret_trusted = *ret_state == SANDBOX_PROJECT_CHANGED ? strdup(project_old) : NULL;
	return 0;
}

int sandbox_project_trust(const char *dir, const char *text, sandbox_error **error)
{
	(void)error;
	printf("trusted %s: %d\n", dir, strcmp(text, project_new) == 0);
	return 0;
}

int sandbox_policy_load_file(sandbox_policy *p, const char *path, sandbox_error **error)
{
	(void)p;
	(void)error;
	buf_printf(&notes, "file %s\n", path);
	return 0;
}

int sandbox_policy_set(sandbox_policy *p, const char *section, const char *key, const char *value, const char *origin,
		       sandbox_error **error)
{
	(void)p;
	(void)error;
	buf_printf(&notes, "[%s] %s = %s (%s)\n", section, key, value, origin);
	return 0;
}

int sandbox_policy_set_audit_log(sandbox_policy *p, const char *path, sandbox_error **error)
{
	(void)p;
	(void)error;
	buf_printf(&notes, "audit log %s\n", path);
	return 0;
}

int sandbox_policy_check(sandbox_policy *p, sandbox_error **error)
{
	(void)p;
	(void)error;
	if (fake_show_calls && notes.len)
		write_all(2, notes.data, notes.len);
	return 0;
}

int sandbox_policy_dump(sandbox_policy *p, char **ret, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret = strdup("[sandbox]\nversion = 1\n");
	return 0;
}

static int decide(bool allowed, int *ret_allowed, char **ret_json)
{
	*ret_allowed = allowed;
	*ret_json = strdup(allowed ? "{\"decision\":\"allow\",\"rule\":\"a\",\"source\":\"--allow\",\"reason\":\"rule\"}" :
				     "{\"decision\":\"deny\",\"rule\":\"\",\"source\":\"\",\"reason\":\"no-rule\"}");
	return 0;
}

int sandbox_policy_check_url(sandbox_policy *p, const char *url, const char *method, int *ret_allowed, char **ret_json,
			     sandbox_error **error)
{
	(void)p;
	if (strcmp(url, "bad") == 0)
		return fake_failed(error, EINVAL, SANDBOX_STAGE_USAGE, "bad is no URL");
	return decide(!method || strcmp(method, "GET") == 0, ret_allowed, ret_json);
}

int sandbox_policy_check_path(sandbox_policy *p, const char *path, int write, int *ret_allowed, char **ret_json,
			      sandbox_error **error)
{
	(void)p;
	(void)error;
	return decide(!write && !strstr(path, "denied"), ret_allowed, ret_json);
}

const char *sandbox_policy_warnings(const sandbox_policy *p)
{
	(void)p;
	return notes.len && strstr(buf_str(&notes), "allow = *") ? "* allows every public host\nsecond" : "";
}

/* A grant is what was asked of it. The policy has one, push, bound to git. */
struct sandbox_grant {
	int unused;
};

int sandbox_grant_from_template(sandbox_policy *p, const char *name, sandbox_grant **ret, sandbox_error **error)
{
	(void)p;
	if (strcmp(name, "push") != 0)
		return fake_failed(error, ENOENT, SANDBOX_STAGE_POLICY, "the policy has no such grant");
	*ret = calloc(1, sizeof(**ret));
	return 0;
}

void sandbox_grant_free(sandbox_grant *g) { free(g); }

int sandbox_grant_dump(sandbox_grant *g, char **ret, sandbox_error **error)
{
	(void)g;
	(void)error;
	*ret = strdup("[grant push]\n");
	return 0;
}

int sandbox_grant_for_argv(sandbox_policy *p, const char *const *argv, char **ret_name, sandbox_error **error)
{
	(void)p;
	(void)error;
	*ret_name = strcmp(argv[0], "git") == 0 ? strdup("push") : NULL;
	return 0;
}

int sandbox_grant_check_url(sandbox_grant *g, sandbox_policy *p, const char *url, const char *method, int *ret_allowed,
			    char **ret_json, sandbox_error **error)
{
	(void)g;
	return sandbox_policy_check_url(p, url, method, ret_allowed, ret_json, error);
}

int sandbox_grant_check_path(sandbox_grant *g, sandbox_policy *p, const char *path, int write, int *ret_allowed,
			     char **ret_json, sandbox_error **error)
{
	(void)g;
	return sandbox_policy_check_path(p, path, write, ret_allowed, ret_json, error);
}

int sandbox_grant_check_secret(sandbox_grant *g, sandbox_policy *p, const char *name, int *ret_allowed, char **ret_json,
			       sandbox_error **error)
{
	(void)g;
	(void)p;
	(void)error;
	return decide(strcmp(name, "KEY") == 0, ret_allowed, ret_json);
}

int sandbox_policy_set_fork(sandbox_policy *p, const char *name, sandbox_error **error)
{
	(void)p;
	(void)error;
	fake_show("fork %s\n", name);
	return 0;
}

int sandbox_grant_new(sandbox_grant **ret, sandbox_error **error)
{
	(void)error;
	*ret = NULL;
	fake_show("grant\n");
	return 0;
}

int sandbox_grant_from_sandbox(const sandbox *box, const char *name, sandbox_grant **ret, sandbox_error **error)
{
	(void)box;
	(void)error;
	*ret = NULL;
	fake_show("grant %s\n", name);
	return 0;
}

int sandbox_grant_set(sandbox_grant *g, const char *key, const char *value, const char *origin, sandbox_error **error)
{
	(void)g;
	(void)error;
	fake_show("grant set %s=%s from %s\n", key, value, origin);
	return 0;
}

const char *sandbox_policy_auditor(const sandbox_policy *p) { (void)p; return NULL; }
