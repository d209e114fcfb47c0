/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of whole files. */
#include "gateway/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

int file_read_fd(int fd, size_t max, struct buf *out)
{
	for (;;) {
		int r = buf_reserve(out, 1);
		if (r < 0)
			return r;
		ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->len += (size_t)n;
		if (out->len > max)
			return -EFBIG;
	}
}

int file_read(const char *path, size_t max, struct buf *out)
{
	struct stat st;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	int r = buf_reserve(out, (size_t)st.st_size + 1);
	return r < 0 ? r : file_read_fd(fd, max, out);
}
