/* SPDX-License-Identifier: Apache-2.0 */
/* Theory of operation: temporary.h. */
#include "overlay/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/tree.h"

/* In the layer: "ROOT PATH", of one that may be there. */
#define NOTE "placing"

int temporary_name(const struct changes *c, const struct change *change, char ret[TEMPORARY_NAME_MAX])
{
	char note[CHANGES_PATH_MAX + TEMPORARY_NAME_MAX + 24];
	const char *slash = strrchr(change->path, '/');
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(ret, TEMPORARY_NAME_MAX, STAGING_PREFIX "%s-%016" PRIx64, c->layer->id, random);
	int n = snprintf(note, sizeof(note), "%zu %.*s%s", change->root, slash ? (int)(slash + 1 - change->path) : 0,
			 change->path, ret);
	/* Over the one before, under which there is nothing any more. With its NUL, since that may have been longer: file
	 * systems write a file to the disk at once that was truncated and written. */
	_cleanup_close_ int fd = openat(c->layer->dir, NOTE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, note, (size_t)n + 1);
	return written == n + 1 ? 0 : written < 0 ? -errno : -ENOSPC;
}

void temporary_clean(const struct changes *c)
{
	char note[CHANGES_PATH_MAX + TEMPORARY_NAME_MAX + 24];
	const char *name;
	size_t root;
	int at = 0;

	_cleanup_close_ int fd = openat(c->layer->dir, NOTE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, note, sizeof(note) - 1);
	if (n < 0)
		return;
	note[n] = '\0';
	/* One that was cut off names nothing that was made. */
	if (sscanf(note, "%zu%n", &root, &at) == 1 && note[at] == ' ' && root < c->layer->n_roots) {
		_cleanup_close_ int dir = tree_open_parent(c->lower[root], note + at + 1, &name);
		if (dir >= 0 && strncmp(name, STAGING_PREFIX, sizeof(STAGING_PREFIX) - 1) == 0 && tree_remove(dir, name) < 0)
			return;
	}
	unlinkat(c->layer->dir, NOTE, 0);
}

/* Before Linux 6.1 an overlay makes no files without a name. */
static int make_file(int from, const struct change *change, int dir, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	char link[40];

	_cleanup_close_ int to = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	bool unnamed = to >= 0 || (errno != EOPNOTSUPP && errno != EISDIR);
	if (!unnamed)
		to = openat(dir, name, flags, 0600);
	int r = to < 0 ? -errno : stage_copy_file(from, to, change);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", to);
	return r < 0 || !unnamed ? r : linkat(AT_FDCWD, link, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int temporary_make(const struct staging *s, size_t i, int dir, const char *name)
{
	const struct change *change = &s->c->v[i];
	const struct change *leader = change->leader != CHANGES_NO_OTHER ? &s->c->v[change->leader] : change;
	char staged[STAGED_NAME_MAX];

	if (change->host != CHANGES_NO_OTHER)
		return stage_link_host(s->c, change, s->c->hosts[change->host], dir, name);
	if (leader != change && (leader->selected || leader->kind == CHANGE_MODE))
		return stage_link_host(s->c, change, leader->path, dir, name);
	staged_name(i, staged);
	_cleanup_close_ int place = tree_open(s->dir[change->root], staged, O_PATH);
	if (place < 0 || S_ISLNK(change->now.st_mode))
		return place < 0 ? place : stage_copy_link(place, change, dir, name);
	/* Its owner may have no right to read it. */
	bool is_dir = S_ISDIR(change->now.st_mode);
	_cleanup_close_ int from = tree_reopen(place, O_RDONLY | (is_dir ? O_DIRECTORY : 0), 0600);
	if (from < 0)
		return from;
	return is_dir ? stage_copy_dir(from, dir, name) : make_file(from, change, dir, name);
}
