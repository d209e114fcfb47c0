/* SPDX-License-Identifier: Apache-2.0 */
/* Every directory is opened anew from the top, so that the walk needs one descriptor, however deep the tree is. */
#include "policy/levels.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/internal.h"

int levels_add(struct levels *l, const char *path, const char *name, unsigned depth)
{
	if (l->dirs == l->dirs_max) {
		l->cut = true;
		return 0;
	}
	struct level *more = reallocarray(l->queue, l->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	l->queue = more;
	if (asprintf(&more[l->n].path, "%s%s%s", path, *path ? "/" : "", name) < 0)
		return -ENOMEM;
	more[l->n++].depth = depth;
	l->dirs++;
	return 0;
}

bool levels_is_own_failure(int err)
{
	return err == ENOMEM || err == EMFILE || err == ENFILE || err == ENOSYS || err == EPERM || err == EINTR || err == EIO;
}

int levels_look_failed(struct levels *l, int err)
{
	if (!levels_is_own_failure(err))
		return 0;
	l->failed = err;
	return -err;
}

DIR *levels_open(const struct levels *l, int top, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | l->resolve };
	int fd = (int)syscall(SYS_openat2, top, *path ? path : ".", &how, sizeof(how));
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		fd_close(fd);
	return d;
}

bool levels_is_dir(int dir, const struct dirent *item)
{
	struct stat st;

	if (item->d_type != DT_UNKNOWN)
		return item->d_type == DT_DIR;
	return fstatat(dir, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* It, or a directory on the way. */
static bool stands_closed(int top, const char *path, DIR *opened)
{
	struct stat st;

	if (opened)
		return fstat(dirfd(opened), &st) == 0 && is_closed(&st);
	return fstatat(top, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? is_closed(&st) : errno == EACCES;
}

static int read_level(struct levels *l, int top, const struct level *level, level_name told, void *arg)
{
	struct dirent *item;
	unsigned here = 0;
	bool all = true;
	int r = 0;

	DIR *d = levels_open(l, top, level->path);
	int failed = errno;
	if (*level->path && stands_closed(top, level->path, d)) {
		if (d)
			closedir(d);
		return told(arg, level, -1, NULL);
	}
	if (!d)
		return levels_look_failed(l, failed);
	while (r == 0 && (errno = 0, item = readdir(d))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		all = l->names < l->names_max && here < l->in_one_max;
		if (!all)
			break;
		l->names++;
		here++;
		r = told(arg, level, dirfd(d), item);
	}
	if (!all)
		l->cut = true;
	else if (r == 0 && errno)
		r = levels_look_failed(l, errno);
	if (r == 0)
		r = told(arg, level, dirfd(d), NULL);
	closedir(d);
	return r;
}

int levels_each(struct levels *l, const char *top, level_name told, void *arg)
{
	_cleanup_close_ int fd = open(top, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	int r = fd < 0 ? levels_look_failed(l, errno) : levels_add(l, "", "", 0);
	for (; r == 0 && l->at < l->n && l->names < l->names_max; l->at++) {
		const struct level level = l->queue[l->at];
		r = read_level(l, fd, &level, told, arg);
	}
	if (r == 0 && l->at < l->n)
		l->cut = true;
	for (size_t i = 0; i < l->n; i++)
		free(l->queue[i].path);
	free(l->queue);
	l->queue = NULL;
	l->n = l->at = 0;
	return r == LEVELS_END ? 0 : r;
}
