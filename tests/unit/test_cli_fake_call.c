/* SPDX-License-Identifier: Apache-2.0 */
/* The fake libsandbox: calls are plain children, on a pty with a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "test_cli_fake.h"
#include "test_cli_fake_private.h"

struct sandbox_command {
	const char *const *argv;
	bool terminal;
	unsigned rows, columns;
};
struct sandbox_call {
	pid_t pid;
	int terminal, status;
	bool ended;
};

int sandbox_call_take_stdio(sandbox_call *call, int which)
{
	(void)call;
	(void)which;
	return -1;
}

int sandbox_start(sandbox *box, const sandbox_command *command, sandbox_call **ret, sandbox_error **error)
{
	return sandbox_start_async(box, command, ret, error);
}

int sandbox_command_set_stdio(sandbox_command *c, int in, int out, int err)
{
	(void)c;
	fake_show("stdio %d %d %d\n", in, out, err);
	return 0;
}

int sandbox_command_set_directory(sandbox_command *c, const char *path, sandbox_error **error)
{
	(void)c;
	(void)error;
	fake_show("directory %s\n", path);
	return 0;
}

int sandbox_command_set_env(sandbox_command *c, const char *name, const char *value, sandbox_error **error)
{
	(void)c;
	(void)error;
	fake_show("env %s=%s\n", name, value);
	return 0;
}

int sandbox_command_set_isolation(sandbox_command *c, const char *isolation, sandbox_error **error)
{
	(void)c;
	(void)error;
	fake_show("isolation %s\n", isolation);
	return 0;
}

int sandbox_command_set_timeout(sandbox_command *c, unsigned long ms)
{
	(void)c;
	fake_show("timeout %lu\n", ms);
	return 0;
}

int sandbox_command_set_background(sandbox_command *c, int background)
{
	(void)c;
	fake_show("background %d\n", background);
	return 0;
}

int sandbox_command_set_detached(sandbox_command *c, int detached)
{
	(void)c;
	fake_show("detached %d\n", detached);
	return 0;
}

int sandbox_command_set_last(sandbox_command *c, int last)
{
	(void)c;
	fake_show("last %d\n", last);
	return 0;
}

int sandbox_command_set_template(sandbox_command *c, const char *name, sandbox_error **error)
{
	(void)c;
	(void)error;
	fake_show("template %s\n", name);
	return 0;
}

int sandbox_command_set_grant(sandbox_command *c, sandbox_grant *g, sandbox_error **error)
{
	(void)c;
	(void)g;
	(void)error;
	fake_show("granted\n");
	return 0;
}

int sandbox_command_new(const char *const *argv, sandbox_command **ret, sandbox_error **error)
{
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->argv = argv;
	return 0;
}

void sandbox_command_free(sandbox_command *c) { free(c); }

int sandbox_command_set_terminal(sandbox_command *c, unsigned rows, unsigned columns)
{
	c->terminal = true;
	c->rows = rows;
	c->columns = columns;
	return 0;
}

static void run_child(const sandbox_command *c, int slave, int report)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (slave >= 0) {
		ioctl(slave, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			dup2(slave, fd);
		close_range(3, (unsigned)report - 1, 0);
	}
	execvp(c->argv[0], (char *const *)(uintptr_t)c->argv);
	int err = errno;
	if (write(report, &err, sizeof(err)) < 0)
		_exit(2);
	_exit(1);
}

/* It has started, or not, before it returns. */
int sandbox_start_async(sandbox *b, const sandbox_command *c, sandbox_call **ret, sandbox_error **error)
{
	struct winsize size = { .ws_row = (unsigned short)c->rows, .ws_col = (unsigned short)c->columns };
	int pty = -1, slave = -1, report[2], err;

	if (fake_start_stage)
		return fake_failed(error, fake_start_errno, fake_start_stage, "it failed");
	if ((c->terminal && openpty(&pty, &slave, NULL, NULL, &size) < 0) || pipe2(report, O_CLOEXEC) < 0)
		return fake_failed(error, errno, SANDBOX_STAGE_INTERNAL, "pty");
	pid_t pid = fork();
	if (pid == 0)
		run_child(c, slave, report[1]);
	close(report[1]);
	fd_close(slave);
	ssize_t n = read(report[0], &err, sizeof(err));
	close(report[0]);
	if (n > 0)
		return fake_failed(error, err, SANDBOX_STAGE_EXEC, "cannot run it");
	b->runtime->fd = (int)syscall(SYS_pidfd_open, pid, 0);
	*ret = calloc(1, sizeof(**ret));
	(*ret)->pid = pid;
	(*ret)->terminal = pty;
	return 0;
}

const char *sandbox_call_id(const sandbox_call *c)
{
	(void)c;
	return "k3f9x2m1.1";
}

int sandbox_call_state(const sandbox_call *c)
{
	siginfo_t info = { 0 };

	if (!c->ended && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == c->pid)
		return SANDBOX_CALL_ENDED;
	return c->ended ? SANDBOX_CALL_ENDED : SANDBOX_CALL_RUNNING;
}

int sandbox_call_terminal(const sandbox_call *c) { return c->terminal; }

int sandbox_call_signal(sandbox_call *c, int signal, sandbox_error **error)
{
	(void)error;
	return kill(-c->pid, signal) < 0 ? -errno : 0;
}

int sandbox_call_wait(sandbox_call *c, int timeout_ms, sandbox_error **error)
{
	(void)error;
	if (!c->ended && waitpid(c->pid, &c->status, timeout_ms == 0 ? WNOHANG : 0) == c->pid)
		c->ended = true;
	return c->ended ? 0 : -ETIMEDOUT;
}

int sandbox_call_cancel(sandbox_call *c, sandbox_error **error) { return sandbox_call_signal(c, SIGKILL, error); }

int sandbox_call_exit_status(const sandbox_call *c) { return WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 0; }
int sandbox_call_exit_signal(const sandbox_call *c) { return WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0; }

const char *sandbox_call_reason(const sandbox_call *c)
{
	return fake_reason ? fake_reason : WIFEXITED(c->status) ? "exit" : "signal";
}

void sandbox_call_free(sandbox_call *c)
{
	if (c)
		fd_close(c->terminal);
	free(c);
}
