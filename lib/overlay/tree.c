/* SPDX-License-Identifier: Apache-2.0 */
/* Opening below a directory, listing, removing. */
#include "overlay/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/util.h"

/* Each level costs a descriptor; what lies deeper is moved up before it is removed. */
#define REMOVE_DEPTH 64u
/* Trees of up to so many times that depth; in a directory that somebody fills all the while it would never end. */
#define REMOVE_ROUNDS 4096u
#define NAMES_MAX 1000000u

static int open_how(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY),
				.resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	long fd;

	if (flags & O_PATH)
		how.flags = (uint64_t)(O_PATH | O_CLOEXEC | O_NOFOLLOW | (flags & O_DIRECTORY));
	/* EAGAIN: the kernel saw a rename on the way and cannot be sure; bounded, in case somebody renames for ever. */
	for (int i = 0; i < 64; i++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

int tree_open(int dir, const char *path, int flags)
{
	return open_how(dir, *path ? path : ".", flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

int tree_open_host(const char *path)
{
	return open_how(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
}

int tree_chmod(int place, mode_t mode)
{
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	return chmod(link, mode) < 0 ? -errno : 0;
}

int tree_reopen(int place, int flags, mode_t mode)
{
	char link[40];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	int fd = open(link, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == EACCES && chmod(link, mode) == 0)
		fd = open(link, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int tree_open_parent(int dir, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return tree_open(dir, ".", O_PATH | O_DIRECTORY);
	_cleanup_free_ char *parent = strndup(path, (size_t)(slash - path));
	return parent ? tree_open(dir, parent, O_PATH | O_DIRECTORY) : -ENOMEM;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	*names = (struct names){ 0 };
}

int names_read(int dir, struct names *ret)
{
	_cleanup_names_ struct names names = { 0 };
	struct dirent *item;
	size_t cap = 0;
	int r = 0;

	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, item = readdir(d))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		if (names.n == cap) {
			cap = cap ? cap * 2 : 32;
			char **more = names.n < NAMES_MAX ? reallocarray(names.v, cap, sizeof(*more)) : NULL;
			r = more ? 0 : names.n < NAMES_MAX ? -ENOMEM : -E2BIG;
			names.v = more ? more : names.v;
		}
		if (r == 0 && !(names.v[names.n] = strdup(item->d_name)))
			r = -ENOMEM;
		if (r == 0)
			names.n++;
	}
	if (r == 0 && errno)
		r = -errno;
	closedir(d);
	if (r < 0)
		return r;
	if (names.n)
		qsort(names.v, names.n, sizeof(*names.v), by_bytes);
	*ret = names;
	names = (struct names){ 0 };
	return 0;
}

/* For removing: whatever mode its owner gave it. */
int tree_open_up(int dir, const char *name)
{
	_cleanup_close_ int place = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (place < 0 || fstat(place, &st) < 0)
		return -errno;
	if ((st.st_mode & 0700) != 0700)
		tree_chmod(place, 0700);
	return tree_reopen(place, O_RDONLY | O_DIRECTORY, 0700);
}

static int remove_in(int top, int dir, unsigned depth, unsigned *moved)
{
	_cleanup_names_ struct names names = { 0 };
	char aside[32];

	int r = names_read(dir, &names);
	for (size_t i = 0; i < names.n && r == 0; i++) {
		if (unlinkat(dir, names.v[i], 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
		/* Also made writable, without which a directory cannot be moved. */
		_cleanup_close_ int sub = tree_open_up(dir, names.v[i]);
		if (sub < 0)
			return sub;
		if (depth == REMOVE_DEPTH) {
			snprintf(aside, sizeof(aside), ".nsbox-deep-%u", (*moved)++);
			if (renameat(dir, names.v[i], top, aside) < 0 && errno != EEXIST && errno != ENOTEMPTY)
				return -errno;
			continue;
		}
		r = remove_in(top, sub, depth + 1, moved);
		/* What was moved to the top is still in the way there, and met again. */
		if (r == 0 && unlinkat(dir, names.v[i], AT_REMOVEDIR) < 0 && errno != ENOENT && errno != ENOTEMPTY)
			r = -errno;
	}
	return r;
}

int tree_remove(int parent, const char *name)
{
	_cleanup_close_ int top = tree_open_up(parent, name);
	unsigned moved = 0;

	if (top == -ENOENT)
		return 0;
	if (top == -ENOTDIR || top == -ELOOP)
		return unlinkat(parent, name, 0) < 0 ? -errno : 0;
	if (top < 0)
		return top;
	for (unsigned round = 0; round < REMOVE_ROUNDS; round++) {
		unsigned before = moved;
		int r = remove_in(top, top, 0, &moved);
		if (r < 0)
			return r;
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		/* Each round that moved something ends in one that takes it away. */
		if (errno != ENOTEMPTY || moved == before)
			return -errno;
	}
	return -EBUSY;
}
