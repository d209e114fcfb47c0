/* SPDX-License-Identifier: Apache-2.0 */
/* The list of lifted modes: records "ROOT MODE PATH" with a NUL at the end. */
#include "overlay/lifted.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "overlay/content.h"
#include "overlay/tree.h"

#define LIFTED_MAX (256u << 20)

int lifted_note(const struct layer *l, size_t root, const char *path, mode_t mode)
{
	_cleanup_buf_ struct buf b = { 0 };

	int r = buf_printf(&b, "%zu %o %s", root, mode & 07777, path);
	if (r == 0)
		r = buf_putc(&b, '\0');
	if (r < 0)
		return r;
	_cleanup_close_ int fd = openat(l->dir, "lifted", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, b.data, b.len) != (ssize_t)b.len)
		return errno ? -errno : -ENOSPC;
	return 0;
}

static void restore(const struct layer *l, const int *upper, const char *record)
{
	unsigned mode;
	size_t root;
	int at = 0;

	if (sscanf(record, "%zu %o%n", &root, &mode, &at) != 2 || record[at] != ' ' || root >= l->n_roots)
		return;
	/* It may be gone: what was applied was taken out. */
	_cleanup_close_ int place = tree_open(upper[root], record + at + 1, O_PATH);
	if (place >= 0)
		tree_chmod(place, mode & 07777);
}

int lifted_restore(const struct layer *l, const int *upper)
{
	_cleanup_buf_ struct buf b = { 0 };

	_cleanup_close_ int fd = openat(l->dir, "lifted", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = content_read(fd, LIFTED_MAX, &b);
	if (r < 0)
		return r;
	/* The last first, since a directory keeps us out of what is in it. One that was cut off was never acted on. */
	while (b.len > 0 && b.data[b.len - 1] != '\0')
		b.len--;
	while (b.len > 0) {
		const char *before = memrchr(b.data, '\0', b.len - 1);
		const char *record = before ? before + 1 : (const char *)b.data;
		restore(l, upper, record);
		b.len = (size_t)((const uint8_t *)record - b.data);
	}
	lifted_forget(l);
	return 0;
}

void lifted_forget(const struct layer *l)
{
	unlinkat(l->dir, "lifted", 0);
}
