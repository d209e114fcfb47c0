/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors 0, 1 and 2 of a call: borrowed ones, /dev/null, pipes, or the output file of the sandbox. */
#include <errno.h>
#include <fcntl.h>

#include "base/util.h"
#include "client/client.h"

static int own(struct call_stdio *s, int fd)
{
	s->owned[s->n_owned++] = fd;
	return fd;
}

/* One for all three: opening it is a tenth of what a start costs here. */
static int open_null(struct call_stdio *s, struct error *e)
{
	if (s->has_null)
		return s->owned[s->null];
	int fd = above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));

	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, "/dev/null", "cannot open /dev/null");
	s->has_null = true;
	s->null = s->n_owned;
	return own(s, fd);
}

/* The call's end of a new pipe; ours goes into the handle. */
static int open_pipe(struct call_stdio *s, int which, struct sandbox_call *call, struct error *e)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, "stdio", "cannot make a pipe for the command");
	_cleanup_close_ int out = above_stdio(pair[0]);
	_cleanup_close_ int in = above_stdio(pair[1]);
	if (out < 0 || in < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, "stdio", "cannot make a pipe for the command");
	call->pipes[which] = which == 0 ? TAKE_FD(in) : TAKE_FD(out);
	return own(s, which == 0 ? TAKE_FD(out) : TAKE_FD(in));
}

static int open_one(const struct sandbox_command *command, int which, struct sandbox_call *call, struct call_stdio *s,
		    struct error *e)
{
	int fd = command->stdio[which];

	if (fd == SANDBOX_STDIO_PIPE)
		return open_pipe(s, which, call, e);
	if (fd == SANDBOX_STDIO_NULL)
		return open_null(s, e);
	if (fcntl(fd, F_GETFD) >= 0)
		return fd;
	/* The default, in a host that has closed it. */
	if (fd == which)
		return open_null(s, e);
	return fail(e, EBADF, SANDBOX_STAGE_USAGE, "stdio", "descriptor %d for the command is not open", fd);
}

static int check(const struct sandbox_command *command, bool named, struct error *e)
{
	const int *stdio = command->stdio;
	bool log = !command->terminal && (stdio[1] == SANDBOX_STDIO_LOG || stdio[2] == SANDBOX_STDIO_LOG);
	bool pipe = stdio[0] == SANDBOX_STDIO_PIPE || stdio[1] == SANDBOX_STDIO_PIPE || stdio[2] == SANDBOX_STDIO_PIPE;

	if (command->detached && !named)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, "detached",
			    "a call can outlive its runtime only in a named sandbox: make it with sandbox_create_named()");
	if (command->last && !named)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, "last",
			    "only a named sandbox ends with a call: make it with sandbox_create_named()");
	if (log && !named)
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, "stdio",
			    "SANDBOX_STDIO_LOG keeps output with a named sandbox: make it with sandbox_create_named()");
	if (log && stdio[1] != stdio[2])
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, "stdio",
			    "give SANDBOX_STDIO_LOG for standard output and standard error, or for neither");
	/* Our ends close when the caller goes, and the call would be hung up on. */
	if (command->detached && (command->terminal || pipe))
		return fail(e, EINVAL, SANDBOX_STAGE_USAGE, "detached",
			    "a detached call has no terminal and no pipe of the library's: they end with the caller; use "
			    "descriptors of your own, SANDBOX_STDIO_LOG or SANDBOX_STDIO_NULL");
	return 0;
}

int call_stdio_open(const struct sandbox_command *command, bool named, struct sandbox_call *call, struct call_stdio *ret,
		    struct error *e)
{
	*ret = (struct call_stdio){ 0 };
	int r = check(command, named, e);
	if (r < 0 || command->terminal)
		return r;
	size_t n = command->stdio[1] == SANDBOX_STDIO_LOG ? 1 : 3;
	for (; ret->n < n; ret->n++) {
		int fd = open_one(command, (int)ret->n, call, ret, e);
		if (fd < 0) {
			call_stdio_close(ret);
			return fd;
		}
		ret->fds[ret->n] = fd;
	}
	return 0;
}

void call_stdio_close(struct call_stdio *s)
{
	while (s->n_owned)
		fd_close(s->owned[--s->n_owned]);
}
