/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trust in the policy file of a project. What was trusted is kept whole in the state directory, under the digest of the
 * directory's path, so a change can be shown. Sandboxes see neither the copy nor can they write the file itself; when it
 * has changed all the same (a pull), nobody runs under it unseen, and nobody without it by accident.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/chain.h"
#include "base/util.h"
#include "client/client.h"
#include "client/state.h"
#include "policy/profile.h"

static int trusted_name(const char *directory, char ret[AUDIT_HASH_TEXT + 1], struct error *e)
{
	_cleanup_free_ char *path = realpath(directory, NULL);

	if (!path)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, directory, "cannot resolve %s", directory);
	chain_hash(path, strlen(path), ret);
	return 0;
}

/* make: the directory of what is trusted. -ENOENT without make when there is none. */
static int open_trust(bool make, struct error *e)
{
	_cleanup_close_ int state = state_open(make, e);

	return state < 0 ? state : state_open_in(state, "trust", make, e);
}

/* -ENOENT: nothing was trusted there. */
static int read_trusted(const char *directory, struct buf *ret, struct error *e)
{
	char name[AUDIT_HASH_TEXT + 1];

	int r = trusted_name(directory, name, e);
	if (r < 0)
		return r;
	_cleanup_close_ int dir = open_trust(false, e);
	if (dir < 0)
		return dir;
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_POLICY, name, "cannot open what was trusted");
	for (;;) {
		if (buf_reserve(ret, 65536) < 0)
			return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "project", "out of memory");
		ssize_t n = read(fd, ret->data + ret->len, 65536);
		if (n < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_POLICY, name, "cannot read what was trusted");
		if (n == 0)
			return 0;
		ret->len += (size_t)n;
	}
}

/* Both texts as strings; trusted stays NULL where nothing was. */
static int look(const char *directory, int *ret_state, struct buf *text, struct buf *trusted, struct error *e)
{
	*ret_state = SANDBOX_PROJECT_NONE;
	int r = project_read(directory, text, e);
	/* An empty one says as much as none; where one was trusted, either is a change. */
	bool none = r == -ENOENT || (r == 0 && text->len == 0);
	if (none && (r = buf_str(text) ? 0 : -ENOMEM) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "project", "out of memory");
	if (r == 0 && (!buf_str(text) || strlen(buf_str(text)) != text->len))
		r = fail(e, EINVAL, SANDBOX_STAGE_POLICY, directory, "%s/" PROJECT_FILE " has a NUL byte", directory);
	if (r < 0)
		return r;
	r = read_trusted(directory, trusted, e);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && !buf_str(trusted))
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "project", "out of memory");
	*ret_state = r < 0 ? (none ? SANDBOX_PROJECT_NONE : SANDBOX_PROJECT_UNKNOWN) :
		     text->len == trusted->len && strcmp(buf_str(text), buf_str(trusted)) == 0 ? SANDBOX_PROJECT_TRUSTED :
											       SANDBOX_PROJECT_CHANGED;
	return 0;
}

int sandbox_project_state(const char *directory, int *ret_state, char **ret_text, char **ret_trusted, sandbox_error **error)
{
	_cleanup_buf_ struct buf text = { 0 }, trusted = { 0 };
	struct error e = { 0 };

	int r = look(directory, ret_state, &text, &trusted, &e);
	if (r < 0)
		return error_publish(&e, error);
	bool kept = *ret_state == SANDBOX_PROJECT_TRUSTED || *ret_state == SANDBOX_PROJECT_CHANGED;
	*ret_text = *ret_state == SANDBOX_PROJECT_NONE ? NULL : (char *)text.data;
	*ret_trusted = kept ? (char *)trusted.data : NULL;
	if (*ret_text)
		text = (struct buf){ 0 };
	if (*ret_trusted)
		trusted = (struct buf){ 0 };
	return 0;
}

/* Written aside and moved into place: whoever reads meanwhile sees the old text or the new one. */
static int keep(int dir, const char *name, const char *text, struct error *e)
{
	char aside[64];
	size_t len = strlen(text), done = 0;

	snprintf(aside, sizeof(aside), ".new.%d.%llu", (int)getpid(), (unsigned long long)now_us());
	_cleanup_close_ int fd = openat(dir, aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : 0;
	while (r == 0 && done < len) {
		ssize_t n = write(fd, text + done, len - done);
		r = n < 0 ? -errno : 0;
		done += n > 0 ? (size_t)n : 0;
	}
	if (r == 0 && renameat(dir, aside, dir, name) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		unlinkat(dir, aside, 0);
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_POLICY, name, "cannot keep what is trusted") : 0;
}

static int forget(int dir, const char *name, struct error *e)
{
	int r = unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;

	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_POLICY, name, "cannot forget what was trusted") : 0;
}

int sandbox_project_trust(const char *directory, const char *text, sandbox_error **error)
{
	char name[AUDIT_HASH_TEXT + 1];
	struct error e = { 0 };

	int r = trusted_name(directory, name, &e);
	if (r == 0) {
		_cleanup_close_ int dir = open_trust(true, &e);
		r = dir < 0 ? dir : *text ? keep(dir, name, text, &e) : forget(dir, name, &e);
	}
	return r < 0 ? error_publish(&e, error) : 0;
}

int sandbox_policy_load_project(sandbox_policy *policy, int *ret_state, sandbox_error **error)
{
	_cleanup_buf_ struct buf text = { 0 }, trusted = { 0 };
	const char *workdir = policy_workdir(policy->policy);
	struct error e = { 0 };

	int r = look(workdir ? workdir : ".", ret_state, &text, &trusted, &e);
	if (r == 0 && *ret_state == SANDBOX_PROJECT_CHANGED)
		r = fail(&e, ESTALE, SANDBOX_STAGE_POLICY, PROJECT_FILE,
			 PROJECT_FILE " is not what was trusted (nsbox profile trust shows the change; --profile none runs "
				      "without it)");
	if (r == 0 && *ret_state == SANDBOX_PROJECT_TRUSTED)
		r = policy_load_project(policy->policy, &text, &e);
	return r < 0 ? error_publish(&e, error) : 0;
}
