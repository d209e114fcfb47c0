/* SPDX-License-Identifier: Apache-2.0 */
/* The info file: one fact a line. Paths of policies have no control bytes, so no line break either. */
#include "overlay/layer_info.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/util.h"

#define INFO_FORMAT "1"
#define INFO_MAX (1u << 20)
#define PROTECT_MAX 1024u

static int put(struct buf *b, const struct layer *l)
{
	int r = buf_printf(b, "format " INFO_FORMAT "\nname %s\nworkdir %s\naudit %s\nsince %lld.%09ld\n", l->name, l->workdir,
			   l->audit, (long long)l->since.tv_sec, l->since.tv_nsec);

	for (size_t i = 0; i < l->n_roots && r == 0; i++)
		r = buf_printf(b, "root %" PRIu64 " %" PRIu64 " %s\n", (uint64_t)l->roots[i].dev, (uint64_t)l->roots[i].ino,
			       l->roots[i].path);
	if (r == 0 && l->auditor)
		r = buf_printf(b, "auditor %s\ndeadline %" PRIu64 "\n", l->auditor, l->deadline_us);
	if (r == 0 && l->helpers)
		r = buf_printf(b, "helpers %s\n", l->helpers);
	for (size_t i = 0; l->protect && l->protect[i] && r == 0; i++)
		r = buf_printf(b, "protect %s\n", l->protect[i]);
	return r;
}

static bool has_line_break(const struct layer *l)
{
	bool found = strchr(l->name, '\n') || strchr(l->workdir, '\n') || strchr(l->audit, '\n') ||
		     (l->auditor && strchr(l->auditor, '\n')) || (l->helpers && strchr(l->helpers, '\n'));

	for (size_t i = 0; i < l->n_roots; i++)
		found |= strchr(l->roots[i].path, '\n') != NULL;
	for (size_t i = 0; l->protect && l->protect[i]; i++)
		found |= strchr(l->protect[i], '\n') != NULL;
	return found;
}

int layer_info_write(struct layer *l, struct error *e)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct stat st;

	if (has_line_break(l))
		return fail(e, EINVAL, SANDBOX_STAGE_OVERLAY, l->id, "a path of an overlay must have no line break");
	_cleanup_close_ int fd = openat(l->dir, "info.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0) {
		l->since = l->since.tv_sec ? l->since : st.st_ctim;
		r = put(&b, l);
	}
	if (r == 0 && b.len > INFO_MAX)
		r = -E2BIG;
	if (r == 0 && write(fd, b.data, b.len) != (ssize_t)b.len)
		r = errno ? -errno : -ENOSPC;
	if (r == 0 && renameat(l->dir, "info.new", l->dir, "info") < 0)
		r = -errno;
	return r < 0 ? fail_errno(e, -r, SANDBOX_STAGE_OVERLAY, l->id, "cannot write the layer of sandbox %s", l->id) : 0;
}

static int take_text(char **to, const char *value)
{
	if (*to)
		return -EBADMSG;
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static int take_root(struct layer *l, const char *value)
{
	uint64_t dev, ino;
	int at = 0;

	if (sscanf(value, "%" SCNu64 " %" SCNu64 " %n", &dev, &ino, &at) != 2 || at == 0 || value[at] != '/' ||
	    l->n_roots == LAYER_ROOTS_MAX)
		return -EBADMSG;
	struct layer_root *root = &l->roots[l->n_roots++];
	*root = (struct layer_root){ .path = strdup(value + at), .dev = dev, .ino = ino };
	return root->path ? 0 : -ENOMEM;
}

static int take_protect(struct layer *l, const char *value)
{
	size_t n = 0;

	while (l->protect && l->protect[n])
		n++;
	char **more = n < PROTECT_MAX ? reallocarray(l->protect, n + 2, sizeof(*more)) : NULL;
	if (!more)
		return n < PROTECT_MAX ? -ENOMEM : -EBADMSG;
	l->protect = more;
	more[n] = strdup(value);
	more[n + 1] = NULL;
	return more[n] ? 0 : -ENOMEM;
}

static int take_line(struct layer *l, const char *key, const char *value)
{
	long long seconds;

	if (strcmp(key, "format") == 0)
		return strcmp(value, INFO_FORMAT) == 0 ? 0 : -EBADMSG;
	if (strcmp(key, "name") == 0)
		return take_text(&l->name, value);
	if (strcmp(key, "workdir") == 0)
		return take_text(&l->workdir, value);
	if (strcmp(key, "audit") == 0)
		return take_text(&l->audit, value);
	if (strcmp(key, "auditor") == 0)
		return take_text(&l->auditor, value);
	if (strcmp(key, "helpers") == 0)
		return take_text(&l->helpers, value);
	if (strcmp(key, "deadline") == 0)
		return sscanf(value, "%" SCNu64, &l->deadline_us) == 1 ? 0 : -EBADMSG;
	if (strcmp(key, "root") == 0)
		return take_root(l, value);
	if (strcmp(key, "protect") == 0)
		return take_protect(l, value);
	if (strcmp(key, "since") != 0 || sscanf(value, "%lld.%9ld", &seconds, &l->since.tv_nsec) != 2)
		return -EBADMSG;
	l->since.tv_sec = seconds;
	return 0;
}

int layer_info_read(struct layer *l)
{
	_cleanup_free_ char *text = malloc(INFO_MAX + 1);
	_cleanup_close_ int fd = openat(l->dir, "info", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (!text)
		return -ENOMEM;
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : -EBADMSG;
	ssize_t n = read(fd, text, INFO_MAX + 1);
	if (n <= 0 || n > (ssize_t)INFO_MAX || memchr(text, '\0', (size_t)n) || text[n - 1] != '\n')
		return -EBADMSG;
	text[n] = '\0';
	if (strncmp(text, "format " INFO_FORMAT "\n", sizeof("format " INFO_FORMAT)) != 0)
		return -EBADMSG;
	for (char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		*end = '\0';
		char *value = strchr(line, ' ');
		if (!value)
			return -EBADMSG;
		*value++ = '\0';
		int r = take_line(l, line, value);
		if (r < 0)
			return r;
	}
	return l->name && l->workdir && l->audit && l->since.tv_sec && l->n_roots ? 0 : -EBADMSG;
}
