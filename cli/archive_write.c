/* SPDX-License-Identifier: Apache-2.0 */
/* A tree of the host as an archive. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "base/util.h"
#include "nsbox.h"

unsigned archive_checksum(const struct archive_header *h)
{
	const uint8_t *bytes = (const uint8_t *)h;
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++) {
		bool own = i >= offsetof(struct archive_header, checksum) && i < offsetof(struct archive_header, type);
		sum += own ? ' ' : bytes[i];
	}
	return sum;
}

int archive_end(unsigned long left_out)
{
	if (left_out)
		say("the copy is not complete: %lu left out", left_out);
	return left_out ? EXIT_NO : 0;
}

static int put_blocks(int out, const void *data, size_t len)
{
	static const char zeros[ARCHIVE_BLOCK];
	size_t odd = len % ARCHIVE_BLOCK;

	int r = write_all(out, data, len);
	return r == 0 && odd ? write_all(out, zeros, ARCHIVE_BLOCK - odd) : r;
}

static int put_raw(int out, struct archive_header *h, unsigned mode, unsigned long long size, long long mtime)
{
	char digits[16];

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	snprintf(h->mode, sizeof(h->mode), "%07o", mode & 0777u);
	snprintf(h->uid, sizeof(h->uid), "%07o", 0u);
	snprintf(h->gid, sizeof(h->gid), "%07o", 0u);
	snprintf(h->size, sizeof(h->size), "%011llo", size & 077777777777ull);
	snprintf(h->mtime, sizeof(h->mtime), "%011llo", mtime > 0 ? (unsigned long long)mtime & 077777777777ull : 0);
	snprintf(digits, sizeof(digits), "%06o", archive_checksum(h));
	memcpy(h->checksum, digits, 7);
	h->checksum[7] = ' ';
	return write_all(out, h, sizeof(*h));
}

/* A name that fits into its field, or one before the entry. */
static int put_name(int out, char field[100], char type, const char *name)
{
	size_t len = strlen(name);
	struct archive_header h = { .type = type };

	if (len <= 100) {
		memcpy(field, name, len);
		return 0;
	}
	memcpy(field, name, 100);
	int r = put_raw(out, &h, 0, len, 0);
	return r < 0 ? r : put_blocks(out, name, len);
}

static int put_header(int out, const char *path, char type, const struct stat *st, const char *link)
{
	struct archive_header h = { .type = type };
	unsigned long long size = type == '0' ? (unsigned long long)st->st_size : 0;

	if (strlen(path) > ARCHIVE_NAME_MAX || size >= 1ull << 33)
		return refuse("%s cannot be copied: its name is over %u bytes, or it has 8 GiB or more", path, ARCHIVE_NAME_MAX);
	int r = put_name(out, h.name, 'L', path);
	if (r == 0)
		r = put_name(out, h.link, 'K', link);
	if (r == 0)
		r = put_raw(out, &h, (unsigned)st->st_mode, size, (long long)st->st_mtime);
	return r < 0 ? refuse("cannot send %s: %s", path, strerrordesc_np(-r)) : 0;
}

static int put_file(int out, int fd, const char *path)
{
	static const char zeros[ARCHIVE_BLOCK];
	char data[65536];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return refuse("cannot examine %s: %s", path, strerrordesc_np(errno));
	int status = put_header(out, path, '0', &st, "");
	uint64_t left = status ? 0 : (uint64_t)st.st_size;
	while (left) {
		ssize_t n = read(fd, data, left < sizeof(data) ? (size_t)left : sizeof(data));
		if (n < 0 && errno == EINTR)
			continue;
		/* The header has promised so many bytes. */
		if (n <= 0)
			return refuse("cannot read %s: %s", path, n < 0 ? strerrordesc_np(errno) : "it became shorter meanwhile");
		int r = write_all(out, data, (size_t)n);
		if (r < 0)
			return refuse("cannot send %s: %s", path, strerrordesc_np(-r));
		left -= (uint64_t)n;
	}
	size_t odd = (size_t)((uint64_t)st.st_size % ARCHIVE_BLOCK);
	if (status == 0 && odd && write_all(out, zeros, ARCHIVE_BLOCK - odd) < 0)
		status = refuse("cannot send %s", path);
	return status;
}

static int put_tree(int out, int dir, const char *name, const char *path, unsigned depth, unsigned long *left_out);

static int put_directory(int out, int fd, const char *path, const struct stat *st, unsigned depth, unsigned long *left_out)
{
	DIR *entries = fdopendir(fd);
	struct dirent *d;

	if (!entries) {
		close(fd);
		return refuse("cannot list %s: %s", path, strerrordesc_np(errno));
	}
	int status = put_header(out, path, '5', st, "");
	while (status == 0 && (d = readdir(entries))) {
		_cleanup_free_ char *below = NULL;
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (asprintf(&below, "%s/%s", path, d->d_name) < 0) {
			below = NULL;
			status = refuse("out of memory");
		} else {
			status = put_tree(out, dirfd(entries), d->d_name, below, depth + 1, left_out);
		}
	}
	closedir(entries);
	return status;
}

/* Opened without following and without waiting, and only then looked at: what it is is what is read. */
static int put_tree(int out, int dir, const char *name, const char *path, unsigned depth, unsigned long *left_out)
{
	char link[4096];
	struct stat st;

	if (depth > ARCHIVE_DEPTH_MAX)
		return refuse("%s is more than %u directories deep", path, ARCHIVE_DEPTH_MAX);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return refuse("cannot examine %s: %s", path, strerrordesc_np(errno));
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
		if (n < 0)
			return refuse("cannot read the link %s: %s", path, strerrordesc_np(errno));
		link[n] = '\0';
		return put_header(out, path, '2', &st, link);
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) {
		say("%s is left out: it is no file, directory or link", path);
		++*left_out;
		return 0;
	}
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
		int status = refuse("cannot open %s: %s", path, fd < 0 ? strerrordesc_np(errno) : "it changed meanwhile");
		if (fd >= 0)
			close(fd);
		return status;
	}
	if (S_ISDIR(st.st_mode))
		return put_directory(out, fd, path, &st, depth, left_out);
	int status = put_file(out, fd, path);
	close(fd);
	return status;
}

int archive_write(int out, int dir, const char *name, const char *top)
{
	static const char end[2 * ARCHIVE_BLOCK];

	unsigned long left_out = 0;

	int status = put_tree(out, dir, name, top, 0, &left_out);
	if (status == 0 && write_all(out, end, sizeof(end)) < 0)
		status = refuse("cannot send the end of %s", top);
	return status ? status : archive_end(left_out);
}
