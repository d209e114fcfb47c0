/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: $XDG_STATE_HOME/nsbox (or ~/.local/state/nsbox), 0700, with a format version. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/user.h"
#include "base/util.h"
#include "client/client.h"

#define STATE_FORMAT "1\n"

static int state_root(char **ret, struct error *e)
{
	const char *base = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
	int n;

	/* The XDG specification: a relative value is to be ignored. */
	if (base && base[0] == '/') {
		n = asprintf(ret, "%s/nsbox", base);
	} else {
		_cleanup_user_ struct user user = { 0 };
		if ((!home || home[0] != '/') && user_lookup(&user) == 0)
			home = user.home;
		if (!home || home[0] != '/')
			return fail(e, ENOENT, SANDBOX_STAGE_AUDIT, "XDG_STATE_HOME",
				    "no place for the audit log: set XDG_STATE_HOME or HOME to an absolute path");
		n = asprintf(ret, "%s/.local/state/nsbox", home);
	}
	return n < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "state", "out of memory") : 0;
}

/* mkdir -p below the root directory, 0700, one component at a time by descriptor. */
static int make_path(const char *path, struct error *e)
{
	_cleanup_close_ int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *copy = strdup(path);
	char *rest = NULL;

	if (dir < 0 || !copy)
		return fail_errno(e, copy ? errno : ENOMEM, SANDBOX_STAGE_AUDIT, path, "cannot make the state directory");
	for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
		if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
			return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, path,
					  "cannot make %s in the state directory %s (XDG_STATE_HOME chooses another)", name, path);
		int next = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, path, "cannot open %s of the state directory %s", name,
					  path);
		fd_close(dir);
		dir = next;
	}
	return TAKE_FD(dir);
}

static int check_format(int dir, const char *root, struct error *e)
{
	char text[16] = "";

	_cleanup_close_ int fd = openat(dir, "format", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) < 0 || strcmp(text, STATE_FORMAT) != 0)
			return fail(e, EPROTO, SANDBOX_STAGE_AUDIT, root,
				    "the state directory %s has another format; it belongs to another version of nsbox", root);
		return 0;
	}
	if (errno != ENOENT)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, root, "cannot read the format of the state directory %s", root);
	/* Written aside and linked into place: of two first starts at once both see a whole file. */
	char name[64];
	snprintf(name, sizeof(name), ".format.%d.%llu", (int)getpid(), (unsigned long long)now_us());
	_cleanup_close_ int fresh = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fresh >= 0 && write(fresh, STATE_FORMAT, strlen(STATE_FORMAT)) == (ssize_t)strlen(STATE_FORMAT) ? 0 : -1;
	if (r == 0)
		r = renameat(dir, name, dir, "format");
	if (r < 0) {
		int err = errno;
		unlinkat(dir, name, 0);
		return fail_errno(e, err, SANDBOX_STAGE_AUDIT, root, "cannot write in the state directory %s", root);
	}
	return 0;
}

int state_audit_dir(char **ret_path, struct error *e)
{
	_cleanup_free_ char *root = NULL;

	int r = state_root(&root, e);
	if (r < 0)
		return r;
	if (asprintf(ret_path, "%s/audit", root) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "state", "out of memory");
	return 0;
}

int state_audit_open(const char *id, char **ret_path, struct error *e)
{
	_cleanup_free_ char *root = NULL, *path = NULL;
	char name[64];

	int r = state_root(&root, e);
	if (r < 0)
		return r;
	_cleanup_close_ int dir = make_path(root, e);
	if (dir < 0)
		return dir;
	r = check_format(dir, root, e);
	if (r < 0)
		return r;
	if (mkdirat(dir, "audit", 0700) < 0 && errno != EEXIST)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, root, "cannot make %s/audit", root);
	_cleanup_close_ int audit = openat(dir, "audit", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	snprintf(name, sizeof(name), "%s.jsonl", id);
	if (audit < 0 || asprintf(&path, "%s/audit/%s", root, name) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, root, "cannot open %s/audit", root);
	int fd = openat(audit, name, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, path, "cannot make the audit log %s", path);
	*ret_path = TAKE_PTR(path);
	return fd;
}
