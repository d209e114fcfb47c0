/* SPDX-License-Identifier: Apache-2.0 */
/* Where it goes: protected/ID in the state directory, which no sandbox sees. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/content.h"
#include "overlay/tree.h"
#include "watch/internal.h"

#define COPY_MAX (64u << 20) /* bytes of a file that has to be copied */

static int make_in(int dir, const char *name)
{
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int path_of(int dir, const char *name, char **ret)
{
	char link[40], target[PATH_MAX];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	free(*ret);
	return asprintf(ret, "%.*s/%s", (int)n, target, name) < 0 ? (*ret = NULL, -ENOMEM) : 0;
}

int keep_begin(struct keep *k, const char *name, char ret_name[64], char **ret_path)
{
	snprintf(ret_name, 64, "%u-%.40s", ++k->n, name);
	if (k->dir < 0) {
		_cleanup_close_ int all = make_in(k->state, "protected");
		k->dir = all < 0 ? all : make_in(all, k->id);
	}
	return k->dir < 0 ? k->dir : path_of(k->dir, ret_name, ret_path);
}

static int new_file(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int write_new(int dir, const char *name, mode_t mode, const void *data, size_t len)
{
	_cleanup_close_ int fd = new_file(dir, name);

	if (fd < 0)
		return fd;
	for (size_t at = 0; at < len;) {
		ssize_t n = write(fd, (const char *)data + at, len - at);
		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

static int copy_file(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat st;

	_cleanup_close_ int in = tree_open(from_dir, from, O_RDONLY);
	if (in < 0 || fstat(in, &st) < 0)
		return in < 0 ? in : -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)COPY_MAX)
		return -EFBIG;
	_cleanup_close_ int out = new_file(to_dir, to);
	if (out < 0)
		return out;
	int r = content_copy(in, out, st.st_size);
	if (r < 0)
		unlinkat(to_dir, to, 0); /* a part of it at most */
	return r;
}

static int copy_link(int from_dir, const char *from, int to_dir, const char *to)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to_dir, to) < 0 ? -errno : 0;
}

/*
 * The state directory is on another file system, or takes nothing. At once it gets a name beside its own that means
 * nothing to anybody; a file or a link is then copied from there, a directory stays.
 */
static int move_aside(struct keep *k, int dir, const char *dir_path, const char *name, const char *to, char **ret_path)
{
	char aside[128];
	struct object now;

	snprintf(aside, sizeof(aside), ".nsbox-protected-%.32s-%.64s", k->id, to);
	if (renameat2(dir, name, dir, aside, RENAME_NOREPLACE) < 0)
		return -errno;
	int r = object_look(dir, aside, &now);
	if (r == 0)
		r = now.kind == OBJECT_FILE ? copy_file(dir, aside, k->dir, to) :
		    now.kind == OBJECT_LINK ? copy_link(dir, aside, k->dir, to) :
					      -EISDIR;
	if (r == 0 && unlinkat(dir, aside, 0) == 0)
		return 0;
	/* Only what was made here: what was there before is something else that was kept. */
	if (r == 0)
		unlinkat(k->dir, to, 0);
	free(*ret_path);
	return asprintf(ret_path, "%s/%s", dir_path, aside) < 0 ? (*ret_path = NULL, 0) : 0;
}

/* Where somebody took the right to write: of the directory, and of a directory in it, whose '..' changes. */
static void open_up(int dir, const char *name)
{
	_cleanup_close_ int place = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	tree_chmod(dir, 0700);
	if (place >= 0)
		tree_chmod(place, 0700);
}

int keep_move(struct keep *k, int dir, const char *dir_path, const char *name, const char *to, char **ret_path)
{
	int r = renameat2(dir, name, k->dir, to, RENAME_NOREPLACE) < 0 ? -errno : 0;

	if (r == -EACCES) {
		open_up(dir, name);
		r = renameat2(dir, name, k->dir, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
	}
	if (r < 0 && r != -ENOENT)
		r = move_aside(k, dir, dir_path, name, to, ret_path);
	/* Somebody took it away meanwhile: then it is not there either. */
	return r == -ENOENT ? 0 : r;
}
