/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory, with a format version, and the directory of the sockets. */
#include "client/state.h"

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

static int state_path(char **ret, struct error *e)
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
				    "no place for audit logs and named sandboxes: set XDG_STATE_HOME or HOME to an absolute path");
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
					  "cannot make %s for the directory %s (XDG_STATE_HOME and XDG_RUNTIME_DIR choose others)", name, path);
		int next = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return fail_errno(e, errno, SANDBOX_STAGE_AUDIT, path, "cannot open %s of the directory %s", name,
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

int state_socket_path(char **ret, struct error *e)
{
	const char *base = secure_getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *root = NULL;

	if (base && base[0] == '/')
		return asprintf(ret, "%s/nsbox", base) < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "state", "out of memory") : 0;
	int r = state_path(&root, e);
	if (r < 0)
		return r;
	return asprintf(ret, "%s/run", root) < 0 ? fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "state", "out of memory") : 0;
}

/* Somebody who can write there decides what we connect to; somebody who can read there sees what calls wrote. */
static int check_private(int dir, const char *path, struct error *e)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, path, "cannot examine %s", path);
	if (st.st_uid != geteuid())
		return fail(e, EPERM, SANDBOX_STAGE_USAGE, path,
			    "%s belongs to uid %u, not to you: remove it, or choose another place with XDG_STATE_HOME and "
			    "XDG_RUNTIME_DIR",
			    path, (unsigned)st.st_uid);
	if (st.st_mode & 077)
		return fail(e, EPERM, SANDBOX_STAGE_USAGE, path, "%s is open to others (mode %04o): chmod 700 %s", path,
			    (unsigned)st.st_mode & 07777u, path);
	return 0;
}

static int open_private(int dir, const char *name, const char *path, struct error *e)
{
	_cleanup_close_ int fd = above_stdio(openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));

	if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return fail(e, ENOTDIR, SANDBOX_STAGE_USAGE, path, "%s must be a directory, and no link to one", path);
	if (fd < 0)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, path, "cannot open %s", path);
	int r = check_private(fd, path, e);
	return r < 0 ? r : TAKE_FD(fd);
}

int state_open(bool make, struct error *e)
{
	_cleanup_free_ char *root = NULL;

	int r = state_path(&root, e);
	if (r < 0)
		return r;
	_cleanup_close_ int made = make ? make_path(root, e) : -EBADF;
	if (make && made < 0)
		return made;
	_cleanup_close_ int dir = open_private(AT_FDCWD, root, root, e);
	if (dir < 0)
		return dir;
	r = check_format(dir, root, e);
	return r < 0 ? r : TAKE_FD(dir);
}

int state_open_in(int dir, const char *name, bool make, struct error *e)
{
	if (make && mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return fail_errno(e, errno, SANDBOX_STAGE_USAGE, name, "cannot make %s in the state directory", name);
	return open_private(dir, name, name, e);
}

int state_socket_open(const char *path, bool make, struct error *e)
{
	_cleanup_close_ int made = make ? make_path(path, e) : -EBADF;

	if (make && made < 0)
		return made;
	return open_private(AT_FDCWD, path, path, e);
}

static int hide_one(struct policy *p, const char *path, bool make, struct error *e)
{
	struct path_verdict verdict;

	if (make && access(path, F_OK) < 0) {
		/* Hidden is what is there: what is made later would be seen. */
		int r = policy_check_path(p, path, false, &verdict, e);
		if (r < 0)
			return r;
		if (path_verdict_shows(&verdict))
			fd_close(make_path(path, NULL));
	}
	return policy_hide(p, path, "nsbox keeps its own state there", e);
}

int state_hide(struct policy *p, bool make, struct error *e)
{
	_cleanup_free_ char *root = NULL, *sockets = NULL;
	struct error ignored;

	/* Without a place there is nothing in it; what needs the place says so. */
	if (state_path(&root, &ignored) < 0)
		return 0;
	int r = hide_one(p, root, make, e);
	if (r == 0)
		r = state_socket_path(&sockets, e);
	return r < 0 ? r : hide_one(p, sockets, make, e);
}

int state_audit_dir(char **ret, struct error *e)
{
	_cleanup_free_ char *root = NULL;

	int r = state_path(&root, e);
	if (r < 0)
		return r;
	if (asprintf(ret, "%s/audit", root) < 0)
		return fail(e, ENOMEM, SANDBOX_STAGE_INTERNAL, "state", "out of memory");
	return 0;
}

int state_audit_open(const char *id, char **ret_path, struct error *e)
{
	_cleanup_free_ char *root = NULL, *path = NULL;
	char name[64];

	int r = state_path(&root, e);
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
