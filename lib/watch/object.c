/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at what is at a name, without following a link. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "watch/internal.h"

int object_look(int dir, const char *name, struct object *ret)
{
	static const enum object_kind kinds[] = { [S_IFREG >> 12] = OBJECT_FILE, [S_IFDIR >> 12] = OBJECT_DIRECTORY,
						  [S_IFLNK >> 12] = OBJECT_LINK, [15] = OBJECT_OTHER };
	struct statx st;

	*ret = (struct object){ 0 };
	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	enum object_kind kind = kinds[(st.stx_mode & S_IFMT) >> 12];
	*ret = (struct object){
		.kind = kind ? kind : OBJECT_OTHER,
		.mode = st.stx_mode & 07777,
		.dev_major = st.stx_dev_major,
		.dev_minor = st.stx_dev_minor,
		.nlink = st.stx_nlink,
		.ino = st.stx_ino,
		.size = st.stx_size,
		.birth = st.stx_mask & STATX_BTIME ? st.stx_btime : (struct statx_timestamp){ 0 },
		.change = st.stx_ctime,
	};
	return 0;
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool object_same(const struct object *a, const struct object *b)
{
	if (a->kind != b->kind || a->dev_major != b->dev_major || a->dev_minor != b->dev_minor || a->ino != b->ino ||
	    !same_time(&a->birth, &b->birth))
		return false;
	/* The target of a link never changes, and without a time of birth its other one tells it from a later link. */
	return a->kind != OBJECT_LINK || a->birth.tv_sec || same_time(&a->change, &b->change);
}

bool object_untouched(const struct object *a, const struct object *b)
{
	struct timespec now;

	/* Two changes within one tick of the kernel's clock look like one. */
	clock_gettime(CLOCK_REALTIME, &now);
	return object_same(a, b) && a->size == b->size && same_time(&a->change, &b->change) && now.tv_sec - b->change.tv_sec > 1;
}

int object_read(int dir, const char *name, size_t max, struct buf *out)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EISDIR;
	/* One byte more shows that it has grown meanwhile. */
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	size_t want = (size_t)st.st_size + 1;
	if (buf_reserve(out, want) < 0)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, out->data + out->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->len += (size_t)n;
		want -= (size_t)n;
		if (!want)
			return -EAGAIN;
	}
}
