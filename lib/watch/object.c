/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at what is at a name, without following a link. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/vfs.h>
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

void object_distrust(struct object *o)
{
	if (o->kind == OBJECT_FILE)
		o->change = (struct statx_timestamp){ 0 };
}

int object_times(int fd, bool *ret_names, bool *ret_bytes)
{
	static const unsigned long known[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC };
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	*ret_bytes = false;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		*ret_bytes |= (unsigned long)fs.f_type == known[i];
	/* There a page that was read through a mapping is written without a fault, so without a time. */
	*ret_names = *ret_bytes || fs.f_type == TMPFS_MAGIC;
	return 0;
}

bool object_settles(int dir, const char *name, const struct object *o)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct object now;
	bool names, bytes;

	if (fd < 0 || object_times(fd, &names, &bytes) < 0 || !bytes)
		return false;
	/* Who opens it for writing meanwhile breaks the lease: nobody has to handle that signal, and the default one kills. */
	if (fcntl(fd, F_SETSIG, SIGURG) < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return false;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return object_look(fd, "", &now) == 0 && object_untouched(o, &now);
}

bool object_settled(int dir, const char *name, const struct object *o)
{
	struct object now;

	return object_look(dir, name, &now) == 0 && object_untouched(o, &now);
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
