/* SPDX-License-Identifier: Apache-2.0 */
/* The fake libsandbox: changes in overlays, of one sandbox. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "test_cli_fake_private.h"

int sandbox_has_overlay(const sandbox *b)
{
	(void)b;
	return 0;
}

static int no_changes(const char *name, sandbox_error **error)
{
	return fake_failed(error, ENOENT, SANDBOX_STAGE_OVERLAY, name);
}

int sandbox_changes_list(char **ret, sandbox_error **error)
{
	(void)error;
	*ret = strdup("[{\"id\":\"k3f9x2m1\",\"name\":\"b\",\"workdir\":\"/w\",\"roots\":[\"/w\\u001b[2J\"],\"in_use\":false}]");
	return 0;
}

int sandbox_changes_count(const char *name, unsigned long *ret, sandbox_error **error)
{
	(void)ret;
	return no_changes(name, error);
}

int sandbox_changes_patch(const char *name, const char *const *paths, int fd, sandbox_error **error)
{
	(void)paths;
	if (strcmp(name, "k3f9x2m1") != 0)
		return no_changes(name, error);
	return write(fd, "+\033[2J\tx\n", 8) == 8 ? 0 : -errno;
}

int sandbox_changes_read(const char *name, const char *const *paths, unsigned flags, char **ret, sandbox_error **error)
{
	(void)flags;
	if (strcmp(name, "k3f9x2m1") != 0)
		return no_changes(name, error);
	*ret = strdup(paths ? "{\"id\":\"k3f9x2m1\",\"workdir\":\"/w\",\"changes\":[]}" :
			      "{\"id\":\"k3f9x2m1\",\"workdir\":\"/w\",\"changes\":["
			      "{\"path\":\"/w/a\\u001b\",\"change\":\"added\",\"type\":\"directory\",\"mode\":\"0755\","
			      "\"flags\":[],\"conflict\":false},"
			      "{\"path\":\"/w/n\",\"from\":\"/x/o\",\"change\":\"renamed\",\"type\":\"file\",\"mode\":\"0755\","
			      "\"flags\":[\"build\",\"program\"],\"conflict\":true},"
			      "{\"path\":\"/w/m\",\"change\":\"mode\",\"type\":\"file\",\"mode\":\"0600\",\"old_mode\":\"0644\","
			      "\"flags\":[],\"conflict\":false}]}");
	return 0;
}

int sandbox_changes_commit_reviewed(const char *name, const char *const *paths, unsigned flags, const char *digest,
				    unsigned long *ret, sandbox_error **error)
{
	if (digest)
		fake_show("digest %s\n", digest);
	if (strcmp(name, "k3f9x2m1") != 0)
		return no_changes(name, error);
	*ret = paths ? 1 : flags == SANDBOX_COMMIT_EXECUTABLE ? 3 : 2;
	return 0;
}

int sandbox_changes_snapshot(const char *name, const char *as, sandbox_error **error)
{
	fake_show("snapshot %s %s\n", name, as);
	return strcmp(name, "k3f9x2m1") == 0 ? 0 : no_changes(name, error);
}

int sandbox_changes_call_read(sandbox_runtime *runtime, const char *call, const char *const *paths, unsigned flags, char **ret,
			      sandbox_error **error)
{
	(void)runtime;
	fake_show("changes of call %s\n", call);
	return sandbox_changes_read("k3f9x2m1", paths, flags, ret, error);
}

int sandbox_changes_call_patch(sandbox_runtime *runtime, const char *call, const char *const *paths, int fd,
			       sandbox_error **error)
{
	(void)runtime;
	fake_show("patch of call %s\n", call);
	return sandbox_changes_patch("k3f9x2m1", paths, fd, error);
}

static int of_call(const char *verb, const char *call, const char *digest, unsigned long *ret)
{
	fake_show("%s call %s %s\n", verb, call, digest ? digest : "-");
	*ret = 2;
	return 0;
}

int sandbox_changes_call_commit(sandbox_runtime *runtime, const char *call, const char *digest, unsigned long *ret,
				sandbox_error **error)
{
	(void)runtime;
	(void)error;
	return of_call("commit", call, digest, ret);
}

int sandbox_changes_call_discard(sandbox_runtime *runtime, const char *call, unsigned long *ret, sandbox_error **error)
{
	(void)runtime;
	(void)error;
	return of_call("discard", call, NULL, ret);
}

int sandbox_changes_call_rollback(sandbox_runtime *runtime, const char *call, unsigned long *ret, sandbox_error **error)
{
	(void)runtime;
	(void)error;
	return of_call("rollback", call, NULL, ret);
}

int sandbox_changes_rollback(const char *name, const char *to, sandbox_error **error)
{
	fake_show("rollback %s %s\n", name, to);
	return strcmp(name, "k3f9x2m1") == 0 ? 0 : no_changes(name, error);
}

int sandbox_changes_discard(const char *name, const char *const *paths, unsigned long *ret, sandbox_error **error)
{
	return sandbox_changes_commit_reviewed(name, paths, 0, NULL, ret, error);
}
