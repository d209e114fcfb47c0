/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing and copying the bytes of files. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "overlay/content.h"

#define PIECE (128u * 1024u)

static ssize_t read_full(int fd, uint8_t *to, off_t at)
{
	size_t have = 0;

	while (have < PIECE) {
		ssize_t n = pread(fd, to + have, PIECE - have, at + (off_t)have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

bool content_equal(int a, int b)
{
	_cleanup_free_ uint8_t *both = malloc(2 * (size_t)PIECE);
	struct stat sa, sb;

	if (!both || fstat(a, &sa) < 0 || fstat(b, &sb) < 0 || sa.st_size != sb.st_size)
		return false;
	for (off_t at = 0;; at += PIECE) {
		ssize_t na = read_full(a, both, at), nb = read_full(b, both + PIECE, at);
		if (na < 0 || na != nb || memcmp(both, both + PIECE, (size_t)na) != 0)
			return false;
		if (na < (ssize_t)PIECE)
			return true;
	}
}

int content_read(int fd, size_t max, struct buf *out)
{
	for (;;) {
		int r = out->len > max ? -E2BIG : buf_reserve(out, PIECE);
		ssize_t n = r < 0 ? r : read(fd, out->data + out->len, PIECE);
		if (r < 0 || (n < 0 && errno != EINTR))
			return r < 0 ? r : -errno;
		if (n == 0)
			return 0;
		out->len += n > 0 ? (size_t)n : 0;
	}
}

static int copy_range(int from, int to, off_t at, off_t end, uint8_t *buffer)
{
	while (at < end) {
		size_t want = end - at < (off_t)PIECE ? (size_t)(end - at) : PIECE;
		ssize_t n = pread(from, buffer, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (ssize_t done = 0; done < n;) {
			ssize_t k = pwrite(to, buffer + done, (size_t)(n - done), at + done);
			if (k < 0 && errno != EINTR)
				return -errno;
			done += k > 0 ? k : 0;
		}
		at += n;
	}
	return 0;
}

int content_copy(int from, int to, off_t size)
{
	_cleanup_free_ uint8_t *buffer = malloc(PIECE);
	int r = buffer ? 0 : -ENOMEM;

	if (r == 0 && ftruncate(to, size) < 0)
		r = -errno;
	for (off_t at = 0; at < size && r == 0;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		off_t hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		r = copy_range(from, to, data, hole, buffer);
		at = hole;
	}
	return r;
}
