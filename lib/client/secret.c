/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of secrets. Each becomes one descriptor that only the gateway reads: a pipe filled here (environment, value
 * given by the caller), the file itself, or the standard output of a command. No value is kept, logged, or put into
 * an error text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "client/client.h"
#include "client/helper.h"

/* Below the capacity of a pipe, so that writing never blocks. */
#define MAX_VALUE (32u * 1024u)

static int pipe_with(const struct policy_secret *s, const void *value, size_t len, struct error *e)
{
	int pair[2];

	if (len == 0 || len > MAX_VALUE)
		return fail(e, EINVAL, SANDBOX_STAGE_SECRET, s->name, "the value of secret %s (%s) is %s", s->name, s->origin,
			    len ? "over 32 KiB" : "empty");
	if (pipe2(pair, O_CLOEXEC) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "cannot make a pipe for secret %s", s->name);
	_cleanup_close_ int in = above_stdio(pair[1]);
	_cleanup_close_ int out = above_stdio(pair[0]);
	if (in < 0 || out < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "cannot make a pipe for secret %s", s->name);
	if (write(in, value, len) != (ssize_t)len)
		return fail(e, EIO, SANDBOX_STAGE_SECRET, s->name, "cannot pass on secret %s", s->name);
	return TAKE_FD(out);
}

static int from_environment(const struct policy_secret *s, struct error *e)
{
	const char *value = getenv(s->source_arg);

	if (!value || !*value)
		return fail(e, ENOENT, SANDBOX_STAGE_SECRET, s->name,
			    "secret %s: the environment variable %s is %s; set it, or name another source "
			    "(env:VAR, file:PATH, exec:COMMAND)",
			    s->name, s->source_arg, value ? "empty" : "not set");
	return pipe_with(s, value, strlen(value), e);
}

static int from_file(const struct policy_secret *s, struct error *e)
{
	struct stat st;

	/* O_NONBLOCK: opening a FIFO must not hang; it is refused below. */
	_cleanup_close_ int fd = above_stdio(open(s->source_arg, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "secret %s: cannot open the file %s", s->name,
				  s->source_arg);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > MAX_VALUE)
		return fail(e, EINVAL, SANDBOX_STAGE_SECRET, s->name,
			    "secret %s: %s must be a regular file of 1 byte to 32 KiB", s->name, s->source_arg);
	return TAKE_FD(fd);
}

static int from_command(const struct policy_secret *s, struct error *e)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", s->source_arg, NULL };
	int pair[2], pidfd;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "cannot make a pipe for secret %s", s->name);
	_cleanup_close_ int in = above_stdio(pair[1]);
	_cleanup_close_ int out = above_stdio(pair[0]);
	if (in < 0 || out < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "cannot make a pipe for secret %s", s->name);
	/* Its messages go to our standard error, when there is one: a source that fails says why there. */
	const int fds[] = { -1, in, fcntl(2, F_GETFD) < 0 ? -1 : 2 };
	const struct helper helper = {
		.dir_fd = AT_FDCWD, .program = "/bin/sh", .argv = argv, .env = environ, .fds = fds, .n_fds = 3,
	};
	int r = helper_spawn(&helper, &pidfd);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_SECRET, s->name, "secret %s: cannot start /bin/sh", s->name);
	fd_close(pidfd);
	return TAKE_FD(out);
}

static int from_caller(const struct sandbox_policy *policy, const struct policy_secret *s, struct error *e)
{
	for (const struct secret_value *v = policy->values; v; v = v->next) {
		if (strcmp(v->name, s->name) == 0)
			return pipe_with(s, v->value.data, v->value.len, e);
	}
	return -ENOENT;
}

static int open_one(const struct sandbox_policy *policy, const struct policy_secret *s, struct error *e)
{
	int fd = from_caller(policy, s, e);

	if (fd != -ENOENT)
		return fd;
	switch (s->source) {
	case SOURCE_ENV:
		return from_environment(s, e);
	case SOURCE_FILE:
		return from_file(s, e);
	case SOURCE_EXEC:
		return from_command(s, e);
	case SOURCE_VALUE:
		break;
	}
	return fail(e, ENOENT, SANDBOX_STAGE_SECRET, s->name, "secret %s was given no value", s->name);
}

int secrets_open(const struct sandbox_policy *policy, int *fds, size_t max, size_t *ret_n, struct error *e)
{
	size_t n, done = 0;
	const struct policy_secret *secrets = policy_secrets(policy->policy, &n);

	*ret_n = 0;
	if (n > max)
		return fail(e, E2BIG, SANDBOX_STAGE_SECRET, "secrets", "at most %zu secrets in one policy", max);
	for (; done < n; done++) {
		fds[done] = open_one(policy, &secrets[done], e);
		if (fds[done] < 0)
			break;
	}
	if (done == n) {
		*ret_n = n;
		return 0;
	}
	int r = fds[done];
	while (done > 0)
		fd_close(fds[--done]);
	return r;
}
