/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of secrets. Each becomes one descriptor that only the gateway reads: a pipe filled here (environment, value
 * given by the caller), the file itself, or a socket to a helper that runs a command. No value is kept, logged, or
 * put into an error text.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/util.h"
#include "client/client.h"
#include "client/helper.h"
#include "client/source_place.h"
#include "policy/rule.h"

/* Below the capacity of a pipe as it usually is, and of a socket. */
#define MAX_VALUE (32u * 1024u)

/* The end from which it is read; -EAGAIN: it does not fit in, and is not waited for. */
static int channel_with(bool socket, const void *value, size_t len)
{
	int pair[2];

	if ((socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) :
		      pipe2(pair, O_CLOEXEC | O_NONBLOCK)) < 0)
		return -errno;
	_cleanup_close_ int in = above_stdio(pair[1]);
	_cleanup_close_ int out = above_stdio(pair[0]);
	if (in < 0 || out < 0)
		return -EMFILE;
	ssize_t n = write(in, value, len);
	return n == (ssize_t)len ? TAKE_FD(out) : n < 0 ? -errno : -EAGAIN;
}

static int pipe_with(const struct policy_secret *s, const void *value, size_t len, struct error *e)
{
	if (len == 0 || len > MAX_VALUE)
		return fail(e, EINVAL, SANDBOX_STAGE_SECRET, s->name, "the value of secret %s (%s) is %s", s->name, s->origin,
			    len ? "over 32 KiB" : "empty");
	int fd = channel_with(false, value, len);
	/* The pipes of a user who has very many are small. */
	if (fd == -EAGAIN)
		fd = channel_with(true, value, len);
	return fd < 0 ? fail_errno(e, -fd, SANDBOX_STAGE_SECRET, s->name, "cannot pass on secret %s", s->name) : fd;
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

/* What the command gets to know: whom it is for, and where its value may go. */
static int describe(const struct sandbox *b, const struct policy_secret *s, struct buf *out)
{
	_cleanup_buf_ struct buf targets = { 0 };
	int r = buf_puts(out, "{");

	if (r == 0)
		r = buf_puts(&targets, "[");
	for (size_t i = 0; i < s->n_allow && r == 0; i++) {
		_cleanup_buf_ struct buf text = { 0 };
		r = rule_text(s->allow[i], &text);
		if (r == 0 && i)
			r = buf_puts(&targets, ",");
		if (r == 0)
			r = json_text(&targets, (const char *)text.data, text.len);
	}
	if (r == 0)
		r = buf_puts(&targets, "]");
	if (r == 0)
		r = json_member_string(out, "sandbox", b->id);
	if (r == 0)
		r = json_member_string(out, "secret", s->name);
	if (r == 0)
		r = buf_str(&targets) ? json_member_raw(out, "allow", buf_str(&targets)) : -ENOMEM;
	if (r == 0)
		r = buf_puts(out, "}\n");
	return r == 0 && !buf_str(out) ? -ENOMEM : r;
}

static int start_source(const struct sandbox *b, const struct policy *policy, const struct policy *present,
			const struct policy_secret *s, int theirs, struct error *e)
{
	const char *path = b->runtime->helper_dir ? b->runtime->helper_dir : NSBOX_HELPER_DIR;
	_cleanup_buf_ struct buf grant = { 0 };
	_cleanup_source_place_ struct source_place place = { 0 };
	int pidfd;

	_cleanup_close_ int dir = above_stdio(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (dir < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_HELPER, path, "cannot open the directory of the helper programs, %s",
				  path);
	int r = source_place(policy, present, &place);
	if (r == 0)
		r = describe(b, s, &grant);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_SECRET, s->name, "cannot ask for secret %s", s->name);
	char *const argv[] = { (char *)"nsbox-source", s->source_arg, s->revoke ? s->revoke : (char *)"",
			       (char *)grant.data, NULL };
	/* Its messages go to our standard error, when there is one: a source that fails says why there. */
	const int fds[] = { -1, -1, fcntl(2, F_GETFD) < 0 ? -1 : 2, theirs };
	const struct helper helper = {
		.dir_fd = dir, .program = "nsbox-source", .argv = argv, .env = place.env, .fds = fds,
		.n_fds = ARRAY_LEN(fds), .at_root = place.at_root,
	};
	r = helper_spawn(&helper, &pidfd);
	if (r < 0)
		return fail_errno(e, -r, SANDBOX_STAGE_HELPER, "nsbox-source", "cannot start the helper nsbox-source in %s",
				  path);
	fd_close(pidfd);
	return 0;
}

static int from_command(const struct sandbox *b, const struct policy *policy, const struct policy *present,
			const struct policy_secret *s, struct error *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "cannot make a socket for secret %s", s->name);
	_cleanup_close_ int theirs = above_stdio(pair[1]);
	_cleanup_close_ int ours = above_stdio(pair[0]);
	if (theirs < 0 || ours < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_SECRET, s->name, "cannot make a socket for secret %s", s->name);
	int r = start_source(b, policy, present, s, theirs, e);
	return r < 0 ? r : TAKE_FD(ours);
}

