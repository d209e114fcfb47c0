/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A path, opened part by part. What openat2 does with RESOLVE_NO_SYMLINKS in one call; but a process of a call has no
 * openat2 (confine/seccomp_table.c), and taking that away later, when the process is done with it, would cost more
 * than all the rest of starting a command: the kernel translates each filter when it is loaded.
 */
#include "namespace/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

int lookup_without_links(const char *path)
{
	char name[NAME_MAX + 1];
	struct stat st;

	if (path[0] != '/')
		return -EINVAL;
	_cleanup_close_ int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (; at >= 0 && *(path += strspn(path, "/")); path += strcspn(path, "/")) {
		size_t n = strcspn(path, "/");
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		if (strcmp(name, "..") == 0)
			return -EINVAL;
		int next = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		fd_close(at);
		at = next;
	}
	/* A link opens as itself, and nothing is found in one (ENOTDIR): only the last part needs a look. */
	if (at < 0 || fstat(at, &st) < 0)
		return -errno;
	return S_ISLNK(st.st_mode) ? -ELOOP : TAKE_FD(at);
}
