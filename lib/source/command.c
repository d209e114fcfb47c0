/* SPDX-License-Identifier: Apache-2.0 */
/* Running commands of secrets. */
#include "source/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#include "base/util.h"
#include "source/protocol.h"

#define LEAVE_MS 1000 /* for a command that has closed its output */

int64_t command_now(void)
{
	return (int64_t)(now_us() / 1000);
}

void command_forget(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

static pid_t start(const char *line, int in, int out)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* A group of its own, to be killed as a whole. */
	setsid();
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(126);
	execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(126);
}

static int make_pipes(int in[2], int from[2])
{
	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(from, O_CLOEXEC) == 0) {
		if (fcntl(in[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(from[0], F_SETFL, O_NONBLOCK) == 0)
			return 0;
		fd_close(from[0]);
		fd_close(from[1]);
	}
	fd_close(in[0]);
	fd_close(in[1]);
	return -EMFILE;
}

const char *command_start(struct command *c, const char *line, const char *input, size_t len)
{
	int in[2], from[2];

	*c = (struct command){ .to = -1, .from = -1, .pidfd = -1 };
	if (make_pipes(in, from) < 0)
		return "no pipe could be made";
	_cleanup_close_ int theirs_in = in[0];
	_cleanup_close_ int theirs_out = from[1];
	c->to = in[1];
	c->from = from[0];
	c->input = malloc(len + 1);
	/* One byte more tells "too long" from "just fits". */
	c->output = malloc(SOURCE_OUTPUT_MAX + 1);
	c->input_len = len;
	if (c->input && c->output) {
		memcpy(c->input, input, len);
		c->pid = start(line, theirs_in, theirs_out);
	}
	if (c->pid <= 0) {
		c->pid = 0;
		command_stop(c);
		return "no process could be made";
	}
	c->end = command_now() + SOURCE_COMMAND_S * 1000;
	return NULL;
}

void command_events(const struct command *c, struct pollfd p[2])
{
	p[0] = (struct pollfd){ .fd = c->from >= 0 ? c->from : c->pidfd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = c->to, .events = POLLOUT };
}

static void feed(struct command *c)
{
	ssize_t n = c->to < 0 ? 0 : write(c->to, c->input + c->fed, c->input_len - c->fed);

	c->fed += n > 0 ? (size_t)n : 0;
	/* One that does not read is as good. */
	if (c->fed == c->input_len || (n < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(TAKE_FD(c->to));
}

/* True when there is no more to read, or it is too much. */
static bool drain(struct command *c, const char **ret_why)
{
	for (;;) {
		ssize_t n = read(c->from, c->output + c->output_len, SOURCE_OUTPUT_MAX + 1 - c->output_len);
		if (n == 0)
			return true;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		c->output_len += n > 0 ? (size_t)n : 0;
		if (n < 0)
			*ret_why = "its output could not be read";
		else if (c->output_len > SOURCE_OUTPUT_MAX)
			*ret_why = "it printed more than 64 KiB";
		if (*ret_why)
			return true;
	}
}

/* With its output closed it has nothing more to say. */
static bool left(struct command *c, const char **ret_why)
{
	int status;

	if (waitpid(c->pid, &status, WNOHANG) == 0) {
		if (command_now() < c->end)
			return false;
		*ret_why = "it closed its output and did not end";
		return true;
	}
	c->pid = 0;
	*ret_why = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL : "it failed";
	return true;
}

bool command_step(struct command *c, const char **ret_why)
{
	*ret_why = NULL;
	feed(c);
	if (c->from >= 0) {
		if (!drain(c, ret_why)) {
			if (command_now() >= c->end)
				*ret_why = "it did not end within 30 s";
			return *ret_why;
		}
		if (*ret_why)
			return true;
		fd_close(TAKE_FD(c->from));
		c->pidfd = pidfd_open(c->pid, 0);
		c->end = command_now() + LEAVE_MS;
	}
	return left(c, ret_why);
}

void command_stop(struct command *c)
{
	if (c->pid > 0) {
		kill(-c->pid, SIGKILL);
		kill(c->pid, SIGKILL); /* it may not be a group yet */
		waitpid(c->pid, NULL, 0);
	}
	fd_close(c->to);
	fd_close(c->from);
	fd_close(c->pidfd);
	command_forget(c->input, c->input_len);
	command_forget(c->output, c->output_len);
	*c = (struct command){ .to = -1, .from = -1, .pidfd = -1 };
}
