/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine has. The decisive answers come from trying: two sandboxes are started, one without and one with
 * the gateway, and the stage of a failure names the control that is missing. The kernel's settings then say why.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/json.h"
#include "base/util.h"
#include "client/client.h"

/* One command to paste as root. The supervisor is the program that makes the user namespaces. */
#define APPARMOR_PROFILE                                                                                               \
	"printf '%%s\\n' 'abi <abi/4.0>,' 'include <tunables/global>' 'profile nsbox %s/nsbox-supervisor "                  \
	"flags=(unconfined) {' '  userns,' '}' >/etc/apparmor.d/nsbox && apparmor_parser -r /etc/apparmor.d/nsbox"

struct report {
	struct buf json;
	bool ok;
	int r;
};

enum status { OK, MISSING, DEGRADED };

static void add(struct report *report, const char *control, enum status status, const char *fix)
{
	static const char *const names[] = { [OK] = "ok", [MISSING] = "missing", [DEGRADED] = "degraded" };
	struct buf *b = &report->json;

	if (report->r == 0 && b->len > 1)
		report->r = buf_putc(b, ',');
	if (report->r == 0)
		report->r = buf_putc(b, '{');
	if (report->r == 0)
		report->r = json_member_string(b, "control", control);
	if (report->r == 0)
		report->r = json_member_string(b, "status", names[status]);
	if (report->r == 0)
		report->r = json_member_string(b, "fix", fix);
	if (report->r == 0)
		report->r = buf_putc(b, '}');
	if (status == MISSING)
		report->ok = false;
}

static long setting(const char *path, long absent)
{
	char text[32] = "";

	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return absent;
	return strtol(text, NULL, 10);
}

/* Why a user namespace may be refused, most likely first. */
static void userns_fix(const sandbox_runtime *runtime, const char *message, char *fix, size_t size)
{
	if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) > 0)
		snprintf(fix, size, APPARMOR_PROFILE, runtime->helper_dir ? runtime->helper_dir : NSBOX_HELPER_DIR);
	else if (setting("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
		snprintf(fix, size, "sysctl kernel.unprivileged_userns_clone=1");
	else if (setting("/proc/sys/user/max_user_namespaces", 1) == 0)
		snprintf(fix, size, "sysctl user.max_user_namespaces=10000");
	else
		snprintf(fix, size, "%s (inside a container: it has to allow user namespaces)", message);
}

static void check_landlock(struct report *report)
{
	char fix[160] = "";
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);

	if (abi < 1)
		snprintf(fix, sizeof(fix), "Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK=y and landlock in the lsm= list");
	else if (abi < 6)
		snprintf(fix, sizeof(fix),
			 "ABI %ld has no scopes for signals and abstract sockets (Linux 6.12 has); each call gets its own pid "
			 "namespace instead",
			 abi);
	add(report, "landlock", abi < 1 ? MISSING : abi < 6 ? DEGRADED : OK, fix);
}

static void check_seccomp(struct report *report)
{
	/* -1 with EINVAL: not built in. */
	bool there = prctl(PR_GET_SECCOMP) >= 0;
	add(report, "seccomp", there ? OK : MISSING, there ? "" : "a kernel with CONFIG_SECCOMP_FILTER=y");
}

static void check_cgroup(struct report *report)
{
	bool delegated = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	add(report, "memory and cpu limits", DEGRADED,
	    delegated ? "this version does not use cgroup v2 yet: --memory and --cpus are refused" :
			"no cgroup v2 at /sys/fs/cgroup: --memory and --cpus are refused; --pids, --open-files and --timeout work");
}

