/* SPDX-License-Identifier: Apache-2.0 */
/* Named sandboxes of a test. */
#include "named_place.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_supervisor.h"

char top[64], helpers[128];

static int remove_item(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

/* A place of its own for every test: state below top/s, sockets below top/r, a workdir. */
int setup(void **state)
{
	char path[128];
	(void)state;

	snprintf(top, sizeof(top), "/tmp/test-named-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(helpers, sizeof(helpers), "%s/helpers", top);
	fake_supervisor_install(helpers);
	snprintf(path, sizeof(path), "%s/w", top);
	if (mkdir(path, 0700) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/s", top);
	setenv("XDG_STATE_HOME", path, 1);
	snprintf(path, sizeof(path), "%s/r", top);
	setenv("XDG_RUNTIME_DIR", path, 1);
	alarm(120);
	return 0;
}

int teardown(void **state)
{
	(void)state;
	return nftw(top, remove_item, 16, FTW_DEPTH | FTW_PHYS);
}

sandbox_runtime *runtime_new(void)
{
	sandbox_runtime *r = NULL;
	assert_int_equal(sandbox_runtime_new(&r, NULL), 0);
	assert_int_equal(sandbox_runtime_set_helper_dir(r, helpers, NULL), 0);
	return r;
}

sandbox_policy *policy_new_at(const char *dir)
{
	char path[160];
	sandbox_policy *p = NULL;

	snprintf(path, sizeof(path), "%s/%s", top, dir);
	assert_int_equal(sandbox_policy_new(&p, NULL), 0);
	assert_int_equal(sandbox_policy_set_workdir(p, path, 0, NULL), 0);
	assert_int_equal(sandbox_policy_set(p, "network", "mode", "none", NULL, NULL), 0);
	return p;
}

int create(sandbox_runtime *r, const char *name, sandbox **ret, sandbox_error **error)
{
	sandbox_policy *p = policy_new_at("w");
	int k = sandbox_create_named(r, p, name, ret, error);
	sandbox_policy_free(p);
	return k;
}

bool exists(const char *fmt, ...)
{
	char path[512];
	struct stat st;
	va_list ap;
	int n = snprintf(path, sizeof(path), "%s/", top);

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	return lstat(path, &st) == 0;
}

void expect_list(const char *names)
{
	_cleanup_free_ char *json = NULL;
	char seen[256] = "";

	assert_int_equal(sandbox_list(&json, NULL), 0);
	for (const char *at = json; (at = strstr(at, "{\"name\":\"")); at++)
		sscanf(at + 9, "%63[^\"]", strcat(seen, *seen ? " " : "") + strlen(seen));
	assert_string_equal(seen, names);
}

pid_t pid_listed(void)
{
	_cleanup_free_ char *json = NULL;
	int pid = 0;

	assert_int_equal(sandbox_list(&json, NULL), 0);
	assert_non_null(strstr(json, "\"pid\":"));
	sscanf(strstr(json, "\"pid\":"), "\"pid\":%d", &pid);
	assert_true(pid > 1);
	return pid;
}

/* Dead, and its lock free. */
void kill_supervisor(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (kill(pid, 0) == 0) {
		char path[64], line[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		FILE *f = fopen(path, "re");
		bool zombie = f && fgets(line, sizeof(line), f) && strstr(line, ") Z ");
		if (f)
			fclose(f);
		if (zombie)
			break;
		usleep(1000);
	}
}