static int from_caller(const struct sandbox_policy *policy, const struct policy_secret *s, struct error *e)
{
	for (const struct secret_value *v = policy->values; v; v = v->next) {
		if (strcmp(v->name, s->name) == 0)
			return pipe_with(s, v->value.data, v->value.len, e);
	}
	return -ENOENT;
}

int secret_open(const struct sandbox *b, const struct sandbox_policy *policy, const struct policy *present,
		const struct policy_secret *s, struct error *e)
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
		return from_command(b, policy->policy, present, s, e);
	case SOURCE_VALUE:
		break;
	}
	return fail(e, ENOENT, SANDBOX_STAGE_SECRET, s->name, "secret %s was given no value", s->name);
}

int secrets_open(const struct sandbox *b, const struct sandbox_policy *policy, int *fds, size_t max, size_t *ret_n,
		 struct error *e)
{
	size_t n, done = 0;
	const struct policy_secret *secrets = policy_secrets(policy->policy, &n);

	*ret_n = 0;
	if (n > max)
		return fail(e, E2BIG, SANDBOX_STAGE_SECRET, "secrets", "at most %zu secrets in one policy", max);
	for (; done < n; done++) {
		fds[done] = secret_open(b, policy, b->policy, &secrets[done], e);
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

static int open_login(const struct sandbox *b, const struct policy *policy, const struct policy_upstream_proxy *proxy,
		      struct error *e)
{
	const struct policy_secret login = { .name = (char *)"upstream_proxy", .source_arg = proxy->source_arg,
					     .origin = proxy->origin };
	if (proxy->source == SOURCE_EXEC)
		return from_command(b, policy, policy, &login, e);
	return proxy->source == SOURCE_ENV ? from_environment(&login, e) : from_file(&login, e);
}

int upstream_secrets_open(const struct sandbox *b, const struct policy *policy, int *fds, size_t max, size_t *ret_n,
			  struct error *e)
{
	size_t n, done = 0;
	const struct policy_client_cert *certs = policy_client_certs(policy, &n);
	/* And one for the proxy. */
	int r = n + 1 > max ? fail(e, E2BIG, SANDBOX_STAGE_SECRET, "client_cert", "too many secrets and client certificates") : 0;

	for (; done < n && r == 0; done += r == 0) {
		const struct policy_secret key = { .name = (char *)"client_cert", .source_arg = certs[done].key };
		fds[done] = from_file(&key, e);
		r = fds[done] < 0 ? fds[done] : 0;
	}
	const struct policy_upstream_proxy *proxy = policy_upstream_proxy(policy);
	if (r == 0 && proxy && proxy->source_arg) {
		fds[done] = open_login(b, policy, proxy, e);
		r = fds[done] < 0 ? fds[done] : 0;
		done += r == 0;
	}
	if (r < 0) {
		while (done > 0)
			fd_close(fds[--done]);
	}
	*ret_n = done;
	return r;
}