/* Start a sandbox in dir; 0 or the record of the failure. */
static int try_sandbox(sandbox_runtime *runtime, const char *dir, const char *mode, struct error *ret)
{
	static const char *const argv[] = { "true", NULL };
	sandbox_error *error = NULL;
	sandbox_policy *policy = NULL;
	sandbox_command *command = NULL;
	sandbox_call *call = NULL;
	sandbox *box = NULL;

	int r = sandbox_policy_new(&policy, &error);
	if (r == 0)
		r = sandbox_policy_set_workdir(policy, dir, 1, &error);
	if (r == 0)
		r = sandbox_policy_set(policy, "network", "mode", mode, "doctor", &error);
	if (r == 0)
		r = sandbox_create(runtime, policy, &box, &error);
	if (r == 0)
		r = sandbox_command_new(argv, &command, &error);
	if (r == 0)
		r = sandbox_command_set_stdio(command, -1, -1, -1);
	if (r == 0)
		r = sandbox_start(box, command, &call, &error);
	if (r == 0)
		r = sandbox_call_wait(call, 10000, &error);
	if (r == 0 && sandbox_call_exit_status(call) != 0)
		r = fail(ret, EIO, SANDBOX_STAGE_EXEC, "true", "'true' failed inside the sandbox");
	else if (r < 0 && error)
		*ret = error->e;
	else if (r < 0)
		fail_errno(ret, -r, SANDBOX_STAGE_INTERNAL, "doctor", "the probe failed");
	sandbox_call_free(call);
	sandbox_command_free(command);
	sandbox_free(box);
	sandbox_policy_free(policy);
	sandbox_error_free(error);
	return r;
}

/* The controls that a start goes through, in its order: those before the failing stage are there. */
static const struct {
	const char *control;
	int stage;
} stages[] = {
	{ "helper programs", SANDBOX_STAGE_HELPER },
	{ "user namespaces", SANDBOX_STAGE_USER_NAMESPACE },
	{ "other namespaces", SANDBOX_STAGE_NAMESPACE },
	{ "mounts (overlayfs, proc, tmpfs, devpts)", SANDBOX_STAGE_MOUNT },
	{ "dropping capabilities", SANDBOX_STAGE_CAPABILITIES },
	{ "starting a command", SANDBOX_STAGE_EXEC },
};

static size_t stage_index(int stage)
{
	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		if (stages[i].stage == stage)
			return i;
	}
	return ARRAY_LEN(stages) - 1;
}

static bool report_start(struct report *report, const sandbox_runtime *runtime, int r, const struct error *e)
{
	size_t failed = r < 0 ? stage_index(e->stage) : ARRAY_LEN(stages);
	char fix[1200];

	for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
		if (i < failed) {
			add(report, stages[i].control, OK, "");
			continue;
		}
		if (i > failed)
			snprintf(fix, sizeof(fix), "not examined: needs %s first", stages[failed].control);
		else if (e->stage == SANDBOX_STAGE_USER_NAMESPACE)
			userns_fix(runtime, e->message, fix, sizeof(fix));
		else if (e->stage == SANDBOX_STAGE_MOUNT && strstr(e->object, "proc"))
			snprintf(fix, sizeof(fix), "%s; docker: --security-opt systempaths=unconfined", e->message);
		else
			snprintf(fix, sizeof(fix), "%s", e->message);
		add(report, stages[i].control, MISSING, fix);
	}
	return r == 0;
}

int sandbox_doctor(sandbox_runtime *runtime, char **ret_json, int *ret_ok, sandbox_error **error)
{
	/* Of its own: what is found in /tmp, and comes and goes there, says nothing about this machine. */
	char dir[] = "/tmp/nsbox-doctor-XXXXXX";
	struct report report = { .ok = true };
	struct error e = { 0 };

	if (!mkdtemp(dir)) {
		fail_errno(&e, errno, SANDBOX_STAGE_INTERNAL, "/tmp", "cannot make a directory in /tmp");
		return error_publish(&e, error);
	}

	report.r = buf_putc(&report.json, '[');
	check_seccomp(&report);
	check_landlock(&report);
	int r = try_sandbox(runtime, dir, "none", &e);
	bool started = report_start(&report, runtime, r, &e);
	if (!started)
		add(&report, "network and gateway", MISSING, "not examined: needs the above first");
	else if (try_sandbox(runtime, dir, "gateway", &e) < 0)
		add(&report, "network and gateway", MISSING, e.message);
	else
		add(&report, "network and gateway", OK, "");
	rmdir(dir);
	check_cgroup(&report);
	if (report.r == 0)
		report.r = buf_putc(&report.json, ']');
	if (report.r < 0 || !buf_str(&report.json)) {
		buf_free(&report.json);
		fail(&e, ENOMEM, SANDBOX_STAGE_INTERNAL, "doctor", "out of memory");
		return error_publish(&e, error);
	}
	*ret_json = (char *)report.json.data;
	*ret_ok = report.ok;
	return 0;
}
