/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reaching the auditor of a policy: connect to a socket, or start its program.
 *
 * A program that we start reads what sandboxes chose to show it, so it is confined: it can read and execute what the
 * user can, use the network (a model may be far away), and write nothing but /dev/null and the like; it can
 * signal and trace nobody outside, and gain no privileges.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <signal.h>

#include "audit/auditor_spec.h"
#include "base/util.h"
#include "confine/landlock.h"
#include "supervisor/auditor_process.h"
#include "supervisor/process.h"

#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP 4u /* Linux 6.9 */
#endif

struct confined {
	int ruleset;
	struct auditor_command command;
};

static void become_auditor(const void *arg)
{
	const struct confined *c = arg;

	/* A session of its own: its group can be killed as one. */
	if (setsid() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enter(c->ruleset) < 0 ||
	    fcntl(PROCESS_SOCKET, F_SETFD, 0) < 0)
		return;
	execve(c->command.argv[0], (char *const *)c->command.argv, (char *const *)c->command.env);
}

static int allow(int ruleset, int abi, const char *path, bool is_dir, unsigned grants)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC | (is_dir ? O_DIRECTORY : 0));

	return fd < 0 ? -errno : landlock_allow(ruleset, abi, fd, is_dir, grants);
}

/* Its descriptor, or a negative errno. */
static int new_ruleset(void)
{
	/* No directory: /dev has places for files, and terminals of others. */
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom" };
	int abi = landlock_abi();
	_cleanup_close_ int ruleset = abi < 1 ? -EOPNOTSUPP : landlock_new(abi);

	int r = ruleset < 0 ? ruleset : allow(ruleset, abi, "/", true, LANDLOCK_GRANT_READ);
	for (size_t i = 0; i < ARRAY_LEN(devices) && r == 0; i++) {
		r = allow(ruleset, abi, devices[i], false, LANDLOCK_GRANT_DEVICE);
		r = r == -ENOENT ? 0 : r;
	}
	if (r < 0)
		return r;
	int high = fcntl(ruleset, F_DUPFD_CLOEXEC, PROCESS_KEPT);
	return high < 0 ? -errno : high;
}

static int start_program(const struct auditor_spec *spec, const char *home, int *ret_sock, int *ret_pidfd, struct error *e)
{
	char variable[4096 + 8];
	struct confined c = { .ruleset = new_ruleset() };
	const struct process p = { .become = become_auditor, .arg = &c };

	_cleanup_close_ int ruleset = c.ruleset;
	if (ruleset < 0)
		return fail_errno(e, -ruleset, SANDBOX_STAGE_AUDITOR, spec->value, "cannot confine the auditor '%s'", spec->value);
	auditor_spec_command(spec, &c.command);
	size_t n = 0;
	while (c.command.env[n])
		n++;
	if (home && snprintf(variable, sizeof(variable), "HOME=%s", home) < (int)sizeof(variable) && n < AUDITOR_COMMAND_ENV)
		c.command.env[n] = variable;
	int r = process_start(&p, ret_sock, ret_pidfd);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_AUDITOR, spec->value, "cannot start the auditor '%s'", spec->value) : 0;
}

int auditor_reach(const char *text, const char *home, int *ret_sock, int *ret_pidfd, struct error *e)
{
	struct auditor_spec spec;

	int r = auditor_spec_parse(text, &spec, e);
	if (r < 0)
		return r;
	return spec.kind == AUDITOR_UNIX ? auditor_connect(spec.value, ret_sock, e) :
					   start_program(&spec, home, ret_sock, ret_pidfd, e);
}

void auditor_kill(int pidfd)
{
	if (pidfd >= 0 && pidfd_send_signal(pidfd, SIGKILL, NULL, PIDFD_SIGNAL_PROCESS_GROUP) < 0)
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	fd_close(pidfd);
}
